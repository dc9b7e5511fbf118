internal import CSQLite
internal import SluiceJournal
internal import SluiceSQLite
internal import SluiceShared
internal import SluiceVFS

/// How the execution of one batch within its group's transaction ended.
enum BatchEnd {
  /// The batch has its outcome; the transaction goes on.
  case outcome(Outcome)
  /// The batch took the whole transaction with it and is to be rejected with this: the group is
  /// executed again without it.
  case lostTransaction(Outcome.Rejection)
  /// It has to be alone in a commit (ANALYZE); nothing was done.
  case needsOwnCommit
  /// The same; the transaction is gone, and the batches before it are executed again on a connection
  /// opened anew.
  case needsConnection
  /// A shared resource ran out; condemned only if it was alone.
  case exhausted(Outcome.Rejection)
  /// SQLite takes the database for damaged, and every page that it read is as it was written.
  case contradicted(Outcome.Rejection)
}

/// Executes batches inside savepoints of the applier's transaction.
///
/// What a batch must not do is refused when its statements are prepared (`Permissions`); what it may
/// do and others could feel is undone after it: the rest of its transaction, deferred foreign keys,
/// `last_insert_rowid()`, the counters.
final class BatchRun {
  let connection: Connection
  let permissions: Permissions
  let settings: ConnectionSettings
  private let determinism: Determinism
  let budget: ScratchFile.Budget
  let environment: Environment
  var statements = StatementCache(capacity: 512)
  private let savepoint: Statement
  let release: Statement
  let rollbackTo: Statement
  /// With a savepoint FTS writes what it keeps in memory.
  private let flush: Statement
  private let endFlush: Statement
  /// Changes nothing, so that `changes()` is 0 in a batch that has changed nothing yet. (Only
  /// INSERT, UPDATE and DELETE set it: what the batch before left would show until then.)
  private let changeNothing: Statement
  /// Of the batch that runs, or ran last.
  var state = BatchState(steps: 0)
  /// The names, in lower case; nil where they are to be read again.
  var knownVirtualTables: [String]?
  var stepsPerBatch = Int64(Limits.stepsPerBatch)
  /// Processor time of a batch; nil: not looked at.
  var batchTime: Duration?
  /// What failed below the database file, if anything did.
  var deviceFailure: () -> StoreError? = { nil }
  /// Whether more pages were changed than a commit may have, since this was asked last.
  var takeFullCommit: () -> String? = { nil }
  /// Called every so many steps, so that a long statement's progress renews the lease.
  var onProgress: () -> Void = {}
  /// Whether what is being executed can come to nothing any more.
  var isInVain: () -> Bool = { false }
  /// Called before and behind a statement that changes the schema.
  var onSchemaChange: (_ isDone: Bool) -> Void = { _ in }

  private static let stepsPerCall: Int32 = 20_000

  init(
    _ connection: Connection, _ permissions: Permissions, _ determinism: Determinism,
    _ budget: ScratchFile.Budget, _ environment: Environment
  ) throws(SQLiteError) {
    self.connection = connection
    self.permissions = permissions
    self.determinism = determinism
    self.budget = budget
    self.environment = environment
    settings = try ConnectionSettings(connection, environment)
    savepoint = try connection.prepare("SAVEPOINT batch", persistent: true)
    release = try connection.prepare("RELEASE batch", persistent: true)
    rollbackTo = try connection.prepare("ROLLBACK TO batch", persistent: true)
    flush = try connection.prepare("SAVEPOINT flush", persistent: true)
    endFlush = try connection.prepare("RELEASE flush", persistent: true)
    changeNothing = try connection.prepare(
      "DELETE FROM main._sluice_state WHERE 0", persistent: true)
    connection.setProgressHandler(every: BatchRun.stepsPerCall) { [unowned self] in
      onProgress()
      guard permissions.mode.isInBatchTime else { return false }
      if permissions.mode.isOfBatch { state.took(steps: Int64(BatchRun.stepsPerCall)) }
      return state.ranOutOfSteps || state.isOutOfTime() || isInVain()
    }
  }

