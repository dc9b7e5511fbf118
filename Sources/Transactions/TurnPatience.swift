internal import SluiceShared
internal import SluiceVFS

/// How long a request for the turn waits: as the busy handler says, which is asked at the times at which it
/// would wake up.
struct TurnPatience {
  private let handler: BusyHandler?
  private let clock: any Clock
  private var asksNext: Duration
  /// The sleeps that the handler asked for the last time, and the time before.
  private var step = (before: Duration.zero, last: Duration.zero)
  /// False where there is no handler, or one that does not wait at all.
  private(set) var isThere = false

  init(_ handler: BusyHandler?, _ clock: any Clock) {
    self.handler = handler
    self.clock = clock
    asksNext = clock.elapsed()
    isThere = lasts()
  }

  mutating func lasts() -> Bool {
    guard clock.elapsed() >= asksNext else { return true }
    guard let handler else { return false }
    let answer = OwedSleep.collecting { handler.keepsWaiting() }
    asksNext = clock.elapsed() + answer.owed
    if answer.result { step = (step.last, answer.owed) }
    return answer.result
  }

  /// Whether the handler will tell SQLite, too, to go on, as far as can be known: SQLite asks it itself before it
  /// begins again. Of its own handler a step that is as long as usual says so, since the last one is cut to what
  /// is left of the timeout. Any other is asked once more.
  func leavesAnotherTry() -> Bool {
    guard let handler else { return false }
    if Self.steps_ms[step.before.wholeMilliseconds]?.contains(step.last.wholeMilliseconds) ?? false
    {
      return true
    }
    return OwedSleep.collecting { handler.keepsWaiting() }.result
  }

  /// Which sleeps of SQLite's handler follow which; 0: none. It may have been asked before this was made.
  private static let steps_ms: [Int64: Set<Int64>] = [
    0: [1, 2, 5, 10, 15, 20, 25, 50, 100], 1: [2], 2: [5], 5: [10], 10: [15], 15: [20], 20: [25],
    25: [25, 50], 50: [50, 100], 100: [100],
  ]
}
