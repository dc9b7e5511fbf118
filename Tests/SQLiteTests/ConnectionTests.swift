import CSQLite
import SluiceSQLite
import SluiceShared
import Testing

@Suite struct ConnectionTests {
  @Test func openingAMissingFileNamesTheCode() {
    let error = failure { _ = try Connection(path: "/nonexistent/x.sqlite", flags: .readOnly) }
    #expect(error?.name == "SQLITE_CANTOPEN")
    #expect(error?.message == "unable to open database file")
  }

  @Test func openingWithAnUnknownVFSNamesIt() {
    let error = failure { _ = try Connection(path: ":memory:", flags: .readWrite, vfs: "none") }
    #expect(error?.message == "no such vfs: none")
  }

  @Test func errorsAreExtendedAndSayWhere() throws {
    let connection = try memory("CREATE TABLE t(a UNIQUE); INSERT INTO t VALUES (1)")
    let duplicate = failure { try connection.execute("INSERT INTO t VALUES (1)") }
    #expect(duplicate?.name == "SQLITE_CONSTRAINT_UNIQUE")
    #expect(duplicate?.primary == SQLITE_CONSTRAINT)
    #expect(duplicate?.offset == nil)
    let typo = failure { _ = try connection.prepare("SELECT nope FROM t") }
    #expect(typo?.offset == 7)
    #expect(
      typo.map(String.init(describing:))
        == "SQLITE_ERROR: no such column: nope (at byte 7 of the statement)")
  }

  @Test func closingWaitsForStatements() throws {
    let connection = try memory()
    var statement: Statement? = try connection.prepare("SELECT 1")
    #expect(failure { try connection.close() }?.primary == SQLITE_BUSY)
    #expect(try statement?.step() == true)
    statement = nil
    try connection.close()
    try connection.close()
  }

  @Test func aStatementKeepsItsConnection() throws {
    let statement = try memory("CREATE TABLE t(a); INSERT INTO t VALUES (7)").prepare(
      "SELECT a FROM t")
    #expect(try statement.step())
    #expect(statement.columnInteger(0) == 7)
  }

  @Test func prepareTakesOneStatement() throws {
    let connection = try memory()
    #expect(try connection.prepare("SELECT 1; -- done").sql == "SELECT 1;")
    #expect(failure { _ = try connection.prepare(" /* none */ ") }?.primary == SQLITE_ERROR)
    #expect(failure { _ = try connection.prepare("SELECT 1; SELECT 2") }?.offset == 9)
    #expect(failure { _ = try connection.prepare("SELECT 1;\0 DROP TABLE t") }?.offset == 9)
  }

  @Test func prepareFromBytesSaysHowManyItTook() throws {
    let connection = try memory()
    let text = Array(";; SELECT 'é'; SELECT 2 -- end".utf8)
    try text.withUnsafeBytes { bytes in
      let first = try #require(try connection.prepare(bytes))
      #expect(first.length == 15)
      let rest = UnsafeRawBufferPointer(rebasing: bytes[first.length...])
      let second = try #require(try connection.prepare(rest, persistent: true))
      #expect(try second.statement.step())
      #expect(second.statement.columnInteger(0) == 2)
      #expect(try connection.prepare(UnsafeRawBufferPointer(rebasing: bytes[24...])) == nil)
      #expect(try connection.prepare(UnsafeRawBufferPointer(start: nil, count: 0)) == nil)
    }
  }

  @Test func countersFollowTheWrites() throws {
    let connection = try memory("CREATE TABLE t(a INTEGER PRIMARY KEY)")
    try connection.execute("INSERT INTO t VALUES (3), (5); UPDATE t SET a = a + 1 WHERE a = 5")
    #expect(connection.changes == 1)
    #expect(connection.totalChanges == 3)
    #expect(connection.lastInsertRowID == 5)
    connection.lastInsertRowID = 0
    #expect(try connection.scalar("SELECT last_insert_rowid()") == 0)
  }

  @Test func theTransactionIsVisible() throws {
    let connection = try memory("CREATE TABLE t(a UNIQUE); INSERT INTO t VALUES (1)")
    #expect(connection.isAutocommit && connection.transactionState == .none)
    try connection.execute("BEGIN; SELECT * FROM t")
    #expect(connection.transactionState == .read)
    try connection.execute("INSERT INTO t VALUES (2)")
    #expect(!connection.isAutocommit && connection.transactionState == .write)
    _ = failure { try connection.execute("INSERT OR ROLLBACK INTO t VALUES (1)") }
    #expect(connection.isAutocommit)
  }

  @Test func deferredForeignKeyViolationsShowUntilMended() throws {
    let connection = try memory(
      """
      PRAGMA foreign_keys = 1;
      CREATE TABLE parent(id INTEGER PRIMARY KEY);
      CREATE TABLE child(id REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
      BEGIN; SAVEPOINT s;
      """)
    #expect(!connection.deferredForeignKeyViolations)
    try connection.execute("INSERT INTO child VALUES (1); RELEASE s")
    #expect(connection.deferredForeignKeyViolations)
    #expect(failure { try connection.execute("COMMIT") }?.name == "SQLITE_CONSTRAINT_FOREIGNKEY")
    #expect(connection.deferredForeignKeyViolations)
    try connection.execute("INSERT INTO parent VALUES (1)")
    #expect(!connection.deferredForeignKeyViolations)
    try connection.execute("SAVEPOINT s; INSERT INTO child VALUES (2); ROLLBACK TO s; COMMIT")
    #expect(!connection.deferredForeignKeyViolations)
  }

  @Test func turningDeferralOffForgetsViolations() throws {
    let connection = try memory(
      """
      PRAGMA foreign_keys = 1;
      CREATE TABLE parent(id INTEGER PRIMARY KEY);
      CREATE TABLE child(id REFERENCES parent);
      BEGIN; PRAGMA defer_foreign_keys = 1; INSERT INTO child VALUES (1);
      """)
    #expect(connection.deferredForeignKeyViolations)
    try connection.execute("PRAGMA defer_foreign_keys = 0")
    #expect(!connection.deferredForeignKeyViolations)
    try connection.execute("COMMIT")
    #expect(try connection.query("PRAGMA foreign_key_check").count == 1)
  }

  @Test func settingsAndLimits() throws {
    let connection = try memory("CREATE TABLE t(a)")
    try connection.setConfig(SQLITE_DBCONFIG_DEFENSIVE, true)
    try connection.execute("PRAGMA writable_schema = 1")
    #expect(failure { try connection.execute("DELETE FROM sqlite_schema") } != nil)
    connection.limit(SQLITE_LIMIT_LENGTH, 10)
    #expect(connection.limit(SQLITE_LIMIT_LENGTH) == 10)
    let insert = try connection.prepare("INSERT INTO t VALUES (?)")
    #expect(failure { try insert.bind(text: "12345678901", at: 1) }?.primary == SQLITE_TOOBIG)
  }

  @Test func queriesAndScalars() throws {
    let connection = try memory("CREATE TABLE t(a, b); INSERT INTO t VALUES (1, 'x'), (2, NULL)")
    #expect(
      try connection.query("SELECT b, a FROM t WHERE a > ? ORDER BY a", [0])
        == [["x", 1], [.null, 2]])
    #expect(try connection.scalar("SELECT b FROM t WHERE a = ?", [2]) == .null)
    #expect(try connection.scalar("SELECT b FROM t WHERE a = ?", [3]) == Optional.none)
    #expect(try connection.scalar("DELETE FROM t") == Optional.none)
  }

  @Test func backupCopiesEverything() throws {
    let source = try memory("CREATE TABLE t(a); INSERT INTO t VALUES (zeroblob(100000)), (2)")
    let copy = try memory("CREATE TABLE old(a)")
    try source.backup(to: copy, pagesPerStep: 3)
    #expect(try copy.query("SELECT * FROM t") == source.query("SELECT * FROM t"))
    #expect(failure { try copy.execute("SELECT * FROM old") } != nil)
    #expect(!copy.isReadOnly)
  }

  @Test func backupOverADatabaseInUseFails() throws {
    let source = try memory("CREATE TABLE t(a)")
    let copy = try memory("CREATE TABLE old(a); BEGIN; INSERT INTO old VALUES (1)")
    #expect(failure { try source.backup(to: copy) }?.message == "destination database is in use")
    #expect(try copy.scalar("SELECT a FROM old") == 1)
  }
}
