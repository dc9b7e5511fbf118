import SluiceApplier
import SluiceJournal
import SluiceReader
import SluiceShared
import SluiceWriter
import Testing

private typealias Code = Outcome.Rejection.Code

/// FTS keeps what it is to write in memory until a savepoint begins or the transaction is committed, and
/// makes its table of statistics late, where there is none of that name. What a batch prepared under that
/// name would act in the next batch's time, or with the applier's rights.
@Suite("What a virtual table writes late is its own batch's affair")
struct DelayedWriteTests {
  private static let fill =
    "WITH RECURSIVE c(i) AS (VALUES(%) UNION ALL SELECT i + 1 FROM c WHERE i < % + 19999) INSERT INTO ft SELECT group_concat(hex(i * 7919) || 'w' || (i * 31) || 'abcdefghijklmnop', ' ') FROM c GROUP BY i / 20"

  private static func fill(_ number: Int) -> Batch {
    let pieces = fill.split(separator: "%", omittingEmptySubsequences: false)
    return Batch([Batch.Statement(pieces.joined(separator: "\(number * 20_000)"))])
  }

  private static let checked =
    "CREATE TABLE ft_stat(id INTEGER PRIMARY KEY, value BLOB, CHECK(id <> 1))"
  private static let viewed = [
    "CREATE VIEW ft_stat AS SELECT 1 AS id, NULL AS value WHERE 0",
    "CREATE TRIGGER harmless INSTEAD OF INSERT ON ft_stat BEGIN SELECT 1; END",
    "CREATE TRIGGER tr INSTEAD OF INSERT ON ft_stat WHEN new.id = 1 BEGIN UPDATE _sluice_writers SET sequence = sequence + 1000; INSERT INTO inno VALUES('by trigger'); END",
  ]

  /// An index is merged when a commit ends. By this clock each batch takes as long as a group may, so it has a commit of
  /// its own, however quick the machine is.
  private func hurriedStore() throws -> TestStore {
    let store = try TestStore()
    store.environment.clock = HurriedClock()
    return store
  }

  private func batch(_ statements: [String]) -> Batch {
    Batch(statements.map { Batch.Statement($0) })
  }

  // MARK: the name

  @Test(arguments: [
    [
      "CREATE VIEW ft_stat AS SELECT 1 AS id, NULL AS value",
      "CREATE VIRTUAL TABLE ft USING fts3(x)",
    ],
    [
      "CREATE VIEW FT_Stat AS SELECT 1 AS id, NULL AS value",
      "CREATE VIRTUAL TABLE ft USING fts4(x)",
    ],
    [checked, "CREATE VIRTUAL TABLE ft USING fts4(x)"],
    [
      "CREATE TABLE ft_stat(id INTEGER PRIMARY KEY, value BLOB DEFAULT (zeroblob(9)))",
      "CREATE VIRTUAL TABLE ft USING fts3(x)",
    ],
    [
      "CREATE VIEW g_stat AS SELECT 1 AS id, NULL AS value", "CREATE VIRTUAL TABLE h USING fts3(x)",
      "ALTER TABLE h RENAME TO g",
    ],
  ])
  func nothingElseHasTheName(_ statements: [String]) throws {
    let store = try TestStore()
    // In one batch, and in one each.
    #expect(try store.apply([batch(statements)])[0].rejectionCode == Code.denied)
    let outcomes = try store.apply(statements.map { batch([$0]) })
    #expect(outcomes.dropLast().allSatisfy { $0.isApplied })
    #expect(outcomes.last?.rejectionCode == Code.denied, "\(outcomes)")
    #expect(try store.apply("CREATE TABLE other(a)").isApplied)
  }

  @Test func whatIsNoFullTextTablesIsNobodysAffair() throws {
    let store = try TestStore()
    for sql in [
      "CREATE TABLE geo_stat(a, b CHECK(b > 0))", "CREATE VIRTUAL TABLE geo USING rtree(id, a, b)",
      "CREATE VIEW text_stat AS SELECT 1", "CREATE VIRTUAL TABLE text USING fts5(x)",
      "CREATE TABLE own_stat(id INTEGER PRIMARY KEY, value BLOB)",
      "CREATE VIRTUAL TABLE own USING fts4(x)", "INSERT INTO own(own) VALUES('automerge=4')",
      "INSERT INTO own VALUES('a b')", "ALTER TABLE own RENAME TO mine",
      "CREATE VIEW stat AS SELECT 1",
    ] {
      let outcome = try store.apply(sql)
      #expect(outcome.isApplied, "\(sql): \(outcome)")
    }
  }

  // MARK: the time

  /// Ten batches, until the index is merged for the first time; the tenth has what was prepared act.
  private func prepare(_ store: TestStore, _ statements: [String]) throws {
    store.environment.omittedChecks.insert(.shadowNames)
    let first = try store.apply([made(statements, "fts4")])
    #expect(first[0].isApplied, "\(first)")
  }

  private func made(_ statements: [String], _ module: String) -> Batch {
    batch(
      ["CREATE TABLE inno(x)"] + statements + [
        "CREATE VIRTUAL TABLE ft USING \(module)(x)", "INSERT INTO ft(ft) VALUES('automerge=4')",
      ])
  }

  private func outcomes(_ store: TestStore) throws -> (fills: [Outcome], honest: [Outcome]) {
    let honest = Batch([Batch.Statement("INSERT INTO inno VALUES('honest')")])
    let all = try store.apply((0..<12).flatMap { [Self.fill($0), honest] })
    return (
      stride(from: 0, to: 24, by: 2).map { all[$0] }, stride(from: 1, to: 24, by: 2).map { all[$0] }
    )
  }

