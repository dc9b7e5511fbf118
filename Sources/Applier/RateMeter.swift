/// Batches a second, over the last whole second.
struct RateMeter {
  private var second: Int64 = 0
  private var current = 0
  private var last = 0

  mutating func add(_ count: Int, at now: Duration) {
    turn(to: now)
    current += count
  }

  mutating func perSecond(at now: Duration) -> UInt64 {
    turn(to: now)
    return UInt64(last)
  }

  private mutating func turn(to now: Duration) {
    let seconds = now.components.seconds
    guard seconds != second else { return }
    last = seconds == second + 1 ? current : 0
    current = 0
    second = seconds
  }
}
