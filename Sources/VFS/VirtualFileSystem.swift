internal import CSQLite

/// Why SQLite's call on a file failed: the result code that SQLite gets.
package struct VFSFailure: Error {
  package let code: Int32
  package init(_ code: Int32) { self.code = code }
}

/// A file as SQLite sees it (`sqlite3_io_methods`), version 1: no shared memory, no mapping.
///
/// Called by one connection at a time. What is not implemented answers as a read-only file would.
package protocol VirtualFile: AnyObject {
  /// Fills `buffer`; beyond the end it fills with zeros and throws SQLITE_IOERR_SHORT_READ.
  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(VFSFailure)
  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(VFSFailure)
  func truncate(to size: Int64) throws(VFSFailure)
  func sync() throws(VFSFailure)
  func size() throws(VFSFailure) -> Int64
  /// SQLITE_LOCK_SHARED … SQLITE_LOCK_EXCLUSIVE.
  func lock(_ level: Int32) throws(VFSFailure)
  /// SQLITE_LOCK_NONE or SQLITE_LOCK_SHARED.
  func unlock(_ level: Int32) throws(VFSFailure)
  /// `sqlite3_file_control`; SQLITE_NOTFOUND for an operation that is not known.
  func control(_ operation: Int32, _ argument: UnsafeMutableRawPointer?) -> Int32
  var sectorSize: Int32 { get }
  /// SQLITE_IOCAP_ flags.
  var characteristics: Int32 { get }
  func close()
}

extension VirtualFile {
  package func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(VFSFailure) {
    throw VFSFailure(SQLITE_READONLY)
  }
  package func truncate(to size: Int64) throws(VFSFailure) { throw VFSFailure(SQLITE_READONLY) }
  package func sync() throws(VFSFailure) {}
  package func lock(_ level: Int32) throws(VFSFailure) {}
  package func unlock(_ level: Int32) throws(VFSFailure) {}
  package func control(_ operation: Int32, _ argument: UnsafeMutableRawPointer?) -> Int32 {
    SQLITE_NOTFOUND
  }
  package var sectorSize: Int32 { 4096 }
  package var characteristics: Int32 { 0 }
  package func close() {}
}

/// Opens files for SQLite (`sqlite3_vfs`). Reached from every thread that opens a connection.
package protocol VirtualFileSystem: AnyObject, Sendable {
  /// Opens a file; `flags` are SQLITE_OPEN_ flags, and so is what it returns beside the file: how
  /// the file was opened in fact. Nil: the file is the default file system's, which opens it.
  func open(_ name: VFSName, flags: Int32) throws(VFSFailure)
    -> (file: any VirtualFile, flags: Int32)?
  func delete(_ path: String) throws(VFSFailure)
  func exists(_ path: UnsafePointer<CChar>) -> Bool
  /// Whether a file of that name is the default file system's to look for and to delete.
  func isElsewhere(_ path: UnsafePointer<CChar>) -> Bool
  /// Nil: what the default file system makes of it, as of a path that is no UTF-8 and leads to none.
  func fullPath(_ path: UnsafePointer<CChar>) -> String?
  /// Unix milliseconds: what 'now' means in SQL.
  func currentTime_ms() -> Int64
  /// What `sqlite3_errmsg` adds for an error that came from here.
  var lastErrorText: String? { get }
}

extension VirtualFileSystem {
  package func delete(_ path: String) throws(VFSFailure) {}
  package func exists(_ path: UnsafePointer<CChar>) -> Bool { false }
  package func isElsewhere(_ path: UnsafePointer<CChar>) -> Bool { false }
  package func fullPath(_ path: UnsafePointer<CChar>) -> String? { String(validatingCString: path) }
  package var lastErrorText: String? { nil }
}

/// The name of a file to be opened, with the parameters of its URI.
package struct VFSName {
  private let name: UnsafePointer<CChar>?
  private let calls: SQLiteCalls

  init(_ name: UnsafePointer<CChar>?, _ calls: SQLiteCalls) {
    self.name = name
    self.calls = calls
  }

  /// Nil for a temporary file. Valid during the call that it was given to.
  package var bytes: UnsafePointer<CChar>? { name }

  /// nil for a temporary file, and for a path that is no UTF-8: mended it would be another's.
  package var path: String? { name.flatMap { String(validatingCString: $0) } }

  /// `sqlite3_uri_parameter`. Only for the main database file.
  package func parameter(_ parameter: String) -> String? {
    calls.table.pointee.uri_parameter(name, parameter).map { String(cString: $0) }
  }

  /// `sqlite3_uri_boolean`.
  package func flag(_ parameter: String, default value: Bool = false) -> Bool {
    calls.table.pointee.uri_boolean(name, parameter, value ? 1 : 0) != 0
  }
}
