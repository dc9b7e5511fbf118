import CSQLite
import SluiceQuery
import SluiceReader
import SluiceSQLite
import SluiceShared
import Testing

/// The VFS `sluice` as any SQLite API in the process uses it.
struct ReadVFSTests {
  init() { ReadVFS.register() }

  private func open(_ store: TestStore, _ parameters: String = "", flags: OpenFlags = .readOnly)
    throws -> Connection
  {
    try Connection(
      path: "file:\(store.root)?vfs=sluice\(parameters)", flags: [flags, .uri, .noMutex])
  }

  private func count(_ connection: Connection) throws -> SQLValue? {
    try connection.scalar("SELECT count(*) FROM t")
  }

  @Test func eachTransactionSeesTheLatest() throws {
    let store = try TestStore()
    let connection = try open(store)
    #expect(try count(connection) == 0)
    for i in 1...50 {
      try store.commit(insert(1...i * 5))
      #expect(try count(connection) == .integer(Int64(i * 5)))
    }
    #expect(try connection.scalar("PRAGMA integrity_check") == "ok")
  }

  @Test func aTransactionSeesOneSnapshot() throws {
    let store = try TestStore()
    try store.commit(insert(1...100, "'a'"))
    let connection = try open(store)
    let other = try open(store)
    try connection.execute("BEGIN")
    #expect(try connection.scalar("SELECT count(*) FROM t WHERE v = 'a'") == 100)
    for i in 1...5 {
      try store.commit(insert(1...100, "'b\(i)'"))
      if i == 3 { try store.nextSegment(finishing: true) }
      if i == 4 { try store.checkpoint() }
    }
    #expect(try other.scalar("SELECT count(*) FROM t WHERE v = 'b5'") == 100)
    #expect(try connection.scalar("SELECT count(*) FROM t WHERE v = 'a'") == 100)
    #expect(try connection.scalar("PRAGMA sluice_txid") == "1")
    try connection.execute("COMMIT")
    #expect(try connection.scalar("SELECT count(*) FROM t WHERE v = 'b5'") == 100)
    #expect(try connection.scalar("PRAGMA sluice_txid") == "6")
  }

  @Test func aSchemaChangeIsSeen() throws {
    let store = try TestStore()
    let connection = try open(store)
    #expect(try count(connection) == 0)
    try store.commit("CREATE TABLE u (x); INSERT INTO u VALUES (7)")
    #expect(try connection.scalar("SELECT x FROM u") == 7)
  }

