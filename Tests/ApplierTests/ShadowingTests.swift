import SluiceApplier
import SluiceJournal
import SluiceReader
import SluiceSQLite
import SluiceShared
import SluiceWriter
import Testing

private typealias Code = Outcome.Rejection.Code

/// The TEMP schema comes before the database's own: what lay there would take other batches' rows.
@Suite("A batch cannot shadow, outlive or change another")
struct ShadowingTests {
  static let hostile = [
    "CREATE TABLE temp.orders(id INTEGER PRIMARY KEY, what TEXT)",
    "CREATE TEMP TABLE orders(id INTEGER PRIMARY KEY, what TEXT)",
    "CREATE TABLE \"TEMP\".orders AS SELECT * FROM main.orders",
    "CREATE VIEW temp.orders AS SELECT 7 AS id, 'no' AS what",
    "CREATE TEMP VIEW orders AS SELECT 7 AS id, 'no' AS what",
    "CREATE TRIGGER temp.theft AFTER INSERT ON main.orders BEGIN DELETE FROM orders; END",
    "CREATE TEMP TRIGGER theft AFTER INSERT ON orders BEGIN DELETE FROM orders; END",
    "CREATE VIRTUAL TABLE temp.orders USING fts5(what)",
    "CREATE VIRTUAL TABLE temp.orders USING rtree(id, a, b)",
    "PRAGMA temp.user_version = 77",
    "PRAGMA temp.application_id = 77",
    "PRAGMA temp.user_version",
    "INSERT INTO temp.sqlite_master VALUES('table', 'orders', 'orders', 0, '')",
    "SELECT * FROM sqlite_temp_master",
    "DROP TABLE temp.orders",
  ]

  /// By name, by the connection's state, and in a group with others' batches.
  @Test(arguments: hostile, [[], [SafetyCheck.temporaryDenied]])
  func nobodyIsRobbed(_ sql: String, _ omitted: [SafetyCheck]) throws {
    let store = try TestStore()
    store.environment.omittedChecks = Set(omitted)
    try store.apply("CREATE TABLE orders(id INTEGER PRIMARY KEY, what TEXT)")
    let insert = Batch([Batch.Statement("INSERT INTO orders(what) VALUES('row')")])
    let hostile = Batch([Batch.Statement(sql)])
    let outcomes = try store.apply([insert, hostile, insert, hostile, insert])
    for place in [0, 2, 4] { #expect(outcomes[place].isApplied) }
    for place in [1, 3] where omitted.isEmpty { #expect(!outcomes[place].isApplied, "\(sql)") }
    // And those of a later term.
    #expect(try store.apply([insert])[0].isApplied)
    #expect(
      try store.query("SELECT id, what FROM orders")
        == (1...4).map { [.integer($0), .text("row")] })
    #expect(
      try store.apply([Batch([Batch.Statement("ALTER TABLE orders ADD COLUMN more")])])[0].isApplied
    )
  }

  /// Without the check the rows of others are gone: that is what they are there for.
  @Test func withoutTheChecksTheyWouldBe() throws {
    let store = try TestStore()
    store.environment.omittedChecks = [.connectionAsBefore]
    try store.apply("CREATE TABLE orders(id INTEGER PRIMARY KEY, what TEXT)")
    let insert = Batch([Batch.Statement("INSERT INTO orders(what) VALUES('row')")])
    let outcomes = try store.apply([
      Batch([Batch.Statement(Self.hostile[0])]), insert, insert,
    ])
    #expect(outcomes.map(\.isApplied) == [true, true, true])
    #expect(try store.query("SELECT count(*) FROM orders") == [[0]])
  }

  /// It leaves nothing, whatever it does before it fails.
  @Test func aBatchThatFailsLeavesNothingEither() throws {
    let store = try TestStore()
    store.environment.omittedChecks = [.temporaryDenied]
    try store.apply("CREATE TABLE orders(id INTEGER PRIMARY KEY, what TEXT)")
    let insert = Batch([Batch.Statement("INSERT INTO orders(what) VALUES('row')")])
    let outcomes = try store.apply([
      insert,
      Batch([
        Batch.Statement(Self.hostile[0]), Batch.Statement("INSERT INTO orders VALUES(1, 2, 3)"),
      ]),
      insert,
    ])
    #expect(outcomes.map(\.isApplied) == [true, false, true])
    #expect(try store.query("SELECT count(*) FROM orders") == [[2]])
  }
}

