internal import CSQLite
internal import Glibc
internal import SluiceSQLite
internal import SluiceShared

/// A store's first database: a plain SQLite file, new or a copy, with the applier's tables in it.
struct FirstDatabase {
  let path: String
  /// Of a new one.
  let pageSize: Int
  let extensions: [LoadableExtension]
  /// The store will have batches keep to foreign keys.
  let enforcesForeignKeys: Bool
  let note: (String) -> Void

  /// Makes it; returns its page size.
  func make(from source: SourceDatabase?) throws(StoreError) -> Int {
    let database: Connection
    do throws(SQLiteError) {
      database = try Connection(
        path: SourceDatabase.sqliteName(path), flags: [.readWrite, .create, .noMutex])
    } catch {
      throw failure(error, source)
    }
    try database.load(extensions)
    try source?.copy(to: database)
    do throws(SQLiteError) {
      if source == nil { try database.execute("PRAGMA page_size = \(pageSize)") }
      // A copy of a database in WAL mode says so in its header; readers here have no WAL.
      try database.execute("PRAGMA journal_mode = DELETE")
      try dropBookkeeping(of: database)
      try refuseReservedNames(in: database)
      try database.execute("BEGIN; \(Bookkeeping.schema) COMMIT")
      if source != nil {
        let check = DatabaseCheck(database)
        for finding in try check.findings() { note(finding) }
        if enforcesForeignKeys, let finding = try check.foreignKeys() { note(finding) }
      }
      let size = try database.scalar("PRAGMA page_size")
      try database.close()
      guard case .integer(let size)? = size else { return pageSize }
      return Int(size)
    } catch {
      throw failure(error, source)
    }
  }

  /// A checkpoint of another store becomes a store: its content stays, what was remembered of the
  /// other store's writers and keys does not.
  private func dropBookkeeping(of database: Connection) throws(SQLiteError) {
    let tables = try database.query(
      "SELECT name FROM sqlite_schema WHERE type = 'table' AND name IN ('_sluice_state', '_sluice_writers', '_sluice_keys', '_sluice_rejected')"
    )
    guard tables.count == 4 else { return }
    for case .text(let name)? in tables.map(\.first) { try database.execute("DROP TABLE \(name)") }
  }

  private func refuseReservedNames(in database: Connection) throws(SQLiteError) {
    let taken = try database.query(
      "SELECT name FROM sqlite_schema WHERE name LIKE '\\_sluice\\_%' ESCAPE '\\'")
    guard case .text(let name)? = taken.first?.first else { return }
    throw SQLiteError(
      code: SQLITE_ERROR,
      message: "it has \(name), and names that begin with \(Bookkeeping.prefix) are reserved")
  }

  private func failure(_ error: SQLiteError, _ source: SourceDatabase?) -> StoreError {
    let code: StoreError.Code =
      switch error.primary {
      case SQLITE_NOTADB, SQLITE_CORRUPT: .damaged
      case SQLITE_ERROR: .invalid
      default: .io
      }
    return StoreError(
      code, "the first database cannot be made: \(error.message)", path: source?.path ?? path,
      errno: error.primary == SQLITE_FULL ? ENOSPC : nil)
  }
}
