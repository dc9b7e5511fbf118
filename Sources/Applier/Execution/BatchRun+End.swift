internal import CSQLite
internal import SluiceJournal
internal import SluiceSQLite
internal import SluiceShared
internal import SluiceVFS

/// What must hold at a batch's end, and what becomes of one that stopped before it.
extension BatchRun {
  /// What must hold before the savepoint is released.
  func checkEnd(_ batch: EncodedBatch, _ context: Context) throws(Stop) {
    if let change = state.schemaChange {
      try checkSchema(change)
      if context.keepsLaterRules { try checkSchemaBytes(before: state.schemaBytesBefore) }
    }
    try checkForeignKeys(batch, context)
    // Only after the check: turning it off makes SQLite forget violations.
    do throws(StoreError) {
      try deferNothing()
      try settings.end()
    } catch {
      throw .fatal(error)
    }
  }

  /// Ends the deferring of foreign keys by a batch. Compiled anew each time, since that is when
  /// SQLite does it.
  private func deferNothing() throws(StoreError) {
    guard state.hasDeferred else { return }
    state.hasDeferred = false
    permissions.mode = .applier
    do throws(SQLiteError) { try connection.execute("PRAGMA defer_foreign_keys = OFF") } catch {
      throw StoreError(.io, "the applier's own PRAGMA defer_foreign_keys = OFF failed: \(error)")
    }
  }

  func end(after stop: Stop) throws(StoreError) -> BatchEnd {
    statements.dropRunning()
    // Also where it was being run when it failed.
    if state.schemaChange != nil {
      forgetStatements()
      forgetVirtualTables()
    }
    try settings.end()
    switch stop {
    case .fatal(let error): throw error
    case .needsOwnCommit:
      try undo()
      return .needsOwnCommit
    case .rejected(let rejection):
      try undo()
      return .outcome(.rejected(rejection))
    case .sqlite(let error):
      let end = try judged(error)
      guard environment.makes(.autocommit), connection.isAutocommit else {
        try undo()
        return end
      }
      switch end {
      case .outcome(.rejected(let rejection)), .contradicted(let rejection):
        return .lostTransaction(rejection)
      default: return end
      }
    }
  }

  /// What a batch ends with that SQLite refused something. Throws what is no batch's fault.
  func judged(_ error: SQLiteError) throws(StoreError) -> BatchEnd {
    // A damaged page or a device.
    if let failure = budget.deviceError ?? deviceFailure() { throw failure }
    if isInVain() {
      throw StoreError(.notLeading, "another applier took over; this one stops executing")
    }
    let rejection = rejection(error, nil)
    let limit = budget.exhaustion ?? (error.primary == SQLITE_FULL ? takeFullCommit() : nil)
    if error.primary == SQLITE_FULL, limit == nil {
      return .outcome(
        .rejected(
          Outcome.Rejection(
            code: error.name,
            message:
              "\(rejection.message): the largest rowid, \(Int64.max), is used up, and AUTOINCREMENT gives out none below it again; give the row a number of its own, or lower the table's seq in sqlite_sequence"
          )))
    }
    if limit != nil || error.primary == SQLITE_NOMEM {
      return .exhausted(
        Outcome.Rejection(
          code: Outcome.Rejection.Code.resources,
          message:
            "\(error.message); it needs more scratch space or memory than a commit may have\(limit.map { ": \($0)" } ?? "")"
        ))
    }
    guard error.primary != SQLITE_IOERR else {
      throw StoreError(.io, "executing a batch failed on the database: \(error.message)")
    }
    return error.saysDamaged ? .contradicted(rejection) : .outcome(.rejected(rejection))
  }

  private func undo() throws(StoreError) {
    state.undo()
    if !environment.makes(.undoneWithTransaction) { state.mustRollBack = false }
    try own(rollbackTo)
    try own(release)
    try deferNothing()
  }

  func rejection(_ error: SQLiteError, _ name: String?) -> Outcome.Rejection {
    if state.ranOutOfSteps {
      return Outcome.Rejection(
        code: Outcome.Rejection.Code.stepLimit,
        message: "\(error.message): a batch takes at most \(stepsPerBatch) steps; split it")
    }
    if state.ranOutOfTime, let batchTime {
      return Outcome.Rejection(
        code: Outcome.Rejection.Code.timeLimit,
        message:
          "\(error.message): a batch takes at most \(batchTime.inSeconds) s of processor time; split it"
      )
    }
    let prefix = name.map { "\($0): " } ?? ""
    // A function that is denied has the code of any mistake, and only the text says why.
    let isDenied = error.primary == SQLITE_AUTH || error.message.contains("not authorized")
    if isDenied, let denial = permissions.denial {
      return Outcome.Rejection(
        code: Outcome.Rejection.Code.denied, message: prefix + denial)
    }
    let place = error.offset.map { " (at byte \($0) of the statement)" } ?? ""
    let message =
      String(
        decoding: (prefix + error.message).utf8.prefix(Limits.messageBytes - place.utf8.count),
        as: UTF8.self) + place
    return Outcome.Rejection(code: error.name, message: message)
  }
}

extension SQLiteError {
  /// A virtual table may well find itself inconsistent: a full-text index over another table's text
  /// is so when nobody tells it of a change, which is a batch's affair.
  fileprivate var saysDamaged: Bool {
    primary == SQLITE_CORRUPT && code != SQLITE_CORRUPT | 1 << 8
  }
}
