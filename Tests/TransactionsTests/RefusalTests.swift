import CSQLite
import Foundation
import SluiceSQLite
import SluiceShared
import SluiceTransactions
import Testing

/// COMMITs that fail, and what a connection will not do.
@Suite struct RefusalTests {
  private static let sync = SQLITE_IOERR | 4 << 8

  @Test func aRefusedCommitIsRolledBackAndTheWinnerIsSeen() throws {
    let store = try DoubleStore()
    let connection = try store.open()
    try connection.execute("BEGIN IMMEDIATE; UPDATE t SET n = 99")
    store.double.plan(.late)
    #expect(code { try connection.execute("COMMIT") } == busySnapshot)
    #expect(connection.isAutocommit)
    #expect(try connection.scalar("SELECT n FROM t") == 0)
    try connection.execute("UPDATE t SET n = n + 1")
    #expect(try store.open().scalar("SELECT n FROM t") == 1)
    #expect(store.double.state.withLock { $0.commits == 1 && $0.out == nil })
  }

  @Test func aRefusedStatementByItself() throws {
    let store = try DoubleStore()
    let connection = try store.open()
    store.double.plan(.late)
    #expect(code { try connection.execute("UPDATE t SET n = 99") } == busySnapshot)
    #expect(try connection.scalar("SELECT n FROM t") == 0)
    try connection.execute("UPDATE t SET n = n + 1")
    #expect(try connection.scalar("SELECT n FROM t") == 1)
  }

  /// What it wrote is over the pinned state already when it is refused.
  @Test func aRefusedCommitThatWasSpilled() throws {
    let store = try DoubleStore()
    let connection = try store.open()
    try connection.execute("PRAGMA cache_size = 10; BEGIN IMMEDIATE")
    try connection.execute(
      "INSERT INTO t(n) WITH RECURSIVE c(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM c LIMIT 20000) SELECT x FROM c"
    )
    store.double.plan(.late)
    #expect(code { try connection.execute("COMMIT") } == busySnapshot)
    #expect(try connection.scalar("SELECT count(*) FROM t") == 1)
    #expect(try connection.scalar("PRAGMA integrity_check") == "ok")
    #expect(store.double.state.withLock { $0.commits } == 0)
    try connection.execute("INSERT INTO t(n) VALUES (1)")
    #expect(try store.open().scalar("SELECT count(*) FROM t") == 2)
  }

  @Test(arguments: [StoreDouble.Fault.unknownDone, .unknownLost])
  func anUnknownOutcomeIsAnErrorOfItsOwn(fault: StoreDouble.Fault) throws {
    let store = try DoubleStore()
    let connection = try store.open()
    store.double.plan(fault)
    #expect(code { try connection.execute("UPDATE t SET n = 7") } == Self.sync)
    #expect(connection.isAutocommit)
    let expected: SQLValue = fault == .unknownDone ? 7 : 0
    #expect(try connection.scalar("SELECT n FROM t") == expected)
    try connection.execute("UPDATE t SET n = n + 1")
    #expect(try store.open().scalar("SELECT n FROM t") == (fault == .unknownDone ? 8 : 1))
  }

  @Test func whatIsNotSubmittedAndWhatMayNotBe() throws {
    let store = try DoubleStore()
    let connection = try store.open()
    store.double.plan(.notSubmitted)
    #expect(code { try connection.execute("UPDATE t SET n = 7") } == SQLITE_IOERR | 3 << 8)
    store.double.plan(.refused)
    #expect(code { try connection.execute("UPDATE t SET n = 7") } == SQLITE_PERM)
    #expect(try connection.scalar("SELECT n FROM t") == 0)
    try connection.execute("UPDATE t SET n = n + 1")
    #expect(store.double.state.withLock { $0.commits } == 1)
  }

  @Test func anOpenCursorSurvivesARefusal() throws {
    let store = try DoubleStore()
    let connection = try store.open()
    let cursor = try connection.prepare("SELECT n FROM t")
    #expect(try cursor.step())
    store.double.plan(.late)
    #expect(code { try connection.execute("UPDATE t SET n = 99") } == busySnapshot)
    cursor.reset()
    #expect(try connection.scalar("SELECT n FROM t") == 0)
  }

  // MARK: Several databases

