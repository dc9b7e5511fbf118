import SluiceShared

/// Comma-separated values (RFC 4180) with a header. NULL is an empty field, an empty text is `""`.
struct CSVFormat: RowFormat {
  private let columns: [String]

  init(columns: [String]) { self.columns = columns }

  func begin(_ output: inout OutputFile) throws(StoreError) {
    try write(columns.map(SQLValue.text), to: &output)
  }

  func write(_ row: [SQLValue], to output: inout OutputFile) throws(StoreError) {
    try output.write(row.map(CSVFormat.field).joined(separator: ",") + "\r\n")
  }

  func end(_ output: inout OutputFile) {}

  private static func field(_ value: SQLValue) -> String {
    let text = value.plainText
    guard case .text = value, text.isEmpty || text.utf8.contains(where: needsQuotes) else {
      return text
    }
    return "\""
      + text.split(separator: "\"", omittingEmptySubsequences: false)
      .joined(separator: "\"\"") + "\""
  }

  private static func needsQuotes(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: ","), UInt8(ascii: "\""), UInt8(ascii: "\r"), UInt8(ascii: "\n"): true
    default: false
    }
  }
}
