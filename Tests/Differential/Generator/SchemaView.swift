import SluiceSQLite
import SluiceShared

/// What a generator knows of the database: enough to write SQL that mostly makes sense. It is read
/// between rounds, so within one it may be out of date, as a worker's knowledge is.
struct SchemaView {
  struct Column {
    var name: String
    var isGenerated: Bool
    var isInPrimaryKey: Bool
  }

  struct Table {
    enum Kind { case ordinary, view, fullText, tree }
    var name: String
    var kind: Kind
    var columns: [Column]
    var rows: Int64

    var quoted: String { quote(name) }
    var writable: [Column] { columns.filter { !$0.isGenerated } }
  }

  var tables: [Table] = []
  var indexes: [String] = []
  var triggers: [String] = []
  /// The next unused number in a name.
  var nextNumber = 1

  var ordinary: [Table] { tables.filter { $0.kind == .ordinary } }

  mutating func name(_ prefix: String) -> String {
    defer { nextNumber += 1 }
    // Some that need their quotes.
    return nextNumber % 7 == 0 ? "\(prefix) \"\(nextNumber)" : "\(prefix)\(nextNumber)"
  }

  mutating func read(_ connection: Connection) throws {
    tables = []
    indexes = []
    triggers = []
    let rows = try connection.query(
      "SELECT type, name, coalesce(sql, '') FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"
    )
    for row in rows {
      guard case .text(let type) = row[0], case .text(let name) = row[1],
        case .text(let sql) = row[2]
      else { continue }
      switch type {
      case "index": indexes.append(name)
      case "trigger": triggers.append(name)
      default:
        let kind: Table.Kind =
          type == "view"
          ? .view
          : sql.contains("USING fts") ? .fullText : sql.contains("USING rtree") ? .tree : .ordinary
        // What virtual tables keep their own things in is left alone: the queue denies what plain
        // SQLite would crash of.
        if isShadow(name) || Documents.isOne(name) { continue }
        try tables.append(table(name, kind, connection))
      }
    }
  }

  private func isShadow(_ name: String) -> Bool {
    let suffixes = [
      "_data", "_idx", "_content", "_docsize", "_config", "_node", "_rowid", "_parent",
      "_segments", "_segdir", "_stat",
    ]
    return suffixes.contains { name.hasSuffix($0) }
  }

  private func table(_ name: String, _ kind: Table.Kind, _ connection: Connection) throws -> Table {
    // A view may be broken by what was done to its tables.
    let rows =
      (try? connection.query(
        "SELECT name, hidden, pk FROM pragma_table_xinfo(?) WHERE hidden <> 1", [.text(name)]))
      ?? []
    let columns = rows.compactMap { row -> Column? in
      guard case .text(let column) = row[0] else { return nil }
      return Column(
        name: column, isGenerated: row[1] == 2 || row[1] == 3, isInPrimaryKey: row[2] != 0)
    }
    var count: Int64 = 0
    // So may a full-text index by what was done to the table that holds its text.
    let counted = try? connection.scalar("SELECT count(*) FROM \(quote(name))")
    if kind != .view, case .integer(let number)? = counted { count = number }
    return Table(name: name, kind: kind, columns: columns, rows: count)
  }
}

func quote(_ name: String) -> String {
  "\"" + name.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"")
    + "\""
}
