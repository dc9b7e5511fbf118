import CSQLite
import SluiceSQLite
import SluiceShared

/// The rows of a database that violate a foreign key, to tell what a batch added: each by its table, the table
/// that it refers to, and the values with which it does.
///
/// Of rows without a rowid only the number counts. A table whose foreign keys cannot be checked is one, too.
struct ForeignKeyViolations {
  private var copies: [String: Int] = [:]

  init(_ connection: Connection) throws {
    for case .text(let table)? in try connection.query(
      "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND rootpage > 0"
    ).map(\.first) {
      do throws(SQLiteError) {
        for row in try connection.query("PRAGMA main.foreign_key_check(\(Self.quoted(table)))") {
          add("\(table) \(row[2]) \(try Self.values(row, of: table, connection))")
        }
      } catch {
        guard error.primary == SQLITE_ERROR else { throw error }
        add("\(table) \(error.message)")
      }
    }
  }

  /// Whether there is none that `before` has not.
  func isWithin(_ before: ForeignKeyViolations) -> Bool {
    copies.allSatisfy { before.copies[$0.key, default: 0] >= $0.value }
  }

  private mutating func add(_ violation: String) {
    copies[violation.lowercased(), default: 0] += 1
  }

  private static func values(_ row: [SQLValue], of table: String, _ connection: Connection)
    throws(SQLiteError) -> [SQLValue]
  {
    guard case .integer = row[1] else { return [] }
    let name = quoted(table)
    let columns = try connection.query("PRAGMA main.foreign_key_list(\(name))")
      .filter { $0[0] == row[3] }
      .compactMap { if case .text(let column) = $0[3] { quoted(column) } else { nil } }
    let taken = try connection.query("PRAGMA main.table_xinfo(\(name))").compactMap {
      if case .text(let column) = $0[1] { column.lowercased() } else { nil }
    }
    guard let rowid = ["rowid", "_rowid_", "oid"].first(where: { !taken.contains($0) }) else {
      return []
    }
    return try connection.query(
      "SELECT \(columns.joined(separator: ", ")) FROM main.\(name) WHERE \(rowid) = ?", [row[1]]
    ).first ?? []
  }

  private static func quoted(_ name: String) -> String {
    "\"\(name.replacing("\"", with: "\"\""))\""
  }
}
