internal import SluiceSQLite
internal import SluiceShared

/// Which values a column turns into others when it stores them, as its declared type says.
enum ColumnAffinity: String {
  case integer = "INTEGER"
  case text = "TEXT"
  case none = "BLOB"
  case real = "REAL"
  case numeric = "NUMERIC"

  init(ofType type: String, isStrict: Bool) {
    let type = type.foldedCase
    func has(_ parts: String...) -> Bool { parts.contains(where: type.contains) }
    self =
      if has("int") {
        .integer
      } else if has("char", "clob", "text") {
        .text
      } else if type.isEmpty || has("blob") || isStrict && type == "any" {
        .none
      } else if has("real", "floa", "doub") {
        .real
      } else {
        .numeric
      }
  }
}

/// What a column has in rows that were there before it was added: its default, as SQLite reads it then.
final class ColumnDefaults {
  private struct Column: Hashable {
    var standard: ExactText
    var affinity: ColumnAffinity
  }

  private var known: [Column: SQLValue] = [:]

  /// `standard`: the default as the schema has it.
  func value(of standard: String, _ affinity: ColumnAffinity) throws(SQLiteError) -> SQLValue {
    let column = Column(standard: ExactText(standard), affinity: affinity)
    if let value = known[column] { return value }
    let value: SQLValue
    do throws(SQLiteError) { value = try added(standard, affinity) } catch {
      // The schema leaves out the brackets around an expression.
      value = try added("(\(standard))", affinity)
    }
    known[column] = value
    return value
  }

  private func added(_ standard: String, _ affinity: ColumnAffinity)
    throws(SQLiteError) -> SQLValue
  {
    let connection = try Connection(path: ":memory:", flags: [.readWrite, .memory, .noMutex])
    try connection.execute("CREATE TABLE t(a); INSERT INTO t VALUES (1)")
    try connection.execute("ALTER TABLE t ADD COLUMN b \(affinity.rawValue) DEFAULT \(standard)")
    return try connection.scalar("SELECT b FROM t") ?? .null
  }
}
