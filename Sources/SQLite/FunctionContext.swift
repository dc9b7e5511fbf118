internal import CSQLite
package import SluiceShared

/// One call of an SQL function: its arguments, and where the result goes. Valid only during the
/// call; a function that sets no result returns NULL.
package struct FunctionContext: ~Copyable {
  let call: OpaquePointer
  package let argumentCount: Int32
  let arguments: UnsafeMutablePointer<OpaquePointer?>?

  private func argument(_ index: Int32) -> OpaquePointer? {
    precondition(0..<argumentCount ~= index, "the function was called with fewer arguments")
    return arguments?[Int(index)]
  }

  /// The argument's value; text that is not UTF-8 is repaired with U+FFFD.
  package func value(_ index: Int32) -> SQLValue { SQLValue(argument(index)) }

  /// The argument as an integer, converted as SQLite's CAST does.
  package func integer(_ index: Int32) -> Int64 { sqlite3_value_int64(argument(index)) }

  package func isNull(_ index: Int32) -> Bool { sqlite3_value_type(argument(index)) == SQLITE_NULL }

  package mutating func setResult(_ value: SQLValue) {
    switch value {
    case .null: sqlite3_result_null(call)
    case .integer(let value): sqlite3_result_int64(call, value)
    case .real(let value): sqlite3_result_double(call, value)
    case .text(var text): text.withUTF8 { setResult(text: UnsafeRawBufferPointer($0)) }
    case .blob(let blob): blob.withUnsafeBytes { setResult(blob: $0) }
    }
  }

  package mutating func setResult(integer value: Int64) { sqlite3_result_int64(call, value) }

  /// UTF-8, copied.
  package mutating func setResult(text: UnsafeRawBufferPointer) {
    let start = nonNull(text).assumingMemoryBound(to: CChar.self)
    sqlite3_result_text64(
      call, start, UInt64(text.count), csqlite_transient(), UInt8(SQLITE_UTF8))
  }

  /// Copied.
  package mutating func setResult(blob: UnsafeRawBufferPointer) {
    sqlite3_result_blob64(call, nonNull(blob), UInt64(blob.count), csqlite_transient())
  }

  /// A blob of `count` bytes that `fill` writes, in SQLite's own memory: nothing is copied, and its limits
  /// hold. Fails with SQLITE_NOMEM where they are reached.
  package mutating func setResult(
    blobOf count: Int, fill: (UnsafeMutableRawBufferPointer) -> Void
  ) {
    guard let memory = sqlite3_malloc64(UInt64(count)) else {
      sqlite3_result_error_nomem(call)
      return
    }
    fill(UnsafeMutableRawBufferPointer(start: memory, count: count))
    sqlite3_result_blob64(call, memory, UInt64(count)) { sqlite3_free($0) }
  }

  /// Makes the statement fail with `SQLITE_ERROR` and this message.
  package mutating func fail(_ message: String) {
    var message = message
    message.withUTF8 { text in
      let start = nonNull(UnsafeRawBufferPointer(text)).assumingMemoryBound(to: CChar.self)
      sqlite3_result_error(call, start, Int32(clamping: text.count))
    }
  }
}

extension SQLValue {
  /// What an `sqlite3_value` holds; text that is not UTF-8 is repaired with U+FFFD.
  init(_ value: OpaquePointer?) {
    switch sqlite3_value_type(value) {
    case SQLITE_INTEGER: self = .integer(sqlite3_value_int64(value))
    case SQLITE_FLOAT: self = .real(sqlite3_value_double(value))
    case SQLITE_TEXT:
      let text = sqlite3_value_text(value)
      self = .text(String(decoding: bytes(text, sqlite3_value_bytes(value)), as: UTF8.self))
    case SQLITE_BLOB:
      let blob = sqlite3_value_blob(value)
      self = .blob([UInt8](bytes(blob, sqlite3_value_bytes(value))))
    default: self = .null
    }
  }
}
