import SluiceApplier
import SluiceFakes
import SluiceJournal
import SluiceQuery
import SluiceReader
import SluiceShared
import SluiceWriter
import Testing

private typealias Code = Outcome.Rejection.Code

@Suite("A batch is all or nothing, in order, and leaves nothing behind")
struct ExecutionTests {
  @Test func aBatchIsAppliedAndRead() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT)")
    let outcome = try store.apply([
      Batch([
        Batch.Statement(
          "INSERT INTO t VALUES(?,?)", rows: [[1, "one"], [2, "two"], [3, "three"]])
      ])
    ])
    #expect(outcome == [.applied(.init(changes: 3, lastRowID: 3, rows: nil))])
    #expect(try store.query("SELECT b FROM t ORDER BY a") == [["one"], ["two"], ["three"]])
  }

  @Test func everyTypeOfValueSurvives() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(i INTEGER PRIMARY KEY, v)")
    let values: [SQLValue] = [
      .null, .integer(.min), .integer(.max), .real(1), .real(-0.1), .text(""), .text("a\0b"),
      .text("ü🙂"), .blob([]), .blob([0, 255]),
    ]
    try store.apply([
      Batch([
        Batch.Statement(
          "INSERT INTO t VALUES(?,?)",
          rows: values.enumerated().map { [.integer(Int64($0)), $1] })
      ])
    ])
    #expect(try store.query("SELECT v FROM t ORDER BY i").map { $0[0] } == values)
  }

  /// To Swift "é" in one scalar and in two are equal texts; to SQL they are not.
  @Test func statementsThatOnlySwiftTakesForEqualAreTwo() throws {
    let store = try TestStore()
    try store.apply(
      "CREATE TABLE t(a)", "INSERT INTO t VALUES ('\u{E9}')", "INSERT INTO t VALUES ('e\u{301}')")
    #expect(try store.query("SELECT hex(a) FROM t") == [["C3A9"], ["65CC81"]])
    let database = Database(
      try PageStore(path: store.path, environment: store.environment),
      executor: store.environment.executor)
    for (text, bytes) in [("\u{E9}", "C3A9"), ("e\u{301}", "65CC81")] {
      #expect(try database.read { try $0.query("SELECT hex('\(text)')") } == [[.text(bytes)]])
    }
  }

  @Test func resultsAreReturnedWhenWanted() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
    let outcomes = try store.apply([
      Batch(
        [
          Batch.Statement("INSERT INTO t(b) VALUES(?) RETURNING a, b", rows: [["x"], ["y"]]),
          Batch.Statement("SELECT count(*) FROM t"),
        ], wantsResults: true),
      Batch(
        [
          Batch.Statement(
            "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM c WHERE n < 20000) SELECT hex(randomblob(50)) FROM c"
          )
        ], wantsResults: true),
    ])
    #expect(
      outcomes[0]
        == .applied(.init(changes: 2, lastRowID: 2, rows: [[1, "x"], [2, "y"], [2]])))
    #expect(outcomes[1].rejectionCode == Code.resultLimit)
  }

  /// Each of these batches fails in its own way between two good ones, all in one group: the good
  /// ones are applied, and nothing of the bad one is.
  @Test(arguments: [
    (["INSERT INTO t VALUES(1, 1)", "SELEC 1"], "SQLITE_ERROR"),
    (["INSERT INTO t VALUES(1, 1)", "INSERT INTO t VALUES(1, 1)"], "SQLITE_CONSTRAINT_PRIMARYKEY"),
    (["INSERT INTO t VALUES(1, 1)", "INSERT INTO t VALUES(2, NULL)"], "SQLITE_CONSTRAINT_NOTNULL"),
    (
      ["INSERT INTO t VALUES(1, 1)", "INSERT OR ROLLBACK INTO t VALUES(1, 1)"],
      "SQLITE_CONSTRAINT_PRIMARYKEY"
    ),
    (["INSERT INTO t VALUES(1, 1)", "INSERT INTO t VALUES(-1, 1)"], "SQLITE_CONSTRAINT_TRIGGER"),
    (["INSERT INTO t VALUES(1, 1)", "INSERT INTO child VALUES(99)"], Code.foreignKey),
    (
      [
        "INSERT INTO t VALUES(1, 1)", "PRAGMA defer_foreign_keys = ON",
        "INSERT INTO strict VALUES(99)",
      ],
      Code.foreignKey
    ),
    (
      ["INSERT INTO t VALUES(1, 1)", "INSERT INTO strict VALUES(99)"],
      "SQLITE_CONSTRAINT_FOREIGNKEY"
    ),
    (
      [
        "INSERT INTO t VALUES(1, 1)",
        "INSERT INTO t SELECT n, n FROM (WITH RECURSIVE c(n) AS (SELECT 100 UNION ALL SELECT n+1 FROM c) SELECT n FROM c WHERE n < 0)",
      ], Code.stepLimit
    ),
    (["INSERT INTO t VALUES(1, ?)"], Code.wrongParameters),
    (["INSERT INTO t VALUES(1, 1); INSERT INTO t VALUES(2, 1)"], "SQLITE_ERROR"),
    (["INSERT INTO t VALUES(1, 1)", "SELECT * FROM nowhere"], "SQLITE_ERROR"),
    (["INSERT INTO t VALUES(1, 1)", "SELECT abs(-9223372036854775808)"], "SQLITE_ERROR"),
  ])
  func aBatchThatFailsHurtsNobodyElse(_ statements: [String], _ code: String) throws {
    let store = try TestStore()
    store.options.stepsPerBatch = 3_000_000
    try store.apply(
      "CREATE TABLE t(a INTEGER PRIMARY KEY, b NOT NULL)",
      "CREATE TRIGGER no BEFORE INSERT ON t WHEN NEW.a < 0 BEGIN SELECT RAISE(ROLLBACK, 'no'); END",
      "CREATE TABLE child(p REFERENCES t(a) DEFERRABLE INITIALLY DEFERRED)",
      "CREATE TABLE strict(p REFERENCES t(a))")
    let good = (10..<14).map {
      Batch([Batch.Statement("INSERT INTO t VALUES(?, 1)", [.integer($0)])])
    }
    let bad = Batch(statements.map { Batch.Statement($0) })
    let outcomes = try store.apply([good[0], good[1], bad, good[2], bad, good[3]])
    #expect(outcomes.map(\.rejectionCode) == [nil, nil, code, nil, code, nil], "\(outcomes)")
    #expect(try store.query("SELECT a FROM t ORDER BY a") == [[10], [11], [12], [13]])
    #expect(try store.query("SELECT count(*) FROM _sluice_rejected") == [[2]])
    #expect(try store.query("SELECT txid FROM _sluice_state") == [[7]])
  }

  @Test func anUnlistedRejectionIsToldAndNeitherListedNorCounted() throws {
    let store = try TestStore()
    let wrong = Batch.Statement("INSERT INTO nowhere VALUES(1)")
    let outcomes = try store.apply([Batch([wrong], isUnlisted: true), Batch([wrong])])
    #expect(outcomes.map(\.rejectionCode) == ["SQLITE_ERROR", "SQLITE_ERROR"])
    #expect(try store.query("SELECT txid FROM _sluice_rejected") == [[2]])
    #expect(try store.query("SELECT txid, rejected FROM _sluice_state") == [[2, 1]])
  }

  /// SQLite sets the pragma when it is compiled, also where it is then not run.
  @Test(arguments: [
    Batch.Statement("PRAGMA defer_foreign_keys = ON"),
    Batch.Statement("PRAGMA defer_foreign_keys = ON", rows: []),
    Batch.Statement("PRAGMA defer_foreign_keys = ON", [.integer(1)]),
    Batch.Statement("PRAGMA defer_foreign_keys = ON; SELECT 1"),
    Batch.Statement("SELECT 1; PRAGMA defer_foreign_keys = ON"),
  ])
  func deferringForeignKeysEndsWithItsBatch(_ pragma: Batch.Statement) throws {
    let store = try TestStore()
    try store.apply(
      "CREATE TABLE parent(a INTEGER PRIMARY KEY)", "CREATE TABLE child(p REFERENCES parent(a))")
    let disordered = [
      Batch.Statement("INSERT INTO child VALUES(1)"),
      Batch.Statement("INSERT INTO parent VALUES(1)"),
    ]
    let outcomes = try store.apply([
      Batch([pragma]), Batch(disordered),
      Batch([Batch.Statement("PRAGMA defer_foreign_keys = ON")] + disordered), Batch(disordered),
    ])
    let code = "SQLITE_CONSTRAINT_FOREIGNKEY"
    #expect(
      outcomes.dropFirst().map(\.rejectionCode) == [code, nil, "SQLITE_CONSTRAINT_PRIMARYKEY"])
  }

  /// The check taken out: a batch with OR ROLLBACK takes its whole group with it.
  @Test func withoutTheAutocommitCheckAGroupIsHurt() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY, b NOT NULL)")
    store.environment.omittedChecks = [.autocommit]
    let good = (10..<14).map {
      Batch([Batch.Statement("INSERT INTO t VALUES(?, 1)", [.integer($0)])])
    }
    let bad = Batch([
      Batch.Statement("INSERT INTO t VALUES(1, 1)"),
      Batch.Statement("INSERT OR ROLLBACK INTO t VALUES(1, 1)"),
    ])
    let outcomes = try? store.apply([good[0], good[1], bad, good[2], good[3]])
    store.environment.omittedChecks = []
    let applied = outcomes?.filter(\.isApplied).count
    let there = try store.query("SELECT count(*) FROM t")
    #expect(applied != 4 || there != [[4]])
  }

  @Test(arguments: [
    "BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT x", "RELEASE batch", "ROLLBACK TO batch",
    "ATTACH ':memory:' AS x", "DETACH main", "VACUUM INTO 'x'", "CREATE TEMP TABLE x(a)",
    "CREATE TEMP VIEW x AS SELECT 1", "CREATE TEMP TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END",
    "SELECT load_extension('x')", "DELETE FROM _sluice_writers",
    "UPDATE _sluice_state SET txid = 0",
    "INSERT INTO _sluice_keys VALUES('a', x'', 1, 1, x'')", "DROP TABLE _sluice_rejected",
    "CREATE TABLE _sluice_mine(a)", "CREATE TABLE _SLUICE_mine(a)",
    "ALTER TABLE t RENAME TO _sluice_t",
    "CREATE INDEX x ON _sluice_writers(time)",
    "CREATE TRIGGER x AFTER INSERT ON _sluice_writers BEGIN SELECT 1; END",
    "CREATE TABLE x(a REFERENCES _sluice_state(id))", "ALTER TABLE _sluice_state ADD COLUMN x",
    "INSERT INTO sqlite_stat1 VALUES('t', NULL, '1')", "DELETE FROM sqlite_stat1",
    "UPDATE sqlite_schema SET sql = ''", "DELETE FROM sqlite_master", "SELECT * FROM sqlite_stmt",
    "SELECT * FROM dbstat", "PRAGMA journal_mode = OFF", "PRAGMA foreign_keys = OFF",
    "PRAGMA writable_schema = ON", "PRAGMA cache_size = 1", "PRAGMA legacy_alter_table = ON",
    "PRAGMA synchronous = OFF", "PRAGMA page_size = 512", "PRAGMA auto_vacuum = 1",
    "SELECT fts3_tokenizer('simple')", "EXPLAIN SELECT * FROM t",
    "PRAGMA data_version", "SELECT * FROM pragma_data_version", "SELECT * FROM pragma_page_count",
  ])
  func whatABatchMustNotDoIsDenied(_ statement: String) throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY)", "INSERT INTO t VALUES(1)")
    try store.apply("ANALYZE")
    let outcomes = try store.apply([
      Batch([Batch.Statement("INSERT INTO t VALUES(2)"), Batch.Statement(statement)]),
      Batch([Batch.Statement("INSERT INTO t VALUES(3)")]),
    ])
    let code = try #require(outcomes[0].rejectionCode, "\(outcomes[0])")
    #expect([Code.denied, "SQLITE_ERROR", "SQLITE_AUTH"].contains(code))
    #expect(outcomes[1].isApplied)
    #expect(try store.query("SELECT a FROM t") == [[1], [3]])
  }

  @Test(arguments: [
    "CREATE TABLE x(a, b)", "CREATE INDEX x ON t(a)", "CREATE VIEW x AS SELECT * FROM t",
    "CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END", "ALTER TABLE t ADD COLUMN c",
    "ALTER TABLE t RENAME TO u", "DROP TABLE t", "REINDEX", "ANALYZE", "PRAGMA user_version = 7",
    "PRAGMA application_id = 7", "PRAGMA table_info(t)", "PRAGMA foreign_key_list(t)",
    "CREATE VIRTUAL TABLE f USING fts5(x)", "CREATE VIRTUAL TABLE r USING rtree(id, a, b)",
    "SELECT * FROM sqlite_schema", "EXPLAIN QUERY PLAN SELECT * FROM t", "-- nothing", "",
    "SELECT random(), datetime('now')", "VACUUM", "vacuum main;", "VACUUM /* of all */ -- now",
    "PRAGMA incremental_vacuum", "PRAGMA incremental_vacuum(3)", "PRAGMA foreign_keys",
    "PRAGMA recursive_triggers", "PRAGMA main.page_size", "PRAGMA encoding",
  ])
  func whatABatchMayDo(_ statement: String) throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY)", "CREATE TABLE other(a)")
    try store.apply("ANALYZE")
    let outcomes = try store.apply([
      Batch([Batch.Statement("INSERT INTO other VALUES(1)")]),
      Batch([Batch.Statement(statement)]),
      Batch([Batch.Statement("INSERT INTO other VALUES(2)")]),
    ])
    #expect(outcomes.allSatisfy { $0.isApplied }, "\(outcomes)")
    #expect(try store.query("SELECT a FROM other") == [[1], [2]])
  }

  @Test func virtualTablesWork() throws {
    let store = try TestStore()
    try store.apply("CREATE VIRTUAL TABLE f USING fts5(x)")
    let outcome = try store.apply(
      "INSERT INTO f VALUES('hello world')", "INSERT INTO f VALUES('bye')")
    #expect(outcome.isApplied, "\(outcome)")
    #expect(try store.query("SELECT x FROM f WHERE f MATCH 'hello'") == [["hello world"]])
  }

  @Test func nothingLeaksFromOneBatchIntoTheNext() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
    let probe = Batch(
      [Batch.Statement("SELECT last_insert_rowid(), changes(), total_changes()")],
      wantsResults: true)
    let outcomes = try store.apply([
      Batch([Batch.Statement("INSERT INTO t VALUES(7, 1), (8, 2)")]), probe,
      Batch(
        [
          Batch.Statement("INSERT INTO t VALUES(9, 1)"),
          Batch.Statement("SELECT last_insert_rowid(), changes(), total_changes()"),
        ], wantsResults: true),
    ])
    #expect(outcomes[1] == .applied(.init(changes: 0, lastRowID: 0, rows: [[0, 0, 0]])))
    #expect(outcomes[2] == .applied(.init(changes: 1, lastRowID: 9, rows: [[9, 1, 1]])))
  }

  @Test func guards() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY)", "INSERT INTO t VALUES(1)")
    func guarded(_ sql: String, _ parameters: [SQLValue] = []) -> Batch {
      Batch(
        [Batch.Statement("INSERT INTO t(a) SELECT max(a) + 1 FROM t")],
        guards: [Batch.Statement(sql, parameters)])
    }
    let outcomes = try store.apply([
      guarded("SELECT count(*) = 1 FROM t"), guarded("SELECT count(*) = 1 FROM t"),
      guarded("SELECT a FROM t"), guarded("SELECT 1 WHERE 0"), guarded("SELECT NULL"),
      guarded("SELECT 1, 1"), guarded("DELETE FROM t RETURNING 1"), guarded("SELECT 1"),
      guarded("SELECT ?", [0]), guarded("SELECT ?", [2]), guarded("SELECT '1'"),
      guarded("SELECT 0.5"),
    ])
    let failed = Code.guardFailed
    #expect(
      outcomes.map(\.rejectionCode) == [
        nil, failed, failed, failed, failed, failed, Code.denied, nil, failed, nil, nil, nil,
      ])
    #expect(try store.query("SELECT count(*) FROM t") == [[6]])
  }

  @Test func aKeyAppliesOnce() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY)")
    func keyed(_ key: String, _ a: Int64) -> Batch {
      Batch([Batch.Statement("INSERT INTO t VALUES(?)", [.integer(a)])], key: key)
    }
    // In one group, and again in a later one by another writer.
    var outcomes = try store.apply([keyed("k", 1), keyed("k", 1), keyed("k", 2), keyed("l", 1)])
    let first = Outcome.applied(.init(changes: 1, lastRowID: 1, rows: nil))
    #expect(outcomes[0] == first)
    #expect(outcomes[1] == .duplicate(of: TxID(2), original: first))
    #expect(outcomes[2].rejectionCode == Code.keyReused)
    #expect(outcomes[3].rejectionCode == "SQLITE_CONSTRAINT_PRIMARYKEY")
    outcomes = try store.apply([keyed("k", 1), keyed("k", 3), keyed("l", 1)])
    #expect(outcomes[0] == .duplicate(of: TxID(2), original: first))
    #expect(outcomes[1].rejectionCode == Code.keyReused)
    // A repeat of a rejected batch gets the rejection, also if it would succeed by now.
    guard case .duplicate(let of, .rejected) = outcomes[2] else {
      Issue.record("\(outcomes[2])")
      return
    }
    #expect(of == TxID(5))
  }

  @Test func foreignKeysCheckedAtTheEnd() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE p(a INTEGER PRIMARY KEY)", "CREATE TABLE c(p REFERENCES p(a))")
    func dump(_ statements: String...) -> Batch {
      Batch(statements.map { Batch.Statement($0) }, checksForeignKeysAtEnd: true)
    }
    let outcomes = try store.apply([
      Batch([Batch.Statement("INSERT INTO p VALUES(1)")]),
      dump("INSERT INTO c VALUES(5)", "INSERT INTO p VALUES(5)"),
      dump("INSERT INTO c VALUES(6)"),
      Batch([Batch.Statement("INSERT INTO c VALUES(7)")]),
      Batch([Batch.Statement("INSERT INTO c VALUES(1)")]),
    ])
    #expect(
      outcomes.map(\.rejectionCode) == [
        nil, nil, Code.foreignKey, "SQLITE_CONSTRAINT_FOREIGNKEY", nil,
      ], "\(outcomes)")
    #expect(try store.query("SELECT p FROM c ORDER BY p") == [[1], [5]])
  }

  /// What plain SQL can do to an index; every page is as it was written.
  @Test func whatSQLiteTakesForDamageIsItsBatchsAffair() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a)", "INSERT INTO t VALUES (1), (2)")
    // A text, for there is no such column; and then there is.
    try store.apply("CREATE INDEX i ON t(\"b\")", "ALTER TABLE t ADD COLUMN b")
    let small = Batch([Batch.Statement("INSERT INTO t(a) VALUES (3)")])
    let outcomes = try store.apply([
      small, Batch([Batch.Statement("DELETE FROM t WHERE a = 1")]), small,
    ])
    #expect(outcomes.map(\.rejectionCode) == [nil, "SQLITE_CORRUPT_INDEX", nil], "\(outcomes)")
    #expect(try store.query("SELECT a FROM t") == [[1], [2], [3], [3]])
  }

  /// One that fills the disk alone is no device at fault.
  @Test func aBatchThatFillsTheScratchDiskIsRejectedAloneOnly() throws {
    let store = try TestStore()
    store.options.cacheBytes = 256 << 10
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
    let big = Batch([
      Batch.Statement(
        "INSERT INTO t(b) WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM c WHERE n < 900) SELECT hex(randomblob(50000)) FROM c ORDER BY 1"
      )
    ])
    let small = Batch([Batch.Statement("INSERT INTO t(b) VALUES('small')")])
    store.environment.fileSystem = SmallScratchFileSystem(
      store.environment.fileSystem, bytes: Limits.leastScratchBytes + (4 << 20))
    let outcomes = try store.apply([small, big, small])
    #expect(outcomes.map(\.rejectionCode) == [nil, Code.resources, nil], "\(outcomes)")
    #expect("\(outcomes[1])".contains("it fills the scratch disk; split it"), "\(outcomes)")
    store.environment.fileSystem = SmallScratchFileSystem(
      store.environment.fileSystem, bytes: 16 << 20)
    // What is there is too little for anybody: that says nothing about the batch, which waits.
    _ = try store.writer().submitBlocking(big)
    try store.drain()
    #expect(try store.apply([small])[0].isApplied)
    #expect(try store.query("SELECT count(*) FROM t") == [[3]])
  }

  @Test func aBatchOverTheScratchLimitIsRejectedAloneOnly() throws {
    let store = try TestStore()
    store.options.scratchBytes = 4 << 20
    store.options.cacheBytes = 256 << 10
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
    let big = Batch([
      Batch.Statement(
        "INSERT INTO t(b) WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM c WHERE n < 30000) SELECT hex(randomblob(400)) FROM c ORDER BY 1"
      )
    ])
    let small = Batch([Batch.Statement("INSERT INTO t(b) VALUES('small')")])
    let outcomes = try store.apply([small, big, small])
    #expect(outcomes.map(\.rejectionCode) == [nil, Code.resources, nil], "\(outcomes)")
    #expect("\(outcomes[1])".contains("its scratch files take at most 4194304 bytes"))
    #expect(try store.query("SELECT count(*) FROM t") == [[2]])
  }
}
