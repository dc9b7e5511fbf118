import Glibc
import SluiceApplier
import SluiceFakes
import SluiceJournal
import SluiceShared
import SluiceWriter
import Synchronization
import Testing

@Suite("A slow file server is no wrong clock, a clock that differs is")
struct ClockComparisonTests {
  @Test(arguments: [(Duration.zero, Duration.seconds(120)), (.seconds(-120), .zero)])
  func difference(_ difference: Duration, _ stall: Duration) throws {
    let store = try TestStore()
    let clock = MovedClock(by: difference)
    var environment = Environment.hooked { operation in
      // What is new in the log takes its time to become durable.
      if operation.action == .sync, operation.path.hasSuffix(".tmp") { clock.advance(stall) }
      return .done
    }
    environment.clock = clock
    guard difference == .zero else {
      let error = #expect(throws: StoreError.self) {
        try store.drain(TestStore.options(), environment)
      }
      #expect(error?.code == .wrongClock)
      return
    }
    var options = TestStore.options()
    options.leaseTime = .seconds(1000)
    try store.drain(options, environment)
  }
}

/// The system's clock, set wrong, or as if time had passed.
private final class MovedClock: Clock {
  private let moved: Monitor<Duration>

  init(by difference: Duration) { moved = Monitor(difference) }

  func advance(_ time: Duration) { moved.withLock { $0 += time } }

  func wallTime_ms() -> Int64 {
    SystemClock().wallTime_ms() + moved.withLock { $0.wholeMilliseconds }
  }
  func bootTime_ns() -> UInt64 { SystemClock().bootTime_ns() }
  func sleep(_ duration: Duration) { SystemClock().sleep(duration) }
}

@Suite("An applier that loses its lease because it is slow was not ended by a batch")
struct SlowApplierTests {
  @Test("Opening the database takes longer than the lease, after a term without release")
  func slow() async throws {
    try await onThread {
      let store = try TestStore()
      let writer = try store.writer()
      let receipt = try writer.submitBlocking(TestStore.row(0, 1))
      // A term that ends at its first commit.
      let failing = Environment.hooked { operation in
        guard operation.action == .write, operation.path.hasSuffix(".log"),
          operation.offset > Block.firstLogFrame
        else { return .done }
        return .fails(.posix(EIO, operation.path))
      }
      #expect(throws: StoreError.self) { try store.drain(TestStore.options(), failing) }

      let terms = Atomic<Int>(0)
      let slow = Environment.hooked { operation in
        if operation.action == .link, operation.path.hasSuffix(".log") {
          terms.add(1, ordering: .relaxed)
        }
        if operation.action == .list, operation.path == store.layout.checkpoints { pause(120) }
        return .done
      }
      var options = TestStore.options()
      options.leaseTime = .milliseconds(60)
      try Applier(path: store.path, options: options, environment: slow)
        .run(shouldStop: { terms.load(ordering: .relaxed) >= 6 })

      try store.drain()
      let known = try writer.outcomeBlocking(of: receipt, timeout: .seconds(60))
      #expect(known.outcome.isApplied, "\(known.outcome)")
    }
  }
}
