import SluiceApplier
import SluiceJournal
import SluiceSQLite
import SluiceShared
import Testing

private typealias Code = Outcome.Rejection.Code

@Suite("Foreign keys hold from where a batch turns them on or off, and are the store's after it")
struct ForeignKeyTests {
  private static let schema = [
    "CREATE TABLE p(a INTEGER PRIMARY KEY, b)",
    "CREATE TABLE c(a INTEGER PRIMARY KEY, p REFERENCES p(a) ON DELETE CASCADE)",
    "CREATE TABLE d(a INTEGER PRIMARY KEY, p REFERENCES p(a) DEFERRABLE INITIALLY DEFERRED)",
    "INSERT INTO p VALUES (1, 'one')", "INSERT INTO c VALUES (10, 1), (11, 1)",
  ]
  /// A statement that turns nothing, and what is turned before the next.
  private enum Step {
    case sql(String)
    case turn(SettingSwitch.Setting, Bool)
  }

  private func batch(_ steps: [Step], _ check: ForeignKeyCheck = .whereOff) -> Batch {
    var batch = Batch([], foreignKeyCheck: check)
    for step in steps {
      switch step {
      case .sql(let sql): batch.statements.append(Batch.Statement(sql))
      case .turn(let setting, let on):
        batch.switches.append(
          SettingSwitch(setting, on: on, beforeStatement: batch.statements.count))
      }
    }
    return batch
  }

  private func store(foreignKeys: Bool = true) throws -> TestStore {
    var creation = StoreCreation()
    creation.foreignKeys = foreignKeys
    let store = try TestStore(creation)
    try store.apply([Batch(Self.schema.map { Batch.Statement($0) })])
    return store
  }

  private let off = Step.turn(.foreignKeys, false)
  private let on = Step.turn(.foreignKeys, true)
  private let replace = Step.sql("REPLACE INTO p VALUES (1, 'new')")

  @Test("A statement has the foreign keys of its place, as in SQLite itself")
  func place() throws {
    for (steps, left) in [
      ([replace], 0), ([off, replace], 2), ([off, .sql("SELECT 1"), on, replace], 0),
      // The same text before and after, from the cache.
      ([off, replace, on, replace], 0), ([replace, off, replace], 0),
    ] as [([Step], Int64)] {
      let store = try store()
      #expect(try store.apply([batch(steps)])[0].isApplied)
      #expect(try store.query("SELECT count(*) FROM c") == [[.integer(left)]], "\(steps)")
      #expect(try plain(steps) == left)
    }
  }

  /// What is left in `c` where SQLite alone does it, each statement a transaction.
  private func plain(_ steps: [Step]) throws -> Int64 {
    let connection = try Connection(path: ":memory:", flags: [.readWrite, .create])
    try connection.execute("PRAGMA foreign_keys=ON;" + Self.schema.joined(separator: ";"))
    for step in steps {
      switch step {
      case .sql(let sql): try connection.execute(sql)
      case .turn(_, let on): try connection.execute("PRAGMA foreign_keys=\(on ? "ON" : "OFF")")
      }
    }
    guard case .integer(let count)? = try connection.scalar("SELECT count(*) FROM c") else {
      return -1
    }
    return count
  }

