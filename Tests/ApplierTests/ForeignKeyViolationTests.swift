import SluiceApplier
import SluiceJournal
import SluiceSQLite
import SluiceShared
import Testing

private typealias Code = Outcome.Rejection.Code

@Suite("A foreign key that was violated before is in no batch's way, and what a batch adds is")
struct ForeignKeyViolationTests {
  private static let schema = """
    CREATE TABLE p(a INTEGER PRIMARY KEY, b);
    CREATE TABLE c(k, p REFERENCES p(a));
    CREATE TABLE d(a INTEGER PRIMARY KEY, p REFERENCES p(a) DEFERRABLE INITIALLY DEFERRED);
    CREATE TABLE w(a TEXT PRIMARY KEY, p REFERENCES p(a)) WITHOUT ROWID;
    CREATE TABLE rowid(rowid, _rowid_, oid, p REFERENCES p(a));
    INSERT INTO p VALUES (1, 'one');
    INSERT INTO c(rowid, k, p) VALUES (1, 'good', 1), (5, 'bad', 98), (7, 'bad', 99), (8, 'bad', 99);
    INSERT INTO w VALUES ('good', 1), ('bad', 99);
    INSERT INTO rowid VALUES (1, 2, 3, 99);
    """
  /// How many rows of the schema above violate a foreign key.
  private static let violated = 5

  /// A store that begins with these violations; what `init` told goes to `note`.
  private func store(_ more: String = "", note: @escaping @Sendable (String) -> Void = { _ in })
    throws -> TestStore
  {
    let place = try TestStore()
    let source = "\(place.path)/source.sqlite"
    let connection = try Connection(path: source, flags: [.readWrite, .create])
    try connection.execute(Self.schema + more)
    try connection.close()
    var creation = StoreCreation()
    creation.source = source
    creation.note = note
    return try TestStore(creation)
  }

  private func off(_ statements: String..., check: ForeignKeyCheck = .whereOff) -> Batch {
    var batch = Batch(statements.map { Batch.Statement($0) }, foreignKeyCheck: check)
    batch.switches = [SettingSwitch(.foreignKeys, on: false, beforeStatement: 0)]
    return batch
  }

  private func dump(_ statements: String...) -> Batch {
    Batch(statements.map { Batch.Statement($0) }, checksForeignKeysAtEnd: true)
  }