/// A query finds a table, a view or a virtual table before the function `pragma_…` of that name.
@Suite("Nothing that a batch makes answers for the schema")
struct ShadowedPragmaTests {
  static let objects = [
    "foreign_key_list", "table_info", "table_xinfo", "index_list", "table_list",
  ]
  .flatMap { name in
    [
      "CREATE VIEW pragma_\(name) AS SELECT 1 AS name",
      "CREATE TABLE pragma_\(name)(name, \"table\")",
    ]
  }
  private static let reserved = "CREATE TABLE k(a REFERENCES _sluice_keys(key))"

  private func outcomes(_ store: TestStore, _ batches: [String]) throws -> [Bool] {
    try store.apply(batches.map { Batch([Batch.Statement($0)]) }).map(\.isApplied)
  }

  @Test(arguments: objects)
  func othersGoOn(_ object: String) throws {
    let store = try TestStore()
    try store.apply(
      "CREATE TABLE orders(id INTEGER PRIMARY KEY)", "CREATE VIRTUAL TABLE f USING fts5(x)")
    #expect(try outcomes(store, [object]) == [true])
    #expect(
      try outcomes(
        store,
        [
          "CREATE TABLE lines(o REFERENCES orders(id))", "CREATE INDEX i ON lines(o)",
          "ALTER TABLE lines ADD COLUMN more", Self.reserved,
          "CREATE TABLE l(a REFERENCES f_content(id))",
        ]) == [true, true, true, false, false])
  }

  /// The check taken out: nobody changes the schema any more.
  @Test(arguments: objects.prefix(1))
  func withoutTheCheckTheyStop(_ object: String) throws {
    let store = try TestStore()
    store.environment.omittedChecks = [.shadowedPragmas]
    #expect(
      try outcomes(store, [object, "CREATE TABLE orders(id INTEGER PRIMARY KEY)"]) == [true, false])
  }

  /// One of them would answer as the function does. The tables in which it has its content would be read as
  /// functions of SQLite's that no batch may call.
  @Test func aVirtualTableHasNoSuchName() throws {
    let store = try TestStore()
    let made = "CREATE VIRTUAL TABLE pragma_foreign_key_list USING fts4(\"table\")"
    #expect(try outcomes(store, [made, Self.reserved]) == [false, false])
  }
}

@Suite("What a virtual table remembers of a batch that was undone is forgotten")
struct VirtualTableMemoryTests {
  private static let ranked = "SELECT rowid FROM f('abc') ORDER BY rank"

  private func make() throws -> TestStore {
    let store = try TestStore()
    try store.apply(
      "CREATE VIRTUAL TABLE f USING fts5(a, b)", "CREATE TABLE u(a INTEGER PRIMARY KEY)",
      "INSERT INTO u VALUES(1)", "INSERT INTO f VALUES('abc', 'x x x x')",
      "INSERT INTO f VALUES('y y y y', 'abc')", "INSERT INTO f VALUES('abc abc', 'abc')")
    return store
  }

  /// However the batch ends, and wherever in a group it stands.
  @Test(arguments: [
    "SELECT * FROM nosuch", "INSERT INTO u VALUES(1)", "INSERT OR ROLLBACK INTO u VALUES(1)",
  ])
  func othersAreExecutedAsWithoutIt(_ ending: String) throws {
    let query = Batch([Batch.Statement(Self.ranked)], wantsResults: true)
    let row = Batch([Batch.Statement("INSERT INTO u VALUES(NULL)")])
    for rank in ["bm25(0.0, 100.0)", "nosuch()"] {
      let store = try make()
      let expected = try store.apply([query])[0]
      #expect(expected.isApplied)
      let hostile = Batch([
        Batch.Statement("INSERT INTO f(f, rank) VALUES('rank', '\(rank)')"),
        Batch.Statement("SELECT count(*) FROM f"), Batch.Statement(ending),
      ])
      let outcomes = try store.apply([row, query, hostile, query, row, hostile, query])
      #expect(outcomes.map(\.isApplied) == [true, true, false, true, true, false, true])
      for place in [1, 3, 6] { #expect(outcomes[place] == expected) }
      #expect(try store.query("SELECT count(*) FROM u") == [[3]])
    }
  }

  /// The check taken out: the next one's rows come in the order that the undone batch wanted.
  @Test func withoutTheCheckTheNextOneFeelsIt() throws {
    let query = Batch([Batch.Statement(Self.ranked)], wantsResults: true)
    let store = try make()
    let expected = try store.apply([query])[0]
    store.environment.omittedChecks = [.undoneForgotten]
    let hostile = Batch([
      Batch.Statement("INSERT INTO f(f, rank) VALUES('rank', 'bm25(0.0, 100.0)')"),
      Batch.Statement("SELECT count(*) FROM f"), Batch.Statement("INSERT INTO u VALUES(1)"),
    ])
    let outcomes = try store.apply([hostile, query])
    #expect(!outcomes[0].isApplied && outcomes[1] != expected)
  }
}

/// A virtual table that is made behind a savepoint is not told when SQLite goes back to that.
@Suite("A virtual table that an undone batch made and filled is gone with it")
struct UndoneVirtualTableTests {
  private static let create = "CREATE VIRTUAL TABLE f USING "
  private static let insert = "INSERT INTO f(x) VALUES('some words')"

