internal import SluiceLease
internal import SluiceShared

/// When an assistant may claim.
///
/// A store's assistants begin at most one term in each `Assistance.pause`. None knows of the others: each goes
/// by how long the last term took, by its holder's clock, and how long ago it ended, by the file server's dates
/// or by its own clock since it looked. No two clocks are compared. Then each waits for a part of its own
/// of a time that grows with the number of writers, looks again, and most of them find that one is faster
/// before they have made a file.
struct AssistantTurn {
  private let assistance: Assistance
  private let beat: Duration
  private let isPaced: Bool
  private var seen: LeaseObservation?
  /// When the beacon was what it is, at the latest (boot time).
  private var unchangedSince: Duration = .zero
  /// When the next term may begin, with the own part of the waiting (boot time).
  private var earliest: Duration = .zero
  /// After a claim or a term that came to nothing.
  private var notBefore: Duration = .zero
  private var fruitless = 0

  /// `isPaced` false: for a simulator that leaves the pause out.
  init(_ assistance: Assistance, beat: Duration, isPaced: Bool = true) {
    self.assistance = assistance
    self.beat = beat
    self.isPaced = isPaced
  }

  /// What is to be found out of a beacon that was not seen before.
  struct Survey {
    /// For how long it has been what it is, at least.
    var silence: Duration = .zero
    /// How long its term took, by the clock of who led; nil: it is no term.
    var term: Duration?
    /// Writers with files in the journal.
    var writers = 0
  }

  func isNews(_ observation: LeaseObservation) -> Bool { observation != seen }

  /// `random`: of 64 bits.
  mutating func sees(
    _ observation: LeaseObservation, _ survey: Survey, at now: Duration, random: UInt64
  ) {
    seen = observation
    // A date may be stale, and as old as the term's beginning, where its process on this host has the file
    // open still. One that is a pause old says that the term's beginning is, too; a later one says nothing.
    unchangedSince = now - (survey.silence >= assistance.pause ? survey.silence : .zero)
    let part = Double(random >> 11) / Double(1 << 53)
    let others = min(assistance.pause, Assistance.claimTime * max(0, survey.writers - 1))
    let pause = isPaced ? assistance.pause : .zero
    let term = survey.term.map { max(.zero, $0) } ?? assistance.pause
    // Where nobody has led for long, many may have come at this moment.
    earliest = max(now, unchangedSince + max(.zero, pause - term)) + others * part
  }

  /// For how long the beacon has been what it is.
  func silence(at now: Duration) -> Duration { now - unchangedSince }

  /// Whether the lease may be asked, and then claimed.
  func mayClaim(at now: Duration) -> Bool {
    guard let seen, now >= notBefore, now >= earliest else { return false }
    return seen.isReleased || silence(at: now) >= beat * Assistance.missedBeats
  }

  /// Another was faster.
  mutating func lost(at now: Duration, random: UInt64) {
    notBefore = now + assistance.pause / 2 + .milliseconds(Int64(random % 500))
  }

  /// A term is over, or could not begin. One that applied nothing did not find what is waited for, and is
  /// tried again ever more seldom.
  mutating func done(applied: Bool, at now: Duration) {
    fruitless = applied ? 0 : min(fruitless + 1, 16)
    guard fruitless > 0 else { return }
    notBefore =
      now
      + min(
        Limits.longestAssistancePause, assistance.pause * (1 << (fruitless - 1)))
  }
}
