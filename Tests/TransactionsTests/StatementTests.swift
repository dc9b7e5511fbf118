import CSQLite
import SluiceSQLite
import SluiceShared
import Testing

/// What programs write, each on a connection that nobody is in the way of.
@Suite struct StatementTests {
  @Test func anInsertByItselfIsCommitted() throws {
    let store = try DoubleStore()
    let connection = try store.open()
    try connection.execute("INSERT INTO t VALUES (2, 7)")
    #expect(try connection.scalar("SELECT n FROM t WHERE id = 2") == 7)
    #expect(try store.open().scalar("SELECT n FROM t WHERE id = 2") == 7)
    #expect(store.double.state.withLock { $0.commits } == 1)
    #expect(store.double.state.withLock { $0.out == nil })
    #expect(try store.plainly { try $0.scalar("PRAGMA integrity_check") } == "ok")
  }

  @Test func rowsAreReturned() throws {
    let store = try DoubleStore()
    let connection = try store.open()
    #expect(try connection.scalar("INSERT INTO t(n) VALUES (5) RETURNING id") == 2)
    #expect(try store.open().scalar("SELECT n FROM t WHERE id = 2") == 5)
  }

  @Test(arguments: ["BEGIN", "BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
  func severalStatementsAreOneTransaction(begin: String) throws {
    let store = try DoubleStore()
    let (connection, other) = (try store.open(), try store.open())
    try connection.execute("\(begin); INSERT INTO t VALUES (2, 1); UPDATE t SET n = n + 1")
    #expect(try other.scalar("SELECT sum(n) FROM t") == 0)
    #expect(try connection.scalar("SELECT sum(n) FROM t") == 3)
    try connection.execute("COMMIT")
    #expect(try other.scalar("SELECT sum(n) FROM t") == 3)
    #expect(store.double.state.withLock { $0.commits } == 1)
  }

  @Test func aReadShipsNothingAndAsksForNoTurn() throws {
    let store = try DoubleStore()
    let connection = try store.open()
    try connection.execute("BEGIN; SELECT * FROM t; COMMIT; BEGIN; SELECT 1; ROLLBACK")
    #expect(store.double.state.withLock { $0.grants } == 0)
  }

  @Test func aRollbackGivesTheTurnBack() throws {
    let store = try DoubleStore()
    let connection = try store.open()
    try connection.execute("BEGIN IMMEDIATE; INSERT INTO t VALUES (2, 1); ROLLBACK")
    #expect(try connection.scalar("SELECT count(*) FROM t") == 1)
    #expect(store.double.state.withLock { ($0.out == nil) && $0.commits == 0 && $0.cancels == 1 })
    try connection.execute("INSERT INTO t VALUES (2, 1)")
    #expect(try connection.scalar("SELECT count(*) FROM t") == 2)
  }

  @Test func whatIsLargeIsCommittedInParts() throws {
    let store = try DoubleStore()
    let connection = try store.open()
    try connection.execute(
      """
      CREATE TABLE large(id INTEGER PRIMARY KEY, v);
      INSERT INTO large WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 12)
        SELECT n, randomblob(1 << 20) FROM c
      """)
    #expect(store.double.state.withLock { $0.mostParts } == 2)
    #expect(try store.open().scalar("SELECT sum(length(v)) FROM large") == .integer(12 << 20))
    #expect(try store.plainly { try $0.scalar("PRAGMA integrity_check") } == "ok")
  }

  @Test func atransactionThatChangesNothingShipsNothing() throws {
    let store = try DoubleStore()
    let connection = try store.open()
    try connection.execute("BEGIN IMMEDIATE; DELETE FROM t WHERE id = 99; COMMIT")
    #expect(store.double.state.withLock { ($0.out == nil) && $0.commits == 0 })
  }

  @Test func aConstraintUndoesItsStatement() throws {
    let store = try DoubleStore()
    let connection = try store.open()
    #expect(
      code { try connection.execute("INSERT INTO t VALUES (2, 1), (1, 1)") }
        == SQLITE_CONSTRAINT | 6 << 8)
    try connection.execute("INSERT OR REPLACE INTO t VALUES (1, 9)")
    #expect(try store.open().scalar("SELECT group_concat(n) FROM t") == "9")
  }

  @Test func savepointsAreUndoneAndKept() throws {
    let store = try DoubleStore()
    let connection = try store.open()
    try connection.execute(
      """
      BEGIN; INSERT INTO t VALUES (2, 2); SAVEPOINT a; INSERT INTO t VALUES (3, 3);
      SAVEPOINT b; DELETE FROM t; ROLLBACK TO b; RELEASE b; ROLLBACK TO a;
      INSERT INTO t VALUES (4, 4); RELEASE a; COMMIT
      """)
    #expect(try store.open().scalar("SELECT group_concat(id) FROM t") == "1,2,4")
    try connection.execute("SAVEPOINT c; INSERT INTO t VALUES (5, 5); RELEASE c")
    #expect(try store.open().scalar("SELECT max(id) FROM t") == 5)
    #expect(store.double.state.withLock { $0.commits } == 2)
  }

  /// A cache of ten pages: what is written goes over the pinned state long before COMMIT.
  @Test(arguments: ["DELETE", "TRUNCATE", "PERSIST", "MEMORY"])
  func aTransactionLargerThanTheCache(journal: String) throws {
    let store = try DoubleStore()
    let connection = try store.open()
    try connection.execute("PRAGMA cache_size = 10; PRAGMA journal_mode = \(journal)")
    let fill =
      "INSERT INTO t(n) WITH RECURSIVE c(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM c LIMIT 20000) SELECT x FROM c"
    try connection.execute("CREATE INDEX i ON t(n)")
    try connection.execute("BEGIN; \(fill); ROLLBACK")
    #expect(try connection.scalar("SELECT count(*) FROM t") == 1)
    #expect(try connection.scalar("PRAGMA integrity_check") == "ok")
    #expect(store.double.state.withLock { $0.commits } == 1)
    try connection.execute("BEGIN; \(fill); SAVEPOINT s; DELETE FROM t; ROLLBACK TO s; COMMIT")
    #expect(try connection.scalar("SELECT count(*) FROM t") == 20001)
    try connection.execute("DELETE FROM t WHERE id % 2 = 0")
    #expect(try store.open().scalar("SELECT count(*) FROM t") == 10001)
    #expect(try store.plainly { try $0.scalar("PRAGMA integrity_check") } == "ok")
  }

  @Test func pagesAsTheyWereAreNotShipped() throws {
    let store = try DoubleStore(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, n INTEGER); CREATE TABLE u(x); INSERT INTO u VALUES (1)"
    )
    let connection = try store.open()
    try connection.execute(
      "BEGIN; INSERT INTO t VALUES (1, 1); SAVEPOINT s; UPDATE u SET x = 2; ROLLBACK TO s; COMMIT")
    #expect(store.double.state.withLock { $0.written } == [[1, 2]])
  }

