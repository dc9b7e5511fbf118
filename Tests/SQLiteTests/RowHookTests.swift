import SluiceSQLite
import SluiceShared
import Testing

@Suite("A row hook is told of each row before it is changed")
struct RowHookTests {
  private func told(_ setUp: String, _ sql: String) throws -> [String] {
    let connection = try memory()
    try connection.execute(setUp)
    var told: [String] = []
    connection.setRowHook { event in
      let values = (event.old + event.new).map { value in
        switch value {
        case nil: "absent"
        case .integer(let number): "\(number)"
        case .text(let text): text
        default: "-"
        }
      }
      told.append(
        "\(event.kind) \(event.schemaName).\(event.table) \(event.oldRowID) \(event.newRowID): \(values.joined(separator: " "))"
      )
    }
    try connection.execute(sql)
    connection.setRowHook(nil)
    try connection.execute(sql)
    return told
  }

  @Test("By statements and by what they set off")
  func kinds() throws {
    try #require(RowHook.isAvailable)
    let setUp = """
      CREATE TABLE t(a, b); CREATE TABLE u(c);
      CREATE TRIGGER g AFTER DELETE ON t BEGIN INSERT INTO u VALUES(old.a); END
      """
    #expect(
      try told(setUp, "INSERT INTO t VALUES(1, 'x'); UPDATE t SET b = NULL; DELETE FROM t") == [
        "insert main.t 1 1: 1 x", "update main.t 1 1: 1 x 1 -", "delete main.t 1 1: 1 -",
        "insert main.u 1 1: 1",
      ])
  }

  /// What `RowTable` makes good: should SQLite tell it otherwise one day, that does no harm.
  @Test("As a record has them")
  func records() throws {
    let order = try RowReading().hasRecordOrder(.inserted, hasRowIDs: true)
    let connection = try memory()
    try connection.execute(
      "CREATE TABLE t(v AS (a) VIRTUAL, a, r REAL); INSERT INTO t VALUES(7, 2)")
    var seen: [SQLValue?] = []
    connection.setRowHook { event in seen = event.new }
    try connection.execute("INSERT INTO t VALUES(8, 3)")
    #expect(seen.count == 3)
    #expect(seen[order ? 0 : 1] == .integer(8))
    #expect([SQLValue.integer(3), .real(3)].contains(seen[order ? 1 : 2]))
  }

  @Test("A column that a record ends before is told from one that is NULL")
  func absent() throws {
    #expect(try RowReading().tellsAbsent)
    let connection = try memory()
    try connection.execute(
      """
      CREATE TABLE t(a, b); INSERT INTO t VALUES (1, NULL); ALTER TABLE t ADD COLUMN c;
      CREATE TABLE u(a, b, c)
      """)
    var seen: [[SQLValue?]] = []
    connection.setRowHook { event in seen.append(event.kind == .insert ? event.new : event.old) }
    // It copies the record as it is.
    try connection.execute("INSERT INTO u SELECT * FROM t; UPDATE t SET a = 2; DELETE FROM t")
    #expect(seen == [[1, .null, nil], [1, .null, nil], [2, .null, .null]])
  }
}
