package import CSQLite

/// The functions of one SQLite library, as a table (`csqlite_calls`).
///
/// What is registered with a library calls that library and no other. A process can have several, and a
/// loadable extension links none.
package struct SQLiteCalls: @unchecked Sendable {
  // Sendable: the table does not change, and is never deallocated.
  package let table: UnsafePointer<csqlite_calls>

  /// Keeps a copy of `calls` for as long as the process.
  package init(_ calls: csqlite_calls) {
    let copy = UnsafeMutablePointer<csqlite_calls>.allocate(capacity: 1)
    copy.initialize(to: calls)
    table = UnsafePointer(copy)
  }

  /// `sqlite3_log`, for whoever listens with SQLITE_CONFIG_LOG.
  package func log(_ code: Int32, _ text: String) { csqlite_calls_log(table, code, text) }

  /// A C string that SQLite frees; nil where there is no memory.
  package func allocated(_ text: String) -> UnsafeMutablePointer<CChar>? {
    let bytes = text.utf8CString
    let copy = table.pointee.allocate(Int32(bytes.count))?.assumingMemoryBound(to: CChar.self)
    if let copy { for (i, byte) in bytes.enumerated() { (copy + i).initialize(to: byte) } }
    return copy
  }

  /// The file system that the library uses where none is named.
  var defaultFileSystem: UnsafeMutablePointer<sqlite3_vfs>? { table.pointee.vfs_find(nil) }
}
