import SluiceFakes
import SluiceLease
import SluiceShared
import Testing

@testable import SluiceApplier

@Suite("Processes that serve the same stores come to lead about as many each")
struct SharingTests {
  private static let lease = Duration.seconds(10)

  /// Processes in a model: what is released is claimed, a second later, by somebody below its share where
  /// there is one, else by anybody.
  private struct Model {
    var leads: [Int]
    var sharings: [Sharing]
    var free = 0
    var moves = 0
    var now = Duration.zero
    /// Who takes nothing that others release.
    var refuses: Set<Int> = []
    /// Of the last process that released: whether somebody else took it.
    var releasers: [Int] = []
    var random = SeededRandom(seed: 3)

    init(_ leads: [Int]) {
      self.leads = leads
      sharings = leads.map { _ in Sharing(lease: SharingTests.lease) }
    }

    mutating func second() {
      now += .seconds(1)
      let stores = leads.reduce(0, +) + free
      for releaser in releasers { claim(releaser) }
      releasers = []
      for i in leads.indices {
        (sharings[i].stores, sharings[i].processes) = (stores, leads.count)
        let surplus = min(leads[i], sharings[i].surplus(leads: leads[i], at: now))
        leads[i] -= surplus
        free += surplus
        moves += surplus
        releasers += [Int](repeating: i, count: surplus)
      }
    }

    private mutating func claim(_ releaser: Int) {
      let patience = leads.indices.filter { !refuses.contains($0) }.map {
        (
          $0,
          $0 == releaser
            ? .seconds(6)
            : sharings[$0].patience(leads: leads[$0], isReleased: true, look: .seconds(4))
        )
      }
      let least = patience.map(\.1).min() ?? .zero
      let candidates = patience.filter { $0.1 == least }.map(\.0)
      let winner = candidates[random.below(candidates.count)]
      leads[winner] += 1
      free -= 1
      if winner == releaser { sharings[releaser].cameBack() } else { sharings[releaser].wentAway() }
    }
  }

  @Test(arguments: [[1000, 0, 0, 0], [400, 300, 299, 1], [7, 0, 0], [3, 0], [20, 20, 21]])
  func itComesToRest(leads: [Int]) {
    var model = Model(leads)
    for _ in 0..<600 { model.second() }
    let moves = model.moves
    for _ in 0..<3600 { model.second() }
    #expect(model.moves == moves, "stores are moved without end")
    let share = (leads.reduce(0, +) + leads.count - 1) / leads.count
    #expect(model.leads.allSatisfy { $0 <= share + share / 16 }, "\(model.leads)")
    // And no more of them than were too many.
    #expect(moves <= leads.reduce(0) { $0 + max(0, $1 - share) })
  }

  @Test func aFewTooManyAreNotMoved() {
    var model = Model([260, 247, 247, 246])
    for _ in 0..<600 { model.second() }
    #expect(model.moves == 0)
  }

  @Test func whatComesBackIsOfferedEverMoreSeldom() {
    var model = Model([40, 0])
    model.refuses = [1]
    for _ in 0..<7200 { model.second() }
    #expect(model.moves < 40, "\(model.moves) moves in two hours")
  }

  @Test func whoJustBeganOrFellSilentMovesNothing() {
    var sharing = Sharing(lease: Self.lease)
    (sharing.stores, sharing.processes) = (100, 2)
    #expect(sharing.surplus(leads: 100, at: .seconds(1)) == 0)
    #expect(sharing.surplus(leads: 100, at: .seconds(20)) == 0)
    // The other one was not there after all.
    sharing.processes = 1
    #expect(sharing.surplus(leads: 100, at: .seconds(21)) == 0)
    sharing.processes = 2
    #expect(sharing.surplus(leads: 100, at: .seconds(22)) == 0)
    #expect(sharing.surplus(leads: 100, at: .seconds(42)) > 0)
  }

  @Test func whatNobodyLeadsIsSoonClaimedByAnybody() {
    var sharing = Sharing(lease: Self.lease)
    (sharing.stores, sharing.processes) = (100, 2)
    #expect(sharing.patience(leads: 49, isReleased: true, look: .seconds(4)) == .zero)
    #expect(sharing.patience(leads: 50, isReleased: false, look: .seconds(4)) <= .milliseconds(500))
    #expect(sharing.patience(leads: 50, isReleased: true, look: .seconds(4)) > .seconds(4))
    sharing.processes = 1
    #expect(sharing.patience(leads: 500, isReleased: true, look: .seconds(4)) == .zero)
  }

  // MARK: the pace of a standby

  /// A leader that beats each four seconds, more or less, and a standby that looks by its pace.
  @Test(arguments: [Duration.zero, .milliseconds(30), .milliseconds(-60)])
  func aBeatIsSeenSoonAndWithLittleMoreThanOneLook(drift: Duration) {
    let pace = StandbyPace(lease: Self.lease, beat: .seconds(4))
    var random = SeededRandom(seed: 11)
    var beats: [Duration] = [.milliseconds(1300)]
    while let last = beats.last, last < .seconds(400) {
      beats.append(last + .seconds(4) + drift + .milliseconds(Int64(random.below(40))))
    }
    var now = Duration.zero
    var seen: Duration?
    var since = Duration.zero
    var looks = 0
    var longest = Duration.zero
    while now < .seconds(390) {
      let beat = beats.last { $0 <= now }
      let isNews = beat != seen
      if isNews {
        if now > .seconds(40), let beat { longest = max(longest, now - beat) }
        (seen, since) = (beat, now)
      }
      looks += 1
      now += pace.pause(afterSilence: isNews ? .zero : max(.nanoseconds(1), now - since))
    }
    #expect(longest <= .milliseconds(750))
    #expect(looks < 170, "\(looks) looks for 97 beats")
  }

  @Test func theEndOfALeaderIsSeenWhenTheLeaseIsOver() {
    let pace = StandbyPace(lease: Self.lease, beat: .seconds(4))
    var (silence, looks) = (Duration.zero, 0)
    while silence < Self.lease {
      silence += pace.pause(afterSilence: silence)
      looks += 1
    }
    #expect(silence < Self.lease + .milliseconds(200) && looks < 20)
  }

  @Test func whoMayNotClaimWhatIsSilentDoesNotLookAllTheTime() {
    let pace = StandbyPace(lease: Self.lease, beat: .seconds(4))
    for silence in 10...20 {
      #expect(pace.pause(afterSilence: .seconds(silence)) >= Self.lease / 20)
    }
  }
}
