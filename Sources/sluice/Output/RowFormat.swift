import SluiceShared

/// A way to print rows, one after the other.
protocol RowFormat {
  init(columns: [String])
  mutating func begin(_ output: inout OutputFile) throws(StoreError)
  mutating func write(_ row: [SQLValue], to output: inout OutputFile) throws(StoreError)
  mutating func end(_ output: inout OutputFile) throws(StoreError)
}

extension SQLValue {
  /// As people and CSV read it: NULL empty, blobs as x'…', reals never like integers.
  var plainText: String {
    switch self {
    case .null: ""
    case .integer(let number): String(number)
    case .real(let number): SQLValue.plainText(number)
    case .text(let text): text
    case .blob(let bytes): "x'" + bytes.map { hexadecimal($0, width: 2) }.joined() + "'"
    }
  }

  /// The shortest text that reads back as the same number; infinity as sqlite3 prints it.
  private static func plainText(_ number: Double) -> String {
    guard number.isInfinite else { return number.description }
    return number < 0 ? "-Inf" : "Inf"
  }
}
