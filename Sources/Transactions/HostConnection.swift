internal import CSQLite
internal import SluiceReader
internal import SluiceVFS

/// The connection that has a file open, as far as the file may ask it: through the functions of its library, and
/// the place that SQLITE_FCNTL_PDB gives, which lasts as long as the file is open.
struct HostConnection {
  private let place: UnsafeMutablePointer<OpaquePointer?>
  private let calls: SQLiteCalls

  init(_ argument: UnsafeMutableRawPointer, _ calls: SQLiteCalls) {
    place = argument.assumingMemoryBound(to: OpaquePointer?.self)
    self.calls = calls
  }

  private var functions: csqlite_calls { calls.table.pointee }

  /// Whether `file` is the connection's main database, and is not attached to another.
  func isMain(_ file: AnyObject) -> Bool { identity(of: "main") == address(of: file) }

  func setBusyTimeout(_ milliseconds: Int32) {
    _ = functions.busy_timeout(place.pointee, milliseconds)
  }

  func enforceForeignKeys() {
    _ = csqlite_calls_flag(calls.table, place.pointee, SQLITE_DBCONFIG_ENABLE_FKEY, 1)
  }

  // MARK: Transactions

  private enum Progress: Int32 { case none, read, write }

  /// Whether the transaction on `file` has read something already. Nil where the library cannot tell.
  ///
  /// If it has not, SQLite answers SQLITE_BUSY by beginning again, on a newer state.
  func hasRead(_ file: AnyObject) -> Bool? {
    guard let schema = schemas.first(where: { identity(of: $0) == address(of: file) }) else {
      return nil
    }
    return progress(schema).map { $0 != .none }
  }

  /// Whether the transaction writes another database too that is more than memory. SQLite would commit one
  /// after the other.
  func writesOthers(than file: AnyObject) -> Bool {
    schemas.contains { schema in
      schema != "temp" && progress(schema) == .write && identity(of: schema) != address(of: file)
        && hasMethods(schema, SQLITE_FCNTL_FILE_POINTER)
    }
  }

  /// Whether the transaction on `file` keeps no rollback journal at all (journal_mode=OFF).
  func hasNoJournal(_ file: AnyObject) -> Bool {
    guard let schema = schemas.first(where: { identity(of: $0) == address(of: file) }) else {
      return false
    }
    return !hasMethods(schema, SQLITE_FCNTL_JOURNAL_POINTER)
  }

  private func address(of file: AnyObject) -> UnsafeMutableRawPointer {
    Unmanaged.passUnretained(file).toOpaque()
  }

  /// All where the library can list them.
  private var schemas: [String] {
    guard let name = functions.db_name else { return ["main"] }
    var names: [String] = []
    while let text = name(place.pointee, Int32(names.count)) { names.append(String(cString: text)) }
    return names
  }

  private func progress(_ schema: String) -> Progress? {
    guard let state = functions.txn_state else { return nil }
    return Progress(rawValue: state(place.pointee, schema))
  }

  /// The object behind a schema's file, where it is one of this module's.
  private func identity(of schema: String) -> UnsafeMutableRawPointer? {
    var file: UnsafeMutableRawPointer?
    let code = functions.file_control(place.pointee, schema, TransactionFile.identify, &file)
    return code == SQLITE_OK ? file : nil
  }

  /// Whether a file of a schema is open in some file system.
  private func hasMethods(_ schema: String, _ operation: Int32) -> Bool {
    var file: UnsafeMutablePointer<sqlite3_file>?
    let code = functions.file_control(place.pointee, schema, operation, &file)
    return code == SQLITE_OK && file?.pointee.pMethods != nil
  }
}