  @Test("Whatever was turned, the next batch of the group and of the next has the store's")
  func nothingIsLeft() throws {
    let store = try store()
    let dangling = Batch([Batch.Statement("INSERT INTO c(p) VALUES (99)")])
    let turned = [
      batch([off, .sql("INSERT INTO p VALUES (2, 'two')")]),
      batch([off, .sql("INSERT INTO p VALUES (2, 'again')")]),
      batch([off, .sql("SELECT nothing")]),
      batch([off, .sql("INSERT OR ROLLBACK INTO p VALUES (2, 'again')")]),
      batch([off, .sql("INSERT INTO c(p) VALUES (77)")]),
      batch(
        [off, .turn(.legacyAlterTable, true), .sql("INSERT INTO c(p) VALUES (78)")], .byLaterBatch),
      batch([.sql("DELETE FROM c WHERE p = 78")]),
      Batch([Batch.Statement("SELECT 1")], checksForeignKeysAtEnd: true),
    ]
    let code = "SQLITE_CONSTRAINT_FOREIGNKEY"
    let outcomes = try store.apply(turned.flatMap { [$0, dangling] })
    #expect(
      outcomes.map(\.rejectionCode) == [
        nil, code, "SQLITE_CONSTRAINT_PRIMARYKEY", code, "SQLITE_ERROR", code,
        "SQLITE_CONSTRAINT_PRIMARYKEY", code, Code.foreignKey, code, nil, code, nil, code, nil,
        code,
      ])
    #expect(try store.apply([dangling])[0].rejectionCode == code)
  }

  @Test("The turning back left out: the next batch has no foreign keys")
  func withoutTheEndASettingStays() throws {
    let store = try store()
    store.environment.omittedChecks = [.settingsEnd]
    let outcomes = try store.apply([
      batch([off, .sql("SELECT 1")]), Batch([Batch.Statement("INSERT INTO c(p) VALUES (99)")]),
    ])
    #expect(outcomes.map(\.isApplied) == [true, true])
  }

  @Test("At the end of a batch that turned them off all of the database's are looked at")
  func judgedAtTheEnd() throws {
    let store = try store()
    let disordered: [Step] = [
      off, .sql("INSERT INTO c VALUES (20, 5)"), on, .sql("INSERT INTO p VALUES (5, 'five')"),
    ]
    #expect(try store.apply([batch(disordered)])[0].isApplied)
    let outcomes = try store.apply([
      batch([off, .sql("INSERT INTO c VALUES (30, 6)"), on, .sql("INSERT INTO p VALUES (7, '')")]),
      // Nothing is violated when they go off, as where a script's COMMIT stands before it.
      batch([.sql("INSERT INTO d VALUES (1, 8)"), off, .sql("INSERT INTO p VALUES (8, '')")]),
      // A deferred one of before, which SQLite's counter has.
      batch([off, .sql("SELECT 1"), on, .sql("INSERT INTO d VALUES (1, 8)")]),
    ])
    #expect(outcomes.map(\.rejectionCode) == [Code.foreignKey, Code.foreignKey, Code.foreignKey])
    guard case .rejected(let rejection) = outcomes[0] else { return }
    #expect(
      rejection.message
        == "1 row violates a foreign key at the batch's end, the first: in table c, rowid 30, which refers to p"
    )
  }

  @Test("Pieces that belong together are judged at the end of the last")
  func pieces() throws {
    let store = try store()
    let child = batch([off, .sql("INSERT INTO c VALUES (20, 5)")], .byLaterBatch)
    let parent = batch([off, .sql("INSERT INTO p VALUES (5, 'five')")], .all)
    #expect(try store.apply([child, parent]).map(\.isApplied) == [true, true])
    let lonely = batch([off, .sql("INSERT INTO c VALUES (21, 6)")], .byLaterBatch)
    let last = batch([.sql("INSERT INTO p VALUES (7, 'seven')")], .all)
    #expect(try store.apply([lonely, last]).map(\.rejectionCode) == [nil, Code.foreignKey])
    // It goes on from there, under another key, when the parent is there.
    let mended = batch([.sql("INSERT INTO p VALUES (6, 'six')")], .all)
    #expect(try store.apply([mended]).map(\.rejectionCode) == [nil])
  }

  @Test("A store without foreign keys checks none, and nobody turns them on")
  func without() throws {
    let store = try store(foreignKeys: false)
    let dangling = Step.sql("INSERT INTO c(p) VALUES (99)")
    let outcomes = try store.apply([
      batch([off, dangling]), batch([on, dangling]), batch([dangling], .all),
      Batch([Batch.Statement("INSERT INTO c(p) VALUES (99)")], checksForeignKeysAtEnd: true),
    ])
    #expect(outcomes.map(\.isApplied) == [true, true, true, true])
  }

  /// Turned off it makes SQLite forget, which table rebuilds for D1 rely on.
  @Test("What SQLite is made to forget is looked at all the same")
  func forgetting() throws {
    let store = try store()
    try store.apply("CREATE TABLE e(p REFERENCES p(a))", "INSERT INTO e VALUES (1), (1)")
    let deferring = Step.sql("PRAGMA defer_foreign_keys=ON")
    let ending = Step.sql("PRAGMA defer_foreign_keys=OFF")
    let rebuild: [Step] = [
      .sql("CREATE TABLE new_p(a INTEGER PRIMARY KEY, b, more)"),
      .sql("INSERT INTO new_p(a, b) SELECT a, b FROM p"), .sql("DROP TABLE p"),
      .sql("ALTER TABLE new_p RENAME TO p"),
    ]
    let outcomes = try store.apply([
      batch([deferring, .sql("INSERT INTO c(p) VALUES (99)"), ending]),
      batch([deferring, .sql("INSERT INTO c(p) VALUES (99); PRAGMA defer_foreign_keys=OFF")]),
      batch([deferring] + rebuild), batch([deferring] + rebuild + [ending]),
      batch([.sql("INSERT INTO c(p) VALUES (99)")]),
    ])
    #expect(
      outcomes.map(\.rejectionCode) == [
        Code.foreignKey, "SQLITE_ERROR", Code.foreignKey, nil, "SQLITE_CONSTRAINT_FOREIGNKEY",
      ])
    #expect(try store.query("SELECT more, count(*) FROM p JOIN e ON e.p = p.a") == [[.null, 2]])
  }

  /// Renamed away and made anew: with it the references stay with the name.
  @Test("Tables are altered as of old where a batch says so")
  func legacyAlterTable() throws {
    let store = try store()
    let rebuild: [Step] = [
      .sql("ALTER TABLE p RENAME TO old"),
      .sql("CREATE TABLE p(a INTEGER PRIMARY KEY, b, more)"),
      .sql("INSERT INTO p(a, b) SELECT a, b FROM old"), .sql("DROP TABLE old"),
    ]
    #expect(try store.apply([batch([off, .turn(.legacyAlterTable, true)] + rebuild)])[0].isApplied)
    #expect(
      try store.query("SELECT DISTINCT \"table\" FROM pragma_foreign_key_list('c')") == [["p"]])
    try store.apply("ALTER TABLE p RENAME TO q")
    #expect(
      try store.query("SELECT DISTINCT \"table\" FROM pragma_foreign_key_list('c')") == [["q"]])
  }

  @Test("A batch can ask which foreign keys are violated")
  func asking() throws {
    let store = try store()
    let outcome = try store.apply([
      Batch(
        [.init("PRAGMA foreign_key_check"), .init("PRAGMA foreign_key_check(c)")],
        guards: [.init("SELECT count(*) = 0 FROM pragma_foreign_key_check")], wantsResults: true)
    ])[0]
    #expect(outcome == .applied(.init(changes: 0, lastRowID: 0, rows: [])))
  }
}