  @Test func theDatabaseShrinks() throws {
    let store = try DoubleStore(
      "PRAGMA auto_vacuum = INCREMENTAL; CREATE TABLE t(n); INSERT INTO t SELECT zeroblob(50000)")
    let before = store.double.state.withLock { $0.pages.count }
    let connection = try store.open()
    try connection.execute("DELETE FROM t")
    try connection.execute("PRAGMA incremental_vacuum")
    #expect(store.double.state.withLock { $0.pages.count } < before)
    try connection.execute("INSERT INTO t SELECT zeroblob(30000)")
    #expect(try store.open().scalar("SELECT sum(length(n)) FROM t") == 30000)
    #expect(try store.plainly { try $0.scalar("PRAGMA integrity_check") } == "ok")
  }

  @Test func synchronousOffCommitsToo() throws {
    let store = try DoubleStore()
    let connection = try store.open()
    try connection.execute("PRAGMA synchronous = OFF")
    try connection.execute("INSERT INTO t VALUES (2, 7)")
    #expect(try store.open().scalar("SELECT n FROM t WHERE id = 2") == 7)
  }

  @Test func schemaChangesAreSeen() throws {
    let store = try DoubleStore()
    let (connection, other) = (try store.open(), try store.open())
    try connection.execute("CREATE TABLE u(x); CREATE TEMP TABLE v AS SELECT * FROM t")
    #expect(try other.scalar("SELECT count(*) FROM u") == 0)
    try other.execute("ALTER TABLE u ADD COLUMN y; INSERT INTO u VALUES (1, 2)")
    #expect(try connection.scalar("SELECT y FROM u") == 2)
  }
}
