internal import CSQLite
internal import SluiceJournal
internal import SluiceSQLite
internal import SluiceShared

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
  private let budget: ScratchFile.Budget
  let environment: Environment
  private var statements = StatementCache(capacity: 512)
  private let savepoint: Statement
  private let release: Statement
  let rollbackTo: Statement
  /// With a savepoint FTS writes what it keeps in memory.
  private let flush: Statement
  private let endFlush: Statement
  /// Changes nothing, so that `changes()` is 0 in a batch that has changed nothing yet. (Only
  /// INSERT, UPDATE and DELETE set it: what the batch before left would show until then.)
  private let changeNothing: Statement
  /// What the running batch's statements changed of the schema; nil: nothing.
  private var schemaChange: SchemaChange?
  /// The names, in lower case; nil where they are to be read again.
  var knownVirtualTables: [String]?
  /// Steps of the virtual machine that the running batch has left.
  private var stepsLeft: Int64 = 0
  private var ranOutOfSteps = false
  var stepsPerBatch = Int64(Limits.stepsPerBatch)
  /// What failed below the database file, if anything did.
  var deviceFailure: () -> StoreError? = { nil }
  /// Whether more pages were changed than a commit may have, since this was asked last.
  var takeFullCommit: () -> Bool = { false }
  /// Called every so many steps, so that a long statement's progress renews the lease.
  var onProgress: () -> Void = {}
  /// Whether what is being executed can come to nothing any more.
  var isInVain: () -> Bool = { false }

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
      stepsLeft -= Int64(BatchRun.stepsPerCall)
      if stepsLeft < 0, permissions.mode.isOfBatch { ranOutOfSteps = true }
      return permissions.mode.isOfBatch && (ranOutOfSteps || isInVain())
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
    mustRollBack = false
  }

  private var hasAnalyzed = false
  /// The batch deferred all foreign keys. That must not outlast it; but turning it off has all
  /// cached statements compiled anew, so it is turned off only then.
  private var hasDeferred = false

  /// The running batch wrote to a virtual table, which may remember things beside its content.
  private var hasWrittenVirtual = false
  /// To one that it has not made itself.
  private var hasWrittenOlderVirtual = false
  /// The virtual tables that there were before it made one; nil: it has not.
  private var olderVirtualTables: [String]?
  /// The batch was undone, and the transaction must not be committed all the same: a virtual table that the
  /// batch made still keeps something to be written into tables that are gone.
  ///
  /// Measured on 3.40.1: ROLLBACK TO tells a virtual table only of savepoints that it was told of, and one
  /// that was made since it was not. FTS then fails in the next savepoint, or in the commit.
  private(set) var mustRollBack = false
  /// A batch left the connection as it was not before.
  private var hasChangedConnection = false

  /// Whether the connection is to be opened anew, since a batch ran ANALYZE, or left something behind.
  func takeMustReopen() -> Bool {
    defer {
      hasAnalyzed = false
      hasChangedConnection = false
    }
    return hasAnalyzed || hasChangedConnection
  }

  /// What a batch is executed as.
  struct Context {
    var txid: TxID
    var entropy: Identifier128
    /// It is the only batch of its commit.
    var isAlone: Bool
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
    hasChangedConnection = true
    statements.dropRunning()
    forgetStatements()
    return .lostTransaction(
      Outcome.Rejection(code: Outcome.Rejection.Code.denied, message: Permissions.temporary))
  }

  /// What a virtual table holds in memory is not taken back with what it wrote (measured on 3.40.1: FTS5
  /// goes on ranking as a batch that was undone had told it to). So a batch that wrote to one and is
  /// undone is alone in its commit, and the connection is opened anew before it and after it.
  private func forgetting(_ end: BatchEnd, _ context: Context) throws(StoreError) -> BatchEnd {
    guard hasWrittenVirtual, environment.makes(.undoneForgotten) else { return end }
    if case .outcome(.applied) = end { return end }
    hasChangedConnection = true
    guard !context.isAlone else { return end }
    // What it remembers of such a table goes with it.
    if mustRollBack, !hasWrittenOlderVirtual { return end }
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
    schemaChange = nil
    hasWrittenVirtual = false
    hasWrittenOlderVirtual = false
    olderVirtualTables = nil
    mustRollBack = false
    stepsLeft = stepsPerBatch
    ranOutOfSteps = false
    budget.wasExhausted = false
    _ = takeFullCommit()
    permissions.beginBatch()
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
      try settings.begin(batch)
      let before = connection.totalChanges
      for (i, check) in batch.guards.enumerated() { try run(guard: check, i + 1, context) }
      var rows: [[SQLValue]] = []
      var resultBytes = 0
      for (i, statement) in batch.statements.enumerated() {
        try settings.turn(before: i)
        try run(
          statement, i + 1, context, wantsRows: batch.wantsResults, &rows, &resultBytes)
      }
      // As it would be before a COMMIT, which writes what virtual tables keep.
      let changes = connection.totalChanges - before
      try flushVirtualTables()
      permissions.mode = .applier
      try checkEnd(batch)
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
    guard hasWrittenVirtual, environment.makes(.ownFlush) else { return }
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

  // MARK: statements

  private func run(guard check: EncodedBatch.Statement, _ number: Int, _ context: Context)
    throws(Stop)
  {
    let name = "guard \(number)"
    guard let statement = try prepared(check, name, context) else {
      throw .rejected(failed(name, "is empty"))
    }
    guard statement.statement.isReadOnly else {
      throw .rejected(
        Outcome.Rejection(code: Outcome.Rejection.Code.denied, message: "\(name) is no query"))
    }
    var values = check.values
    try bind(&values, check, statement.statement, name)
    try checkEnd(of: values, name)
    defer { statement.statement.reset() }
    guard try step(statement.statement, name) else {
      throw .rejected(failed(name, "returned no row"))
    }
    guard statement.statement.columnCount == 1 else {
      throw .rejected(failed(name, "returned \(statement.statement.columnCount) columns"))
    }
    let isTrue =
      switch statement.statement.columnValue(0) {
      case .null: false
      case .integer(let number): number != 0
      case .real(let number): number != 0
      case .text, .blob: statement.statement.columnReal(0) != 0
      }
    guard isTrue else { throw .rejected(failed(name, "is not true")) }
    if try step(statement.statement, name) {
      throw .rejected(failed(name, "returned more than one row"))
    }
  }

  private func failed(_ name: String, _ how: String) -> Outcome.Rejection {
    Outcome.Rejection(
      code: Outcome.Rejection.Code.guardFailed,
      message: "\(name) \(how); a guard must return exactly one true value")
  }

  private func run(
    _ encoded: EncodedBatch.Statement, _ number: Int, _ context: Context, wantsRows: Bool,
    _ rows: inout [[SQLValue]], _ resultBytes: inout Int
  ) throws(Stop) {
    let name = "statement \(number)"
    guard let prepared = try prepared(encoded, name, context) else { return }
    hasAnalyzed = hasAnalyzed || prepared.analyzes
    try noteVirtual(prepared)
    let statement = prepared.statement
    let change = try prepared.schemaChange.map { (change) throws(Stop) in try widened(change) }
    var values = encoded.values
    for _ in 0..<encoded.rows {
      try bind(&values, encoded, statement, name)
      defer { statement.reset() }
      while try step(statement, name) {
        guard wantsRows else { continue }
        let row = statement.row
        resultBytes += row.reduce(8) { $0 + 9 + $1.byteCount }
        guard resultBytes <= Limits.resultBytes else {
          throw .rejected(
            Outcome.Rejection(
              code: Outcome.Rejection.Code.resultLimit,
              message:
                "\(name): the rows of one batch have at most \(Limits.resultBytes) bytes; read them with a query instead"
            ))
        }
        rows.append(row)
      }
      // OR ROLLBACK, RAISE(ROLLBACK), a full disk and an interrupt end the whole transaction.
      if environment.makes(.autocommit), connection.isAutocommit {
        throw .sqlite(
          SQLiteError(code: SQLITE_ABORT, message: "\(name) ended the transaction"))
      }
    }
    if let change {
      schemaChange = (schemaChange ?? SchemaChange())
      schemaChange?.add(change)
      forgetStatements()
      try checkShadowTables(change)
    }
    try checkEnd(of: values, name)
  }

  /// What a statement is about to do to virtual tables.
  private func noteVirtual(_ prepared: StatementCache.Entry) throws(Stop) {
    if !hasWrittenOlderVirtual, !prepared.written.isEmpty,
      try virtualTables().contains(where: prepared.written.contains)
    {
      hasWrittenVirtual = true
      hasWrittenOlderVirtual =
        olderVirtualTables.map { $0.contains(where: prepared.written.contains) } ?? true
    }
    guard prepared.schemaChange?.isWide == true, olderVirtualTables == nil else { return }
    olderVirtualTables = try virtualTables()
  }

  /// What lies behind the last value was meant by somebody, and would be left out without a word.
  private func checkEnd(of values: ByteReader, _ name: String) throws(Stop) {
    guard values.isAtEnd else {
      throw .rejected(
        Outcome.Rejection(
          code: Outcome.Rejection.Code.malformed, message: "\(name): bytes behind its last value"))
    }
  }

  private func prepared(_ encoded: EncodedBatch.Statement, _ name: String, _ context: Context)
    throws(Stop) -> StatementCache.Entry?
  {
    let entry: StatementCache.Entry
    if let cached = statements[encoded.sql] {
      entry = cached
    } else {
      permissions.mode = .batch
      permissions.beginStatement(encoded.sql)
      let isViolated = connection.deferredForeignKeyViolations
      defer {
        permissions.endStatement()
        // SQLite sets it when the pragma is compiled, run or not.
        if permissions.sawDeferral {
          hasDeferred = true
          // Turned off it makes SQLite forget what was deferred by it.
          if isViolated { settings.mayBeViolated = true }
        }
      }
      do throws(SQLiteError) {
        guard let (statement, length) = try connection.prepare(encoded.sql, persistent: true) else {
          return nil
        }
        let rest = UnsafeRawBufferPointer(rebasing: encoded.sql[length...])
        if try connection.prepare(rest) != nil {
          throw SQLiteError(
            code: SQLITE_ERROR, message: "more than one statement in a text; pass each by itself")
        }
        entry = StatementCache.Entry(
          statement: statement, analyzes: permissions.sawAnalyze,
          schemaChange: permissions.schemaChange, written: permissions.written)
      } catch {
        // The text is not at fault then.
        guard ![SQLITE_IOERR, SQLITE_CORRUPT, SQLITE_NOMEM].contains(error.primary) else {
          throw .sqlite(error)
        }
        throw .rejected(rejection(error, name))
      }
      // It shows addresses of this process, which are others' the next time.
      guard !entry.statement.listsProgram else {
        throw .rejected(
          Outcome.Rejection(
            code: Outcome.Rejection.Code.denied,
            message: "\(name): EXPLAIN is not allowed in a batch; EXPLAIN QUERY PLAN is"))
      }
      // From the cache it would not be compiled, and so do nothing.
      if !permissions.sawDeferral { statements.insert(entry, for: encoded.sql) }
    }
    if entry.analyzes, !context.isAlone { throw .needsOwnCommit }
    // Without rows it is not run, and how many values a row would have is not said.
    guard entry.statement.parameterCount == encoded.columns || encoded.rows == 0 else {
      throw .rejected(
        Outcome.Rejection(
          code: Outcome.Rejection.Code.wrongParameters,
          message:
            "\(name): it has \(entry.statement.parameterCount) parameters, \(encoded.columns) values were given"
        ))
    }
    return entry
  }

  private func bind(
    _ values: inout ByteReader, _ encoded: EncodedBatch.Statement, _ statement: Statement,
    _ name: String
  ) throws(Stop) {
    for column in 0..<Int32(encoded.columns) {
      let value = try value(&values, name)
      do throws(SQLiteError) {
        // The frame's buffer outlives the statement's run: nothing is copied.
        switch value {
        case .null: try statement.bindNull(at: column + 1)
        case .integer(let number): try statement.bind(integer: number, at: column + 1)
        case .real(let number): try statement.bind(real: number, at: column + 1)
        case .text(let bytes): try statement.bind(text: bytes, at: column + 1, lifetime: .borrowed)
        case .blob(let bytes): try statement.bind(blob: bytes, at: column + 1, lifetime: .borrowed)
        }
      } catch {
        throw .rejected(rejection(error, name))
      }
    }
  }

  private func value(_ values: inout ByteReader, _ name: String) throws(Stop) -> EncodedValue {
    do throws(DecodingError) { return try values.encodedValue() } catch {
      throw .rejected(
        Outcome.Rejection(
          code: Outcome.Rejection.Code.malformed,
          message: "\(name): its values are damaged: \(error)"
        ))
    }
  }

  private func step(_ statement: Statement, _ name: String) throws(Stop) -> Bool {
    permissions.mode = .batch
    do throws(SQLiteError) { return try statement.step() } catch {
      var named = error
      named.message = "\(name): \(error.message)"
      throw .sqlite(named)
    }
  }

  // MARK: the end

  /// What must hold before the savepoint is released.
  private func checkEnd(_ batch: EncodedBatch) throws(Stop) {
    if let schemaChange { try checkSchema(schemaChange) }
    try checkForeignKeys(batch)
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
    guard hasDeferred else { return }
    hasDeferred = false
    permissions.mode = .applier
    do throws(SQLiteError) { try connection.execute("PRAGMA defer_foreign_keys = OFF") } catch {
      throw StoreError(.io, "the applier's own PRAGMA defer_foreign_keys = OFF failed: \(error)")
    }
  }

  private func end(after stop: Stop) throws(StoreError) -> BatchEnd {
    statements.dropRunning()
    // Also where it was being run when it failed.
    if schemaChange != nil {
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
      // A damaged page or a device: never a batch's fault.
      if let failure = budget.deviceError ?? deviceFailure() { throw failure }
      if isInVain() {
        throw StoreError(.notLeading, "another applier took over; this one stops executing")
      }
      let rejection = rejection(error, nil)
      let isOutOfRowIDs =
        error.primary == SQLITE_FULL && !budget.wasExhausted && !takeFullCommit()
      if isOutOfRowIDs {
        let full = Outcome.Rejection(
          code: error.name,
          message:
            "\(rejection.message): the largest rowid, \(Int64.max), is used up, and AUTOINCREMENT gives out none below it again; give the row a number of its own, or lower the table's seq in sqlite_sequence"
        )
        if environment.makes(.autocommit), connection.isAutocommit { return .lostTransaction(full) }
        try undo()
        return .outcome(.rejected(full))
      }
      if error.primary == SQLITE_FULL || error.primary == SQLITE_NOMEM || budget.wasExhausted {
        let resources = Outcome.Rejection(
          code: Outcome.Rejection.Code.resources,
          message: "\(error.message); it needs more scratch space or memory than a commit may have")
        if environment.makes(.autocommit), connection.isAutocommit { return .exhausted(resources) }
        try undo()
        return .exhausted(resources)
      }
      guard error.primary != SQLITE_IOERR else {
        throw StoreError(.io, "executing a batch failed on the database: \(error.message)")
      }
      if environment.makes(.autocommit), connection.isAutocommit {
        return .lostTransaction(rejection)
      }
      try undo()
      return error.saysDamaged ? .contradicted(rejection) : .outcome(.rejected(rejection))
    }
  }

  private func undo() throws(StoreError) {
    mustRollBack =
      hasWrittenVirtual && olderVirtualTables != nil && environment.makes(.undoneWithTransaction)
    ranOutOfSteps = false
    stepsLeft = .max / 2
    try own(rollbackTo)
    try own(release)
    try deferNothing()
  }

  private func rejection(_ error: SQLiteError, _ name: String?) -> Outcome.Rejection {
    if ranOutOfSteps {
      return Outcome.Rejection(
        code: Outcome.Rejection.Code.stepLimit,
        message: "\(error.message): a batch takes at most \(stepsPerBatch) steps; split it")
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

  /// A virtual table may well find itself inconsistent: a full-text index over another table's text
  /// is so when nobody tells it of a change, which is a batch's affair.
  fileprivate var saysDamaged: Bool {
    primary == SQLITE_CORRUPT && code != SQLITE_CORRUPT | 1 << 8
  }
}
