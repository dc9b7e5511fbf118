import BenchmarkSupport
import CSQLite
import SluiceShared

/// An SQLite database used through the C API as anybody would, with no wrapper between.
final class PlainSQLite {
  let database: OpaquePointer

  init(_ path: String) throws(RunError) {
    var opened: OpaquePointer?
    let flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX
    guard sqlite3_open_v2(path, &opened, flags, nil) == SQLITE_OK, let opened else {
      throw RunError("\(path) cannot be opened")
    }
    database = opened
  }

  deinit { sqlite3_close_v2(database) }

  func execute(_ sql: String) throws(RunError) {
    guard sqlite3_exec(database, sql, nil, nil, nil) == SQLITE_OK else { throw failure(sql) }
  }

  /// The statement lives until `sqlite3_finalize`.
  func prepare(_ sql: String) throws(RunError) -> OpaquePointer {
    var statement: OpaquePointer?
    guard sqlite3_prepare_v2(database, sql, -1, &statement, nil) == SQLITE_OK, let statement else {
      throw failure(sql)
    }
    return statement
  }

  func run(_ statement: OpaquePointer) throws(RunError) {
    guard sqlite3_step(statement) == SQLITE_DONE, sqlite3_reset(statement) == SQLITE_OK else {
      throw failure("a statement")
    }
  }

  /// The rows of a table.
  func count(_ table: String) throws(RunError) -> Int {
    let statement = try prepare("SELECT count(*) FROM \(table)")
    defer { sqlite3_finalize(statement) }
    guard sqlite3_step(statement) == SQLITE_ROW else { throw failure("a count") }
    return Int(sqlite3_column_int64(statement, 0))
  }

  private func failure(_ what: String) -> RunError {
    RunError("\(what) failed: \(String(cString: sqlite3_errmsg(database)))")
  }
}
