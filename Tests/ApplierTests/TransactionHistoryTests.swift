import SluiceEdits
import SluiceJournal
import SluiceQuery
import SluiceReader
import SluiceSQLite
import SluiceShared
import SluiceWriter
import Testing

@testable import SluiceApplier

@Suite(
  "Interactive transactions are history like batches, of which the pages are taken as recorded")
struct TransactionHistoryTests {
  private typealias Code = Outcome.Rejection.Code

  /// Batches 1 to 8, a term each: SQL, a transaction, SQL on what it made, a turn asked for and given back, a
  /// transaction that changes the schema, one that comes too late, and SQL.
  private func worked() throws -> TestStore {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
    let late = try edited(store, "INSERT INTO t VALUES(99, 'late')")
    #expect(
      try commit(store, edited(store, "INSERT INTO t VALUES(1, 'pages'), (2, 'pages')")).isApplied)
    #expect(try store.apply("UPDATE t SET v = v || random() WHERE id = 2").isApplied)
    #expect(try store.apply([Batch(.requestTurn)])[0].isApplied)
    #expect(try store.apply([Batch(.cancelTurn)])[0].isApplied)
    #expect(
      try commit(store, edited(store, "CREATE TABLE u(x UNIQUE); INSERT INTO u SELECT v FROM t"))
        .isApplied)
    #expect(try commit(store, late).rejectionCode == Code.conflict)
    #expect(try store.apply("INSERT INTO u VALUES('batch')").isApplied)
    return store
  }

  private func edited(_ store: TestStore, _ sql: String) throws -> EditedSnapshot {
    let made = try EditedSnapshot(
      try PageStore(path: store.path, environment: store.environment).snapshot(.latest))
    try made.execute(sql)
    try made.take()
    return made
  }

  private func commit(_ store: TestStore, _ edited: EditedSnapshot) throws -> Outcome {
    try store.apply([Batch(.commit(try edited.batch()))])[0]
  }

  private func replayed(_ store: TestStore, from: TxID? = nil, to: HistoryPoint? = nil) throws
    -> (summary: Replay.Summary, rows: [[SQLValue]])
  {
    let path = "\(store.path)/replayed-\(store.environment.random()).sqlite"
    let summary = try Replay.run(
      RecordedHistory(store: store.path, store.environment), into: path, from: from, to: to)
    let database = try Connection(path: path, flags: [.readOnly])
    let statement = try database.prepare("SELECT id, v FROM t ORDER BY id")
    var rows: [[SQLValue]] = []
    while try statement.step() { rows.append(statement.row) }
    return (summary, rows)
  }

  @Test("Executed again it is the same, from any checkpoint and up to any batch")
  func replay() throws {
    let store = try worked()
    let rows = try store.query("SELECT id, v FROM t ORDER BY id")
    let whole = try replayed(store)
    #expect(whole.summary.batches == 8 && whole.summary.takenPages == 2)
    #expect(whole.summary.samePages == whole.summary.commits)
    #expect(whole.rows == rows)
    for (last, taken, count) in [(1, 0, 0), (2, 1, 2), (5, 1, 2), (6, 2, 2)] {
      let part = try replayed(store, to: .txid(TxID(UInt64(last))))
      #expect(part.summary.takenPages == UInt64(taken) && part.rows.count == count, "\(last)")
    }
  }

  @Test("The rows of batches beside them are told, and theirs as well")
  func rows() throws {
    let store = try worked()
    for first in [1, 2, 3, 7] {
      var told: [Int?] = []
      let feed = try RowFeed(
        path: store.path, from: TxID(UInt64(first)), environment: store.environment)
      try feed.advance { told.append($0.changes?.count) }
      // The refused one and the turn changed nothing.
      let all: [Int?] = [0, 2, 1, 0, 0, 2, 0, 1]
      #expect(told == Array(all[(first - 1)...]), "from \(first)")
    }
  }

  @Test("A batch behind them that comes to something else on their pages is a difference")
  func difference() throws {
    let store = try worked()
    var log = try ForgedLog(store.layout, store.environment)
    try log.change(commit: 8) { sections in
      try sections.outcomes { outcomes in
        outcomes[0].outcome = .applied(Outcome.Applied(changes: 7, lastRowID: 1, rows: nil))
      }
    }
    try log.write(store.environment)
    let error = #expect(throws: StoreError.self) { try replayed(store) }
    #expect(error?.code == .damaged && error?.message.contains("batch 8") == true)
  }
}
