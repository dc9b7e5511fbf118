internal import CSQLite
internal import CSystem
internal import SluiceJournal
internal import SluiceReader
internal import SluiceSQLite
internal import SluiceShared
internal import SluiceVFS

/// One connection of the applier to the database, from a snapshot on, with everything it remembers.
/// After any failure it is thrown away and another one made from what the log says.
final class Session {
  let database: DatabaseFile
  let fileSystem: ApplierFileSystem
  private let registration: VFSRegistration
  let connection: Connection
  let permissions: Permissions
  private let determinism = Determinism()
  let tables: BookkeepingTables
  /// A table's definition names one of Sluice's own, as a foreign key to it would.
  private let mayBeBound: Bool
  let run: BatchRun
  let reserved = ReservedPages()
  let encoder: PageEncoder
  let environment: Environment
  let compressor = Compressor()
  var rejected: UInt64
  var extent: LogExtent
  /// The statistics that plans come from changed: the connection is to be opened anew, so that a
  /// running applier plans as a restarted one would.
  var mustReopen = false
  let begin: Statement
  let transactions: TransactionRight
  let journal: String?
  let beforeBatch: (@Sendable (BatchID) throws(StoreError) -> Void)?
  let commitStatement: Statement

  var snapshot: Snapshot { database.snapshot }
  var onProgress: () -> Void {
    get { run.onProgress }
    set {
      run.onProgress = newValue
      database.onRead = newValue
    }
  }
  /// Memory or scratch space did not suffice for a batch.
  var ranOut = false
  /// The batch that was executed last asked for the turn.
  var lastAskedForTurn = false
  /// Nothing was executed since the connection was opened.
  var isFresh = true
  /// Whether what is being executed can come to nothing any more; it is ended then.
  var isInVain: () -> Bool {
    get { run.isInVain }
    set { run.isInVain = newValue }
  }

  /// Told which of the request's batches is executed next; nil: none any more, what is left is the commit.
  var onBatch: (Int?) -> Void = { _ in }

  /// What is being executed; nil: nothing, or the commit.
  var executing: Int?
  /// What is done needs the scratch disk, and not the store's.
  var usesScratch = true

  private static let lastNumber = Monitor<UInt64>(0)

  /// How batches are executed.
  struct Settings {
    /// Whether they are enforced.
    var foreignKeys: Bool
    /// See `ApplierOptions`.
    var scratchBytes = Limits.scratchBytes
    var cacheBytes = Limits.cacheBytes
    var stepsPerBatch = Limits.stepsPerBatch
    /// Processor time of a batch; nil: who watches this process sees to it.
    var batchTime: Duration?
    var extensions: [LoadableExtension] = []
    /// Whose interactive transactions are accepted.
    var transactions = TransactionRight.all
    /// The directory where the parts of their pages lie; nil: batches come from elsewhere.
    var journal: String?
    var beforeBatch: (@Sendable (BatchID) throws(StoreError) -> Void)?
    /// What is written is to be kept for long; a replay's is not.
    var compresses = true

    init(_ description: StoreDescription, _ options: ApplierOptions) {
      foreignKeys = description.foreignKeys
      transactions = description.transactions
      scratchBytes = options.scratchBytes
      cacheBytes = options.cacheBytes
      stepsPerBatch = options.stepsPerBatch
      extensions = options.extensions
      beforeBatch = options.beforeBatch
    }
  }