  /// Drops what was compiled for a schema that is no more, after DDL or its rollback. SQLite would
  /// compile it again when it is run; but what is wrong with a text is to be found when a restarted
  /// applier would find it, so that a replay has the same outcomes.
  func forgetStatements() { statements.removeAll() }

  func forgetVirtualTables() { knownVirtualTables = nil }

  /// The group's transaction is gone, and with it all that it did.
  func rolledBack() {
    forgetStatements()
    forgetVirtualTables()
    state.mustRollBack = false
  }

  /// The connection is to be opened anew, since a batch ran ANALYZE, or left something behind.
  private var mustReopen = false

  func reopenAfterwards() { mustReopen = true }

  func takeMustReopen() -> Bool {
    defer { mustReopen = false }
    return mustReopen
  }

  /// What a batch is executed as.
  struct Context {
    var txid: TxID
    var entropy: Identifier128
    /// Of its commit.
    var time_ms: Int64
    /// Whose file it is from.
    var owner: UInt32
    /// It is the only batch of its commit.
    var isAlone: Bool
    /// It is held to rules that earlier versions did not have: it is new, or its history says that it was
    /// rejected. What was applied under fewer rules is so again in a replay.
    var keepsLaterRules: Bool
  }

  /// Why a batch ended early; `execute` turns it into a `BatchEnd`.
  enum Stop: Error {
    case rejected(Outcome.Rejection)
    case needsOwnCommit
    case sqlite(SQLiteError)
    /// The applier's own statement failed, or its memory is damaged.
    case fatal(StoreError)
  }

  /// Executes a decoded batch. Throws where the applier itself cannot go on.
  func execute(_ batch: EncodedBatch, _ context: Context) throws(StoreError) -> BatchEnd {
    let end = try forgetting(try executeAsPermitted(batch, context), context)
    guard environment.makes(.connectionAsBefore), try !connectionIsAsBefore() else { return end }
    mustReopen = true
    statements.dropRunning()
    forgetStatements()
    return .lostTransaction(
      Outcome.Rejection(code: Outcome.Rejection.Code.denied, message: Permissions.temporary))
  }

  /// What a virtual table holds in memory is not taken back with what it wrote (measured on 3.40.1: FTS5
  /// goes on ranking as a batch that was undone had told it to). So a batch that wrote to one and is
  /// undone is alone in its commit, and the connection is opened anew before it and after it.
  private func forgetting(_ end: BatchEnd, _ context: Context) throws(StoreError) -> BatchEnd {
    guard state.hasWrittenVirtual, environment.makes(.undoneForgotten) else { return end }
    if case .outcome(.applied) = end { return end }
    mustReopen = true
    guard !context.isAlone else { return end }
    // What it remembers of such a table goes with it.
    if state.mustRollBack, !state.hasWrittenOlderVirtual { return end }
    return connection.isAutocommit ? .needsConnection : .needsOwnCommit
  }

  /// Whether there is nothing but the database itself. What lay in the TEMP schema would hide tables
  /// from the batches that follow, or act in them. Whatever a batch can do there begins a transaction on
  /// TEMP, which stays open until the group's ends: so that is all that is asked, most times.
  private func connectionIsAsBefore() throws(StoreError) -> Bool {
    guard !connection.hasAttached else { return false }
    guard connection.transactionState(of: "temp") != .none else { return true }
    // ALTER TABLE looks there.
    permissions.mode = .applier
    do throws(SQLiteError) {
      for query in [
        "SELECT count(*) FROM temp.sqlite_schema", "PRAGMA temp.user_version",
        "PRAGMA temp.application_id",
      ] where try connection.scalar(query) != .integer(0) { return false }
    } catch {
      throw StoreError(.io, "the TEMP schema cannot be read: \(error)")
    }
    return true
  }

