import Glibc
import SluiceApplier
import SluiceJournal
import SluiceQuery
import SluiceReader
import SluiceShared
import SluiceTeardown
import SluiceWriter
import Testing

@Suite("Processes that serve many stores take over each other's, and apply each batch once")
struct ManyStoresTests {
  /// Sixty stores in a directory of their own, removed with this object.
  private final class Stores: Sendable {
    let directory: String
    let paths: [String]
    private let teardown = StoreTeardown(at: #_sourceLocation)

    init(_ count: Int) throws {
      var template = Array("/tmp/sluice-many-XXXXXX".utf8CString)
      try #require(mkdtemp(&template) != nil)
      let made = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
      directory = made
      paths = (0..<count).map { "\(made)/\($0)" }
      for path in paths { try StoreCreation().make(at: path) }
    }

    deinit {
      teardown.verifyStores(in: directory)
      _ = try? ChildProcess("rm", ["-rf", directory]).end()
    }

    func start(_ holder: String, ttl: Int) throws -> ChildProcess {
      try ChildProcess(
        program, ["apply", "--all", directory, "--ttl", "\(ttl)", "--holder", holder])
    }

    /// How many stores each holder leads.
    func leaders() throws -> [String: Int] {
      var count: [String: Int] = [:]
      for path in paths {
        let log = Log(of: try StoreHandle(at: StoreLayout(path), .posix()))
        let present = try log.present()
        guard present.beacon.state == .active else { continue }
        count[present.segment.header.holder, default: 0] += 1
      }
      return count
    }

    /// The numbers of the rows of a store, in their order.
    func rows(_ path: String) throws -> [Int64] {
      let store = try PageStore(path: path, environment: .posix())
      return try Database(store, executor: ThreadExecutor.shared).read {
        try $0.query("SELECT n FROM t ORDER BY n").compactMap { row in
          if case .integer(let number)? = row.first { number } else { nil }
        }
      }
    }
  }

  private func batch(_ sql: String, _ values: [SQLValue] = []) -> Batch {
    Batch([Batch.Statement(sql, values)])
  }

  @Test("Sixty stores, three processes, one of them killed while all are written to")
  func killed() async throws {
    try await onThread {
      let stores = try Stores(60)
      var processes = ["a": try stores.start("a", ttl: 3)]
      try wait("a leads all", atMost: 60) { try stores.leaders() == ["a": 60] }
      processes["b"] = try stores.start("b", ttl: 3)
      processes["c"] = try stores.start("c", ttl: 3)
      try wait("they lead about as many each", atMost: 120) {
        let leaders = try stores.leaders()
        return leaders.count == 3 && leaders.values.allSatisfy { $0 <= 21 }
      }
      let writers = try stores.paths.map { try Writer(store: $0) }
      for writer in writers {
        _ = try writer.submitBlocking(batch("CREATE TABLE t(n UNIQUE)"))
      }
      let killed = try stores.leaders()["b"] ?? 0
      for (n, writer) in writers.enumerated() where n % 2 == 0 {
        _ = try writer.submitBlocking(batch("INSERT INTO t VALUES (1)"))
      }
      try processes.removeValue(forKey: "b")?.kill9()
      let end = SystemClock().elapsed()
      var receipts: [(Writer, Receipt)] = []
      for n in 2...4 {
        for writer in writers {
          receipts.append(
            (
              writer,
              try writer.submitBlocking(batch("INSERT INTO t VALUES (?)", [.integer(Int64(n))]))
            ))
        }
      }
      for (writer, receipt) in receipts {
        let outcome = try writer.outcomeBlocking(of: receipt, timeout: .seconds(60 * patience))
          .outcome
        #expect(outcome.isApplied, "\(outcome)")
      }
      let took = SystemClock().elapsed() - end
      print(
        "\(killed) stores of a killed process led again, and 180 batches applied, after \(took)")
      // A lease of three seconds, and a moment for sixty stores on a busy machine.
      #expect(took < .seconds(15 * patience))
      // One may just be released, for the others to share.
      try wait("all are led") {
        let leaders = try stores.leaders()
        return leaders["b"] == nil && leaders.values.reduce(0, +) == 60
      }
      for (n, path) in stores.paths.enumerated() {
        #expect(try stores.rows(path) == (n % 2 == 0 ? [1, 2, 3, 4] : [2, 3, 4]))
      }
      for writer in writers { writer.closeBlocking() }
      for process in processes.values {
        process.send(SIGTERM)
        #expect(try process.end().code == 0)
      }
      #expect(try stores.leaders().isEmpty)
    }
  }

  @Test("A process that stops leaves its stores to the others at once")
  func stopped() async throws {
    try await onThread {
      let stores = try Stores(12)
      let first = try stores.start("a", ttl: 20)
      try wait("a leads all") { try stores.leaders() == ["a": 12] }
      let second = try stores.start("b", ttl: 20)
      pause(10_000)
      first.send(SIGTERM)
      #expect(try first.end().code == 0)
      let end = SystemClock().elapsed()
      try wait("b leads all") { try stores.leaders() == ["b": 12] }
      print("12 stores moved \(SystemClock().elapsed() - end) after the end of their process")
      // Half of a lease is over since the last beat at most.
      #expect(SystemClock().elapsed() - end < .seconds(11))
      second.send(SIGTERM)
      #expect(try second.end().code == 0)
    }
  }
}
