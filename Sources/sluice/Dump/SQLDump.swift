import SluiceQuery
import SluiceReader
import SluiceSQLite
import SluiceShared

/// A snapshot as an SQL script: what `.dump` of the sqlite3 shell writes of the user's tables, byte for
/// byte, but for what would be lost or could not go back in (`SQLLiteral`, `VirtualTableDump`,
/// `TerminatorLine`).
struct SQLDump {
  private let transaction: ReadTransaction

  init(_ transaction: ReadTransaction) { self.transaction = transaction }

  /// A name that is not Sluice's own; `%` and `_` mean themselves.
  private static let isUsers = #"NOT LIKE '\_sluice\_%' ESCAPE '\'"#

  /// Returns the names of tables whose content could not be written.
  func write(to output: inout OutputFile) throws -> [String] {
    let shadows = try shadowTables()
    let tables = try tables().filter { !shadows.contains($0.name) }
    let virtual = try tables.compactMap {
      try VirtualTableDump($0.name, $0.sql, transaction, shadows: shadows)
    }
    try output.write("PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n")
    for table in tables {
      guard output.hasReader else { return [] }
      if let virtual = virtual.first(where: { $0.name == table.name }) {
        if virtual.isLost {
          try output.write("-- The next table keeps no text (content=''), so it is empty here.\n")
        }
        try output.write(table.sql + ";\n")
        try virtual.writeContent(to: &output)
      } else {
        try write(table, to: &output)
      }
    }
    try writeIndexesTriggersAndViews(shadows, to: &output)
    for table in virtual { try table.writeRebuild(to: &output) }
    try output.write("COMMIT;\n")
    return virtual.filter(\.isLost).map(\.name)
  }

  // MARK: Tables

  /// The tables in which virtual tables keep their content: the ones that SQLite says it lets nobody
  /// else write to. (`pragma_table_list` would tell them, too; but it compiles each view, and a view over
  /// views takes time without bound.)
  private func shadowTables() throws -> Set<String> {
    let virtual = try texts("SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage = 0")
      .map { $0.lowercased() + "_" }
    guard !virtual.isEmpty else { return [] }
    var shadows: Set<String> = []
    for name in try texts("SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage <> 0") {
      let lower = name.lowercased()
      guard virtual.contains(where: lower.hasPrefix) else { continue }
      do {
        try transaction.withStatement("DELETE FROM main.\(name.quotedForSQL) WHERE 0") { _ in }
      } catch let error as SQLiteError {
        // Or one of its triggers cannot be compiled.
        if error.message.contains("may not be modified") { shadows.insert(name) }
      }
    }
    return shadows
  }

  private struct Table {
    var name: String
    var sql: String
  }

  private func tables() throws -> [Table] {
    let rows = try transaction.query(
      """
      SELECT name, sql FROM sqlite_schema
      WHERE type = 'table' AND sql NOT NULL AND name \(Self.isUsers)
      ORDER BY tbl_name = 'sqlite_sequence', rowid
      """)
    return rows.compactMap { row in
      guard case .text(let name) = row[0], case .text(let sql) = row[1] else { return nil }
      return Table(name: name, sql: TerminatorLine.guarded(sql))
    }
  }

  private func write(_ table: Table, to output: inout OutputFile) throws {
    var condition = ""
    if table.name == "sqlite_sequence" {
      try output.write("DELETE FROM sqlite_sequence;\n")
    } else if table.name.hasPrefix("sqlite_stat"), table.name.utf8.count == 12 {
      try output.write("ANALYZE sqlite_schema;\n")
      condition = " WHERE tbl \(Self.isUsers)"
    } else if table.name.hasPrefix("sqlite_") {
      return
    } else {
      let create = "CREATE TABLE "
      let isQuoted = ["\"", "'"].contains(table.sql.dropFirst(create.count).first)
      try output.write(
        isQuoted && table.sql.hasPrefix(create)
          ? "CREATE TABLE IF NOT EXISTS \(table.sql.dropFirst(create.count));\n"
          : table.sql + ";\n")
    }
    // Neither hidden nor generated columns.
    let columns = try texts(SchemaPragma.columns.text(of: table.name), column: 1)
    try DumpedRows(
      into: table.name.quotedForSQL,
      select:
        "SELECT \(columns.map(\.quotedForSQL).joined(separator: ",")) FROM \(table.name.quotedForSQL)\(condition)"
    ).write(transaction, to: &output)
  }

  private func writeIndexesTriggersAndViews(_ shadows: Set<String>, to output: inout OutputFile)
    throws
  {
    let rows = try transaction.query(
      """
      SELECT sql, tbl_name FROM sqlite_schema
      WHERE sql NOT NULL AND type IN ('index', 'trigger', 'view') AND name \(Self.isUsers)
      """)
    for row in rows {
      guard case .text(let sql) = row[0], case .text(let table) = row[1], !shadows.contains(table)
      else { continue }
      let text = TerminatorLine.guarded(sql)
      // Its last line may be a comment.
      try output.write(text.contains("--") ? "\(text)\n;\n" : "\(text);\n")
    }
  }

  private func texts(_ sql: String, column: Int = 0) throws -> [String] {
    try transaction.query(sql).compactMap { row in
      if case .text(let text) = row[column] { text } else { nil }
    }
  }
}

/// The rows of a query, each as an INSERT.
struct DumpedRows {
  /// What stands between INSERT INTO and VALUES.
  let into: String
  let select: String

  func write(_ source: any DumpSource, to output: inout OutputFile) throws {
    try source.withStatement(select, []) { statement in
      let beginning = Array("INSERT INTO \(into) VALUES(".utf8)
      var line: [UInt8] = []
      while output.hasReader, try statement.step() {
        line.removeAll(keepingCapacity: true)
        line += beginning
        for column in 0..<statement.columnCount {
          if column > 0 { line.append(UInt8(ascii: ",")) }
          try SQLLiteral.append(statement, column, source, to: &line)
        }
        line += ");\n".utf8
        try output.write(bytes: line)
      }
    }
  }
}
