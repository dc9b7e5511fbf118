import SluiceFakes
import SluiceQuery
import SluiceReader
import SluiceSQLite
import SluiceShared
import Testing

/// The Swift API for reading.
struct DatabaseTests {
  private func database(_ store: TestStore) throws -> Database {
    Database(try store.open(), executor: ThreadExecutor.shared)
  }

  @Test func rowsAndColumns() throws {
    let store = try TestStore()
    try store.commit("INSERT INTO t VALUES (1, 'a'), (2, NULL)")
    let database = try Database(path: store.root)
    let result = try database.read { transaction in
      try transaction.rows("SELECT id, v AS value FROM t WHERE id >= ?", [1])
    }
    #expect(result.columns == ["id", "value"])
    #expect(result.rows == [[1, "a"], [2, .null]])
  }

  @Test func aTransactionSeesOneSnapshot() throws {
    let store = try TestStore()
    let database = try database(store)
    try database.read { transaction in
      // Pinned from the beginning, not from the first query on.
      try store.commit(insert(1...7))
      #expect(try transaction.scalar("SELECT count(*) FROM t") == 0)
      #expect(transaction.txid == .zero)
      let inner = try database.read { try $0.scalar("SELECT count(*) FROM t") }
      #expect(inner == 7)
    }
    #expect(try database.read { try $0.scalar("SELECT count(*) FROM t") } == 7)
  }

  @Test func theCostOfAReadTransaction() throws {
    let store = try TestStore()
    try store.commit(insert(1...7))
    let files = CountingFileSystem()
    let database = Database(try store.open(files), executor: ThreadExecutor.shared)
    let query = "SELECT v FROM t WHERE id = ?"
    for _ in 0..<2 { _ = try database.read { try $0.query(query, [3]) } }
    files.reset()
    _ = try database.read { try $0.query(query, [3]) }
    #expect(files.counts == CountingFileSystem.Counts(reads: 1))
    files.reset()
    _ = try database.read(.maxStaleness(.seconds(60))) { try $0.query(query, [3]) }
    #expect(files.counts.total == 0)
  }

  @Test func errorsSayWhatHappened() throws {
    let store = try TestStore()
    let database = try database(store)
    #expect(throws: SQLiteError.self) { try database.read { try $0.query("SELECT * FROM none") } }
    let wrong = #expect(throws: StoreError.self) {
      try database.read { try $0.query("SELECT ?") }
    }
    #expect(wrong?.code == .invalid)
    let kept = try database.read { $0 }
    let over = #expect(throws: StoreError.self) { try kept.query("SELECT 1") }
    #expect(over?.code == .invalid)
    try store.damage(store.checkpointPath, at: 1024 + 300)
    let damaged = #expect(throws: StoreError.self) {
      try database.read { try $0.query("SELECT * FROM t") }
    }
    #expect(damaged?.code == .damaged)
    #expect(damaged?.path == store.checkpointPath)
    #expect(try database.read { try $0.scalar("SELECT 1") } == 1)
  }

  @Test func aReadTakesAsLongAsItMayAndNoLonger() throws {
    let database = try database(try TestStore())
    let endless =
      "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT max(n) FROM c"
    let error = #expect(throws: StoreError.self) {
      try database.read(within: .milliseconds(50)) { try $0.query(endless) }
    }
    #expect(error?.code == .timeout)
    #expect(error?.message.contains("0.05 seconds") == true, "\(String(describing: error))")
    // The connection goes on, and knows nothing of it.
    #expect(try database.read { try $0.scalar("SELECT 1") } == 1)
    #expect(throws: StoreError.self) {
      try database.read(within: .zero) { _ in Issue.record("there is no time for this") }
    }
  }

  @Test func aReadThatIsOverReadsNoFurtherPage() throws {
    let store = try TestStore()
    try store.commit(insert(1...7))
    var environment = store.environment
    let clock = ManualClock()
    environment.clock = clock
    let pages = try PageStore(path: store.root, environment: environment)
    let database = Database(pages, executor: ThreadExecutor.shared)
    // Fewer steps than the time is looked at after: it is one that reads the table.
    let error = #expect(throws: StoreError.self) {
      try database.read(within: .seconds(1)) { transaction in
        clock.advance(by: .seconds(2))
        return try transaction.scalar("SELECT count(*) FROM t")
      }
    }
    #expect(error?.code == .timeout, "\(String(describing: error))")
    #expect(try database.read(within: .seconds(1)) { try $0.scalar("SELECT count(*) FROM t") } == 7)
  }

  @Test func itIsReadOnly() throws {
    let database = try database(try TestStore())
    #expect(throws: SQLiteError.self) {
      try database.read { try $0.query("INSERT INTO t VALUES (1, 'x')") }
    }
  }

  @Test func manyThreadsReadWhileCommitsCome() throws {
    let store = try TestStore()
    try store.commit(insert(1...50, "'0'"))
    let database = try database(store)
    let threads = (0..<6).map { _ in
      ThreadExecutor.shared.start {
        var last = TxID.zero
        for _ in 0..<300 {
          let seen = try? database.read { transaction in
            (transaction.txid, try transaction.query("SELECT count(*), min(v), max(v) FROM t"))
          }
          guard let (txid, rows) = seen else {
            Issue.record("a read failed")
            return
          }
          // Whole commits only, and never back.
          #expect(txid >= last)
          #expect(rows == [[50, .text("\(txid.rawValue - 1)"), .text("\(txid.rawValue - 1)")]])
          last = txid
        }
      }
    }
    var i = 0
    while threads.contains(where: { !$0.isDone }) {
      i += 1
      try store.commit(insert(1...50, "'\(i)'"))
      if i % 40 == 0 { try store.nextSegment(finishing: i % 80 == 0) }
    }
    for thread in threads { thread.wait() }
  }

  @Test func theAsynchronousFormReadsTheSame() async throws {
    let store = try TestStore()
    try store.commit(insert(1...7))
    let database = try database(store)
    let count = try await database.read(.atLeast(TxID(1), timeout: .seconds(60))) {
      try $0.scalar("SELECT count(*) FROM t")
    }
    #expect(count == 7)
  }
}
