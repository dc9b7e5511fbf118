import SluiceFakes
import SluiceJournal
import SluiceShared
import SluiceSimulator
import SluiceWriter
import Testing

/// From the end of one applier to the outcome of a new batch on the other machine.
@Suite("A hand-over takes some round trips, and a dead host costs one lease", .serialized)
struct TakeoverTimeTests {
  enum End { case released, died }

  private static let seeds: ClosedRange<UInt64> = 1...3
  private let template: StoreTemplate
  init() throws { template = try StoreTemplate(pageSize: 4096) }

  private func batch() -> Batch { Batch([Batch.Statement("SELECT 1")]) }

  /// The outcome of a batch that is submitted when an applier has ended, while `waiting` batches of four busy
  /// writers on its machine wait; and that of one submitted before, while nothing happened.
  private func measure(_ end: End, roundTrip: Duration, waiting: Int, seed: UInt64) -> (
    after: Duration, alone: Duration
  ) {
    let distance = Distance(
      template, roundTrip: roundTrip, execution: .microseconds(500), seed: seed)
    var figures = (after: Duration.seconds(1000), alone: Duration.zero)
    distance.run { [self] in
      let first = distance.process("first", on: 0)
      var isStopped = false
      let term = distance.applier(first) { isStopped }
      distance.sleep(.seconds(2))
      distance.applier(distance.process("second", on: 1))
      let writer = try distance.writer(distance.process("new", on: 1))
      distance.sleep(.seconds(4))
      func submit() throws {
        let receipt = try writer.submitBlocking(batch())
        _ = try writer.outcomeBlocking(of: receipt, timeout: .seconds(600))
      }
      // Its first one makes its segment.
      try submit()
      figures.alone = try distance.time(submit)
      let busy = distance.process("busy", on: 0)
      let writers = try (0..<4).map { _ in try distance.writer(busy) }
      for writer in writers where waiting > 0 {
        let batches = [Batch](repeating: batch(), count: waiting / 4)
        distance.strand(busy) { _ = writer.submitBlocking(batches) }
      }
      distance.sleep(.milliseconds(200))
      switch end {
      case .released:
        isStopped = true
        distance.scheduler.join(term)
      case .died:
        first.process.die()
        busy.process.die()
      }
      figures.after = try distance.time(submit)
    }
    #expect(distance.failures == [])
    return figures
  }

  /// However much waits: a second of execution would be 2,000 batches here.
  @Test(arguments: [0, 8000], seeds) func aReleaseCostsAHundredRoundTrips(
    waiting: Int, seed: UInt64
  ) {
    let figures = measure(.released, roundTrip: .milliseconds(5), waiting: waiting, seed: seed)
    #expect(figures.after <= .milliseconds(500), "\(figures)")
    #expect(figures.alone < figures.after, "\(figures)")
  }

  @Test(arguments: [0, 8000], seeds) func aDeadHostCostsALease(waiting: Int, seed: UInt64) {
    let figures = measure(.died, roundTrip: .milliseconds(3), waiting: waiting, seed: seed)
    #expect(figures.after >= Distance.lease - .seconds(1), "\(figures)")
    #expect(figures.after <= Distance.lease + .seconds(1), "\(figures)")
  }
}