  private func executeAsPermitted(_ batch: EncodedBatch, _ context: Context) throws(StoreError)
    -> BatchEnd
  {
    try own(changeNothing)
    determinism.begin(context.txid, entropy: context.entropy, connection)
    state = BatchState(steps: stepsPerBatch, time: batchTime)
    budget.exhaustion = nil
    _ = takeFullCommit()
    permissions.beginBatch()
    permissions.asksForOrder = context.keepsLaterRules && environment.makes(.ordered)
    defer { permissions.mode = .applier }
    permissions.mode = .boundary
    do throws(SQLiteError) { try savepoint.run() } catch {
      // What the batches before it have left to be written: each comes alone then.
      guard !context.isAlone, deviceFailure() == nil, error.isOfBatches else {
        throw StoreError(.io, "the applier's own SAVEPOINT failed: \(error)")
      }
      return .needsConnection
    }
    do throws(Stop) {
      try noteViolations(before: batch, context)
      try settings.begin(batch)
      let before = connection.totalChanges
      for (i, check) in batch.guards.enumerated() { try run(guard: check, i + 1, context) }
      var rows: [[SQLValue]] = []
      var resultBytes = 0
      for (i, statement) in batch.statements.enumerated() {
        try settings.turn(before: i)
        try run(
          statement, i + 1, context, wantsRows: batch.wantsResults, &rows, &resultBytes)
        if state.hasJustDeferred { try noteViolations(beforeForgetting: batch) }
      }
      // As it would be before a COMMIT, which writes what virtual tables keep.
      let changes = connection.totalChanges - before
      try flushVirtualTables()
      permissions.mode = .applier
      try checkEnd(batch, context)
      let applied = Outcome.Applied(
        changes: changes, lastRowID: connection.lastInsertRowID,
        rows: batch.wantsResults ? rows : nil)
      return try releasing(applied)
    } catch {
      permissions.mode = .applier
      return try end(after: error)
    }
  }

  /// Has virtual tables write what they keep in memory. FTS does so when a savepoint begins and when the
  /// transaction is committed: left to that it would be done in the time and at the risk of the batches
  /// that follow, who cannot help it.
  private func flushVirtualTables() throws(Stop) {
    guard state.hasWrittenVirtual, environment.makes(.ownFlush) else { return }
    permissions.mode = .flush
    do throws(SQLiteError) {
      try flush.run()
      try endFlush.run()
    } catch {
      throw .sqlite(error)
    }
    if environment.makes(.autocommit), connection.isAutocommit {
      throw .sqlite(
        SQLiteError(code: SQLITE_ABORT, message: "a virtual table ended the transaction"))
    }
  }

  /// Ends the batch's savepoint. When that fails, the savepoint is gone already, and with it the way back
  /// for this batch alone.
  private func releasing(_ applied: Outcome.Applied) throws(Stop) -> BatchEnd {
    permissions.mode = .boundary
    do throws(SQLiteError) { try release.run() } catch {
      guard ![SQLITE_IOERR, SQLITE_FULL, SQLITE_NOMEM].contains(error.primary) else {
        throw .sqlite(error)
      }
      statements.dropRunning()
      forgetStatements()
      return .lostTransaction(rejection(error, nil))
    }
    return .outcome(.applied(applied))
  }

  // MARK: the applier's own statements

  func own(_ statement: Statement) throws(StoreError) {
    permissions.mode = .applier
    do throws(SQLiteError) { try statement.run() } catch {
      throw StoreError(.io, "the applier's own statement \(statement.sql) failed: \(error)")
    }
  }

  func ownQuery(_ sql: String, _ parameters: [SQLValue] = []) throws(Stop) -> [[SQLValue]] {
    permissions.mode = .applier
    do throws(SQLiteError) { return try connection.query(sql, parameters) } catch {
      throw .sqlite(error)
    }
  }

  func prepareOwn(_ sql: String) throws(SQLiteError) -> Statement {
    permissions.mode = .applier
    return try connection.prepare(sql)
  }

  /// SHA-256 of a batch's bytes: what tells a repeated key from a reused one.
  static func hash(_ bytes: UnsafeRawBufferPointer) -> [UInt8] { SHA256.hash(bytes) }
}

extension SQLiteError {
  /// What only a constraint, a trigger, a want of rights, or a virtual table brings about. Where a
  /// statement of the applier's own meets it, batches before it have left something to be written.
  var isOfBatches: Bool {
    switch primary {
    case SQLITE_CONSTRAINT, SQLITE_AUTH, SQLITE_ABORT, SQLITE_INTERRUPT, SQLITE_TOOBIG,
      SQLITE_ERROR:
      true
    default: false
    }
  }
}
