internal import CSQLite
internal import SluiceSQLite
internal import SluiceShared

/// Looks for damage in a database that is taken over, and tells it from rows that break a constraint,
/// which SQLite carries along (`.backup`) and so is taken over too.
struct DatabaseCheck {
  private let database: Connection

  init(_ database: Connection) { self.database = database }

  /// What the user is to know. Throws SQLITE_CORRUPT where there is damage.
  func findings() throws(SQLiteError) -> [String] {
    do throws(SQLiteError) {
      let broken = try violations("PRAGMA quick_check(\(Int32.max))")
      guard let first = broken.first else { return [] }
      return [
        "\(broken.count) \(broken.count == 1 ? "row breaks a constraint" : "rows break constraints"), the first: \(first); they are taken over as they are"
      ]
    } catch {
      // A CHECK can fail to be computed, or need a function that is not there.
      guard error.primary == SQLITE_ERROR else { throw error }
      return try findingsByTable()
    }
  }

  /// What the user is to know of rows that violate a foreign key.
  func foreignKeys() throws(SQLiteError) -> String? {
    let found = try ForeignKeyViolations().added(in: database, isOutOfTime: { false })
    guard found.count > 0 else { return nil }
    let rows =
      found.count == 1 ? "1 row violates a foreign key" : "\(found.count) rows violate foreign keys"
    return
      "\(rows), the first: \(found.first); they are taken over as they are, and stand in no batch's way; PRAGMA foreign_key_check lists them"
  }

  /// The same without CHECK constraints, and for each table that can be looked at.
  private func findingsByTable() throws(SQLiteError) -> [String] {
    try database.execute("PRAGMA ignore_check_constraints = ON")
    defer { try? database.execute("PRAGMA ignore_check_constraints = OFF") }
    var findings: [String] = []
    let tables = try database.query(
      "SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0 ORDER BY rowid")
    for case .text(let table)? in tables.map(\.first) {
      do throws(SQLiteError) {
        let broken = try violations("PRAGMA quick_check(\(quoted(table)))")
        if let first = broken.first { findings.append("\(first); taken over as it is") }
      } catch {
        guard error.primary == SQLITE_ERROR else { throw error }
        findings.append("table \(table) was not looked through for damage: \(error.message)")
      }
    }
    return findings
  }

  /// The messages of a check that are about values; the first that is about the file is thrown.
  private func violations(_ sql: String) throws(SQLiteError) -> (count: Int, first: String?) {
    let statement = try database.prepare(sql)
    var count = 0
    var first: String?
    while try statement.step() {
      guard case .text(let message) = statement.columnValue(0), message != "ok" else { continue }
      guard DatabaseCheck.isAboutValues(message) else {
        throw SQLiteError(code: SQLITE_CORRUPT, message: "it is damaged: \(message)")
      }
      count += 1
      first = first ?? message
    }
    return (count, first)
  }

  /// The words of `pragma.c`, 3.40.1: `CHECK constraint failed in t`, `NULL value in t.c`,
  /// `non-INTEGER value in t.c` (STRICT), and from 3.41 on `TEXT value in t.c`, `NUMERIC value …`.
  static func isAboutValues(_ message: String) -> Bool {
    message.hasPrefix("CHECK constraint failed in ")
      || message.split(separator: " ", maxSplits: 3).dropFirst().prefix(2) == ["value", "in"]
  }
}
