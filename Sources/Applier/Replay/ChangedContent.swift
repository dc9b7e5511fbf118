internal import SluiceSQLite
internal import SluiceShared

/// What the rows that a commit changed are behind it, to be compared with the recorded database.
struct ChangedContent {
  private typealias Columns = [RowChange.Column]

  private struct Row: Hashable {
    var table: ExactText
    var rowID: Int64
  }

  /// nil: it was deleted.
  private var numbered: [Row: Columns?] = [:]
  /// Of tables without rowids: whether there is such a row.
  private var others: [ExactText: [Columns: Bool]] = [:]

  var isEmpty: Bool { numbered.isEmpty && others.isEmpty }

  /// Of the last changes: before a change of the schema tables had other names and columns, and behind a
  /// batch whose rows are not told nothing is known of what it changed.
  init(_ batches: [Int: ChangedRows], after schema: (batch: Int, after: Int)?) {
    for (index, rows) in batches.sorted(by: { $0.key < $1.key }) {
      guard rows.isTold else {
        self.numbered = [:]
        self.others = [:]
        continue
      }
      if let schema, index < schema.batch { continue }
      let skipped = schema.map { index == $0.batch ? $0.after : 0 } ?? 0
      for change in rows.changes.dropFirst(skipped) { add(change) }
    }
  }

  private mutating func add(_ change: RowChange) {
    let table = ExactText(change.table)
    guard let rowID = change.rowID else {
      if let old = change.old { others[table, default: [:]][old] = false }
      if let new = change.new { others[table, default: [:]][new] = true }
      return
    }
    if let old = change.oldRowID { numbered[Row(table: table, rowID: old)] = .some(nil) }
    numbered[Row(table: table, rowID: rowID)] = .some(change.new)
  }

  /// The first difference from a database.
  func difference(
    from connection: Connection, _ reading: RowReading, _ defaults: ColumnDefaults
  ) throws(SQLiteError) -> String? {
    var tables: [ExactText: RowTable] = [:]
    for name in Set(numbered.keys.map(\.table)).union(others.keys) {
      tables[name] = try RowTable(
        name.text, connection, reading, defaults, isShadow: false)
      guard tables[name] != nil else { return "the record has no table \(name.text)" }
    }
    for (row, columns) in numbered {
      guard let table = tables[row.table], table.canFindRows else { continue }
      let there = try table.row(row.rowID, connection)
      guard Self.isSame(there, columns) else {
        return
          "row \(row.rowID) of table \(row.table.text) is \(Self.text(there)) in the record, \(Self.text(columns)) replayed"
      }
    }
    for (name, rows) in others {
      guard let table = tables[name] else { continue }
      for (columns, isThere) in rows {
        let found = try table.rows(like: columns, connection).contains { Self.isSame($0, columns) }
        guard found == isThere else {
          return
            "a row of table \(name.text), \(Self.text(columns)), is \(found ? "" : "not ")there in the record, and \(isThere ? "" : "not ")there replayed"
        }
      }
    }
    return nil
  }

  /// Byte for byte: texts that say the same in other characters are others.
  private static func isSame(_ a: Columns?, _ b: Columns?) -> Bool {
    guard let a, let b else { return a == nil && b == nil }
    return a.count == b.count
      && zip(a, b).allSatisfy { a, b in
        if case (.text(let a), .text(let b)) = (a.value, b.value) {
          return ExactText(a) == ExactText(b)
        }
        return a.value == b.value
      }
  }

  private static func text(_ columns: Columns?) -> String {
    guard let columns else { return "not there" }
    return "(\(columns.map { ContentComparison.text($0.value) }.joined(separator: ", ")))"
  }
}
