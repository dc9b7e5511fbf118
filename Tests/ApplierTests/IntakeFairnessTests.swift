import SluiceJournal
import SluiceShared
import SluiceWriter
import Testing

@testable import SluiceApplier

@Suite("Nobody waits for all that another one has submitted")
struct IntakeFairnessTests {
  let store: TestStore
  init() throws {
    store = try TestStore()
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
  }

  private func submit(_ numbers: Range<Int>, _ writer: Writer) throws {
    let batches = numbers.map {
      Batch([Batch.Statement("INSERT INTO t VALUES (?, 'x')", [.integer(Int64($0))])])
    }
    for result in writer.submitBlocking(batches) { _ = try result.get() }
  }

  private func intake(_ environment: Environment) throws -> JournalIntake {
    try JournalIntake(
      layout: store.layout,
      store: try StoreDescription.read(store.layout, environment.fileSystem).id,
      environment: environment, name: "test", openFiles: 1000, log: store.options.logger)
  }

  /// A new term reads what thousands of batches of one writer are, and one of another.
  @Test(arguments: [false, true]) func aWriterWithOneBatchWaitsForOneTurn(isLater: Bool) throws {
    let busy = try [store.writer(), store.writer()]
    for (i, writer) in busy.enumerated() { try submit(i * 10_000..<i * 10_000 + 3000, writer) }
    let other = try store.writer()
    if !isLater { try submit(90_000..<90_003, other) }
    let intake = try intake(store.environment)
    _ = try intake.poll()
    if isLater {
      try submit(90_000..<90_003, other)
      _ = try intake.poll()
    }
    let order = intake.next(.max, bytes: .max).map(\.id)
    #expect(order.count == 6004)
    let ids = Dictionary(grouping: order.indices, by: { order[$0].writer })
    let small = try #require(ids.values.first { $0.count == 3 })
    #expect((small.last ?? .max) < 4 * 64 + 3, "\(small)")
    // Each writer's order is as it was.
    for places in ids.values {
      #expect(places.map { order[$0].sequence.rawValue } == (1...UInt64(places.count)).map { $0 })
    }
  }

  /// Even where more waits than is read of one who has something waiting.
  @Test func itIsReadThoughMuchWaits() throws {
    let busy = try (0..<12).map { _ in try store.writer() }
    let large = Batch([Batch.Statement("SELECT ?", [.blob([UInt8](repeating: 7, count: 1 << 20))])])
    for writer in busy {
      for result in writer.submitBlocking([large, large, large, large]) { _ = try result.get() }
    }
    let intake = try intake(store.environment)
    _ = try intake.poll()
    let before = intake.waitingBytes
    #expect(before >= 2 * Limits.batchBytesPerCommit)
    let other = try store.writer()
    try submit(0..<1, other)
    _ = try intake.poll()
    _ = try intake.poll()
    #expect(intake.next(.max, bytes: .max).contains { $0.bytes < 1000 })
  }
}