  init(_ snapshot: Snapshot, _ settings: Settings, _ environment: Environment) throws(StoreError) {
    self.environment = environment
    beforeBatch = settings.beforeBatch
    transactions = settings.transactions
    journal = settings.journal
    permissions = Permissions(environment)
    database = DatabaseFile(snapshot, environment)
    fileSystem = ApplierFileSystem(
      database, fileSystem: environment.fileSystem, scratchBytes: settings.scratchBytes)
    encoder = PageEncoder(environment, compresses: settings.compresses)
    // A full or missing scratch directory is told before anything is executed.
    _ = try environment.fileSystem.scratchFile()
    // SQLite takes any file system of that name. By number it is told from the others of this process,
    // whose random numbers may come from one seed; at random from those of another copy of this library
    // that shares the process's SQLite.
    let number = Session.lastNumber.withLock { last in
      last += 1
      return last
    }
    let name = "sluice-applier-\(hexadecimal(environment.random(), width: 16))-\(number)"
    registration = VFSRegistration(name: name, fileSystem)
    do throws(SQLiteError) {
      connection = try Connection(
        path: ApplierFileSystem.databaseName, flags: [.readWrite, .noMutex], vfs: name)
      // Before anything reads the schema: SQLite keeps batches from writing to the tables in which a
      // virtual table has its content, where it knows the module then.
      try Session.load(settings.extensions, into: connection)
      try Session.configure(
        connection, foreignKeys: settings.foreignKeys, cacheBytes: settings.cacheBytes, environment)
      // After the extensions, which may bring functions of the same names.
      try determinism.install(on: connection)
      try Session.refuseTokenizers(on: connection)
      tables = try BookkeepingTables(connection)
      mayBeBound =
        settings.foreignKeys ? try BookkeepingTables.mayBeBound(in: connection) : false
      begin = try connection.prepare("BEGIN IMMEDIATE", persistent: true)
      commitStatement = try connection.prepare("COMMIT", persistent: true)
      let state = try tables.state()
      rejected = state.rejected
      extent = state.extent
      unowned let permissions = permissions
      connection.setAuthorizer { request in permissions.decide(request) }
      run = try BatchRun(connection, permissions, determinism, fileSystem.budget, environment)
      run.stepsPerBatch = Int64(settings.stepsPerBatch)
      run.batchTime = settings.batchTime
      unowned let database = database
      run.deviceFailure = { database.failure }
      run.takeFullCommit = { database.takeFullCommit() }
    } catch {
      if let failure = database.failure { throw failure }
      throw Session.failure(toOpen: snapshot, error)
    }
    guard extent.txid == snapshot.txid else {
      throw StoreError(
        .damaged,
        "the log ends at batch \(snapshot.txid), the database says \(extent.txid); restore the store from a backup"
      )
    }
  }

  /// SQLite refused the last commit, or a statement of the applier's own before it, for something that the
  /// batches in it left to be done then. This session is of no use any more.
  var hasRefusedCommit = false

  /// Executes the batches in order as one commit, as many of them as can be in one, and hands the
  /// commit to `write`. Nothing is done where there is no room for it on the scratch disk, and the group has not
  /// filled that itself: it is no batch's fault, and no reason for others to wait. This session is of no use then.
  func commit(_ request: Request, write: @escaping Write) throws(StoreError) -> Done {
    usesScratch = true
    do throws(StoreError) { return try commitWithRoom(request, write: write) } catch {
      let cause = database.failure ?? fileSystem.budget.deviceError ?? error
      guard usesScratch, cause.isFullDisk, request.recorded == nil else { throw error }
      mustReopen = true
      return Done(
        count: 0, committed: 0, lack: Lack(index: executing, message: cause.description))
    }
  }

