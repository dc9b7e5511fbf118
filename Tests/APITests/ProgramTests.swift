import CoreMetrics
import Foundation
import Sluice
import SluiceTeardown
import Testing

/// What the command does, done by a program of another package: what it needs is public.
struct ProgramTests {
  private let directory = FileManager.default.temporaryDirectory
    .appendingPathComponent("sluice-program-\(UUID())").path

  private var store: String { "\(directory)/store" }

  /// A store with 20 batches, each of which is a commit of its own.
  private func make() throws {
    try FileManager.default.createDirectory(
      atPath: directory, withIntermediateDirectories: false)
    try StoreCreation().make(at: store)
    let writer = try Writer(store: store)
    try apply(writer, Batch([.init("CREATE TABLE t(n INTEGER)")]))
    for n in 1..<20 {
      try apply(writer, Batch([.init("INSERT INTO t VALUES (?)", [.integer(Int64(n))])]))
    }
    writer.closeBlocking()
  }

  /// By a term of this process's that ends when nothing is left to do.
  private func apply(_ writer: Writer, _ batch: Batch) throws {
    _ = try writer.submitBlocking(batch)
    var options = ApplierOptions(holder: "program")
    options.drains = true
    try Applier(path: store, options: options).run { false }
  }

  private func remove() {
    StoreTeardown(at: #_sourceLocation).verify(store)
    try? FileManager.default.removeItem(atPath: directory)
  }

  @Test func itsHistoryIsRead() async throws {
    defer { remove() }
    try make()
    let database = try Database(path: store)
    #expect(
      try await database.read { try $0.rows("SELECT max(n) AS most FROM t").columns } == ["most"])
    let past = Freshness.asOf(.txid(TxID(11)))
    #expect(try await database.read(past) { try $0.scalar("SELECT max(n) FROM t") } == 10)

    var batches: [TxID] = []
    for try await case .batch(let entry) in ChangeFeed.events(path: store) {
      batches.append(entry.txid)
      guard case .applied(let result) = entry.outcome.outcome else { continue }
      #expect(result.changes == (entry.txid == TxID(1) ? 0 : 1))
    }
    #expect(batches == (1...20).map { TxID($0) })
    var rows: [SQLValue?] = []
    for try await case .batch(let entry) in RowFeed.events(path: store, from: TxID(2)) {
      rows += entry.changes?.map { $0.new?.first?.value } ?? []
    }
    #expect(rows == (1..<20).map { .integer($0) })
  }

  @Test func itsHistoryIsProven() throws {
    defer { remove() }
    try make()
    var damages: [Verification.Damage] = []
    let summary = try Verification(store: store, onDamage: { damages.append($0) }).run()
    #expect(damages.isEmpty && summary.last == TxID(20))
    let replayed = try Replay.run(store: store, into: "\(directory)/replayed.sqlite")
    #expect(replayed.last == TxID(20))
    let restored = "\(directory)/restored.sqlite"
    #expect(try Restoration.write(.asOf(.txid(TxID(7))), ofStoreAt: store, to: restored) == TxID(7))
    #expect(throws: StoreError.self) {
      try Restoration.write(ofStoreAt: store, to: restored)
    }
    let copy = "\(directory)/copy"
    #expect(try Backup(store: store).write(into: copy).txid == TxID(20))
    #expect(try Verification(store: copy, onDamage: { damages.append($0) }).run().last == TxID(20))
    let repair = Repair(store: copy, name: "program")
    #expect(try repair.plan().steps.isEmpty)
  }

  /// Of a process that measures, all environments that are made later.
  private static let registry = {
    let registry = MetricsRegistry()
    MetricsSystem.bootstrap(registry)
    return registry
  }()

  @Test func manyStoresAreServedAndMeasured() throws {
    defer { remove() }
    let registry = Self.registry
    try make()
    var options = ApplierOptions(holder: "program")
    options.hints = HintAddress(host: "127.0.0.1", port: 0)
    options.retention.keep = .seconds(3600)
    let stop = Date().addingTimeInterval(0.2)
    #expect(try Fleet(.these([store]), options: options).run { Date() > stop }.isEmpty)
    let text = registry.prometheusText
    #expect(text.contains("sluice_file_operations_total{operation=\"read\"}"), "\(text)")
    #expect(text.contains("sluice_txid"), "\(text)")
  }
}