  @Test("A batch without foreign keys that adds none is applied, as SQLite would")
  func addsNone() throws {
    let store = try store()
    let batches = [
      off("SELECT 1"), off("INSERT INTO p VALUES (2, 'two')"), dump("UPDATE c SET k = 'still'"),
      // The rows have other rowids afterwards.
      off(
        "CREATE TABLE new_c(more, k, p REFERENCES p(a))",
        "INSERT INTO new_c(k, p) SELECT k, p FROM c", "DROP TABLE c",
        "ALTER TABLE new_c RENAME TO c"),
      // The same again, in other places.
      off(
        "CREATE TABLE kept AS SELECT k, p FROM c", "DELETE FROM c",
        "INSERT INTO c(k, p) SELECT k, p FROM kept ORDER BY p DESC", "DROP TABLE kept"),
      off("UPDATE w SET p = p + 0"), off("UPDATE rowid SET oid = 4"),
      // One less.
      off("DELETE FROM c WHERE p = 98"),
    ]
    #expect(try store.apply(batches).map(\.rejectionCode) == batches.map { _ in nil })
    #expect(
      try store.query("SELECT count(*) FROM pragma_foreign_key_check") == [
        [.integer(Int64(Self.violated - 1))]
      ])
  }

  @Test("What it adds rejects it, also in the place of what it takes away")
  func adds() throws {
    let store = try store()
    let batches = [
      off("INSERT INTO c VALUES ('new', 97)"), off("INSERT INTO c VALUES ('another', 99)"),
      off("DELETE FROM c WHERE p = 98", "INSERT INTO c VALUES ('new', 97)"),
      off("INSERT INTO w VALUES ('new', 99)"), off("INSERT INTO rowid VALUES (1, 2, 3, 4)"),
      off("DROP TABLE p"), dump("UPDATE c SET p = 96 WHERE k = 'good'"),
    ]
    let outcomes = try store.apply(batches)
    #expect(outcomes.map(\.rejectionCode) == batches.map { _ in Code.foreignKey })
    guard case .rejected(let rejection) = outcomes[2] else { return }
    #expect(
      rejection.message
        == "1 row violates a foreign key at the batch's end, the first: in table c, rowid 9, which refers to p; beside 5 that did before the batch, which do not count"
    )
    #expect(try store.query("SELECT count(*) FROM c") == [[4]])
  }

  @Test("So it is where SQLite is made to forget what was deferred")
  func forgetting() throws {
    let store = try store()
    let defers = "PRAGMA defer_foreign_keys=ON"
    let ends = "PRAGMA defer_foreign_keys=OFF"
    let outcomes = try store.apply(
      [
        [defers, "INSERT INTO c VALUES ('new', 97)", ends],
        [defers, "DELETE FROM p", "INSERT INTO p VALUES (1, 'again')", ends],
        ["/* none */ \(defers)", "UPDATE c SET p = 97 WHERE p = 98", "-- none\n\(ends)"],
        [defers, "DELETE FROM c WHERE k = 'bad'", ends, ends],
      ].map { Batch($0.map { Batch.Statement($0) }) })
    #expect(outcomes.map(\.rejectionCode) == [Code.foreignKey, nil, Code.foreignKey, nil])
  }

  /// SQLite passes over what stands before the first word, however much that is.
  @Test(
    "Also where the PRAGMA is hard to recognize",
    arguments: [";", "\u{FEFF}", "/* \(String(repeating: "-", count: 5000)) */", "; ;"])
  func forgettingUnseen(before: String) throws {
    let store = try store()
    let outcomes = try store.apply([
      Batch(
        [
          "\(before)PRAGMA defer_foreign_keys=ON", "INSERT INTO c VALUES ('new', 97)",
          "\(before)PRAGMA defer_foreign_keys=OFF",
        ].map { Batch.Statement($0) })
    ])
    #expect(outcomes.map(\.isApplied) == [false])
  }

  @Test("A table whose foreign keys do not fit is in the way only of who made it so")
  func mismatch() throws {
    let odd = "CREATE TABLE q(a); CREATE TABLE e(q REFERENCES q(a)); INSERT INTO e VALUES (1);"
    let store = try store(odd)
    let outcomes = try store.apply([
      off("SELECT 1"), off("INSERT INTO p VALUES (3, 'three')"),
      off("CREATE TABLE f(p REFERENCES q(a))"),
    ])
    #expect(outcomes.map(\.rejectionCode) == [nil, nil, Code.foreignKey])
  }

  @Test("The last piece of a script answers for what all its pieces added, and for nothing before")
  func pieces() throws {
    let store = try store()
    let child = off("INSERT INTO c VALUES ('new', 6)", check: .byLaterBatch)
    let other = off("INSERT INTO c VALUES ('other', 7)", check: .byLaterBatch)
    let parent = off("INSERT INTO p VALUES (6, 'six')", check: .all)
    // Another writer's, and another term's, as where an import goes on when it is run again.
    #expect(try store.apply([child])[0].isApplied)
    #expect(try store.apply([other])[0].isApplied)
    // Of another script meanwhile: what the pieces did is what was there before it.
    #expect(try store.apply([off("INSERT INTO p VALUES (2, 'two')")])[0].isApplied)
    guard case .rejected(let rejection) = try store.apply([parent])[0] else {
      return #expect(Bool(false), "nobody judged the piece of another term")
    }
    #expect(rejection.message.hasPrefix("1 row violates a foreign key"))
    #expect(
      rejection.message.hasSuffix(
        "rowid 10, which refers to p; beside 5 that did before the first piece of its script, which do not count"
      ))
    // Nothing of the rejected piece is there, and it is the last one's turn still.
    let both = off("INSERT INTO p VALUES (6, 'six'), (7, 'seven')", check: .all)
    #expect(try store.apply([both])[0].isApplied)
    // The next import begins anew, and what it adds is found.
    #expect(try store.apply([off("SELECT 1", check: .all)])[0].isApplied)
    let lonely = off("INSERT INTO c VALUES ('lonely', 8)", check: .byLaterBatch)
    #expect(
      try store.apply([lonely, off("SELECT 1", check: .all)]).map(\.rejectionCode) == [
        nil, Code.foreignKey,
      ])
    #expect(
      try store.query("SELECT typeof(key), length(hash) FROM _sluice_keys") == [
        ["blob", .integer(Int64(8 + 8 * Self.violated))]
      ])
    // Replayed, it comes to the same.
    _ = try Replay.run(
      RecordedHistory(store: store.path, store.environment), into: "\(store.path)/replayed.sqlite")
  }

  @Test(
    "A script of which no piece came for a day is given up", arguments: [(23, false), (25, true)])
  func givenUp(hours: Int, isGivenUp: Bool) throws {
    let store = try store()
    let clock = ShiftedClock()
    store.environment.fileSystem = DatingFileSystem(store.environment.fileSystem, clock)
    store.environment.clock = clock
    let piece = { (n: Int) in self.off("INSERT INTO c VALUES ('piece', \(n))", check: .byLaterBatch)
    }
    #expect(try store.apply([piece(101)])[0].isApplied)
    clock.advance(by: .seconds(20 * 3600))
    #expect(try store.apply([piece(102)])[0].isApplied)
    clock.advance(by: .seconds(hours * 3600))
    let last = try store.apply([off("SELECT 1", check: .all)])[0]
    #expect(last.rejectionCode == (isGivenUp ? nil : Code.foreignKey))
    try store.apply([Batch([Batch.Statement("SELECT 1")])])
    #expect(try store.query("SELECT count(*) FROM _sluice_keys") == [[isGivenUp ? 0 : 1]])
  }

  @Test("init tells of them")
  func told() throws {
    let notes = Monitor<[String]>([])
    _ = try store(note: { note in notes.withLock { $0.append(note) } })
    #expect(
      notes.withLock { $0 } == [
        "5 rows violate foreign keys, the first: in table c, rowid 5, which refers to p; they are taken over as they are, and stand in no batch's way; PRAGMA foreign_key_check lists them"
      ])
  }
}