  @Test func itIsReadOnly() throws {
    let store = try TestStore()
    let connection = try open(store, flags: .readWrite)
    #expect(connection.isReadOnly)
    let error = #expect(throws: SQLiteError.self) {
      try connection.execute("INSERT INTO t VALUES (1, 'x')")
    }
    #expect(error?.primary == SQLITE_READONLY)
  }

  @Test(arguments: [
    "&immutable=1", "&nolock=1", "&txid=x", "&at=2026-01-01", "&fresh=never", "&at_least=x",
    "&at_least=1&max_staleness_ms=1", "&txid=1&at=2026-01-01T00:00:00Z", "&fresh=latest&txid=1",
  ])
  func whatCannotBeMeantIsRefused(_ parameters: String) throws {
    let store = try TestStore()
    let error = #expect(throws: SQLiteError.self) { try open(store, parameters) }
    #expect(error?.primary == SQLITE_CANTOPEN)
  }

  @Test func noStoreIsNoDatabase() {
    let error = #expect(throws: SQLiteError.self) {
      try Connection(path: "file:/tmp/no-such-store?vfs=sluice", flags: [.readOnly, .uri])
    }
    #expect(error?.primary == SQLITE_CANTOPEN)
  }

  @Test func whatFailedCanBeAskedFor() throws {
    let store = try TestStore()
    let connection = try open(store, "&at_least=9&timeout_ms=1")
    #expect(try connection.scalar("PRAGMA sluice_error") == "")
    #expect(throws: SQLiteError.self) { try count(connection) }
    let text = try connection.scalar("PRAGMA sluice_error")
    guard case .text(let text)? = text else {
      Issue.record("no text")
      return
    }
    #expect(text.contains("batch 9 was not applied"))
    #expect(try connection.scalar("PRAGMA sluice_error") == "")
  }

  /// SQLite passes over a PRAGMA that nobody knows.
  @Test func aMisspelledPragmaIsRefused() throws {
    let connection = try open(try TestStore())
    let error = #expect(throws: SQLiteError.self) { try connection.execute("PRAGMA sluice_txi") }
    #expect(error?.message == "there is no PRAGMA sluice_txi; there are sluice_txid, sluice_error")
    #expect(try connection.query("PRAGMA no_such_pragma").isEmpty)
  }

  @Test func aPlainDatabaseIsThePlainFileSystems() throws {
    let store = try TestStore()
    let path = "\(store.root)/plain.sqlite"
    let plain = try Connection(path: path, flags: [.readWrite, .create])
    try plain.execute("CREATE TABLE p (x); INSERT INTO p VALUES (1)")
    let connection = try open(store, flags: .readWrite)
    try connection.execute("ATTACH '\(path)' AS plain")
    try connection.execute("BEGIN; INSERT INTO plain.p SELECT count(*) FROM t; COMMIT")
    #expect(try plain.scalar("SELECT count(*) FROM p") == 2)
  }

  /// Others' calls fail meanwhile, and of an open that fails there is no connection to ask.
  @Test func eachThreadIsToldOfItsOwnFailure() throws {
    let store = try TestStore()
    let root = store.root
    @Sendable func open(_ name: String) -> String? {
      _ = try? Connection(path: "file:\(root)/\(name)?vfs=sluice", flags: [.readOnly, .uri])
      return ReadVFS.lastError?.path
    }
    #expect(open("here") == "\(root)/here")
    let told = Monitor<[String?]>([])
    for name in ["there", "elsewhere"] {
      ThreadExecutor.shared.start {
        let path = open(name)
        told.withLock { $0.append(path) }
      }.wait()
    }
    #expect(told.withLock { $0 } == ["\(root)/there", "\(root)/elsewhere"])
    #expect(ReadVFS.lastError?.path == "\(root)/here")
  }

  @Test func aPathThatLeadsNowhereMakesNoDatabase() throws {
    let store = try TestStore()
    let path = "\(store.root)/nowhere"
    let error = #expect(throws: SQLiteError.self) {
      try Connection(path: "file:\(path)?vfs=sluice", flags: [.readWrite, .create, .uri])
    }
    #expect(error?.primary == SQLITE_CANTOPEN)
    #expect(ReadVFS.lastError?.code == .noSuchStore)
    #expect(ReadVFS.lastError?.path == path)
    let connection = try open(store, flags: [.readWrite, .create])
    #expect(throws: SQLiteError.self) { try connection.execute("ATTACH '\(path)' AS nowhere") }
    #expect(try !store.environment.fileSystem.list(store.root).contains("nowhere"))
  }

  /// A store's path may end with a slash.
  @Test func aSlashAtTheEndIsNoOtherStore() throws {
    let store = try TestStore()
    let path = "file:\(store.root)/?vfs=sluice"
    #expect(try count(try Connection(path: path, flags: [.readOnly, .uri, .noMutex])) == 0)
  }

  @Test func aTokenInTheURIIsWaitedFor() throws {
    let store = try TestStore()
    let late = try open(store, "&at_least=2&timeout_ms=20")
    let error = #expect(throws: SQLiteError.self) { try count(late) }
    #expect(error?.primary == SQLITE_BUSY)
    try store.commit(insert(1...1))
    try store.commit(insert(2...2))
    #expect(try count(late) == 2)
  }

  /// SQLite asks its busy handler what to do about SQLITE_BUSY, and would wait for the token once more each time.
  @Test func aTokensLimitIsNotMultipliedByThePatienceForLocks() throws {
    let late = try open(try TestStore(), "&at_least=2&timeout_ms=20")
    try late.execute("PRAGMA busy_timeout = 60000")
    let start = ContinuousClock.now
    for _ in 0..<2 {
      let error = #expect(throws: SQLiteError.self) { try count(late) }
      #expect(error?.primary == SQLITE_BUSY)
    }
    #expect(ContinuousClock.now - start < .seconds(30))
  }

  @Test func aStalenessInTheURIIsKeptTo() throws {
    let store = try TestStore()
    let stale = try open(store, "&max_staleness_ms=60000")
    #expect(try count(stale) == 0)
    try store.commit(insert(1...1))
    #expect(try count(stale) == 0)
    // Connections share what is known: one that asks refreshes for all.
    #expect(try count(try open(store)) == 1)
    #expect(try count(stale) == 1)
  }

  @Test func thePastInTheURIStaysAsItWas() throws {
    let store = try TestStore()
    for i in 1...4 { try store.commit(insert(1...i)) }
    let past = try open(store, "&txid=2")
    // Commits 2 and 3 have the same time.
    let then = try open(store, "&at=2023-11-14T23:13:21.999%2B01:00")
    #expect(try count(past) == 2)
    #expect(try count(then) == 3)
    try store.commit("ALTER TABLE t ADD COLUMN w")
    try store.nextSegment(finishing: true)
    try store.checkpoint()
    #expect(try count(past) == 2)
    #expect(try past.scalar("PRAGMA sluice_txid") == "2")
    #expect(try past.scalar("SELECT count(*) FROM pragma_table_info('t')") == 2)
    #expect(try past.scalar("PRAGMA integrity_check") == "ok")
    let never = try open(store, "&txid=6")
    #expect(throws: SQLiteError.self) { try count(never) }
    try store.commit("DELETE FROM t WHERE id = 1")
    #expect(try count(never) == 3)
  }

  /// A path that is no UTF-8 must not become another store's.
  @Test func bytesThatAreNoTextAreNoOtherPath() throws {
    let store = try TestStore()
    let mended = "\(store.root)/../lat\u{FFFD}"
    try store.environment.fileSystem.replaceSymbolicLink(mended, target: store.root)
    let right = try Connection(
      path: "file:\(mended)?vfs=sluice", flags: [.readOnly, .uri, .noMutex])
    #expect(try count(right) == 0)
    #expect(throws: SQLiteError.self) {
      try count(
        Connection(
          path: "file:\(store.root)/../lat%E9?vfs=sluice", flags: [.readOnly, .uri, .noMutex]))
    }
  }

  @Test func sortingUsesTemporaryFiles() throws {
    let store = try TestStore()
    try store.commit(insert(1...3000))
    let connection = try open(store)
    try connection.execute("PRAGMA cache_size = 10; PRAGMA temp_store = FILE")
    let rows = try connection.query("SELECT v FROM t ORDER BY v")
    #expect(rows.count == 3000)
    try connection.execute("CREATE TEMP TABLE copy AS SELECT * FROM t")
    #expect(try connection.scalar("SELECT count(*) FROM copy") == 3000)
  }

  @Test func damageIsAnErrorOfTheStatement() throws {
    let store = try TestStore()
    let connection = try open(store)
    try store.damage(store.checkpointPath, at: 1024 + 300)
    let error = #expect(throws: SQLiteError.self) { try count(connection) }
    #expect(error?.primary == SQLITE_IOERR)
  }

  @Test func anEmptyDatabaseCanBeRead() throws {
    let store = try TestStore("SELECT 1")
    let connection = try open(store)
    #expect(try connection.query("SELECT * FROM sqlite_schema").isEmpty)
    try store.commit("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
    #expect(try count(connection) == 0)
  }

  /// Random commits, read by connections of every kind, against plain SQLite.
  @Test func whatIsReadIsWhatPlainSQLiteHas() throws {
    let store = try TestStore(pageSize: 512)
    let connections = try (0..<3).map { _ in try open(store) }
    var random = SystemRandomNumberGenerator()
    for _ in 0..<150 {
      let low = Int.random(in: 1...400, using: &random)
      switch Int.random(in: 0..<9, using: &random) {
      case 8:
        let size = [512, 1024, 4096, 65536].randomElement(using: &random) ?? 512
        try store.commit("PRAGMA page_size = \(size); VACUUM")
      case 0: try store.commit("DELETE FROM t WHERE id BETWEEN \(low) AND \(low + 200)")
      case 1: try store.nextSegment(finishing: Bool.random(using: &random))
      case 2 where store.txid.rawValue > 0:
        // Two checkpoints of one batch cannot be.
        try store.commit(insert(low...low))
        try store.checkpoint()
      case 3: try store.commit("VACUUM")
      default: try store.commit(insert(low...low + Int.random(in: 0...60, using: &random)))
      }
      let query = "SELECT count(*), sum(id), group_concat(v) FROM t"
      let expected = try store.plain.query(query)
      #expect(try connections.randomElement()?.query(query) == expected)
    }
    for connection in connections {
      #expect(try connection.scalar("PRAGMA integrity_check") == "ok")
    }
  }
}
