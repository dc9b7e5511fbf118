internal import CSQLite
package import SluiceShared

extension Connection {
  /// Compiles the one statement in `sql`.
  ///
  /// Throws `SQLITE_ERROR` also when there is none or more than one. `persistent` tells SQLite that
  /// the statement will be kept (`SQLITE_PREPARE_PERSISTENT`).
  package func prepare(_ sql: String, persistent: Bool = false) throws(SQLiteError) -> Statement {
    var sql = sql
    return try sql.withUTF8 { text in
      Result { () throws(SQLiteError) in
        let bytes = UnsafeRawBufferPointer(text)
        guard let (statement, length) = try prepare(bytes, persistent: persistent) else {
          throw SQLiteError(code: SQLITE_ERROR, message: "there is no statement in the text")
        }
        let rest = UnsafeRawBufferPointer(rebasing: bytes[length...])
        if !rest.isEmpty, try prepare(rest) != nil {
          throw SQLiteError(
            code: SQLITE_ERROR, message: "more than one statement; give them one by one",
            offset: length)
        }
        return statement
      }
    }.get()
  }

  /// Compiles the first statement in a UTF-8 text and says how many bytes it took, its semicolon
  /// included; nil where the text holds only white space and comments (`sqlite3_prepare_v3`).
  ///
  /// A NUL byte is refused: SQLite would take it for the end and ignore the rest.
  package func prepare(_ sql: UnsafeRawBufferPointer, persistent: Bool = false)
    throws(SQLiteError) -> (statement: Statement, length: Int)?
  {
    guard let start = sql.baseAddress?.assumingMemoryBound(to: CChar.self) else { return nil }
    if let nul = sql.firstIndex(of: 0) {
      throw SQLiteError(
        code: SQLITE_ERROR, message: "the text contains a NUL character", offset: nul)
    }
    guard let count = Int32(exactly: sql.count) else {
      throw SQLiteError(code: SQLITE_TOOBIG, message: "the text is longer than 2 GiB")
    }
    var compiled: OpaquePointer?
    var tail: UnsafePointer<CChar>?
    let flags = persistent ? UInt32(SQLITE_PREPARE_PERSISTENT) : 0
    try check(sqlite3_prepare_v3(handle, start, count, flags, &compiled, &tail))
    guard let compiled else { return nil }
    return (Statement(compiled, of: self), tail.map { $0 - start } ?? sql.count)
  }

  /// Executes each statement of a script, throwing rows away; stops at the first error.
  package func execute(_ sql: String) throws(SQLiteError) {
    var sql = sql
    try sql.withUTF8 { text in
      Result { () throws(SQLiteError) in
        var rest = UnsafeRawBufferPointer(text)
        while let (statement, length) = try prepare(rest) {
          try statement.run()
          rest = UnsafeRawBufferPointer(rebasing: rest[length...])
        }
      }
    }.get()
  }

  /// All rows of one statement.
  package func query(_ sql: String, _ parameters: [SQLValue] = [])
    throws(SQLiteError) -> [[SQLValue]]
  {
    let statement = try prepare(sql)
    try statement.bind(parameters)
    var rows: [[SQLValue]] = []
    while try statement.step() { rows.append(statement.row) }
    return rows
  }

  /// The first column of the first row: nil when there is no row, `.null` when it holds NULL.
  package func scalar(_ sql: String, _ parameters: [SQLValue] = []) throws(SQLiteError) -> SQLValue?
  {
    let statement = try prepare(sql)
    try statement.bind(parameters)
    guard try statement.step(), statement.columnCount > 0 else { return nil }
    return statement.columnValue(0)
  }
}
