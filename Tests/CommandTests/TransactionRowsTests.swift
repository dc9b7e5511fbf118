import SluiceEdits
import SluiceJournal
import SluiceReader
import SluiceSQLite
import SluiceShared
import SluiceWriter
import Testing

@testable import sluice

@Suite("log --rows tells the rows of interactive transactions as those of other batches")
struct TransactionRowsTests {
  let place: Workplace

  init() throws {
    place = try Workplace()
    try place.make(applying: false)
  }

  private func apply() throws {
    try #require(try sluice(["apply", place.store, "--drain", "--log-level", "error"]).code == 0)
  }

  private func commit(_ sql: String) throws {
    let edited = try EditedSnapshot(
      try PageStore(path: place.store, environment: .posix()).snapshot(.latest))
    try edited.execute(sql)
    try edited.take()
    let writer = try Writer(store: place.store)
    _ = try writer.submitBlocking(Batch(.commit(try edited.batch())))
    writer.closeBlocking()
    try apply()
  }

  @Test("As JSON")
  func rows() throws {
    try place.submit("CREATE TABLE t(id INTEGER PRIMARY KEY, b, r REAL)", "--wait", "durable")
    try apply()
    let statements = [
      "INSERT INTO t VALUES(1, x'01', 1), (2, 'two', NULL)",
      "UPDATE t SET b = NULL WHERE id = 1; DELETE FROM t WHERE id = 2", "CREATE INDEX i ON t(b)",
    ]
    for sql in statements { try commit(sql) }
    let lines = try sluice(["log", place.store, "--rows", "--json", "--from", "2"]).lines
    let expected = [
      #"[{"op": "insert", "table": "t", "rowid": 1, "new": {"id": 1, "b": {"base64": "AQ=="}, "r": 1.0}}, {"op": "insert", "table": "t", "rowid": 2, "new": {"id": 2, "b": "two", "r": null}}]"#,
      #"[{"op": "update", "table": "t", "rowid": 1, "old": {"id": 1, "b": {"base64": "AQ=="}, "r": 1.0}, "new": {"id": 1, "b": null, "r": 1.0}}, {"op": "delete", "table": "t", "rowid": 2, "old": {"id": 2, "b": "two", "r": null}}]"#,
      "[]",
    ]
    #expect(lines.count == 3)
    for (line, changed) in zip(lines, expected) {
      #expect(line.contains("\"changed\": \(changed), \"kind\": \"transaction\""), "\(line)")
      _ = try JSON.parse("\(line)")
    }
  }
}
