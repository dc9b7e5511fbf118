import SluiceShared

/// The system's clock, set forward as told.
final class ShiftedClock: Clock {
  private let shift = Monitor(Duration.zero)

  func advance(by duration: Duration) { shift.withLock { $0 += duration } }
  func wallTime_ms() -> Int64 {
    SystemClock().wallTime_ms() + shift.withLock { $0 }.wholeMilliseconds
  }
  func bootTime_ns() -> UInt64 {
    UInt64(
      Int64(SystemClock().bootTime_ns()) + shift.withLock { $0 }.wholeMilliseconds * 1_000_000)
  }
  func sleep(_ duration: Duration) { SystemClock().sleep(duration) }
}

/// Of a virtual machine that is suspended, and its clocks with it.
final class SuspendedClock: Clock {
  private let base: any Clock
  private let missed = Monitor((wall: Duration.zero, boot: Duration.zero))

  init(_ base: any Clock) { self.base = base }

  func miss(wall: Duration, boot: Duration) {
    missed.withLock { $0 = ($0.wall + wall, $0.boot + boot) }
  }
  func wallTime_ms() -> Int64 {
    base.wallTime_ms() - missed.withLock { $0.wall }.wholeMilliseconds
  }
  func bootTime_ns() -> UInt64 {
    UInt64(
      Int64(base.bootTime_ns()) - missed.withLock { $0.boot }.wholeMilliseconds * 1_000_000)
  }
  func sleep(_ duration: Duration) { base.sleep(duration) }
}

/// A clock whose time runs eight times as fast, but for the time of day.
struct HurriedClock: Clock {
  private let clock = SystemClock()
  private static let factor = 8

  func wallTime_ms() -> Int64 { clock.wallTime_ms() }
  func bootTime_ns() -> UInt64 { clock.bootTime_ns() * UInt64(Self.factor) }
  func sleep(_ duration: Duration) { clock.sleep(duration / Self.factor) }
  func wait<Value, R>(
    on monitor: Monitor<Value>, atMost limit: Duration, _ take: (inout Value) -> R?
  ) -> R? { clock.wait(on: monitor, atMost: limit / Self.factor, take) }
}
