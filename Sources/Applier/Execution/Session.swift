internal import CSQLite
internal import CSystem
internal import SluiceJournal
internal import SluiceReader
internal import SluiceSQLite
internal import SluiceShared

/// One connection of the applier to the database, from a snapshot on, with everything it remembers.
/// After any failure it is thrown away and another one made from what the log says.
final class Session {
  private let database: DatabaseFile
  private let fileSystem: ApplierFileSystem
  private let registration: VFSRegistration
  private let connection: Connection
  private let permissions: Permissions
  private let determinism = Determinism()
  let tables: BookkeepingTables
  private let run: BatchRun
  private let encoder: PageEncoder
  let environment: Environment
  private let compressor = Compressor()
  private(set) var rejected: UInt64
  private(set) var extent: LogExtent
  /// The statistics that plans come from changed: the connection is to be opened anew, so that a
  /// running applier plans as a restarted one would.
  private(set) var mustReopen = false
  private let begin: Statement
  private let beforeBatch: (@Sendable (BatchID) throws(StoreError) -> Void)?
  private let commitStatement: Statement

  var snapshot: Snapshot { database.snapshot }
  var onProgress: () -> Void {
    get { run.onProgress }
    set { run.onProgress = newValue }
  }
  /// Memory or scratch space did not suffice for a batch.
  private var ranOut = false
  /// Nothing was executed since the connection was opened.
  private var isFresh = true
  /// Whether what is being executed can come to nothing any more; it is ended then.
  var isInVain: () -> Bool {
    get { run.isInVain }
    set { run.isInVain = newValue }
  }

  /// Told which of the request's batches is executed next; nil: none any more, what is left is the commit.
  var onBatch: (Int?) -> Void = { _ in }

  private static let lastNumber = Monitor<UInt64>(0)

  /// How batches are executed.
  struct Settings {
    /// Whether they are enforced.
    var foreignKeys: Bool
    /// See `ApplierOptions`.
    var scratchBytes = Limits.scratchBytes
    var cacheBytes = Limits.cacheBytes
    var stepsPerBatch = Limits.stepsPerBatch
    var extensions: [LoadableExtension] = []
    var beforeBatch: (@Sendable (BatchID) throws(StoreError) -> Void)?
    /// What is written is to be kept for long; a replay's is not.
    var compresses = true

    init(_ description: StoreDescription, _ options: ApplierOptions) {
      foreignKeys = description.foreignKeys
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
    permissions = Permissions(environment)
    database = DatabaseFile(snapshot, fileSystem: environment.fileSystem)
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
      try Session.configure(
        connection, foreignKeys: settings.foreignKeys, cacheBytes: settings.cacheBytes, environment)
      try Session.load(settings.extensions, into: connection)
      // After the extensions, which may bring functions of the same names.
      try determinism.install(on: connection)
      try Session.refuseTokenizers(on: connection)
      tables = try BookkeepingTables(connection)
      begin = try connection.prepare("BEGIN IMMEDIATE", persistent: true)
      commitStatement = try connection.prepare("COMMIT", persistent: true)
      let state = try tables.state()
      rejected = state.rejected
      extent = state.extent
      unowned let permissions = permissions
      connection.setAuthorizer { request in permissions.decide(request) }
      run = try BatchRun(connection, permissions, determinism, fileSystem.budget, environment)
      run.stepsPerBatch = Int64(settings.stepsPerBatch)
      unowned let database = database
      run.deviceFailure = { database.failure }
      run.takeFullCommit = { database.takeFullCommit() }
    } catch {
      if let failure = database.failure { throw failure }
      throw StoreError(
        .damaged,
        "the database as of batch \(snapshot.txid) cannot be opened: \(error); restore it from a checkpoint"
      )
    }
    guard extent.txid == snapshot.txid else {
      throw StoreError(
        .damaged,
        "the log ends at batch \(snapshot.txid), the database says \(extent.txid); restore the store from a backup"
      )
    }
  }

