internal import SluiceSQLite
internal import SluiceShared

/// A table as a feed of rows needs to know it: which value of an event belongs to which column.
struct RowTable {
  /// Its name as the schema has it.
  let name: String
  var hasRowIDs: Bool { rowIDName != nil }
  /// A virtual table keeps its content in it.
  let isShadow: Bool
  /// Under which name the rowid is read; nil where there is none, or its names are columns'.
  private let rowIDName: String?
  /// For each value of an event the column's name; nil where it is no column's that is stored.
  private let names: [String?]
  /// Values that SQLite stores as integers, and that are reals.
  private let reals: Set<Int>
  /// The column that is the rowid, which a record does not have.
  private let alias: Int?
  /// Columns with a default, as an event counts them, and what that is.
  let defaults: [Int: String]

  /// Nil where there is no such table. Throws where its values cannot be told from each other.
  init?(
    _ name: String, _ connection: Connection, hasRecordOrder: Bool, isShadow: Bool
  ) throws(SQLiteError) {
    let rows = try connection.query(SchemaPragma.allColumns.text(of: name))
    guard !rows.isEmpty else { return nil }
    self.name = name
    self.isShadow = isShadow
    var columns: [(name: String, type: String, standard: String?, isStored: Bool)] = []
    var keys: [Int] = []
    for row in rows {
      guard case .text(let column) = row[1] else { continue }
      let type = if case .text(let type) = row[2] { type.uppercased() } else { "" }
      let standard: String? = if case .text(let text) = row[4] { text } else { nil }
      if row[5] != .integer(0) { keys.append(columns.count) }
      columns.append((column, type, standard, row[6] != .integer(2)))
    }
    let taken = Set(columns.map { $0.name.lowercased() })
    let rowID = ["rowid", "_rowid_", "oid"].first { !taken.contains($0) }
    let table = quoted(name)
    // A table without rowids has no such column.
    rowIDName = rowID.flatMap { name in
      (try? connection.prepare("SELECT \(name) FROM main.\(table)")) != nil ? name : nil
    }
    var order = Array(columns.indices)
    if hasRecordOrder { order = order.filter { columns[$0].isStored } }
    names = order.map { columns[$0].isStored ? columns[$0].name : nil }
    reals = Set(order.indices.filter { Self.isReal(columns[order[$0]].type) })
    defaults = Dictionary(
      uniqueKeysWithValues: order.enumerated().compactMap { (place, column) in
        columns[column].standard.map { (place, $0) }
      })
    var hasAlias = rowIDName != nil && keys.count == 1 && columns[keys[0]].type == "INTEGER"
    if hasAlias {
      // INTEGER PRIMARY KEY DESC has an index, and is none.
      hasAlias =
        try !connection.query(SchemaPragma.indexes.text(of: name)).contains {
          $0[3] == .text("pk")
        }
    }
    let key = hasAlias ? keys[0] : nil
    alias = key.flatMap { order.firstIndex(of: $0) }
    // SQLite takes the rowid for the column with its number in the table, which is another one then.
    guard alias == key else {
      throw SQLiteError(
        code: 1,
        message:
          "this SQLite mixes up the columns of table \(name), whose INTEGER PRIMARY KEY stands behind a generated column"
      )
    }
  }

  /// The affinity that a declared type gives.
  private static func isReal(_ type: String) -> Bool {
    let others = ["INT", "CHAR", "CLOB", "TEXT", "BLOB"]
    guard !others.contains(where: type.contains) else { return false }
    return ["REAL", "FLOA", "DOUB"].contains { type.contains($0) }
  }

  /// The stored columns with what an event has for them.
  func columns(_ values: [SQLValue], rowID: Int64) -> [RowChange.Column] {
    names.enumerated().compactMap { (place, name) in
      guard let name else { return nil }
      if place == alias { return RowChange.Column(name, .integer(rowID)) }
      let value = place < values.count ? values[place] : .null
      return RowChange.Column(name, stored(value, at: place))
    }
  }

  /// All its rows, as they are now.
  func rows(_ connection: Connection) throws(SQLiteError) -> [(rowID: Int64?, [RowChange.Column])] {
    try connection.query(selection).map { row in
      let key: Int64? = if case .integer(let number) = row[0] { number } else { nil }
      return (key, columns(selected: row))
    }
  }

  /// One of them in an earlier state of the database; nil where it was not there. What was not a column then
  /// has its default.
  func row(_ rowID: Int64, _ connection: Connection) throws(SQLiteError) -> [RowChange.Column]? {
    guard let rowIDName else { return nil }
    let columns = Set(
      try connection.query(SchemaPragma.allColumns.text(of: name)).compactMap { row in
        if case .text(let column) = row[1] { column.asciiLowercased } else { nil }
      })
    guard !columns.isEmpty else { return nil }
    let list = names.enumerated().compactMap { (place, column) -> String? in
      guard let column else { return nil }
      let isThere = columns.contains(column.asciiLowercased)
      return isThere ? quoted(column) : defaults[place].map { "(\($0))" } ?? "NULL"
    }.joined(separator: ", ")
    return try connection.query(
      "SELECT \(rowIDName), \(list) FROM main.\(quoted(name)) WHERE \(rowIDName) = ?",
      [.integer(rowID)]
    ).first.map { self.columns(selected: $0) }
  }

  private var stored: [String] { names.compactMap { $0 } }

  private var selection: String {
    let list = stored.map(quoted).joined(separator: ", ")
    return "SELECT \(rowIDName ?? "NULL"), \(list) FROM main.\(quoted(name))"
  }

  private func columns(selected row: [SQLValue]) -> [RowChange.Column] {
    let places = names.indices.filter { names[$0] != nil }
    return zip(places, row.dropFirst()).compactMap { (place, value) in
      guard let name = names[place] else { return nil }
      return RowChange.Column(name, stored(value, at: place))
    }
  }

  /// A real may stand as an integer in a record.
  private func stored(_ value: SQLValue, at place: Int) -> SQLValue {
    guard case .integer(let number) = value, reals.contains(place) else { return value }
    return .real(Double(number))
  }
}

extension String {
  /// As SQLite compares names.
  fileprivate var asciiLowercased: String {
    String(decoding: utf8.map { (65...90).contains($0) ? $0 | 0x20 : $0 }, as: UTF8.self)
  }
}
