import Foundation
import SluiceApplier
import SluiceJournal
import SluiceSQLite
import SluiceShared
import Testing

/// What the differential fuzzer found: each of these once ended otherwise than SQLite alone.
@Suite("A batch does what SQLite would do, and nothing else can be told from inside")
struct PlainEquivalenceTests {
  private func outcome(_ store: TestStore, _ statements: String...) throws -> Outcome {
    try store.apply([Batch(statements.map { Batch.Statement($0) }, wantsResults: true)])[0]
  }

  /// They are overridden, and must stay as trustworthy as SQLite's own.
  @Test func randomAndCountersWorkInsideTheSchema() throws {
    let store = try TestStore()
    try store.apply(
      "CREATE TABLE t(a INTEGER PRIMARY KEY, b DEFAULT (random()), c DEFAULT (randomblob(4)), d)",
      "CREATE TRIGGER g AFTER INSERT ON t BEGIN UPDATE t SET d = typeof(random()) || changes() || typeof(total_changes()); END",
      "CREATE VIEW v AS SELECT typeof(random()) AS x, changes() AS y, total_changes() AS z")
    let applied = try outcome(
      store, "INSERT INTO t(a) VALUES (1)", "SELECT typeof(b), length(c), d FROM t",
      "SELECT x, typeof(y), typeof(z) FROM v")
    #expect(
      applied
        == .applied(
          .init(
            changes: 2, lastRowID: 1,
            rows: [["integer", 4, "integer0integer"], ["integer", "integer", "integer"]])))
  }

  @Test func changesIsNothingUntilTheBatchChangesSomething() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a)")
    let batches = [
      Batch([.init("INSERT INTO t VALUES (1), (2), (3)")]),
      Batch([.init("SELECT 1"), .init("SELECT changes()")], wantsResults: true),
      Batch([.init("CREATE TABLE u(a)"), .init("SELECT changes()")], wantsResults: true),
    ]
    let outcomes = try store.apply(batches)
    #expect(outcomes[1] == .applied(.init(changes: 0, lastRowID: 0, rows: [[1], [0]])))
    #expect(outcomes[2] == .applied(.init(changes: 0, lastRowID: 0, rows: [[0]])))
  }

  @Test func withoutRowsAStatementIsNotRun() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a, b)")
    let outcomes = try store.apply([
      Batch([.init("INSERT INTO t VALUES (?, ?)", rows: [])]),
      Batch([.init("INSERT INTO nowhere VALUES (?, ?)", rows: [])]),
    ])
    #expect(outcomes[0] == .applied(.init(changes: 0, lastRowID: 0, rows: nil)))
    #expect(outcomes[1].rejectionCode == "SQLITE_ERROR")
  }

  /// What is wrong with a text must not depend on whether it was compiled when it was not yet wrong:
  /// a replay begins without that.
  @Test func anOutcomeDoesNotDependOnWhatIsCompiled() throws {
    let insert = Batch([.init("INSERT INTO t VALUES (?)", rows: [])])
    let wrong = Batch([.init("INSERT INTO t VALUES (?)", [1, 2])])
    let drop = Batch([.init("DROP TABLE t")])
    let make = Batch([.init("CREATE TABLE t(a)"), .init("INSERT INTO t VALUES (?)", rows: [])])
    let undone = Batch(make.statements + [.init("SELECT * FROM nowhere")])
    let takenAlong = Batch(
      make.statements + [
        .init("INSERT INTO u VALUES (1)"), .init("INSERT OR ROLLBACK INTO u VALUES (1)"),
      ])
    let batches = [make, insert, drop, insert, wrong, undone, insert, takenAlong, insert]
    let expected = [
      nil, nil, nil, "SQLITE_ERROR", "SQLITE_ERROR", "SQLITE_ERROR", "SQLITE_ERROR",
      "SQLITE_CONSTRAINT_UNIQUE", "SQLITE_ERROR",
    ]
    let together = try TestStore()
    try together.apply("CREATE TABLE u(a UNIQUE)")
    #expect(try together.apply(batches).map(\.rejectionCode) == expected)
    let oneByOne = try TestStore()
    try oneByOne.apply("CREATE TABLE u(a UNIQUE)")
    #expect(try batches.map { try oneByOne.apply([$0])[0].rejectionCode } == expected)
  }

  /// SQLite looks with `pragma_quick_check` whether the rows that are there fit.
  @Test func columnsWithConditionsCanBeAdded() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a)", "INSERT INTO t VALUES (1)")
    #expect(try store.apply("ALTER TABLE t ADD COLUMN b CHECK (b > 0)").isApplied)
    #expect(
      try store.apply("ALTER TABLE t ADD COLUMN c NOT NULL DEFAULT 1 CHECK (c > 0)").isApplied)
    let broken = try store.apply("ALTER TABLE t ADD COLUMN d DEFAULT 1 CHECK (d > 1)")
    #expect(broken.rejectionCode == "SQLITE_ERROR", "\(broken)")
    for sql in ["SELECT * FROM pragma_quick_check", "PRAGMA quick_check"] {
      #expect(try store.apply(sql).rejectionCode == Outcome.Rejection.Code.denied)
    }
  }

  @Test func aDeniedFunctionIsDenied() throws {
    let store = try TestStore()
    let outcome = try store.apply("SELECT load_extension('x')")
    #expect(outcome.rejectionCode == Outcome.Rejection.Code.denied, "\(outcome)")
  }

  /// A full-text index over another table's text, which nobody told of a change.
  @Test func aVirtualTableThatDoesNotFitItsContentIsNoDamage() throws {
    let store = try TestStore()
    try store.apply(
      "CREATE TABLE t(a INTEGER PRIMARY KEY, b)",
      "CREATE VIRTUAL TABLE f USING fts5(b, content='t', content_rowid='a')",
      "INSERT INTO t VALUES (1, 'one')")
    let good = Batch([.init("INSERT INTO t VALUES (?, 'x')", [5])])
    let bad = Batch([.init("INSERT INTO f(f, rank) VALUES ('integrity-check', 1)")])
    let outcomes = try store.apply([good, bad, good])
    #expect(
      outcomes.map(\.rejectionCode) == [nil, "SQLITE_CORRUPT_VTAB", "SQLITE_CONSTRAINT_PRIMARYKEY"])
    #expect(try store.query("SELECT a FROM t ORDER BY a") == [[1], [5]])
  }

  /// Each ends SQLite itself by a stack without end.
  @Test(arguments: [
    "CREATE TRIGGER g BEFORE INSERT ON F_data BEGIN SELECT 1; END",
    "CREATE INDEX g ON f_data(length(block))", "CREATE TABLE c(x REFERENCES f_DATA(id))",
  ])
  func nothingHangsOnWhatAVirtualTableKeeps(_ sql: String) throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a)", "CREATE VIRTUAL TABLE f USING fts5(b)")
    let outcomes = try store.apply([
      Batch([.init("INSERT INTO f VALUES ('x')"), .init(sql), .init("INSERT INTO f VALUES ('y')")]),
      Batch([.init("INSERT INTO f VALUES ('z')")]),
    ])
    #expect(outcomes.map(\.rejectionCode) == [Outcome.Rejection.Code.denied, nil], "\(outcomes)")
    #expect(try store.query("SELECT b FROM f") == [["z"]])
    // The other way round.
    let first = try store.apply(
      "CREATE TABLE d(x REFERENCES g_data(id))", "CREATE VIRTUAL TABLE g USING fts5(b)")
    #expect(first.rejectionCode == Outcome.Rejection.Code.denied)
    #expect(try store.apply("CREATE INDEX i ON t(a)").isApplied)
  }

  /// A virtual table writes what it kept in memory when the batch's savepoint ends, and may fail at
  /// that, when the savepoint is gone: the batch takes the transaction with it, and nobody else.
  @Test func aVirtualTableThatFailsAtTheEndOfItsBatch() throws {
    let source = NSTemporaryDirectory() + "sluice-source-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: source) }
    // Made where nobody keeps a batch from what is a virtual table's own.
    try Connection(path: source, flags: [.readWrite, .create]).execute(
      """
      CREATE TABLE t(a);
      CREATE VIRTUAL TABLE f USING fts5(b);
      INSERT INTO f VALUES ('one');
      DROP TABLE f_idx;
      """)
    var creation = StoreCreation()
    creation.source = source
    let store = try TestStore(creation)
    let outcomes = try store.apply([
      Batch([.init("INSERT INTO t VALUES (1)")]), Batch([.init("INSERT INTO f VALUES ('x')")]),
      Batch([.init("INSERT INTO t VALUES (2)")]),
    ])
    #expect(outcomes.map(\.rejectionCode) == [nil, "SQLITE_ERROR", nil], "\(outcomes)")
    #expect(try store.query("SELECT a FROM t ORDER BY a") == [[1], [2]])
  }
}