@Suite("AUTOINCREMENT at its end is told as what it is")
struct RowIDEndTests {
  @Test func theLargestRowIDIsNoWantOfSpace() throws {
    let store = try TestStore()
    try store.apply(
      "CREATE TABLE t(a INTEGER PRIMARY KEY AUTOINCREMENT, b)", "CREATE TABLE u(a)",
      "INSERT INTO t VALUES (9223372036854775807, 1)")
    let good = Batch([Batch.Statement("INSERT INTO u VALUES (1)")])
    let outcomes = try store.apply([
      good, Batch([Batch.Statement("INSERT INTO t(b) VALUES (2)")]), good,
      // Several rows at once have a savepoint of their own, and leave the transaction.
      Batch([Batch.Statement("INSERT INTO t(b) SELECT 1 UNION ALL SELECT 2")]), good,
    ])
    #expect(outcomes.map(\.rejectionCode) == [nil, "SQLITE_FULL", nil, "SQLITE_FULL", nil])
    #expect(try store.query("SELECT count(*) FROM u") == [[3]])
    guard case .rejected(let rejection) = outcomes[1] else { return }
    #expect(
      rejection.message.hasPrefix("statement 1: database or disk is full: the largest rowid")
        && rejection.message.contains("AUTOINCREMENT") && !rejection.message.contains("scratch"))
  }
}
