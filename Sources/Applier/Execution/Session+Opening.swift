internal import CSQLite
internal import Glibc
internal import SluiceReader
internal import SluiceSQLite
internal import SluiceShared
internal import SluiceVFS

/// How the applier's connection is set up, and what can be said of a database without executing anything.
extension Session {
  static func configure(
    _ connection: Connection, foreignKeys: Bool, cacheBytes: Int, _ environment: Environment
  ) throws(SQLiteError) {
    try connection.setConfig(SQLITE_DBCONFIG_DEFENSIVE, true)
    try connection.setConfig(SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, false)
    // What a schema calls, any batch may call: the same functions, on this same connection. And what
    // it may not is refused in a schema too: the authorizer is asked about each function, table and
    // pragma in triggers and views, and SQLite itself refuses what is for direct use only
    // (`load_extension`, `fts3_tokenizer`, `sqlite_dbpage`) in DEFAULT, CHECK, indexes and generated
    // columns. So a trusted schema can do no more than who wrote it. One that is not trusted could
    // have no JSON function and no trigger on FTS or R-tree tables: 3.40 calls none of them harmless.
    try connection.setConfig(SQLITE_DBCONFIG_TRUSTED_SCHEMA, true)
    // With it a tokenizer could be an address that a batch gives.
    try connection.setConfig(SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, false)
    try connection.setConfig(SQLITE_DBCONFIG_ENABLE_QPSG, true)
    connection.limit(SQLITE_LIMIT_ATTACHED, 0)
    // NORMAL: under EXCLUSIVE the change counter would rise only once.
    let locking = environment.makes(.changeCounter) ? "NORMAL" : "EXCLUSIVE"
    try connection.execute(
      """
      PRAGMA locking_mode = \(locking);
      PRAGMA journal_mode = TRUNCATE;
      PRAGMA synchronous = FULL;
      PRAGMA temp_store = FILE;
      PRAGMA secure_delete = OFF;
      PRAGMA cache_size = -\(cacheBytes >> 10);
      PRAGMA foreign_keys = \(foreignKeys ? "ON" : "OFF");
      """)
  }

  /// Why a database cannot be opened for batches.
  static func failure(toOpen snapshot: Snapshot, _ error: SQLiteError) -> StoreError {
    guard error.primary == SQLITE_NOMEM else {
      return StoreError(
        .damaged,
        "the database as of batch \(snapshot.txid) cannot be opened: \(error); restore it from a checkpoint"
      )
    }
    return StoreError(
      .io,
      "the database as of batch \(snapshot.txid) cannot be opened in the memory that a process that executes batches has: most likely its schema is too large. Submit batches that drop its largest views, triggers and tables; `sluice apply STORE --in-process --drain` has 16 MiB more. Where that does not suffice, restore the database as of a batch before them",
      errno: ENOMEM)
  }

  /// A failure of an extension is told as that, and is nothing of the database's.
  static func load(_ extensions: [LoadableExtension], into connection: Connection)
    throws(SQLiteError)
  {
    do throws(StoreError) { try connection.load(extensions) } catch {
      throw SQLiteError(code: SQLITE_ERROR, message: error.message)
    }
  }

  /// In a CHECK that an imported database brings along, the authorizer is not asked about it, and
  /// SQLite would call it.
  static func refuseTokenizers(on connection: Connection) throws(SQLiteError) {
    for count: Int32 in [1, 2] {
      try connection.createFunction("fts3_tokenizer", argumentCount: count, flags: .directOnly) {
        context in context.fail("fts3_tokenizer is not allowed")
      }
    }
  }

  /// Throws where this database, as it was imported, would be in the way of batches.
  func prove() throws(StoreError) { try run.proveSchema() }

  /// A sentence for each thing in the schema that batches cannot use. Executes nothing.
  func survey() throws(StoreError) -> [String] {
    let findings: [String]
    do throws(SQLiteError) {
      try begin.run()
      findings = try SchemaSurvey(connection, permissions).look()
    } catch {
      if let failure = database.failure ?? fileSystem.budget.deviceError { throw failure }
      // That it opens and is written to was proven without it.
      findings = [
        "the schema was not looked through for what batches cannot use: \(error.message)"
      ]
    }
    try rollback()
    return findings
  }
}