  /// A batch that takes the transaction with it (OR ROLLBACK and its like) is an offender: the
  /// batches before it are executed again, it is recorded as rejected, and that is the commit. So
  /// however many offenders a group has, each costs one commit more, and what comes before it is
  /// executed a second time. (Where the offender must be alone on a connection opened anew, each batch
  /// before it in the group, 64 at most, becomes a commit of its own.) A batch for which a shared resource
  /// did not suffice is executed a third time, alone; one for which SQLite takes the database for damaged, though no page is, on a
  /// connection opened anew. (Plain SQL can do that: `CREATE INDEX i ON t("b")` is of a text where
  /// there is no column b, and of the column when there is one later.)
  private func commitWithRoom(_ request: Request, write: @escaping Write) throws(StoreError) -> Done
  {
    var batches = request.batches
    var offender = request.verdict
    var isAlone = request.isAlone
    if isAlone { batches = batches.prefix(1) }
    defer {
      isFresh = false
      onBatch(nil)
    }
    while true {
      makeRoom(for: batches)
      var group = Group(
        first: extent.txid.next, time_ms: request.time_ms,
        entropy: request.recorded?.entropy
          ?? Identifier128(high: environment.random(), low: environment.random()))
      if batches.count == 1, let frame = batches.first?.frame, frame.frame.count == 1 {
        group.onlyFrame = frame
      }
      switch try execute(batches, &group, isAlone: isAlone, offender: offender, request) {
      case .complete(let count):
        return try finish(group, Done(count: count, committed: 0), request, write)
      case .completeBefore(let count):
        if group.outcomes.isEmpty {
          try rollback()
          mustReopen = run.takeMustReopen() || mustReopen
          // Only repeats before it, or nothing: it comes first in its own commit.
          return Done(count: count, committed: 0, nextIsAlone: true)
        }
        return try finish(
          group, Done(count: count, committed: 0, nextIsAlone: true), request, write)
      case .lost(let index, let rejection):
        try rollback()
        batches = batches[batches.startIndex...batches.startIndex + index]
        offender = Verdict(batch: batches[batches.startIndex + index].id, rejection: rejection)
      case .lostConnection:
        try rollback()
        _ = run.takeMustReopen()
        mustReopen = true
        // Each time the first one is done by itself, until it is that batch's turn.
        return Done(count: 0, committed: 0, nextIsAlone: true)
      case .lostResources(let index):
        try rollback()
        isFresh = false
        guard index > 0 else {
          isAlone = true
          batches = batches.prefix(1)
          continue
        }
        batches = batches[batches.startIndex..<batches.startIndex + index]
        offender = nil
      }
    }
  }

  /// What takes tens of MiB as it lies takes as much again while it is executed: so long the cache and the
  /// pages that were changed do with little. The same where memory ran out.
  private func makeRoom(for batches: ArraySlice<PendingBatch>) {
    let isLarge =
      batches.reduce(0) { $0 + $1.bytes } > Limits.batchBytesPerCommit
      || batches.contains { !$0.frame.frame.parts.isEmpty }
    database.keepsLittle = isLarge
    guard isLarge || ranOut else { return }
    ranOut = false
    releaseMemory()
  }

  /// Gives back what is cached.
  func releaseMemory() {
    connection.releaseMemory()
    csystem_release_memory()
  }

  func rollback() throws(StoreError) {
    if !connection.isAutocommit {
      try own { () throws(SQLiteError) in try connection.execute("ROLLBACK") }
    }
    database.discard()
    tables.rolledBack()
    run.rolledBack()
    if let failure = database.failure { throw failure }
  }

  /// Writes Sluice's own tables, which no foreign key must bind, not even one that an earlier version let in.
  ///
  /// Turned off only where there may be one: all statements are compiled anew each time.
  func bookkeeping<R>(_ body: () throws(SQLiteError) -> R) throws(StoreError) -> R {
    guard mayBeBound, environment.makes(.unboundTables) else { return try own(body) }
    return try own { () throws(SQLiteError) in
      try connection.setConfig(SQLITE_DBCONFIG_ENABLE_FKEY, false)
      let result = Result { () throws(SQLiteError) in try body() }
      try connection.setConfig(SQLITE_DBCONFIG_ENABLE_FKEY, true)
      return try result.get()
    }
  }

  func own<R>(_ body: () throws(SQLiteError) -> R) throws(StoreError) -> R {
    do throws(SQLiteError) { return try body() } catch {
      if let failure = database.failure ?? fileSystem.budget.deviceError { throw failure }
      // Over the pages of a transaction it stumbles over what they left.
      hasRefusedCommit =
        error.isOfBatches || database.isLaidOver && error.primary == SQLITE_CORRUPT
      throw StoreError(.io, "the applier's own statement failed: \(error)")
    }
  }
}
