internal import CSQLite

/// A connection to an SQLite database (`sqlite3 *`), closed when it is let go.
///
/// Every statement keeps its connection alive. For one thread at a time.
package final class Connection {
  private var database: OpaquePointer?
  // SQLite holds these unretained; they live until replaced or until the connection is closed.
  var progressHandler: ProgressHandler?
  var authorizer: Authorizer?
  var rowHook: RowHook?

  /// Opens a database with extended result codes (`sqlite3_open_v2`); `vfs` nil is the default one.
  package init(path: String, flags: OpenFlags, vfs: String? = nil) throws(SQLiteError) {
    var opened: OpaquePointer?
    let code = sqlite3_open_v2(path, &opened, flags.rawValue | SQLITE_OPEN_EXRESCODE, vfs)
    guard code == SQLITE_OK else {
      // A connection that failed to open still holds the message, and must be closed.
      let error = SQLiteError(code, in: opened)
      sqlite3_close(opened)
      throw error
    }
    database = opened
  }

  deinit { sqlite3_close_v2(database) }

  /// Closes the database now; a second call does nothing. Throws `SQLITE_BUSY` and stays open
  /// while a statement of this connection is alive (`sqlite3_close`).
  package func close() throws(SQLiteError) {
    guard let database else { return }
    try check(sqlite3_close(database))
    self.database = nil
    progressHandler = nil
    authorizer = nil
    rowHook = nil
  }

  /// The `sqlite3 *`, for what this module does not wrap; valid until the connection is closed.
  package var handle: OpaquePointer {
    guard let database else { preconditionFailure("the connection was closed") }
    return database
  }

  /// Throws unless `code`, which a C function returned for `handle`, is `SQLITE_OK`.
  package func check(_ code: Int32) throws(SQLiteError) {
    guard code == SQLITE_OK else { throw SQLiteError(code, in: database) }
  }
}

extension Connection {
  /// Rows that the last finished INSERT, UPDATE or DELETE changed (`sqlite3_changes64`).
  package var changes: Int64 { sqlite3_changes64(handle) }

  /// Rows changed since the connection was opened, triggers included (`sqlite3_total_changes64`).
  package var totalChanges: Int64 { sqlite3_total_changes64(handle) }

  package var lastInsertRowID: Int64 {
    get { sqlite3_last_insert_rowid(handle) }
    set { sqlite3_set_last_insert_rowid(handle, newValue) }
  }

  /// False within BEGIN … COMMIT. True again when something ended the transaction behind the
  /// caller's back, as `OR ROLLBACK` does (`sqlite3_get_autocommit`).
  package var isAutocommit: Bool { sqlite3_get_autocommit(handle) != 0 }

  package var isReadOnly: Bool { sqlite3_db_readonly(handle, "main") == 1 }

  /// Whether COMMIT would fail because of a foreign key (`SQLITE_DBSTATUS_DEFERRED_FKS`).
  ///
  /// Measured on 3.40.1: *current* is 1 from the statement that violates a deferred key until one
  /// that mends it, ROLLBACK or ROLLBACK TO, through RELEASE and through a COMMIT that failed, and
  /// 0 otherwise; the high-water mark is always 0. `PRAGMA defer_foreign_keys = 0` makes SQLite
  /// forget violations of immediate keys that it had deferred, here and at COMMIT.
  package var deferredForeignKeyViolations: Bool {
    var current: Int32 = 0
    var highest: Int32 = 0
    sqlite3_db_status(handle, SQLITE_DBSTATUS_DEFERRED_FKS, &current, &highest, 0)
    return current != 0
  }

  /// Bytes of memory that the parsed schema takes (`SQLITE_DBSTATUS_SCHEMA_USED`); 0 before it is first used.
  package var schemaBytes: Int {
    var current: Int32 = 0
    var highest: Int32 = 0
    sqlite3_db_status(handle, SQLITE_DBSTATUS_SCHEMA_USED, &current, &highest, 0)
    return Int(current)
  }

  /// How far the transaction on the main database has gone.
  package enum TransactionState: Int32, Sendable {
    case none, read, write
  }

  /// `sqlite3_txn_state` of the main database.
  package var transactionState: TransactionState { transactionState(of: "main") }

  /// `sqlite3_txn_state` of "main", "temp" or an attached database; `.none` where there is no such one.
  package func transactionState(of database: String) -> TransactionState {
    TransactionState(rawValue: sqlite3_txn_state(handle, database)) ?? .none
  }

  /// Databases beside "main" and "temp" (`sqlite3_db_name`).
  package var hasAttached: Bool { sqlite3_db_name(handle, 2) != nil }

  /// Turns an `SQLITE_DBCONFIG_…` option that is a flag on or off.
  package func setConfig(_ option: Int32, _ on: Bool) throws(SQLiteError) {
    try check(csqlite_config_flag(handle, option, on ? 1 : 0))
  }

  /// Gives back what the page cache holds and does not need (`sqlite3_db_release_memory`).
  package func releaseMemory() { sqlite3_db_release_memory(handle) }

  /// Sets an `SQLITE_LIMIT_…` and returns what it was; a negative value only asks.
  @discardableResult
  package func limit(_ id: Int32, _ value: Int32 = -1) -> Int32 { sqlite3_limit(handle, id, value) }

  /// Makes the statements that are running fail with `SQLITE_INTERRUPT`.
  package func interrupt() { sqlite3_interrupt(handle) }
}