  private func batch(_ statements: String...) -> Batch {
    Batch(statements.map { Batch.Statement($0) })
  }

  /// Alone, and in a group with others before and behind it.
  @Test(
    arguments: ["fts3(x)", "fts4(x)", "fts5(x)"],
    [
      "SELECT * FROM nosuch", "INSERT INTO u VALUES(1)", "INSERT OR ROLLBACK INTO u VALUES(1)",
      "INSERT INTO f_content DEFAULT VALUES",
      "INSERT INTO g(g, rank) VALUES('rank', 'nosuch()'); x",
      "INSERT INTO u SELECT randomblob(2000000000)",
    ])
  func itCostsItsBatchAlone(_ module: String, _ ending: String) throws {
    let store = try TestStore()
    let row = batch("INSERT INTO u VALUES(NULL)")
    #expect(
      try store.apply([
        batch(
          "CREATE TABLE u(a INTEGER PRIMARY KEY)", "INSERT INTO u VALUES(1)",
          "CREATE VIRTUAL TABLE g USING fts5(x)")
      ])[0].isApplied)
    let undone = Batch(
      [Self.create + module, Self.insert].map { Batch.Statement($0) }
        + ending.split(separator: "; ").map { Batch.Statement(String($0)) })
    #expect(try !store.apply([undone])[0].isApplied)
    let made = batch(Self.create + module, Self.insert)
    let outcomes = try store.apply([row, row, undone, row, undone, undone, made, row, undone])
    #expect(
      outcomes.map(\.isApplied) == [true, true, false, true, false, false, true, true, false])
    #expect(try store.query("SELECT x FROM f WHERE f MATCH 'words'") == [["some words"]])
    #expect(try store.query("SELECT count(*) FROM u") == [[5]])
  }

  /// It is undone, too, where it turns out to want a commit of its own.
  @Test func andComesAgainForACommitOfItsOwn() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE u(a INTEGER PRIMARY KEY)", "INSERT INTO u VALUES(1)")
    let row = batch("INSERT INTO u VALUES(NULL)")
    let analyzing = batch(Self.create + "fts5(x)", Self.insert, "ANALYZE")
    let outcomes = try store.apply([row, row, analyzing, row])
    #expect(outcomes.allSatisfy { $0.isApplied }, "\(outcomes)")
    #expect(try store.query("SELECT x FROM f WHERE f MATCH 'words'") == [["some words"]])
  }

  /// The check taken out: workers end in commits, until the batch is found and rejected for that.
  @Test func withoutTheCheckItCostsWorkers() throws {
    let store = try TestStore()
    store.environment.omittedChecks = [.undoneWithTransaction]
    try store.apply("CREATE TABLE u(a INTEGER PRIMARY KEY)")
    let row = batch("INSERT INTO u VALUES(NULL)")
    let undone = batch(Self.create + "fts5(x)", Self.insert, "SELECT * FROM nosuch")
    let outcomes = try store.apply([row, undone, row])
    #expect(outcomes.map(\.isApplied) == [true, false, true])
    #expect(outcomes[1].rejectionCode == Outcome.Rejection.Code.poisonous)
  }

  /// What is written for it when the batch ends is no change that the batch is told of.
  @Test func changesAreThoseOfItsStatements() throws {
    let store = try TestStore()
    let file = try PlainFile("CREATE VIRTUAL TABLE f USING fts5(x)")
    try store.apply("CREATE VIRTUAL TABLE f USING fts5(x)")
    let plain = try file.open()
    for _ in 0..<3 {
      try plain.execute("BEGIN")
      let before = plain.totalChanges
      try plain.execute(Self.insert)
      let changes = plain.totalChanges - before
      try plain.execute("COMMIT")
      guard case .applied(let applied) = try store.apply(Self.insert) else {
        Issue.record("not applied")
        return
      }
      #expect(applied.changes == changes)
    }
  }
}

