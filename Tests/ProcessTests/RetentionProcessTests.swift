import Glibc
import SluiceJournal
import SluiceQuery
import SluiceReader
import SluiceShared
import SluiceWriter
import Testing

@Suite("While what is old is removed, nobody is shown anything wrong")
struct RetentionProcessTests {
  /// What one who reads all along met.
  private struct Met {
    var isOver = false
    var running = 0
    var reads = 0
    var past = 0
    var expired = 0
    var written: UInt64 = 0
    var violations: [String] = []
  }

  /// Appliers come and go, so that there are many segments and more than one who removes them.
  @Test("With a writer, readers and travellers in time, and appliers that are killed")
  func all() async throws {
    try await onThread {
      let store = try TestStore()
      let met = Monitor(Met())
      defer { met.withLock { $0.isOver = true } }
      start(met) { try write(store, met) }
      for _ in 0..<2 { start(met) { try read(store, met) } }
      start(met) { try travel(store, met) }
      var rounds = 0
      // What was there at first is gone, and there are not more than the few that are kept.
      while try lowest(store.layout.log, store) < 6 || lowest(store.layout.oldLog, store) < 4
        || checkpoints(store) > 4
      {
        rounds += 1
        try #require(rounds < 60, "what is old stays")
        let applier = try startApplier(store, rounds)
        let before = try store.present().extent.txid
        try wait("progress in round \(rounds)") {
          try store.present().extent.txid > before.advanced(by: 20)
        }
        pause(1500)
        if rounds % 3 == 0 {
          try applier.kill9()
        } else {
          applier.send(SIGTERM)
          #expect(try applier.end().code == 0)
        }
      }
      met.withLock { $0.isOver = true }
      let last = try startApplier(store, 0)
      met.wait { $0.running == 0 ? () : nil }
      let end = met.withLock { $0 }
      #expect(end.violations == [], "\(end.violations.prefix(5))")
      #expect(min(end.reads, end.past) > 5, "\(end)")
      try wait("all is applied") { try store.present().extent.txid == TxID(end.written + 1) }
      last.send(SIGTERM)
      #expect(try last.end().code == 0)
      let verified = try ChildProcess(program, ["verify", store.path, "--replay"]).end()
      #expect(verified.code == 0, "\(verified.output)\(verified.errors)")
      #expect(
        try store.query("SELECT count(*) FROM t") == [[.integer(Int64(end.written))]])
    }
  }

  private func startApplier(_ store: TestStore, _ round: Int) throws -> ChildProcess {
    try ChildProcess(
      program,
      [
        "apply", store.path, "--ttl", "1", "--holder", "\(round)", "--keep", "2s",
        "--keep-checkpoints", "2", "--checkpoint-age", "0.5", "--keep-for-readers", "1s",
      ])
  }

  private func start(_ met: Monitor<Met>, _ body: @escaping @Sendable () throws -> Void) {
    met.withLock { $0.running += 1 }
    startThread {
      do { try body() } catch { met.withLock { $0.violations.append("\(error)") } }
      met.withLock { $0.running -= 1 }
      met.wakeAll()
    }
  }

  // MARK: who is there all along

  private func write(_ store: TestStore, _ met: Monitor<Met>) throws {
    let writer = try store.writer()
    while !met.withLock({ $0.isOver }) {
      _ = try writer.submitBlocking(TestStore.row(0, 1))
      met.withLock { $0.written += 1 }
      pause(2...10)
    }
    writer.closeBlocking()
  }

  /// As of batch N there are N - 1 rows.
  private func check(
    _ transaction: ReadTransaction, _ met: Monitor<Met>, atLeast last: TxID = .zero
  ) throws {
    let rows = try transaction.scalar("SELECT count(*) FROM t")
    if rows != .integer(Int64(transaction.txid.rawValue) - 1) || transaction.txid < last {
      met.withLock { $0.violations.append("\(rows ?? .null) rows at \(transaction.txid), \(last)") }
    }
  }

  private func read(_ store: TestStore, _ met: Monitor<Met>) throws {
    let database = try store.database()
    var last = TxID.zero
    while !met.withLock({ $0.isOver }) {
      do {
        try database.read { transaction in
          try check(transaction, met, atLeast: last)
          last = transaction.txid
          // Now and then for longer than what is superseded stays.
          pause(Int.random(in: 0..<20) == 0 ? 2500 : 5)
          try check(transaction, met)
        }
        met.withLock { $0.reads += 1 }
      } catch let error as StoreError where error.code == .snapshotExpired {
        met.withLock { $0.expired += 1 }
      }
    }
  }

  private func travel(_ store: TestStore, _ met: Monitor<Met>) throws {
    while !met.withLock({ $0.isOver }) {
      let database = try store.database()
      let now = database.store.current.txid.rawValue
      for _ in 0..<10 {
        let wanted = TxID(UInt64.random(in: 1...max(1, now)))
        do {
          try database.read(.asOf(.txid(wanted))) { transaction in
            guard transaction.txid > wanted else { return try check(transaction, met) }
            met.withLock { $0.violations.append("\(transaction.txid) as of \(wanted)") }
          }
          met.withLock { $0.past += 1 }
        } catch let error as StoreError where error.code == .snapshotExpired {
          met.withLock { $0.expired += 1 }
        }
        pause(20)
      }
    }
  }

  // MARK: what there is

  /// The lowest number there; where there is none, more than any.
  private func lowest(_ directory: String, _ store: TestStore) throws -> UInt64 {
    try store.names(directory).compactMap(StoreLayout.logNumber).min() ?? .max
  }

  private func checkpoints(_ store: TestStore) throws -> Int {
    try store.names(store.layout.checkpoints).compactMap(StoreLayout.checkpointTxID).count
  }
}
