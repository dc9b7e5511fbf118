internal import CSQLite

/// What SQLite refused to do and why.
package struct SQLiteError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The extended result code, for example 2067 for `SQLITE_CONSTRAINT_UNIQUE`.
  package var code: Int32
  /// SQLite's own words (`sqlite3_errmsg`).
  package var message: String
  /// Where in the statement's text the offending token begins, in bytes of UTF-8.
  package var offset: Int?

  package init(code: Int32, message: String, offset: Int? = nil) {
    self.code = code
    self.message = message
    self.offset = offset
  }

  /// The result code without its extension: 19 for every `SQLITE_CONSTRAINT_…`.
  package var primary: Int32 { code & 0xFF }

  /// The extended code's name in `sqlite3.h`, or the primary code's where a newer SQLite returned
  /// an extension that this table lacks.
  package var name: String { resultCodeName(code) }

  package var description: String {
    let place = offset.map { " (at byte \($0) of the statement)" } ?? ""
    return "\(name): \(message)\(place)"
  }
}

extension SQLiteError {
  /// The error that a call on `database` just returned.
  init(_ code: Int32, in database: OpaquePointer?) {
    // Misuse does not reach the connection: its last message would be an older call's.
    guard let database, sqlite3_extended_errcode(database) == code else {
      self.init(code: code, message: String(cString: sqlite3_errstr(code)))
      return
    }
    let offset = sqlite3_error_offset(database)
    self.init(
      code: code, message: String(cString: sqlite3_errmsg(database)),
      offset: offset < 0 ? nil : Int(offset))
  }
}
