internal import SluiceShared

/// Whether an applier's polls may be slow: only while each piece of news comes with a hint of its own.
///
///     unproven ── so many pieces of news in a row with a hint, and long enough since one without ──▶ proven
///     proven   ── one piece of news without                                                      ──▶ unproven
///
/// News without a hint is of a writer whose hints do not arrive, and only quick polls serve that well. So
/// each such piece doubles how many are asked for, and for how long, until hints have held for an hour.
struct HintProof {
  private enum State {
    case unproven(inARow: Int)
    case proven(since: Duration)
  }

  private var state = State.unproven(inARow: 0)
  private var needed = Limits.leastHintProof
  private var doubt = Duration.zero
  private var doubtfulUntil = Duration.zero

  private static let firstDoubt = Duration.seconds(1)
  private static let lastDoubt = Duration.seconds(600)
  private static let trusted = Duration.seconds(3600)

  var isProven: Bool {
    if case .proven = state { return true }
    return false
  }

  /// A piece of news came with its hint.
  mutating func cameWithHint(at now: Duration) {
    switch state {
    case .unproven(let inARow):
      let isEnough = inARow + 1 >= needed && now >= doubtfulUntil
      state = isEnough ? .proven(since: now) : .unproven(inARow: min(inARow + 1, needed))
    case .proven(let since):
      guard now - since >= Self.trusted else { return }
      (needed, doubt) = (Limits.leastHintProof, .zero)
    }
  }

  /// A piece of news came without.
  mutating func cameWithout(at now: Duration) {
    needed = min(needed * 2, Limits.mostHintProof)
    doubt = min(max(doubt * 2, Self.firstDoubt), Self.lastDoubt)
    doubtfulUntil = now + doubt
    state = .unproven(inARow: 0)
  }
}
