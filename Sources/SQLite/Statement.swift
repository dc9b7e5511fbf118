internal import CSQLite

/// A compiled statement (`sqlite3_stmt *`), finalized when it is let go.
///
/// A class, so that a cache can keep it in a dictionary: binding and stepping a row costs the same
/// as with a `~Copyable` struct. Parameters count from 1, columns from 0, as in SQLite. For one
/// thread at a time.
package final class Statement {
  /// Kept alive: a statement must be finalized before its connection is closed.
  package let connection: Connection
  let pointer: OpaquePointer

  init(_ pointer: OpaquePointer, of connection: Connection) {
    self.pointer = pointer
    self.connection = connection
  }

  deinit { sqlite3_finalize(pointer) }

  /// Goes on to the next row; false when there is none (`sqlite3_step`).
  ///
  /// After false, `reset` before binding or stepping again. After an error the statement is reset,
  /// so that it does not keep a savepoint from being released.
  package func step() throws(SQLiteError) -> Bool {
    switch sqlite3_step(pointer) {
    case SQLITE_ROW: return true
    case SQLITE_DONE: return false
    case let code:
      let error = SQLiteError(code, in: connection.handle)
      sqlite3_reset(pointer)
      throw error
    }
  }

  /// Steps to the end, throwing rows away, and resets.
  package func run() throws(SQLiteError) {
    while try step() {}
    reset()
  }

  /// Back to before the first row; bindings stay (`sqlite3_reset`).
  package func reset() { sqlite3_reset(pointer) }

  /// The text that it was compiled from, without what followed it.
  package var sql: String { String(cString: sqlite3_sql(pointer)) }

  /// Whether it writes nothing to the database directly; true also of BEGIN, COMMIT and SAVEPOINT
  /// (`sqlite3_stmt_readonly`).
  package var isReadOnly: Bool { sqlite3_stmt_readonly(pointer) != 0 }

  /// Whether it is an EXPLAIN or EXPLAIN QUERY PLAN.
  package var isExplain: Bool { sqlite3_stmt_isexplain(pointer) != 0 }

  /// Whether it is an EXPLAIN that lists the program, and not the query plan.
  package var listsProgram: Bool { sqlite3_stmt_isexplain(pointer) == 1 }

  /// An `SQLITE_STMTSTATUS_…` counter, virtual machine steps for example, set back to 0 after
  /// reading if so wished (`sqlite3_stmt_status`).
  package func status(_ counter: Int32, reset: Bool = false) -> Int32 {
    sqlite3_stmt_status(pointer, counter, reset ? 1 : 0)
  }
}