  /// The batch whose writing fails is rejected, in one commit with others, and in one term.
  @Test func itFailsInItsOwnBatch() throws {
    let store = try hurriedStore()
    try prepare(store, [Self.checked])
    let (fills, honest) = try outcomes(store)
    #expect(honest.allSatisfy { $0.isApplied })
    #expect(fills.contains { $0.rejectionCode == "SQLITE_CONSTRAINT_CHECK" }, "\(fills)")
    #expect(try store.query("SELECT count(*) FROM inno") == [[12]])
  }

  /// Left to the next savepoint and to the commit it hurts nobody else either, though it costs workers.
  @Test func leftToTheCommitItHurtsNobodyElse() throws {
    let store = try hurriedStore()
    store.environment.omittedChecks = [.ownFlush]
    try prepare(store, [Self.checked])
    let (fills, honest) = try outcomes(store)
    #expect(honest.allSatisfy { $0.isApplied }, "\(honest)")
    #expect(fills.contains { $0.rejectionCode == Code.poisonous }, "\(fills)")
    #expect(try store.query("SELECT count(*) FROM inno") == [[12]])
  }

  /// What is done for a virtual table is done with the rights of a batch, whenever that is.
  @Test(arguments: [[], [SafetyCheck.ownFlush]])
  func nobodyHasTheAppliersRights(_ omitted: [SafetyCheck]) throws {
    let store = try robbed(omitted)
    #expect(try store.query("SELECT count(*) FROM inno WHERE x = 'by trigger'") == [[0]])
    #expect(
      try store.query("SELECT count(*) FROM _sluice_writers WHERE sequence >= 1000") == [[0]])
    let writer = try store.writer()
    for i in 0..<3 {
      let receipt = try writer.submitBlocking(
        Batch([Batch.Statement("INSERT INTO inno VALUES(?)", [.integer(Int64(i))])]))
      try store.drain()
      #expect(
        try writer.outcomeBlocking(of: receipt, timeout: .seconds(60)).outcome.isApplied)
    }
  }

  /// With the applier's rights the numbers of all writers were others, and their next batches repeats.
  @Test func withoutTheCheckSomebodyHas() throws {
    let store = try robbed([.ownFlush, .lateRights])
    #expect(try store.query("SELECT count(*) FROM inno WHERE x = 'by trigger'") != [[0]])
    #expect(
      try store.query("SELECT count(*) FROM _sluice_writers WHERE sequence >= 1000") != [[0]])
  }

  /// A store in which a trigger that writes Sluice's tables was to run when an index is merged.
  private func robbed(_ omitted: [SafetyCheck]) throws -> TestStore {
    let store = try hurriedStore()
    store.environment.omittedChecks = Set(omitted).union([.shadowNames])
    // Of another writer.
    #expect(try store.apply("CREATE TABLE other(a)").isApplied)
    // All in one term: a view keeps no setting for the next connection.
    let outcomes = try store.apply(
      [made(Array(Self.viewed[..<2]), "fts3"), batch([Self.viewed[2]])]
        + (0..<12).map(Self.fill))
    #expect(outcomes[0].isApplied && outcomes[1].isApplied, "\(outcomes)")
    return store
  }

  /// And so all works as it does in plain SQLite.
  @Test func anIndexThatIsMergedIsWhole() throws {
    let store = try hurriedStore()
    #expect(
      try store.apply(
        "CREATE VIRTUAL TABLE ft USING fts4(x)", "INSERT INTO ft(ft) VALUES('automerge=4')"
      ).isApplied)
    for outcome in try store.apply((0..<12).map(Self.fill)) { #expect(outcome.isApplied) }
    #expect(try store.query("SELECT count(*) FROM ft_stat WHERE id = 1") == [[1]])
    #expect(
      try store.apply(
        "INSERT INTO ft(ft) VALUES('merge=50,4')", "INSERT INTO ft(ft) VALUES('integrity-check')"
      ).isApplied)
  }
}

@Suite("What plain SQLite takes is taken")
struct PlainStatementTests {
  @Test(arguments: [
    "ANALYZE t", "ANALYZE main.t", "analyze i", "/* all */ -- of it\n ANALYZE", "ANALYZE main",
  ])
  func analyze(_ sql: String) throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a, b)", "CREATE INDEX i ON t(a)", "INSERT INTO t VALUES(1, 2)")
    for _ in 0..<2 {
      let outcomes = try store.apply([
        Batch([Batch.Statement("INSERT INTO t VALUES(3, 4)")]), Batch([Batch.Statement(sql)]),
        Batch([Batch.Statement("INSERT INTO t VALUES(5, 6)")]),
      ])
      #expect(outcomes.allSatisfy { $0.isApplied }, "\(outcomes)")
    }
    #expect(try store.query("SELECT count(*) FROM sqlite_stat1 WHERE tbl = 't'") != [[0]])
    #expect(
      try store.apply("DELETE FROM sqlite_stat1").rejectionCode == Outcome.Rejection.Code.denied)
  }

  /// The text of a schema may be longer than a statement that is submitted.
  @Test func aLongSchema() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a)")
    let half = String(repeating: "x", count: 700_000)
    for name in ["b", "c", "d"] {
      let outcome = try store.apply("ALTER TABLE t ADD COLUMN \(name) DEFAULT '\(half)'")
      #expect(outcome.isApplied, "\(outcome)")
    }
    #expect(try store.apply("INSERT INTO t(a) VALUES(1)").isApplied)
    #expect(try store.query("SELECT length(d) FROM t") == [[700_000]])
  }
}
