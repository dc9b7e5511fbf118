internal import SluiceSQLite
internal import SluiceShared

/// A table as a feed of rows needs to know it: which value of an event belongs to which column, and what it is.
///
/// What SQLite's hook tells is not always what a query would read. Where that can be made good, it is; where a
/// value cannot be known, `Untold` is thrown, and no value told.
struct RowTable {
  /// Why rows of a batch cannot be told.
  struct Untold: Error { let reason: String }

  /// Its name as the schema has it.
  let name: String
  let hasRowIDs: Bool
  /// A virtual table keeps its content in it.
  let isShadow: Bool
  /// Under which name the rowid is read; nil where there is none, or its names are columns'.
  private let rowIDName: String?
  private(set) var columns: [Column]
  /// The column that is the rowid, which a record does not have.
  private let alias: Int?
  /// The column in whose place SQLite tells the rowid.
  private var hidden: Int?
  private let reading: RowReading
  let defaults: ColumnDefaults

  struct Column {
    var name: String
    var affinity: ColumnAffinity
    var isStored: Bool
    /// As the schema has it.
    var standard: String?
    /// From 1, in the primary key; 0: not in it.
    var keyPlace: Int64
    /// SQLite takes it for a REAL column where it tells the row before a change.
    var isToldAsReal = false
  }

  /// Nil where there is no such table.
  init?(
    _ name: String, _ connection: Connection, _ reading: RowReading, _ defaults: ColumnDefaults,
    isShadow: Bool
  ) throws(SQLiteError) {
    let rows = try connection.query(SchemaPragma.allColumns.text(of: name))
    guard !rows.isEmpty else { return nil }
    let kind = try TableKind(name, rows, connection)
    self.name = name
    self.isShadow = isShadow
    self.reading = reading
    self.defaults = defaults
    hasRowIDs = kind.hasRowIDs
    var columns: [Column] = []
    for row in rows {
      guard case .text(let column) = row[1] else { continue }
      let type = if case .text(let type) = row[2] { type } else { "" }
      let standard: String? = if case .text(let text) = row[4] { text } else { nil }
      let keyPlace: Int64 = if case .integer(let place) = row[5] { place } else { 0 }
      columns.append(
        Column(
          name: column, affinity: ColumnAffinity(ofType: type, isStrict: kind.isStrict),
          isStored: row[6] != .integer(2), standard: standard, keyPlace: keyPlace))
    }
    let taken = Set(columns.map { $0.name.foldedCase })
    rowIDName = hasRowIDs ? ["rowid", "_rowid_", "oid"].first { !taken.contains($0) } : nil
    let key = columns.indices.filter { columns[$0].keyPlace > 0 }
    var hasAlias = hasRowIDs && key.count == 1
    if hasAlias, case .text(let type) = rows[key[0]][2] {
      // INTEGER PRIMARY KEY DESC has an index, and is none.
      let indexes = try connection.query(SchemaPragma.indexes.text(of: name))
      hasAlias = type.foldedCase == "integer" && !indexes.contains { $0[3] == .text("pk") }
    }
    alias = hasAlias ? key[0] : nil
    self.columns = columns
    findMixedUp()
  }

  /// Measured on SQLite 3.40.1: it counts the values of the row before a change as a record has them, and looks
  /// up with the same number which of the table's columns is REAL, and which is the rowid.
  private mutating func findMixedUp() {
    let stored = columns.indices.filter { columns[$0].isStored }
    var order = stored
    if hasRowIDs {
      guard reading.hasRecordOrder(.old, hasRowIDs: true) else { return }
      if let alias, alias < stored.count, stored[alias] != alias { hidden = stored[alias] }
    } else {
      // The key comes first there.
      let key = stored.filter { columns[$0].keyPlace > 0 }
        .sorted { columns[$0].keyPlace < columns[$1].keyPlace }
      order = key + stored.filter { columns[$0].keyPlace == 0 }
    }
    for (place, column) in order.enumerated() {
      columns[column].isToldAsReal = columns[place].affinity == .real
    }
  }

  // MARK: a row of an event

