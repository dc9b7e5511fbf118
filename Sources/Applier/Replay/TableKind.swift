internal import SluiceSQLite
internal import SluiceShared

/// Whether a table has rowids, and whether it is STRICT.
///
/// `PRAGMA table_list` would say both; but it compiles every view of the schema, and views over views take time
/// without bound (measured on 3.40.1: 17 s of 26 views).
struct TableKind {
  let hasRowIDs: Bool
  /// Told only of a table with a column of type ANY: that is all that differs for who reads rows.
  let isStrict: Bool

  /// `columns`: as `SchemaPragma.allColumns` has them.
  init(_ table: String, _ columns: [[SQLValue]], _ connection: Connection) throws(SQLiteError) {
    hasRowIDs = try Self.hasRowIDs(table, connection)
    let hasAny = columns.contains {
      if case .text(let type) = $0[2] { type.foldedCase == "any" } else { false }
    }
    isStrict = hasAny ? try Self.isStrict(table, connection) : false
  }

  /// The index that a primary key has is the table itself where there are no rowids, and then has no row of its own
  /// in the schema.
  private static func hasRowIDs(_ table: String, _ connection: Connection) throws(SQLiteError)
    -> Bool
  {
    for index in try connection.query(SchemaPragma.indexes.text(of: table))
    where index[3] == .text("pk") {
      let rows = try connection.query(
        "SELECT 1 FROM main.sqlite_schema WHERE type = 'index' AND name = ?", [index[1]])
      if rows.isEmpty { return false }
    }
    return true
  }

  /// Asked of a database that has this one table.
  private static func isStrict(_ table: String, _ connection: Connection) throws(SQLiteError)
    -> Bool
  {
    let definition = try connection.scalar(
      "SELECT sql FROM main.sqlite_schema WHERE type = 'table' AND lower(name) = lower(?)",
      [.text(table)])
    guard case .text(let sql)? = definition else { return false }
    var other = connection
    do throws(SQLiteError) {
      let empty = try Connection(path: ":memory:", flags: [.readWrite, .create, .noMutex])
      try empty.execute(sql)
      other = empty
    } catch {
      // It uses what only the store's connection has.
    }
    let kind = try other.query(SchemaPragma.kind.text(of: table)).first
    return kind.map { $0.count > 5 && $0[5] != .integer(0) } ?? false
  }
}
