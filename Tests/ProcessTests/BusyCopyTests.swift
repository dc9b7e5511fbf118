import Glibc
import SluiceJournal
import SluiceQuery
import SluiceReader
import SluiceSQLite
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
      let values: [SQLValue] = [.integer(Int64(number)), .integer(Int64(n))]
      // What a replay comes to again only with the recorded time and random numbers.
      _ = try writer.submitBlocking(
        Batch([
          Batch.Statement(
            "INSERT INTO t(w, n, x) VALUES (?, ?, random() || julianday('now'))", values)
        ]))
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

  /// Copies `$0` to `$1`, the log first.
  private static let logFirst =
    "mkdir \"$1\" && cp -a \"$0/log\" \"$1\"; sleep 0.2; for f in \"$0\"/*; do [ \"${f##*/}\" = log ] || cp -a \"$f\" \"$1\"; done"

  /// An applier settles what was being written, as after a power failure. One that finds a checkpoint later than the
  /// log refuses, and a repair goes on from that checkpoint.
  /// Returns whether one was needed.
  private func settle(_ copy: String, _ what: String) throws -> Bool {
    func applied() throws -> ChildProcess.End {
      try ChildProcess(program, ["apply", copy, "--drain", "--ttl", "1"]).end()
    }
    var result = try applied()
    let isRepaired = result.code == 76 && result.errors.contains("is later than the log")
    if isRepaired {
      let repaired = try ChildProcess(program, ["repair", copy, "--yes"]).end()
      #expect(repaired.code == 0, "\(what): \(repaired.output)\(repaired.errors)")
      result = try applied()
    }
    #expect(
      result.code == 0 || result.errors.contains("not all that was submitted is applied"),
      "\(what): \(result.code) \(result.errors)")
    return isRepaired
  }

  /// What AWS Backup and the like make: each file at another moment.
  @Test(
    "File by file: what the copy has of the log is whole, an applier goes on from there, and a replay comes to the same"
  )
  func fileByFile() async throws {
    let compared = Monitor(0)
    try await busy(rounds: 6, keep: ["--keep", "7d", "--keep-checkpoints", "4"]) { store, round in
      pause(0...300)
      let copy = "\(store.path)-\(round)"
      let copied =
        round % 2 == 0
        ? try ChildProcess("cp", ["-a", store.path, copy]).end()
        : try ChildProcess("sh", ["-c", Self.logFirst, store.path, copy]).end()
      // Of files that were removed meanwhile cp says so, and takes the others.
      #expect(copied.code == 0 || copied.errors.contains("No such file"), "\(copied.errors)")
      let asCopied = try seen(copy, besides: store, "round \(round)")
      if asCopied != nil { compared.withLock { $0 += 1 } }
      let isRepaired = try settle(copy, "round \(round)")
      let verified = try ChildProcess(program, ["verify", copy]).end()
      // The link may have been copied when a later checkpoint was there than those that were.
      let isWhole = verified.output.split(separator: "\n").dropLast().allSatisfy {
        $0.contains("current.sqlite leads to checkpoint")
      }
      #expect(isWhole && [0, 76].contains(verified.code), "round \(round): \(verified.output)")
      if let asCopied, !isRepaired {
        let again = try content(of: copy, .asOf(.txid(asCopied.txid)))
        #expect(again == asCopied, "round \(round)")
      }
      try expectSameReplay(of: copy, "round \(round)")
      _ = try ChildProcess("rm", ["-rf", copy]).end()
    }
    #expect(compared.withLock { $0 } > 0)
  }

  /// The rows of all tables as of a batch.
  private struct Content: Equatable {
    var txid: TxID
    var tables: [String: [String]] = [:]

    init(as txid: TxID, _ query: (String) throws -> [[SQLValue]]) throws {
      self.txid = txid
      for row in try query("SELECT name FROM sqlite_schema WHERE type = 'table'") {
        guard case .text(let name) = row[0] else { continue }
        tables[name] = try query("SELECT * FROM \"\(name)\"").map { "\($0)" }.sorted()
      }
    }
  }

  private func content(of path: String, _ freshness: Freshness) throws -> Content {
    let environment = Environment.posix()
    return try Database(
      PageStore(path: path, environment: environment), executor: environment.executor
    ).read(freshness) { reader in try Content(as: reader.txid) { try reader.query($0) } }
  }

  /// What a reader of the copy sees, before anybody settles anything, is what the store had as of that batch.
  /// nil where he is told that it cannot be read.
  private func seen(_ copy: String, besides store: TestStore, _ what: String) throws -> Content? {
    let found: Content
    do { found = try content(of: copy, .latest) } catch let error as StoreError {
      print("\(what): \(error)")
      return nil
    }
    #expect(found.tables["t"]?.count == Int(found.txid.rawValue) - 1, "\(what)")
    #expect(try content(of: store.path, .asOf(.txid(found.txid))) == found, "\(what)")
    return found
  }

  /// All batches that it has, executed again, come to what a reader of it sees, and so does what is restored.
  private func expectSameReplay(of copy: String, _ what: String) throws {
    let present = try content(of: copy, .latest)
    for command in ["replay", "restore"] {
      let path = "\(copy).\(command)"
      let made = try ChildProcess(program, [command, copy, "--into", path]).end()
      #expect(made.output == "\(present.txid) \(path)\n", "\(what): \(command): \(made.errors)")
      guard made.code == 0 else { continue }
      let file = try Connection(path: path, flags: [.readOnly])
      let found = try Content(as: present.txid) { try file.query($0) }
      #expect(found == present, "\(what): \(command)")
    }
  }
}
