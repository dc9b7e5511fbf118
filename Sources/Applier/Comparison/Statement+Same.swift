internal import Glibc
internal import SluiceSQLite

extension Statement {
  /// Whether a column of the current row has the same value as one of another statement's: type and bytes.
  func isSame(_ column: Int32, as other: Statement, _ otherColumn: Int32) -> Bool {
    let type = columnType(column)
    guard type == other.columnType(otherColumn) else { return false }
    switch type {
    case .null: return true
    case .integer: return columnInteger(column) == other.columnInteger(otherColumn)
    case .real: return columnReal(column).bitPattern == other.columnReal(otherColumn).bitPattern
    case .text: return Self.same(columnTextBytes(column), other.columnTextBytes(otherColumn))
    case .blob: return Self.same(columnBlob(column), other.columnBlob(otherColumn))
    }
  }

  private static func same(_ a: UnsafeRawBufferPointer?, _ b: UnsafeRawBufferPointer?) -> Bool {
    guard let a, let b, a.count == b.count else { return a?.count == b?.count }
    guard let first = a.baseAddress, let second = b.baseAddress else { return true }
    return memcmp(first, second, a.count) == 0
  }
}
