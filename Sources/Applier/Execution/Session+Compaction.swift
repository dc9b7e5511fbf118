internal import CSQLite
internal import SluiceJournal
internal import SluiceSQLite
internal import SluiceShared
internal import SluiceVFS

/// How the database is rewritten as a commit of its own.
///
/// SQLite's VACUUM is a transaction by itself. The pages that it writes stay over the snapshot, as those of a
/// transaction that is open, and nothing of them is in the log; then comes the applier's own transaction with
/// the batch's outcome, and the COMMIT of that one seals both. So the log has one commit, in which all pages
/// are new and the change counter is two higher, and a reader passes from the old file to the new one in one
/// step. Where anything fails, or the process dies, the log has nothing, and the session is thrown away or
/// begins again with the snapshot's pages.
extension Session {
  /// Called in the group's transaction, in which nothing was written; ends in one, too.
  func compact(_ compaction: Compaction) throws(StoreError) -> BatchEnd {
    try rollback()
    run.reopenAfterwards()
    let end = try run.compact(compaction, in: database)
    if end == nil { run.forgetStatements() } else { database.discard() }
    try own { () throws(SQLiteError) in try begin.run() }
    return end ?? .outcome(.applied(.init(changes: 0, lastRowID: 0, rows: nil)))
  }
}

extension BatchRun {
  /// What it ends with where SQLite refuses it; nil: its pages are in `database`.
  fileprivate func compact(_ compaction: Compaction, in database: DatabaseFile) throws(StoreError)
    -> BatchEnd?
  {
    state = BatchState(steps: stepsPerBatch, time: batchTime)
    budget.exhaustion = nil
    _ = takeFullCommit()
    permissions.mode = .compaction
    // VACUUM attaches the file into which it copies.
    connection.limit(SQLITE_LIMIT_ATTACHED, 1)
    defer {
      permissions.mode = .applier
      connection.limit(SQLITE_LIMIT_ATTACHED, 0)
    }
    do throws(SQLiteError) {
      try database.keeping { () throws(SQLiteError) in
        for statement in compaction.statements { try connection.execute(statement) }
      }
      return nil
    } catch {
      return try judged(error)
    }
  }
}
