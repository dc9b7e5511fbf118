internal import CSQLite
internal import SluiceSQLite
internal import SluiceShared

/// Whether a schema that no batch has made says the same to SQLite and to what looks at it here.
///
/// SQLite takes TABLE for table, '2' for 2, and any bytes for a name; a query for what `type = 'table'` has, and
/// names that became a `String`, find others or none. DDL writes no such row: each is somebody's hand.
extension BatchRun {
  /// What is wrong with the first such row, and where; nil: there is none.
  func unreadableRow() throws(Stop) -> String? {
    guard environment.makes(.readableText) else { return nil }
    do throws(SQLiteError) {
      let rows = try prepareOwn(
        "SELECT type, name, tbl_name, rootpage, sql FROM main.sqlite_schema")
      while try rows.step() {
        if let reason = Self.unreadable(rows) {
          return "the schema's row of \(rows.columnText(1) ?? "NULL"): \(reason)"
        }
      }
    } catch {
      throw .sqlite(error)
    }
    return nil
  }

  private static let types: Set<String> = ["table", "index", "view", "trigger"]

  private static func unreadable(_ row: Statement) -> String? {
    for column: Int32 in [0, 1, 2, 4] {
      // An index that SQLite makes for a UNIQUE has no SQL.
      if column == 4, row.columnType(column) == .null { continue }
      guard row.columnType(column) == .text, let bytes = row.columnTextBytes(column) else {
        return "\(row.columnName(column)) is no text"
      }
      guard bytes.isUTF8, !bytes.contains(0) else {
        return "\(row.columnName(column)) is not UTF-8; make it anew with a text that is"
      }
    }
    guard types.contains(row.columnText(0) ?? "") else { return "its type is none of SQLite's" }
    guard row.columnType(3) == .integer else { return "rootpage is no integer" }
    return nil
  }
}
