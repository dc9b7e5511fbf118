internal import SluiceShared
internal import SluiceVFS

/// How long a request for the turn waits: as the busy handler says, which is asked at the times at which it
/// would wake up.
struct TurnPatience {
  private let handler: BusyHandler?
  private let clock: any Clock
  private var asksNext: Duration
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
    return answer.result
  }
}
