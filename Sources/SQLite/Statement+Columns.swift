internal import CSQLite
package import SluiceShared

/// SQLite's five storage classes, by their codes.
package enum ColumnType: Int32, Sendable {
  case integer = 1
  case real, text, blob, null
}

/// The current row: only after `step` returned true. Bytes are valid until the next step or reset,
/// and until the same column is read as another type.
extension Statement {
  /// 0 for a statement that returns no rows.
  package var columnCount: Int32 { sqlite3_column_count(pointer) }

  package func columnName(_ index: Int32) -> String {
    String(cString: sqlite3_column_name(pointer, index))
  }

  /// The storage class of the value, before any conversion by the calls below.
  package func columnType(_ index: Int32) -> ColumnType {
    ColumnType(rawValue: sqlite3_column_type(pointer, index)) ?? .null
  }

  /// The value; text that is not UTF-8 is repaired with U+FFFD.
  package func columnValue(_ index: Int32) -> SQLValue {
    switch columnType(index) {
    case .integer: .integer(columnInteger(index))
    case .real: .real(columnReal(index))
    case .text: .text(String(decoding: textBytes(index), as: UTF8.self))
    case .blob: .blob([UInt8](blobBytes(index)))
    case .null: .null
    }
  }

  /// All values of the row.
  package var row: [SQLValue] { (0..<columnCount).map(columnValue) }

  /// Converted as SQLite's CAST does; 0 for NULL.
  package func columnInteger(_ index: Int32) -> Int64 { sqlite3_column_int64(pointer, index) }

  /// Converted as SQLite's CAST does; 0 for NULL.
  package func columnReal(_ index: Int32) -> Double { sqlite3_column_double(pointer, index) }

  /// The value as text, repaired where it is not UTF-8; nil for NULL.
  package func columnText(_ index: Int32) -> String? {
    columnTextBytes(index).map { String(decoding: $0, as: UTF8.self) }
  }

  /// The value as text exactly as stored, NUL bytes included; nil for NULL.
  package func columnTextBytes(_ index: Int32) -> UnsafeRawBufferPointer? {
    columnType(index) == .null ? nil : textBytes(index)
  }

  /// The value as a blob; nil for NULL.
  package func columnBlob(_ index: Int32) -> UnsafeRawBufferPointer? {
    columnType(index) == .null ? nil : blobBytes(index)
  }

  // The length is asked for after the pointer, because fetching that may convert the value.
  private func textBytes(_ index: Int32) -> UnsafeRawBufferPointer {
    let start = sqlite3_column_text(pointer, index)
    precondition(start != nil, "SQLite is out of memory")
    return bytes(start, sqlite3_column_bytes(pointer, index))
  }

  private func blobBytes(_ index: Int32) -> UnsafeRawBufferPointer {
    let start = sqlite3_column_blob(pointer, index)
    return bytes(start, sqlite3_column_bytes(pointer, index))
  }
}
