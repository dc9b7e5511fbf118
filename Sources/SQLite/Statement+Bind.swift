internal import CSQLite
package import SluiceShared

/// Who keeps bound bytes alive.
package enum BindingLifetime: Sendable {
  /// SQLite makes a copy (`SQLITE_TRANSIENT`).
  case copied
  /// The caller, until the parameter is bound anew or the statement is gone (`SQLITE_STATIC`).
  case borrowed
}

/// Each throws `SQLITE_RANGE` for a parameter that is not there, `SQLITE_TOOBIG` over the
/// connection's length limit and `SQLITE_MISUSE` while the statement is in the middle of its rows.
extension Statement {
  /// The largest parameter number.
  package var parameterCount: Int32 { sqlite3_bind_parameter_count(pointer) }

  /// The parameter's name with its prefix (`:name`, `?3`); nil for a bare `?`.
  package func parameterName(_ index: Int32) -> String? {
    sqlite3_bind_parameter_name(pointer, index).map { String(cString: $0) }
  }

  /// Sets every parameter to NULL.
  package func clearBindings() { sqlite3_clear_bindings(pointer) }

  /// Binds the first parameters to `values`; the others stay.
  package func bind(_ values: [SQLValue]) throws(SQLiteError) {
    var index: Int32 = 1
    for value in values {
      try bind(value, at: index)
      index += 1
    }
  }

  /// Binds a value, copied.
  package func bind(_ value: SQLValue, at index: Int32) throws(SQLiteError) {
    switch value {
    case .null: try bindNull(at: index)
    case .integer(let value): try bind(integer: value, at: index)
    case .real(let value): try bind(real: value, at: index)
    case .text(let value): try bind(text: value, at: index)
    case .blob(let value):
      try check(value.withUnsafeBytes { bindBlob($0, index, .copied) })
    }
  }

  package func bindNull(at index: Int32) throws(SQLiteError) {
    try check(sqlite3_bind_null(pointer, index))
  }

  package func bind(integer value: Int64, at index: Int32) throws(SQLiteError) {
    try check(sqlite3_bind_int64(pointer, index, value))
  }

  /// Binds a number; SQLite takes a NaN for NULL.
  package func bind(real value: Double, at index: Int32) throws(SQLiteError) {
    try check(sqlite3_bind_double(pointer, index, value))
  }

  /// Binds a text, copied; NUL characters in it are kept.
  package func bind(text: String, at index: Int32) throws(SQLiteError) {
    var text = text
    try check(text.withUTF8 { bindText(UnsafeRawBufferPointer($0), index, .copied) })
  }

  /// Binds UTF-8 bytes, which SQLite does not check; NUL bytes in them are kept.
  package func bind(
    text: UnsafeRawBufferPointer, at index: Int32, lifetime: BindingLifetime = .copied
  ) throws(SQLiteError) {
    try check(bindText(text, index, lifetime))
  }

  /// Binds a blob; an empty one is not NULL.
  package func bind(
    blob: UnsafeRawBufferPointer, at index: Int32, lifetime: BindingLifetime = .copied
  ) throws(SQLiteError) {
    try check(bindBlob(blob, index, lifetime))
  }

  private func bindText(
    _ text: UnsafeRawBufferPointer, _ index: Int32, _ lifetime: BindingLifetime
  ) -> Int32 {
    sqlite3_bind_text64(
      pointer, index, nonNull(text).assumingMemoryBound(to: CChar.self), UInt64(text.count),
      lifetime.destructor, UInt8(SQLITE_UTF8))
  }

  private func bindBlob(
    _ blob: UnsafeRawBufferPointer, _ index: Int32, _ lifetime: BindingLifetime
  ) -> Int32 {
    guard !blob.isEmpty else { return sqlite3_bind_zeroblob(pointer, index, 0) }
    return sqlite3_bind_blob64(
      pointer, index, blob.baseAddress, UInt64(blob.count), lifetime.destructor)
  }

  private func check(_ code: Int32) throws(SQLiteError) { try connection.check(code) }
}

extension BindingLifetime {
  fileprivate var destructor: sqlite3_destructor_type? {
    self == .copied ? csqlite_transient() : csqlite_static()
  }
}