  /// The stored columns with what an event has for them.
  func columns(_ values: [SQLValue?], _ side: RowReading.Side, rowID: Int64)
    throws(Untold) -> [RowChange.Column]
  {
    let inRecord = reading.hasRecordOrder(side, hasRowIDs: hasRowIDs)
    var told: [RowChange.Column] = []
    var place = 0
    for (number, column) in columns.enumerated() {
      guard column.isStored || !inRecord else { continue }
      defer { place += 1 }
      guard column.isStored else { continue }
      guard number != alias else {
        told.append(RowChange.Column(column.name, .integer(rowID)))
        continue
      }
      guard number != hidden else {
        throw Untold(
          reason:
            "SQLite mixes up the columns of table \(name), whose INTEGER PRIMARY KEY stands behind a generated column that is not stored"
        )
      }
      let value = place < values.count ? values[place] : nil
      told.append(RowChange.Column(column.name, try self.value(value, column, side)))
    }
    return told
  }

  private func value(_ value: SQLValue?, _ column: Column, _ side: RowReading.Side)
    throws(Untold) -> SQLValue
  {
    guard let value else { return try absent(column) }
    switch value {
    case .null where column.standard != nil && !reading.tellsAbsent:
      throw Untold(
        reason:
          "SQLite does not say whether column \(column.name) of table \(name) is NULL or has its default"
      )
    // A real may stand as an integer in a record.
    case .integer(let number) where column.affinity == .real: return .real(Double(number))
    case .real(let number) where side == .old && column.isToldAsReal:
      return try whole(number, column)
    default: return value
    }
  }

  /// What a record that ends before a column means.
  private func absent(_ column: Column) throws(Untold) -> SQLValue {
    guard let standard = column.standard else { return .null }
    do throws(SQLiteError) { return try defaults.value(of: standard, column.affinity) } catch {
      throw Untold(
        reason:
          "the default of column \(column.name) of table \(name) cannot be evaluated: \(error.message)"
      )
    }
  }

  /// A real that SQLite may have made of an integer.
  private func whole(_ number: Double, _ column: Column) throws(Untold) -> SQLValue {
    guard column.affinity != .real, number == number.rounded(), abs(number) <= 0x1p63 else {
      return .real(number)
    }
    // A column of this kind stores no whole number as a real.
    let storesIntegers = column.affinity == .integer || column.affinity == .numeric
    guard storesIntegers, abs(number) < 0x1p53 else {
      throw Untold(
        reason:
          "SQLite does not say whether column \(column.name) of table \(name) has an integer or a real"
      )
    }
    return .integer(Int64(number))
  }

  // MARK: rows of a database

  /// Passes each of its rows as it is now.
  func rows(
    _ connection: Connection, _ body: (_ rowID: Int64?, [RowChange.Column]) -> Void
  ) throws(SQLiteError) {
    let statement = try connection.prepare(selection)
    while try statement.step() {
      let row = statement.row
      let key: Int64? = if case .integer(let number) = row[0] { number } else { nil }
      body(key, columns(selected: row))
    }
  }

  var canFindRows: Bool { rowNumber != nil }

  /// The row with this number; nil where there is none.
  func row(_ rowID: Int64, _ connection: Connection) throws(SQLiteError) -> [RowChange.Column]? {
    guard let rowNumber else { return nil }
    return try connection.query("\(selection) WHERE \(rowNumber) = ?", [.integer(rowID)]).first
      .map { columns(selected: $0) }
  }

  /// Rows with these values, as the columns' collations compare them.
  func rows(like values: [RowChange.Column], _ connection: Connection)
    throws(SQLiteError) -> [[RowChange.Column]]
  {
    let condition = values.map { "\(quoted($0.name)) IS ?" }.joined(separator: " AND ")
    return try connection.query("\(selection) WHERE \(condition)", values.map(\.value))
      .map { columns(selected: $0) }
  }

  var stored: [Column] { columns.filter(\.isStored) }

  /// Under which name a query has the rowid; nil where it has none.
  var rowNumber: String? { rowIDName ?? alias.map { quoted(columns[$0].name) } }

  var selection: String {
    let list = stored.map { quoted($0.name) }.joined(separator: ", ")
    return "SELECT \(rowNumber ?? "NULL"), \(list) FROM main.\(quoted(name))"
  }

  func columns(selected row: [SQLValue]) -> [RowChange.Column] {
    zip(stored, row.dropFirst()).map { RowChange.Column($0.name, $1) }
  }
}
