internal import CSystem
internal import Glibc

/// The two times that Sluice reads, and how it waits. Safety rests on neither (promise 6).
package protocol Clock: Sendable {
  /// Unix time in milliseconds; may jump.
  func wallTime_ms() -> Int64
  /// Nanoseconds since boot, time asleep included; never goes back.
  func bootTime_ns() -> UInt64
  /// Waits without a condition; may return a little late, never early.
  func sleep(_ duration: Duration)
  /// Waits until `take`, called under the monitor's lock after each wake, returns something, at most
  /// `limit`; nil after that.
  func wait<Value, R>(
    on monitor: Monitor<Value>, atMost limit: Duration, _ take: (inout Value) -> R?
  ) -> R?
}

/// CLOCK_REALTIME, CLOCK_BOOTTIME and nanosleep.
package struct SystemClock: Clock {
  package init() {}

  package func wallTime_ms() -> Int64 {
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    return Int64(now.tv_sec) * 1000 + Int64(now.tv_nsec) / 1_000_000
  }

  package func bootTime_ns() -> UInt64 { csystem_boottime_ns() }

  package func sleep(_ duration: Duration) {
    let (seconds, attoseconds) = duration.components
    guard seconds >= 0, attoseconds >= 0 else { return }
    var wanted = timespec(tv_sec: Int(seconds), tv_nsec: Int(attoseconds / 1_000_000_000))
    var left = timespec()
    while nanosleep(&wanted, &left) != 0, errno == EINTR { wanted = left }
  }
}

extension Clock {
  package func wait<Value, R>(
    on monitor: Monitor<Value>, atMost limit: Duration, _ take: (inout Value) -> R?
  ) -> R? {
    monitor.wait(atMost: limit, take)
  }

  /// Boot time as a `Duration`, for arithmetic.
  package func elapsed() -> Duration { .nanoseconds(Int64(bootTime_ns())) }
}

extension Duration {
  /// Whole milliseconds, rounded down.
  package var wholeMilliseconds: Int64 {
    components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000
  }
  package var inSeconds: Double {
    Double(components.seconds) + Double(components.attoseconds) / 1e18
  }
}
