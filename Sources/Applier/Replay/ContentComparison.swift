internal import SluiceSQLite
internal import SluiceShared

/// In what the contents of two databases differ: schema, settings that a database keeps, and the rows of
/// every table that has pages. (What an index says follows from its table; a virtual table keeps its
/// content in others. Generated columns that are not stored are computed.)
struct ContentComparison {
  struct Difference: Hashable {
    /// nil: not of one table.
    var table: String?
    var what: String
  }

  let recorded: DatabaseReader
  let replayed: DatabaseReader
  /// Rows of one table that are named.
  private static let mostRows = 3

  /// All of them, of each table its first rows.
  func differences() throws(StoreError) -> [Difference] {
    var found: [Difference] = []
    for setting in ["user_version", "application_id", "encoding", "auto_vacuum"] {
      let values = try both { (connection) throws(SQLiteError) in
        try connection.scalar("PRAGMA \(setting)")
      }
      if values.0 != values.1 {
        found.append(
          Difference(
            what:
              "PRAGMA \(setting) is \(Self.text(values.0)) in the record, \(Self.text(values.1)) replayed"
          ))
      }
    }
    let schemas = try both { (connection) throws(SQLiteError) in try Schema(connection) }
    found += schemas.0.differences(from: schemas.1)
    for table in schemas.0.tables where schemas.1.tables.contains(table) {
      found += try differences(inTable: table)
    }
    return found
  }

  private func both<R>(_ body: (Connection) throws(SQLiteError) -> R) throws(StoreError) -> (R, R) {
    (try recorded.reading(body), try replayed.reading(body))
  }

  static func text(_ value: SQLValue?) -> String {
    switch value {
    case nil, .null?: "NULL"
    case .text(let text)?: text.count > 60 ? "'\(text.prefix(60))…'" : "'\(text)'"
    case .blob(let bytes)?:
      "x'\(bytes.prefix(30).map { hexadecimal($0, width: 2) }.joined())\(bytes.count > 30 ? "…" : "")'"
    case .integer(let number)?: "\(number)"
    case .real(let number)?: "\(number)"
    }
  }

  // MARK: one table

  private func differences(inTable table: String) throws(StoreError) -> [Difference] {
    let rows = try both { (connection) throws(SQLiteError) in try TableRows(table, connection) }
    var (a, b) = rows
    var found: [Difference] = []
    var count = 0
    func add(_ key: Int64?, _ what: String) {
      count += 1
      guard count <= Self.mostRows else { return }
      let row = key.map { "row \($0)" } ?? "a row"
      found.append(Difference(table: table, what: "table \(table), \(row): \(what)"))
    }
    func next(_ rows: inout TableRows, _ reader: DatabaseReader) throws(StoreError) {
      rows = try reader.reading { (_) throws(SQLiteError) in
        var next = rows
        try next.advance()
        return next
      }
    }
    while !a.isAtEnd || !b.isAtEnd {
      if a.isAtEnd || !b.isAtEnd && a.hasRowIDs && b.rowID < a.rowID {
        add(b.key, "only replayed: \(b.text)")
        try next(&b, replayed)
      } else if b.isAtEnd || a.hasRowIDs && a.rowID < b.rowID {
        add(a.key, "only in the record: \(a.text)")
        try next(&a, recorded)
      } else {
        if !a.equals(b) {
          add(a.key, "\(a.text) in the record, \(b.text) replayed")
          // Without a number to go by, one row more or less would make all that follow differ.
          if !a.hasRowIDs { return found }
        }
        try next(&a, recorded)
        try next(&b, replayed)
      }
    }
    if count > Self.mostRows {
      found.append(
        Difference(table: table, what: "table \(table): \(count - Self.mostRows) more rows"))
    }
    return found
  }
}

/// What `sqlite_schema` says, without the places of tables.
private struct Schema {
  /// Those with pages of their own.
  var tables: [String] = []
  private var texts: [String: SQLValue] = [:]

  init(_ connection: Connection) throws(SQLiteError) {
    let rows = try connection.query(
      "SELECT type, name, tbl_name, CAST(sql AS BLOB), rootpage > 0 FROM sqlite_schema ORDER BY name"
    )
    for row in rows {
      guard case .text(let type) = row[0], case .text(let name) = row[1],
        case .text(let table) = row[2]
      else { continue }
      texts["\(type) \(name)\(table == name ? "" : " of \(table)")"] = row[3]
      if type == "table", row[4] == .integer(1) { tables.append(name) }
    }
  }

  func differences(from other: Schema) -> [ContentComparison.Difference] {
    Set(texts.keys).union(other.texts.keys).sorted().compactMap { name in
      let (a, b) = (texts[name], other.texts[name])
      guard a != b else { return nil }
      let what =
        if a == nil { "only replayed" } else if b == nil { "only in the record" } else {
          "\(Self.text(a)) in the record, \(Self.text(b)) replayed"
        }
      return ContentComparison.Difference(what: "\(name): \(what)")
    }
  }
}

extension Schema {
  /// SQL is compared as bytes, and shown as text.
  private static func text(_ sql: SQLValue?) -> String {
    guard case .blob(let bytes)? = sql else { return ContentComparison.text(sql) }
    return ContentComparison.text(.text(String(decoding: bytes, as: UTF8.self)))
  }
}

/// A table's rows as its B-tree has them.
private struct TableRows {
  private let statement: Statement
  let hasRowIDs: Bool
  private(set) var isAtEnd = false

  init(_ table: String, _ connection: Connection) throws(SQLiteError) {
    var columns: [String] = []
    for row in try connection.query(SchemaPragma.allColumns.text(of: table)) {
      if case .text(let name) = row[1], row[6] != .integer(2) { columns.append(name) }
    }
    let taken = Set(columns.map { $0.foldedCase })
    let list = columns.map(quoted).joined(separator: ", ")
    let from = "\(list) FROM main.\(quoted(table)) NOT INDEXED"
    let name = ["rowid", "_rowid_", "oid"].first { !taken.contains($0) }
    // A table without rowids has no such column.
    if let name, let withRowIDs = try? connection.prepare("SELECT \(name), \(from)") {
      statement = withRowIDs
      hasRowIDs = true
    } else {
      statement = try connection.prepare("SELECT NULL, \(from)")
      hasRowIDs = false
    }
    try advance()
  }

  mutating func advance() throws(SQLiteError) { isAtEnd = try !statement.step() }

  var rowID: Int64 { statement.columnInteger(0) }
  var key: Int64? { hasRowIDs ? rowID : nil }

  var text: String {
    "(\((1..<statement.columnCount).map { ContentComparison.text(statement.columnValue($0)) }.joined(separator: ", ")))"
  }

  func equals(_ other: TableRows) -> Bool {
    (0..<statement.columnCount).allSatisfy { statement.isSame($0, as: other.statement, $0) }
  }
}
