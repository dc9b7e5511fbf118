import BenchmarkSupport
import CSQLite
import SluiceApplier
import SluiceJournal
import SluiceQuery
import SluiceReader
import SluiceShared
import SluiceWriter

private let pointQuery = "SELECT text FROM items WHERE id = ?"
private let items: Int64 = 10_000

/// Row 7: all queries in one read transaction, against SQLite on a plain file, which locks and
/// unlocks it for each.
func pinnedQueries(_ work: WorkDirectory) throws -> Round {
  let (database, plain) = try sameContent(work)
  let count = 200_000
  let warm = try query(database, .latest, inOneTransaction: true, count / 10)
  guard warm > 0 else { throw RunError("no time passed") }
  let ours = try query(database, .latest, inOneTransaction: true, count)
  let baseline = try plainQueries(plain, count)
  return Round(ours: Double(count) / ours * 1e9, baseline: Double(count) / baseline * 1e9)
}

/// Row 8: each query in a read transaction of its own that sees what is published now.
func latestQueries(_ work: WorkDirectory) throws -> Round {
  let (database, plain) = try sameContent(work)
  let count = 50_000
  _ = try query(database, .latest, inOneTransaction: false, count / 10)
  let ours = try query(database, .latest, inOneTransaction: false, count)
  let bounded = try query(database, .maxStaleness(.seconds(60)), inOneTransaction: false, count)
  let baseline = try plainQueries(plain, count)
  return Round(
    ours: Double(count) / ours * 1e9, baseline: Double(count) / baseline * 1e9,
    notes: [("with max_staleness", rate(Double(count) / bounded * 1e9))])
}

/// A store whose pages are half in its checkpoint and half in the log, and a plain database.
private func sameContent(_ work: WorkDirectory) throws -> (Database, PlainSQLite) {
  let plain = try PlainSQLite(work["plain.sqlite"])
  try plain.execute(
    """
    CREATE TABLE items(id INTEGER PRIMARY KEY, text TEXT);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < \(items))
    INSERT INTO items SELECT i, 'item ' || i || ' of a table of items, each some eighty bytes long, as rows are' FROM n
    """)
  let store = work["store"]
  var creation = StoreCreation()
  creation.source = work["plain.sqlite"]
  try creation.make(at: store)
  let change = "UPDATE items SET text = upper(text) WHERE id <= \(items / 2)"
  try plain.execute(change)
  let (_, results) = try Writer.submitOnce(store: store, [Batch([Batch.Statement(change)])])
  for result in results { _ = try result.get() }
  try Applier(path: store, options: quietOptions(drains: true)).run(shouldStop: { false })
  return (try Database(path: store), plain)
}

/// Nanoseconds that `count` queries take.
private func query(
  _ database: Database, _ freshness: Freshness, inOneTransaction: Bool, _ count: Int
) throws -> Double {
  var bytes = 0
  func step(_ transaction: ReadTransaction, _ i: Int) throws {
    if case .text(let text)? = try transaction.scalar(pointQuery, [.integer(itemID(i))]) {
      bytes += text.utf8.count
    }
  }
  let time = try nanoseconds {
    if inOneTransaction {
      try database.read(freshness) { transaction in
        for i in 0..<count { try step(transaction, i) }
      }
    } else {
      for i in 0..<count { try database.read(freshness) { try step($0, i) } }
    }
  }
  guard bytes > 60 * count else { throw RunError("the queries did not find their rows") }
  return time
}

private func plainQueries(_ plain: PlainSQLite, _ count: Int) throws -> Double {
  let statement = try plain.prepare(pointQuery)
  defer { sqlite3_finalize(statement) }
  var bytes = 0
  func run(_ count: Int) throws(RunError) {
    for i in 0..<count {
      sqlite3_bind_int64(statement, 1, itemID(i))
      guard sqlite3_step(statement) == SQLITE_ROW else { throw RunError("a row is missing") }
      // As a string, as the other side returns it.
      bytes += String(cString: sqlite3_column_text(statement, 0)).utf8.count
      sqlite3_reset(statement)
    }
  }
  try run(count / 10)
  return try nanoseconds { try run(count) }
}

/// Ids all over the table.
private func itemID(_ i: Int) -> Int64 { Int64(i) &* 7919 % items + 1 }
