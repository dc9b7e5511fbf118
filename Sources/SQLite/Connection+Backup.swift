internal import CSQLite

extension Connection {
  /// Copies the whole main database over `destination`'s, some pages at a time
  /// (`sqlite3_backup_step`).
  ///
  /// Throws `SQLITE_BUSY` or `SQLITE_LOCKED` where either side is in use; the destination then
  /// holds what it held before.
  package func backup(to destination: Connection, pagesPerStep: Int32 = 1024) throws(SQLiteError) {
    guard let backup = sqlite3_backup_init(destination.handle, "main", handle, "main") else {
      throw SQLiteError(sqlite3_extended_errcode(destination.handle), in: destination.handle)
    }
    var code = SQLITE_OK
    while code == SQLITE_OK { code = sqlite3_backup_step(backup, pagesPerStep) }
    // The message is on the destination only after finish.
    let finished = sqlite3_backup_finish(backup)
    guard code == SQLITE_DONE else { throw SQLiteError(code, in: destination.handle) }
    try destination.check(finished)
  }
}