@Suite("DDL costs the same beside virtual tables and views")
struct SchemaCostTests {
  /// `pragma_table_list` would compile each view, and this one takes 2^40 steps to compile.
  @Test func nestedViewsHoldNobodyUp() throws {
    let store = try TestStore()
    try store.apply("CREATE VIRTUAL TABLE f USING fts5(x)", "CREATE TABLE t(a)")
    var views = [Batch.Statement("CREATE VIEW v0 AS SELECT a FROM t")]
    for n in 1...40 {
      views.append(
        Batch.Statement(
          "CREATE VIEW v\(n) AS SELECT a FROM v\(n - 1) UNION ALL SELECT a FROM v\(n - 1)"))
    }
    #expect(try store.apply([Batch(views)])[0].isApplied)
    #expect(try store.apply("CREATE TABLE u(a)", "CREATE INDEX i ON u(a)").isApplied)
    #expect(
      try store.apply("CREATE TRIGGER e AFTER INSERT ON u BEGIN SELECT 1; END").isApplied)
  }

  /// Four times as many tables take four times as many steps, however they are made: what a statement looks
  /// at does not grow with what is there.
  @Test func eachStatementLooksAtWhatItChanges() throws {
    func steps(_ count: Int) throws -> Int {
      let store = try TestStore()
      try store.apply("CREATE VIRTUAL TABLE f USING fts5(x)")
      let statements = (0..<count).map {
        Batch.Statement("CREATE TABLE t\($0)(a INTEGER PRIMARY KEY, b REFERENCES t0(a))")
      }
      let writer = try store.writer()
      let receipt = try writer.submitBlocking(Batch(statements))
      let steps = try StepCounter.count { try store.drain() }
      #expect(
        try writer.outcomeBlocking(of: receipt, timeout: .seconds(60)).outcome.isApplied)
      return steps
    }
    let plain = try steps(250)
    let large = try steps(1000)
    #expect(plain > 250)
    #expect(large < plain * 9 / 2, "\(plain), \(large)")
  }

  /// As a ratio of the same work in the same moments, each the least of some: ALTER itself looks at all
  /// tables.
  @Test func alterCostsTheSameBesideVirtualTables() throws {
    func store(_ first: String) throws -> TestStore {
      let store = try TestStore()
      let tables = (0..<1000).map { "CREATE TABLE t\($0)(a, b REFERENCES t0(a))" }
      let batch = Batch(([first] + tables).map { Batch.Statement($0) })
      #expect(try store.apply([batch])[0].isApplied)
      return store
    }
    let stores = [
      try store("CREATE TABLE f(x)"), try store("CREATE VIRTUAL TABLE f USING fts5(x)"),
    ]
    var least = [Duration.seconds(1000), .seconds(1000)]
    for round in 0..<5 {
      for (i, store) in stores.enumerated() {
        let alter = Batch(
          (0..<40).map { Batch.Statement("ALTER TABLE t\($0) ADD COLUMN c\(round)") })
        let writer = try store.writer()
        let receipt = try writer.submitBlocking(alter)
        let clock = ContinuousClock()
        let took = try clock.measure { try store.drain() }
        #expect(try writer.outcomeBlocking(of: receipt, timeout: .seconds(60)).outcome.isApplied)
        least[i] = min(least[i], took)
      }
    }
    #expect(least[1] < least[0] + least[0] * 3 / 4, "\(least)")
  }

  @Test func nothingHangsOnShadowTables() throws {
    for sql in [
      "CREATE INDEX i ON f_content(c0)", "CREATE INDEX i ON \"F_Content\"(c0)",
      "CREATE TRIGGER g AFTER INSERT ON f_data BEGIN SELECT 1; END",
      "CREATE TABLE k(a REFERENCES f_data(id))", "CREATE TABLE k(a REFERENCES F_DATA(id))",
      "CREATE TABLE k(a); ALTER TABLE k ADD COLUMN b REFERENCES f_data(id)",
      "CREATE TABLE k(a REFERENCES g_data(id)); CREATE VIRTUAL TABLE g USING fts5(x)",
      "CREATE TABLE k(a REFERENCES h_data(id)); ALTER TABLE f RENAME TO h",
      "CREATE TABLE k(a REFERENCES h_data(id)); ALTER TABLE F RENAME TO h",
      "CREATE TABLE k(a); ALTER TABLE k RENAME TO m; ALTER TABLE m ADD COLUMN b REFERENCES f_data(id)",
      "CREATE TABLE k(a); ALTER TABLE k ADD COLUMN b REFERENCES _sluice_state(id); ALTER TABLE k RENAME TO m",
    ] {
      let store = try TestStore()
      try store.apply("CREATE VIRTUAL TABLE f USING fts5(x)", "INSERT INTO f VALUES('a')")
      let statements = sql.split(separator: "; ").map { Batch.Statement(String($0)) }
      let outcome = try store.apply([Batch(statements)])[0]
      #expect(!outcome.isApplied, "\(sql)")
      #expect(try store.apply("INSERT INTO f VALUES('b')").isApplied)
    }
  }
}
