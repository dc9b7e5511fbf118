internal import CSQLite

extension Connection {
  /// What `localtime` is in SQL: UTC from here on, on all connections of the process that use this library. The time zone
  /// of the process stays as it is.
  ///
  /// Throws `SQLITE_MISUSE` where the library does not heed it and the process's time zone is not UTC.
  package func makeLocalTimeUTC() throws(SQLiteError) {
    _ = csqlite_make_local_time_utc()
    // Winter and summer.
    let check = try prepare(
      "SELECT count(*) FROM (VALUES (1735689600), (1751328000)) WHERE strftime('%s', column1, 'unixepoch', 'localtime') + 0 <> column1"
    )
    guard try check.step(), check.columnInteger(0) == 0 else {
      throw SQLiteError(
        code: SQLITE_MISUSE,
        message:
          "this SQLite does not heed what local time is (it was built with SQLITE_UNTESTABLE); use another build, or set TZ=UTC"
      )
    }
  }
}
