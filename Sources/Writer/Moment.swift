internal import SluiceShared

/// A point in time on both clocks: the wall clock jumps, and the other may stand still while a virtual
/// machine is frozen.
struct Moment {
  let wall_ms: Int64
  let boot_ns: UInt64

  init(_ clock: any Clock) {
    wall_ms = clock.wallTime_ms()
    boot_ns = clock.bootTime_ns()
  }

  /// By the clock that says more.
  func age(_ clock: any Clock) -> Duration {
    max(
      .milliseconds(clock.wallTime_ms() - wall_ms),
      .nanoseconds(Int64(clock.bootTime_ns() - boot_ns)))
  }
}
