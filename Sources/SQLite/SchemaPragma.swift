/// What SQLite tells of a table, an index or a view of `main`.
///
/// It is asked by the statement. The function `pragma_table_info` and its like would answer the same, unless
/// the schema has a table or a view of that name: anybody who writes can make one, and a query finds that first.
package enum SchemaPragma: String, Sendable {
  /// Columns: number, name, type, not null, default, place in the primary key; without hidden and generated ones.
  case columns = "table_info"
  /// All columns, and at the end: 0 ordinary, 1 hidden, 2 generated when read, 3 generated and stored.
  case allColumns = "table_xinfo"
  /// Number, column within it, table referred to, column, column referred to.
  case foreignKeys = "foreign_key_list"
  /// Rows that violate a foreign key: table, rowid, table referred to, number of the foreign key.
  case foreignKeyCheck = "foreign_key_check"
  /// Number, name, unique, origin (`pk`, `u`, `c`), partial.
  case indexes = "index_list"
  /// Schema, name, kind, columns, without rowids, strict.
  case kind = "table_list"

  /// The statement that asks it of the table with this name.
  package func text(of table: String) -> String { "PRAGMA main.\(rawValue)(\(quoted(table)))" }
}

/// An SQL identifier in quotes.
package func quoted(_ name: String) -> String {
  var text = "\""
  for scalar in name.unicodeScalars {
    if scalar == "\"" { text += "\"" }
    text.unicodeScalars.append(scalar)
  }
  return text + "\""
}
