import Glibc
import SluiceJournal
import SluiceQuery
import SluiceReader
import SluiceShared
import SluiceWriter
import Testing

@Suite("Copies that are made while all is busy")
struct BusyCopyTests {
  private struct Load {
    var isOver = false
    var running = 0
    var failures: [String] = []
  }

  /// Two writers, and appliers of which one is killed now and then, that keep little. `body` gets the round.
  private func busy(
    rounds: Int, keep: [String], _ body: @escaping @Sendable (TestStore, Int) throws -> Void
  ) async throws {
    try await onThread {
      let store = try TestStore()
      let load = Monitor(Load())
      defer { load.withLock { $0.isOver = true } }
      for number in 0..<2 {
        load.withLock { $0.running += 1 }
        startThread {
          do { try write(store, number, load) } catch {
            load.withLock { $0.failures.append("\(error)") }
          }
          load.withLock { $0.running -= 1 }
          load.wakeAll()
        }
      }
      for round in 0..<rounds {
        let applier = try ChildProcess(
          program, ["apply", store.path, "--ttl", "1", "--checkpoint-age", "0.3"] + keep)
        let before = try store.present().extent.txid
        try wait("progress in round \(round)") {
          try store.present().extent.txid > before.advanced(by: 10)
        }
        try body(store, round)
        if round % 3 == 2 {
          try applier.kill9()
        } else {
          applier.send(SIGTERM)
          #expect(try applier.end().code == 0)
        }
      }
      load.withLock { $0.isOver = true }
      load.wait { $0.running == 0 ? () : nil }
      #expect(load.withLock { $0.failures } == [])
    }
  }

  private func write(_ store: TestStore, _ number: Int, _ load: Monitor<Load>) throws {
    let writer = try store.writer()
    var n = 0
    while !load.withLock({ $0.isOver }) {
      n += 1
      _ = try writer.submitBlocking(TestStore.row(number, n))
      pause(5...20)
    }
    writer.closeBlocking()
  }

  /// A snapshot of batch N has N - 1 rows.
  private func expectWhole(_ path: String, _ what: String) throws -> TxID {
    let verified = try ChildProcess(program, ["verify", path]).end()
    #expect(verified.code == 0, "\(what): \(verified.output)\(verified.errors)")
    let environment = Environment.posix()
    let database = Database(
      try PageStore(path: path, environment: environment), executor: environment.executor)
    let (rows, txid) = try database.read {
      (try $0.scalar("SELECT count(*) FROM t"), $0.txid)
    }
    #expect(rows == .integer(Int64(txid.rawValue) - 1), "\(what)")
    return txid
  }

  @Test("By backup, with appliers that are killed and remove what is old")
  func backup() async throws {
    try await busy(
      rounds: 4,
      keep: ["--keep", "3s", "--keep-checkpoints", "2", "--keep-for-readers", "2s"]
    ) { store, round in
      let copy = "\(store.path)-copy"
      var last = TxID.zero
      for _ in 0..<2 {
        let result = try ChildProcess(program, ["backup", store.path, "--into", copy]).end()
        // What comes next may be gone where the machine is slow: then it says so, and a new one is begun.
        if result.code == 66 {
          #expect(result.errors.contains("does not keep any more what comes next"))
          _ = try ChildProcess("rm", ["-rf", copy]).end()
          continue
        }
        #expect(result.code == 0, "round \(round): \(result.errors)")
        let txid = try expectWhole(copy, "round \(round)")
        #expect(result.output == "\(txid) \(copy)\n" && txid >= last)
        last = txid
        pause(0...50)
      }
    }
  }

  /// What AWS Backup and the like make: each file at another moment.
  @Test("File by file: what the copy has of the log is whole, and an applier goes on from there")
  func fileByFile() async throws {
    try await busy(rounds: 6, keep: ["--keep", "7d", "--keep-checkpoints", "4"]) { store, round in
      pause(0...300)
      let copy = "\(store.path)-\(round)"
      let copied = try ChildProcess("cp", ["-a", store.path, copy]).end()
      // Of files that were removed meanwhile cp says so, and takes the others.
      #expect(copied.code == 0 || copied.errors.contains("No such file"), "\(copied.errors)")
      // An applier settles what was being written, as after a power failure.
      let applied = try ChildProcess(program, ["apply", copy, "--drain"]).end()
      #expect(
        applied.code == 0 || applied.errors.contains("not all that was submitted is applied"),
        "round \(round): \(applied.code) \(applied.errors)")
      let verified = try ChildProcess(program, ["verify", copy]).end()
      // The link may have been copied when a later checkpoint was there than those that were.
      let isWhole = verified.output.split(separator: "\n").dropLast().allSatisfy {
        $0.contains("current.sqlite leads to checkpoint")
      }
      #expect(isWhole && [0, 76].contains(verified.code), "round \(round): \(verified.output)")
      let restored = try ChildProcess(
        program, ["restore", copy, "--into", "\(copy).sqlite"]
      ).end()
      #expect(restored.code == 0, "round \(round): \(restored.errors)")
      _ = try ChildProcess("rm", ["-rf", copy]).end()
    }
  }
}