  private func plainFile() throws -> String {
    let path = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString).path
    let plain = try Connection(path: path, flags: [.readWrite, .create])
    try plain.execute("CREATE TABLE p(x)")
    return path
  }

  @Test func aPlainDatabaseIsAttachedAndReadAndWritten() throws {
    let store = try DoubleStore()
    let path = try plainFile()
    defer { try? FileManager.default.removeItem(atPath: path) }
    let connection = try store.open()
    try connection.execute("ATTACH '\(path)' AS plain; INSERT INTO plain.p VALUES (1)")
    try connection.execute("INSERT INTO t SELECT 2, x FROM plain.p")
    try connection.execute("BEGIN; SELECT * FROM t; INSERT INTO plain.p VALUES (2); COMMIT")
    #expect(try store.open().scalar("SELECT n FROM t WHERE id = 2") == 1)
    #expect(try connection.scalar("SELECT count(*) FROM plain.p") == 2)
  }

  @Test(arguments: ["store", "plain", "memory"], ["DELETE", "MEMORY"])
  func aTransactionWritesOneStoreAlone(main: String, journal: String) throws {
    let store = try DoubleStore()
    let second = try DoubleStore()
    let path = try plainFile()
    defer { try? FileManager.default.removeItem(atPath: path) }
    let name = main == "store" ? second.uri : main == "plain" ? path : ":memory:"
    let connection = try Connection(path: name, flags: [.readWrite, .create, .uri, .noMutex])
    try connection.execute("CREATE TABLE IF NOT EXISTS p(x); ATTACH '\(store.uri)' AS s")
    try connection.execute("PRAGMA main.journal_mode = \(journal)")
    let before = second.double.state.withLock { $0.commits }
    try connection.execute("BEGIN IMMEDIATE; INSERT INTO p VALUES (1); UPDATE s.t SET n = 5")
    let failed = code { try connection.execute("COMMIT") }
    if failed != nil, !connection.isAutocommit { try connection.execute("ROLLBACK") }
    // Memory takes what it is given once the store has agreed.
    let isAlone = main == "memory"
    #expect((failed == nil) == isAlone)
    #expect(store.double.state.withLock { $0.commits } == (isAlone ? 1 : 0))
    #expect(second.double.state.withLock { $0.commits } == before)
    #expect(try connection.scalar("SELECT count(*) FROM p") == (isAlone ? 1 : 0))
    try connection.execute("UPDATE s.t SET n = n + 1; INSERT INTO p VALUES (2)")
    #expect(try store.open().scalar("SELECT n FROM t") == (isAlone ? 6 : 1))
  }

  @Test func withoutThatCheckAStoreCommitsBesideAnother() throws {
    let store = try DoubleStore(omitting: [.commitsAlone])
    let path = try plainFile()
    defer { try? FileManager.default.removeItem(atPath: path) }
    let connection = try Connection(path: path, flags: [.readWrite, .uri, .noMutex])
    try connection.execute("ATTACH '\(store.uri)' AS s")
    try connection.execute("BEGIN; INSERT INTO p VALUES (1); UPDATE s.t SET n = 5; COMMIT")
    #expect(store.double.state.withLock { $0.commits } == 1)
  }

  // MARK: Settings

  @Test func settingsThatAStoreCannotHave() throws {
    let store = try DoubleStore()
    let connection = try store.open()
    #expect(try connection.scalar("PRAGMA journal_mode = WAL") == "delete")
    #expect(code { try connection.execute("PRAGMA journal_mode = OFF") } == SQLITE_ERROR)
    #expect(code { try connection.execute("PRAGMA locking_mode = EXCLUSIVE") } == SQLITE_ERROR)
    #expect(code { try connection.execute("VACUUM") } == SQLITE_PERM)
    #expect(code { try connection.execute("PRAGMA page_size = 8192; VACUUM") } == SQLITE_PERM)
    try connection.execute("UPDATE t SET n = n + 1")
    #expect(try store.open().scalar("SELECT n FROM t") == 1)
    #expect(store.double.state.withLock { $0.commits } == 1)
    #expect(try store.plainly { try $0.scalar("PRAGMA integrity_check") } == "ok")
  }

  /// Of an attached store the PRAGMA without a name does not come to its file.
  @Test func aTransactionWithoutAJournalIsRefused() throws {
    let store = try DoubleStore()
    let connection = try Connection(path: ":memory:", flags: [.readWrite, .uri, .noMutex])
    try connection.execute("ATTACH '\(store.uri)' AS s; PRAGMA journal_mode = OFF")
    #expect(code { try connection.execute("UPDATE s.t SET n = 5") } == SQLITE_IOERR | 3 << 8)
    #expect(store.double.state.withLock { $0.commits } == 0)
  }

  @Test func aConnectionBeginsWithATimeoutAndForeignKeys() throws {
    let store = try DoubleStore()
    let connection = try store.open()
    #expect(try connection.scalar("PRAGMA busy_timeout") == 5000)
    #expect(try connection.scalar("PRAGMA foreign_keys") == 1)
    let other = try Connection(path: ":memory:", flags: [.readWrite, .uri, .noMutex])
    try other.execute("ATTACH '\(store.uri)' AS s")
    #expect(try other.scalar("PRAGMA busy_timeout") == 0)
    #expect(try other.scalar("PRAGMA foreign_keys") == 0)
    try other.execute("UPDATE s.t SET n = 3")
    #expect(try store.open().scalar("SELECT n FROM t") == 3)
  }

  // MARK: The file by itself

  /// The version in page 1 reads as no other one once, and then as it is.
  @Test func afterARefusalTheNextVersionIsAnotherOne() throws {
    let store = try DoubleStore()
    let file = TransactionFile(DoubleFile(store.double), .linked, .posix()) {
      () throws(StoreError) in store.double
    }
    func version() throws -> [UInt8] {
      var bytes = [UInt8](repeating: 0, count: 16)
      try bytes.withUnsafeMutableBytes { try file.read(into: $0, at: 24) }
      return bytes
    }
    let before = try version()
    try file.lock(SQLITE_LOCK_SHARED)
    try file.lock(SQLITE_LOCK_RESERVED)
    var first = store.double.state.withLock { $0.pages[0] }
    first[27] &+= 1
    first[95] &+= 1
    try first.withUnsafeBytes { try file.write($0, at: 0) }
    store.double.plan(.late)
    #expect(file.control(SQLITE_FCNTL_SYNC, nil) == busySnapshot)
    // SQLite writes back what was there, and syncs again: no commit.
    try first.withUnsafeBytes { try file.write($0, at: 0) }
    #expect(file.control(SQLITE_FCNTL_SYNC, nil) == SQLITE_OK)
    try file.unlock(SQLITE_LOCK_NONE)
    #expect(try version() == [UInt8](repeating: 0xFF, count: 16))
    #expect(try version() == before)
    #expect(store.double.state.withLock { $0.commits } == 0)
  }

  /// After the store has agreed nothing is written any more: not the rollback of a commit that another database
  /// of the transaction refused.
  @Test func afterACommitNothingIsWritten() throws {
    let store = try DoubleStore()
    let file = TransactionFile(DoubleFile(store.double), .linked, .posix()) {
      () throws(StoreError) in store.double
    }
    try file.lock(SQLITE_LOCK_SHARED)
    try file.lock(SQLITE_LOCK_RESERVED)
    var first = store.double.state.withLock { $0.pages[0] }
    let before = first
    first[27] &+= 1
    first[95] &+= 1
    try first.withUnsafeBytes { try file.write($0, at: 0) }
    #expect(file.control(SQLITE_FCNTL_SYNC, nil) == SQLITE_OK)
    #expect(throws: (any Error).self) { try before.withUnsafeBytes { try file.write($0, at: 0) } }
    #expect(file.control(SQLITE_FCNTL_SYNC, nil) == SQLITE_OK)
    #expect(store.double.state.withLock { $0.commits } == 1)
  }

  @Test func whatIsNoPageIsNotWritten() throws {
    let store = try DoubleStore()
    let file = TransactionFile(DoubleFile(store.double), .linked, .posix()) {
      () throws(StoreError) in store.double
    }
    try file.lock(SQLITE_LOCK_SHARED)
    try file.lock(SQLITE_LOCK_RESERVED)
    for (count, offset) in [(8192, 0), (4096, 512), (512, 0)] as [(Int, Int64)] {
      let bytes = [UInt8](repeating: 1, count: count)
      #expect(throws: (any Error).self) {
        try bytes.withUnsafeBytes { try file.write($0, at: offset) }
      }
    }
    #expect(try file.size() == Int64(store.double.database.count))
  }

  @Test func aChildCannotUseItsParentsConnection() throws {
    let store = try DoubleStore(turnTime: 60)
    let connection = try store.open()
    try connection.execute("BEGIN IMMEDIATE; UPDATE t SET n = 1")
    let base = try #require(DoubleFileSystem.shared.opened.withLock { $0[store.path] })
    base.isOfThisProcess = false
    #expect(code { try connection.execute("COMMIT") } == SQLITE_IOERR | 15 << 8)
    #expect(base.errors.last?.message.contains("forked") == true)
    try connection.close()
    // The turn is the parent's still.
    #expect(store.double.state.withLock { $0.out != nil && $0.cancels == 0 && $0.commits == 0 })
  }
}
