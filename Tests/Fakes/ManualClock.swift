import SluiceShared

/// A clock that stands still until somebody sleeps or moves it.
package final class ManualClock: Clock, Sendable {
  private struct Times {
    var wall_ms: Int64
    var boot_ns: UInt64
  }

  private let times: Monitor<Times>

  package init(wall_ms: Int64 = 1_700_000_000_000, boot_ns: UInt64 = 1_000_000_000) {
    times = Monitor(Times(wall_ms: wall_ms, boot_ns: boot_ns))
  }

  package func wallTime_ms() -> Int64 { times.withLock { $0.wall_ms } }
  package func bootTime_ns() -> UInt64 { times.withLock { $0.boot_ns } }
  package func sleep(_ duration: Duration) { advance(by: duration) }

  /// Moves both times on.
  package func advance(by duration: Duration) {
    let (seconds, attoseconds) = duration.components
    let nanoseconds = seconds * 1_000_000_000 + attoseconds / 1_000_000_000
    guard nanoseconds > 0 else { return }
    times.withLock {
      $0.boot_ns += UInt64(nanoseconds)
      $0.wall_ms += duration.wholeMilliseconds
    }
  }

  /// Sets the wall clock, backwards too.
  package func setWall(_ wall_ms: Int64) { times.withLock { $0.wall_ms = wall_ms } }
}
