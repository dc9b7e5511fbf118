package import SluiceShared

/// The clocks of one simulated machine: each may be wrong and may run fast or slow; the wall clock
/// also jumps, and both stand still when the machine is suspended.
package final class SimulatedClock: Clock, @unchecked Sendable {
  // Sendable: touched by the strand that has the scheduler's baton only.
  private let scheduler: EventScheduler
  /// What this machine's clocks run fast (or slow, negative), in parts per million.
  private let drift_ppm: Int64
  private let boot_ns: UInt64
  /// Added to the true time by the wall clock.
  package var offset_ms: Int64 = 0
  /// For how long both stood still so far.
  package private(set) var missed_ns: UInt64 = 0
  private var stoppedAt_ns: UInt64?

  /// In 2096: behind whatever time a store was really made at.
  static let epoch_ms: Int64 = 4_000_000_000_000

  package init(_ scheduler: EventScheduler, drift_ppm: Int64 = 0, boot_ns: UInt64 = 1_000_000_000) {
    self.scheduler = scheduler
    self.drift_ppm = drift_ppm
    self.boot_ns = boot_ns
  }

  private var elapsed_ns: UInt64 {
    let now = Int64(clamping: (stoppedAt_ns ?? scheduler.now_ns) - missed_ns)
    return UInt64(now + now / 1_000_000 * drift_ppm)
  }

  package var isStopped: Bool { stoppedAt_ns != nil }

  /// Both stand still from now on.
  package func stop() {
    if stoppedAt_ns == nil { stoppedAt_ns = scheduler.now_ns }
  }

  /// And go on.
  package func goOn() {
    guard let since_ns = stoppedAt_ns else { return }
    missed_ns += scheduler.now_ns - since_ns
    stoppedAt_ns = nil
  }

  package func wallTime_ms() -> Int64 {
    SimulatedClock.epoch_ms + Int64(elapsed_ns / 1_000_000) + offset_ms
  }

  package func bootTime_ns() -> UInt64 { boot_ns + elapsed_ns }

  package func sleep(_ duration: Duration) {
    let (seconds, attoseconds) = duration.components
    guard seconds >= 0, attoseconds >= 0 else { return }
    let nanoseconds = min(seconds, 1 << 32) * 1_000_000_000 + attoseconds / 1_000_000_000
    // Never early by this clock: one more nanosecond makes up for rounding.
    scheduler.sleep(UInt64(nanoseconds * 1_000_000 / (1_000_000 + drift_ppm) + 1))
  }

  /// Looks again in growing steps, since nobody signals a simulated strand.
  package func wait<Value, R>(
    on monitor: Monitor<Value>, atMost limit: Duration, _ take: (inout Value) -> R?
  ) -> R? {
    let deadline = elapsed() + limit
    let longest = max(limit / 4, .microseconds(10))
    var step = min(longest, .milliseconds(1))
    while true {
      if let result = monitor.withLock({ take(&$0) }) { return result }
      let left = deadline - elapsed()
      guard !scheduler.isOver, scheduler.current.process?.isDead != true else {
        scheduler.yield()
        return monitor.withLock { take(&$0) }
      }
      guard left > .zero else { return nil }
      sleep(min(step, left))
      step = min(step * 2, longest)
    }
  }
}
