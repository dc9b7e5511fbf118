import SluiceJournal
import SluiceReader
import SluiceShared
import Testing

@testable import SluiceApplier

private typealias Code = Outcome.Rejection.Code

/// SQLite keeps a schema's names by their hashes: a connection that was opened anew has another order.
@Suite("No batch sees an order that only its connection has")
struct OrderTests {
  private static let order =
    "INSERT INTO t SELECT group_concat(name) FROM pragma_table_list WHERE name LIKE 'u%'"

  @Test func whatHasNoOrderIsRefused() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a PRIMARY KEY)", "CREATE TABLE c(a REFERENCES t(a))")
    for sql in [
      Self.order, "PRAGMA table_list", "PRAGMA main.table_list",
    ] {
      #expect(try store.apply(sql).rejectionCode == Code.denied, "\(sql)")
    }
    for sql in [
      "PRAGMA table_list(t)", "PRAGMA foreign_key_check", "PRAGMA foreign_key_check(c)",
      "SELECT * FROM pragma_table_list('t')", "SELECT * FROM pragma_foreign_key_check('c')",
    ] {
      #expect(try store.apply(sql).isApplied, "\(sql)")
    }
    let summary = try Replay.run(
      RecordedHistory(store: store.path, store.environment), into: "\(store.path)/again.sqlite")
    #expect(summary.batches == 9)
  }

  /// An earlier version let it through. The feed begins on a connection of its own.
  @Test func theFeedGoesOnBehindIt() throws {
    let store = try TestStore()
    store.environment.omittedChecks = [.ordered]
    var batches = [Batch([Batch.Statement("CREATE TABLE t(a)")])]
    batches += (0..<40).map { Batch([Batch.Statement("CREATE TABLE u\($0)(a)")]) }
    batches += (0..<38).map { Batch([Batch.Statement("DROP TABLE u\($0)")]) }
    try store.apply(batches + [Batch([Batch.Statement(Self.order)])])
    try store.apply("INSERT INTO t VALUES('next')")
    store.environment.omittedChecks = []
    let last = try store.present().beacon.extent.txid
    let feed = try RowFeed(
      path: store.path, from: TxID(last.rawValue - 1), environment: store.environment)
    var told: [RowFeed.Entry] = []
    try feed.advance { told.append($0) }
    #expect(told.count == 2 && told.last?.changes?.count == 1)
  }

  /// `PRAGMA table_list` compiles each view, and these take 2^40 steps to compile.
  @Test(.timeLimit(.minutes(5))) func viewsDoNotHoldUpTheFeed() throws {
    let store = try TestStore()
    var views = ["CREATE TABLE t(a)", "CREATE VIEW v0 AS SELECT a FROM t"]
    views += (1...40).map {
      "CREATE VIEW v\($0) AS SELECT a FROM v\($0 - 1) UNION ALL SELECT a FROM v\($0 - 1)"
    }
    try store.apply([Batch(views.map { Batch.Statement($0) })])
    try store.apply(
      "CREATE TABLE w(k PRIMARY KEY, a ANY) WITHOUT ROWID",
      "CREATE TABLE s(a ANY, b INT PRIMARY KEY) STRICT", "CREATE TABLE n(a ANY)")
    try store.apply(
      "INSERT INTO w VALUES('k', 1)", "INSERT INTO s VALUES('2', 3)", "INSERT INTO n VALUES('2')")
    let feed = try RowFeed(path: store.path, from: TxID(3), environment: store.environment)
    var told: [RowChange] = []
    try feed.advance { told += $0.changes ?? [] }
    #expect(told.map(\.table) == ["w", "s", "n"])
    #expect(told.map { $0.rowID == nil } == [true, false, false])
    #expect(told.map { $0.new?.first { $0.name == "a" }?.value } == [1, "2", 2])
  }
}
