import SluiceShared

/// An aligned table with a header, for people. Columns are as wide as the first rows need; what
/// comes later or is very long shifts its own line only. NULL is empty, control characters are
/// escaped, so that a row is one line and cannot write to the terminal what it likes.
struct TableFormat: RowFormat {
  /// Rows that are held back to find the widths.
  static let measuredRows = 1_000
  /// The widest that a column is made.
  static let columnWidthLimit = 60

  private struct Column {
    let name: String
    var width: Int
    /// Numbers only so far: aligned right.
    var isNumeric = true
  }

  private var columns: [Column]
  private var waiting: [[SQLValue]] = []
  private var isMeasured = false

  init(columns: [String]) {
    self.columns = columns.map { name in
      let name = name.printable
      return Column(name: name, width: TableFormat.width(name))
    }
  }

  func begin(_ output: inout OutputFile) {}

  mutating func write(_ row: [SQLValue], to output: inout OutputFile) throws(StoreError) {
    if isMeasured { return try print(row, to: &output) }
    waiting.append(row)
    if waiting.count == TableFormat.measuredRows { try printWaiting(to: &output) }
  }

  mutating func end(_ output: inout OutputFile) throws(StoreError) {
    if !isMeasured { try printWaiting(to: &output) }
  }

  private mutating func printWaiting(to output: inout OutputFile) throws(StoreError) {
    isMeasured = true
    guard !columns.isEmpty else { return }
    for row in waiting { measure(row) }
    try print(columns.map { .text($0.name) }, to: &output)
    try print(columns.map { .text(String(repeating: "-", count: $0.width)) }, to: &output)
    for row in waiting { try print(row, to: &output) }
    waiting = []
  }

  private mutating func measure(_ row: [SQLValue]) {
    for (i, value) in row.enumerated() {
      let width = TableFormat.width(TableFormat.cell(value))
      columns[i].width = max(columns[i].width, min(width, TableFormat.columnWidthLimit))
      switch value {
      case .text, .blob: columns[i].isNumeric = false
      case .null, .integer, .real: break
      }
    }
  }

  private func print(_ row: [SQLValue], to output: inout OutputFile) throws(StoreError) {
    var line = ""
    for (column, value) in zip(columns, row) {
      let cell = TableFormat.cell(value)
      let space = String(repeating: " ", count: max(0, column.width - TableFormat.width(cell)))
      line += column.isNumeric ? space + cell : cell + space
      line += "  "
    }
    while line.last == " " { line.removeLast() }
    try output.write(line + "\n")
  }

  private static func cell(_ value: SQLValue) -> String {
    if case .text(let text) = value { text.printable } else { value.plainText }
  }

  /// Characters, though some take two places on a terminal.
  private static func width(_ text: String) -> Int { text.count }
}