  private static func configure(
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

  /// A failure of an extension is told as that, and is nothing of the database's.
  private static func load(_ extensions: [LoadableExtension], into connection: Connection)
    throws(SQLiteError)
  {
    do throws(StoreError) { try connection.load(extensions) } catch {
      throw SQLiteError(code: SQLITE_ERROR, message: error.message)
    }
  }

  /// In a CHECK that an imported database brings along, the authorizer is not asked about it, and
  /// SQLite would call it.
  private static func refuseTokenizers(on connection: Connection) throws(SQLiteError) {
    for count: Int32 in [1, 2] {
      try connection.createFunction("fts3_tokenizer", argumentCount: count, flags: .directOnly) {
        context in context.fail("fts3_tokenizer is not allowed")
      }
    }
  }

  /// SQLite refused the last commit, or a statement of the applier's own before it, for something that the
  /// batches in it left to be done then. This session is of no use any more.
  private(set) var hasRefusedCommit = false

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

  /// What became of a part of the waiting batches.
  struct Done {
    /// So many of the group's batches are in the history now, repeats of earlier ones included.
    var count: Int
    /// New batches among them, which have TxIDs.
    var committed: UInt32
    /// The next batch is to be executed alone.
    var nextIsAlone = false
    /// The commit's batches section is that of its first batch's frame.
    var sharesFrame = false
  }

  /// What a batch is rejected with, unexecuted.
  struct Verdict {
    var batch: BatchID
    var rejection: Outcome.Rejection
  }

  struct Request {
    var batches: ArraySlice<PendingBatch>
    /// The first is to be alone in its commit.
    var isAlone = false
    var time_ms: Int64
    /// A batch that is not executed but rejected.
    var verdict: Verdict?
    var attempts: UInt32 = 0
    /// Whether batches of this writer that precede its next may be missing (quarantine).
    var mayLackBatches: (WriterID) -> Bool = { _ in false }
    /// Writers with files in the journal, where silent ones are forgotten now.
    var prunesBeside: WritersWithFiles?
    /// Where the batches are executed again: what the history says of the first time.
    var recorded: Recorded?
  }

  /// Makes a commit durable and returns the pages' places once it is confirmed. `Done` is what `commit`
  /// returns then.
  typealias Write =
    (CommitContent, Done) throws(StoreError) -> (pages: [PageEntry], segment: LogSegment)

  /// Executes the batches in order as one commit, as many of them as can be in one, and hands the
  /// commit to `write`.
  ///
  /// A batch that takes the transaction with it (OR ROLLBACK and its like) is an offender: the
  /// batches before it are executed again, it is recorded as rejected, and that is the commit. So
  /// however many offenders a group has, each costs one commit more, and what comes before it is
  /// executed a second time. A batch for which a shared resource did not suffice is executed a third
  /// time, alone; one for which SQLite takes the database for damaged, though no page is, on a
  /// connection opened anew. (Plain SQL can do that: `CREATE INDEX i ON t("b")` is of a text where
  /// there is no column b, and of the column when there is one later.)
  func commit(_ request: Request, write: @escaping Write) throws(StoreError) -> Done {
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
    let isLarge = batches.reduce(0) { $0 + $1.bytes } > Limits.batchBytesPerCommit
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

  // MARK: executing

  private enum GroupEnd {
    /// So many batches are done and the transaction is ready to commit.
    case complete(Int)
    /// The same, and the batch after them wants a commit of its own.
    case completeBefore(Int)
    /// The batch at the index took the transaction with it.
    case lost(Int, Outcome.Rejection)
    /// The transaction is gone, and the connection is to be opened anew before anything is executed.
    case lostConnection
    /// The batch at the index took the transaction with it, for want of a shared resource: it is to be tried alone before it is condemned.
    case lostResources(Int)
  }

  /// The transaction is committed at the latest after this long, so that nobody waits for a large
  /// group.
  private static let longestGroup: Duration = .milliseconds(250)

  /// `offender` says which of `batches` is rejected unexecuted, if any is.
  private func execute(
    _ batches: ArraySlice<PendingBatch>, _ group: inout Group, isAlone: Bool,
    offender: Verdict?, _ request: Request
  ) throws(StoreError) -> GroupEnd {
    fileSystem.now_ms = group.time_ms
    let started = environment.clock.elapsed()
    try own { () throws(SQLiteError) -> Void in try begin.run() }
    for (index, batch) in batches.enumerated() {
      // Without the check it is the last one's, as it was meant where the group was made.
      let isMeant =
        environment.makes(.verdictByName)
        ? offender?.batch == batch.id : index == batches.count - 1
      let verdict = isMeant ? offender?.rejection : request.recorded?.verdict(on: batch.id)
      if index > 0, environment.clock.elapsed() - started > Session.longestGroup, offender == nil,
        request.recorded == nil
      {
        return .complete(index)
      }
      onBatch(index)
      let standing = try own { () throws(SQLiteError) -> Standing in
        guard let recorded = request.recorded else { return try self.standing(of: batch, request) }
        return try self.standing(of: batch, recorded)
      }
      var end: BatchEnd
      switch standing {
      case .repeated:
        note(batch, in: &group)
        continue
      case .refused(let rejection): end = .outcome(.rejected(rejection))
      case .next:
        if let verdict {
          end = try earlier(batch, verdict, group.time_ms) ?? .outcome(.rejected(verdict))
        } else {
          end = try execute(batch, in: group, isAlone: isAlone)
        }
      }
      if run.mustRollBack, let lost = lost(end, index, isAlone: isAlone) { return lost }
      // A frame that cannot be read is one rejection, which takes all its numbers.
      let batch = batch.frame.isBroken ? batch.standsForFrame : batch
      switch end {
      case .outcome(let outcome):
        try record(
          outcome, of: batch, &group, refused: standing.isRefused,
          withoutContent: verdict?.code == Outcome.Rejection.Code.poisonous, request)
      case .lostTransaction(let rejection): return .lost(index, rejection)
      case .needsOwnCommit: return .completeBefore(index)
      case .needsConnection: return .lostConnection
      case .contradicted(let rejection):
        guard isAlone, isFresh else {
          mustReopen = true
          return .completeBefore(index)
        }
        try record(
          .rejected(rejection), of: batch, &group, refused: false, withoutContent: false, request)
      case .exhausted(let rejection):
        ranOut = true
        if isAlone {
          if connection.isAutocommit { return .lost(index, rejection) }
          try record(
            .rejected(rejection), of: batch, &group, refused: false, withoutContent: false, request)
        } else {
          if connection.isAutocommit { return .lostResources(index) }
          return .completeBefore(index)
        }
      }
    }
    return .complete(batches.count)
  }

  /// The end of a group whose transaction cannot be committed any more, though its last batch was undone.
  private func lost(_ end: BatchEnd, _ index: Int, isAlone: Bool) -> GroupEnd? {
    switch end {
    case .outcome(.rejected(let rejection)): return .lost(index, rejection)
    case .contradicted(let rejection) where isAlone && isFresh: return .lost(index, rejection)
    case .exhausted(let rejection):
      ranOut = true
      return isAlone ? .lost(index, rejection) : .lostResources(index)
    case .needsOwnCommit, .contradicted: return .lostConnection
    case .outcome, .lostTransaction, .needsConnection: return nil
    }
  }

  private func execute(_ batch: PendingBatch, in group: Group, isAlone: Bool) throws(StoreError)
    -> BatchEnd
  {
    if let beforeBatch { try beforeBatch(batch.id) }
    let context = BatchRun.Context(txid: group.nextTxID, entropy: group.entropy, isAlone: isAlone)
    let result = batch.frame.withBatch(batch.index) { bytes -> Result<BatchEnd, StoreError> in
      do throws(DecodingError) {
        let bytes = try bytes.get()
        let decoded = try EncodedBatch(bytes)
        do throws(StoreError) {
          if let known = try earlier(decoded, bytes, group.time_ms) { return .success(known) }
          return .success(try run.execute(decoded, context))
        } catch {
          return .failure(error)
        }
      } catch {
        return .success(
          .outcome(
            .rejected(
              Outcome.Rejection(
                code: Outcome.Rejection.Code.malformed,
                message: "the batch cannot be decoded: \(error)"))))
      }
    }
    return try result.get()
  }

  // MARK: committing

  private func finish(
    _ group: Group, _ end: Done, _ request: Request, _ write: @escaping Write
  ) throws(StoreError) -> Done {
    onBatch(nil)
    guard !group.outcomes.isEmpty else {
      try rollback()
      return end
    }
    var done = end
    done.committed = UInt32(group.outcomes.count)
    let batches: SectionContent
    if let frame = group.onlyFrame?.frame, group.onlyFrame?.isBroken == false {
      done.sharesFrame = true
      batches = frame.section
    } else {
      batches =
        request.recorded == nil
        ? SectionContent(.batches, group.bytes.bytes, compressor: compressor)
        : SectionContent(.batches, raw: group.bytes.bytes)
    }
    let committed = done
    let after = LogExtent(
      txid: TxID(group.nextTxID.rawValue - 1), commits: extent.commits + 1, time_ms: group.time_ms)
    let rejectedAfter = rejected + group.rejected
    let pruned = try own { () throws(SQLiteError) in
      try tables.finish(after, rejected: rejectedAfter)
      var pruned = request.recorded?.pruned ?? []
      try tables.prune(pruned)
      if let withFiles = request.prunesBeside {
        pruned = try tables.writersToPrune(now_ms: group.time_ms, withFiles: withFiles)
        try tables.prune(pruned)
      }
      return pruned
    }
    let encoder = encoder
    let onProgress = run.onProgress
    try database.committing(
      { (snapshot, dirty) throws(StoreError) in
        let encoded = try encoder.encode(dirty, over: snapshot, onProgress: onProgress)
        let meta = CommitMeta(
          commit: after.commits, time_ms: after.time_ms, entropy: group.entropy,
          pageSize: UInt32(snapshot.pageSize), pageCount: encoded.pageCount,
          checksum: encoded.checksum, rejected: rejectedAfter)
        var content = CommitContent(
          first: group.first, count: UInt32(group.outcomes.count), meta: meta,
          entries: encoded.entries, outcomes: group.outcomes,
          consumed: group.consumed.sorted { $0.key < $1.key }.map {
            ConsumedThrough(segment: $0.key, offset: $0.value)
          },
          pages: encoded.bytes,
          batches: batches)
        content.pruned = pruned
        let (pages, segment) = try write(content, committed)
        return snapshot.adding(entries: pages, in: segment, meta: meta, extent: after)
      },
      { () throws(SQLiteError) in
        permissions.mode = .boundary
        defer { permissions.mode = .applier }
        do throws(SQLiteError) { try commitStatement.run() } catch {
          hasRefusedCommit = database.failure == nil && error.isOfBatches
          throw error
        }
      })
    tables.committed()
    extent = after
    rejected = rejectedAfter
    mustReopen = mustReopen || run.takeMustReopen()
    return done
  }

  private func rollback() throws(StoreError) {
    if !connection.isAutocommit {
      try own { () throws(SQLiteError) in try connection.execute("ROLLBACK") }
    }
    database.discard()
    tables.rolledBack()
    run.rolledBack()
    if let failure = database.failure { throw failure }
  }

  func own<R>(_ body: () throws(SQLiteError) -> R) throws(StoreError) -> R {
    do throws(SQLiteError) { return try body() } catch {
      if let failure = database.failure ?? fileSystem.budget.deviceError { throw failure }
      hasRefusedCommit = error.isOfBatches
      throw StoreError(.io, "the applier's own statement failed: \(error)")
    }
  }
}
