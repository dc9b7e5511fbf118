import SluiceApplier
import SluiceJournal
import SluiceShared
import Testing

@Suite("What a batch may not do, no part of a schema does for it")
struct SchemaPermissionTests {
  static let functions = [
    "load_extension('x')", "fts3_tokenizer('simple')",
    "fts3_tokenizer('simple', x'0000000000000000')",
  ]

  /// A table `a` and an object that computes the expression once `use` is executed. In the order of
  /// how SQLite comes to it: by statements that it compiles, or by what a table holds.
  static let places: [(made: String, use: String)] = [
    ("CREATE VIEW v AS SELECT (EXPRESSION) AS x", "INSERT INTO a SELECT x FROM v"),
    (
      "CREATE TRIGGER r AFTER INSERT ON a BEGIN UPDATE a SET n = EXPRESSION; END",
      "INSERT INTO a VALUES(1)"
    ),
    (
      "CREATE TRIGGER r AFTER INSERT ON a WHEN EXPRESSION IS NULL BEGIN SELECT 1; END",
      "INSERT INTO a VALUES(1)"
    ),
    ("CREATE TABLE c(n, x DEFAULT (EXPRESSION))", "INSERT INTO c(n) VALUES(1)"),
    ("CREATE TABLE c(n CHECK(EXPRESSION IS NOT n))", "INSERT INTO c VALUES(1)"),
    (
      "CREATE TABLE c(n, x AS (EXPRESSION || n))",
      "INSERT INTO a SELECT x FROM (SELECT 1 AS n UNION ALL SELECT 2) JOIN c"
    ),
  ]

  static let hidden = [
    "SELECT count(*) FROM dbstat", "SELECT count(*) FROM sqlite_stmt",
    "SELECT data_version FROM pragma_data_version", "SELECT count(*) FROM pragma_compile_options",
  ]

  /// The tables are made by `made`, then `use` is executed: by a batch, or `made` is imported.
  private func expectRefused(_ made: String, _ use: String, imported: Bool) throws {
    let first = "CREATE TABLE a(n)"
    let store: TestStore
    if imported {
      // What SQLite itself does not take into a schema needs no refusal.
      guard let file = try? PlainFile("\(first); \(made)") else { return }
      var creation = StoreCreation()
      creation.source = file.path
      store = try TestStore(creation)
    } else {
      store = try TestStore()
      #expect(try store.apply(first).isApplied)
      guard try store.apply(made).isApplied else { return }
    }
    let before = try store.query("SELECT count(*), total(n) FROM a")
    let outcome = try store.apply(use)
    #expect(!outcome.isApplied, "\(made); \(use)")
    #expect(try store.query("SELECT count(*), total(n) FROM a") == before)
    #expect(try store.apply("CREATE TABLE afterwards(a)").isApplied)
  }

  @Test(arguments: functions, [false, true])
  func calls(expression: String, imported: Bool) throws {
    for place in SchemaPermissionTests.places {
      let made = place.made.replacing("EXPRESSION", with: expression)
      var use = place.use
      // A generated column of a row.
      if made.contains(" x AS (") { use = "INSERT INTO c VALUES(1); INSERT INTO a SELECT x FROM c" }
      let parts = use.split(separator: ";").map(String.init)
      if parts.count == 1 {
        try expectRefused(made, use, imported: imported)
      } else {
        try expectRefused("\(made)", parts[1], imported: imported, after: parts[0])
      }
    }
  }

  private func expectRefused(_ made: String, _ use: String, imported: Bool, after: String) throws {
    let store: TestStore
    if imported {
      guard let file = try? PlainFile("CREATE TABLE a(n); \(made); \(after)") else { return }
      var creation = StoreCreation()
      creation.source = file.path
      store = try TestStore(creation)
    } else {
      store = try TestStore()
      #expect(try store.apply("CREATE TABLE a(n)").isApplied)
      guard try store.apply(made).isApplied, try store.apply(after).isApplied else { return }
    }
    #expect(try !store.apply(use).isApplied, "\(made); \(use)")
  }

  @Test(arguments: hidden, [false, true])
  func reads(query: String, imported: Bool) throws {
    try expectRefused(
      "CREATE VIEW v AS SELECT (\(query)) AS x", "INSERT INTO a SELECT x FROM v", imported: imported
    )
    try expectRefused(
      "CREATE TRIGGER r AFTER INSERT ON a BEGIN UPDATE a SET n = (\(query)); END",
      "INSERT INTO a VALUES(1)", imported: imported)
  }

  @Test(
    arguments: [
      "DELETE FROM _sluice_writers", "UPDATE _sluice_state SET txid = 0",
      "INSERT INTO _sluice_keys VALUES('a', x'', 1, 1, x'')", "DELETE FROM sqlite_schema",
      "INSERT INTO sqlite_stat1 VALUES('a', NULL, '1')",
    ], [false, true])
  func writes(statement: String, imported: Bool) throws {
    try expectRefused(
      "CREATE TRIGGER r AFTER INSERT ON a BEGIN \(statement); END", "INSERT INTO a VALUES(1)",
      imported: imported)
  }

  @Test(arguments: ["SELECT fts3_tokenizer(?)", "SELECT fts3_tokenizer('simple', ?)"])
  func boundTokenizer(_ sql: String) throws {
    let store = try TestStore()
    var batch = Batch([Batch.Statement(sql, [.text("simple")])])
    batch.wantsResults = true
    #expect(try store.apply([batch])[0].rejectionCode == Outcome.Rejection.Code.denied)
  }

  @Test(arguments: ["EXPLAIN SELECT 1", "explain INSERT INTO f VALUES('a')"])
  func programs(_ sql: String) throws {
    let store = try TestStore()
    try store.apply("CREATE VIRTUAL TABLE f USING fts5(a)")
    var batch = Batch([Batch.Statement(sql)])
    batch.wantsResults = true
    // Twice: the second may come from the cache.
    let outcomes = try store.apply([batch, batch])
    #expect(outcomes.allSatisfy { $0.rejectionCode == Outcome.Rejection.Code.denied })
    let guarded = Batch([], guards: [Batch.Statement("EXPLAIN SELECT 1")])
    #expect(try store.apply([guarded])[0].rejectionCode == Outcome.Rejection.Code.denied)
  }

  @Test func plansAreShown() throws {
    let store = try TestStore()
    var batch = Batch([
      Batch.Statement("EXPLAIN QUERY PLAN SELECT * FROM _sluice_state WHERE id = 1")
    ])
    batch.wantsResults = true
    guard case .applied(let applied) = try store.apply([batch])[0] else {
      Issue.record("not applied")
      return
    }
    #expect(applied.rows?.isEmpty == false)
  }
}
