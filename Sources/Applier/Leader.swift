internal import Logging
internal import SluiceHints
internal import SluiceJournal
internal import SluiceLease
internal import SluiceReader
internal import SluiceShared

/// One applier's term: reads the journal, executes, commits, publishes, until it is told to stop, closed by a
/// claimant, or late with its lease.
final class Leader {
  enum End {
    /// As asked; the store is released.
    case stopped
    /// Another applier took over, or the lease ran out.
    case deposed(StoreError, executing: [Attempt])
  }

  let store: PageStore
  let options: ApplierOptions
  let environment: Environment
  let lease: any Lease
  /// nil: no hints are taken.
  let desk: HintDesk?
  let logger: Logger
  let intake: JournalIntake
  let checkpointer: Checkpointer
  let retirer: Retirer
  private(set) var holder: LogHolder
  private var segment: LogSegment
  let execution: Execution
  let publisher: Publisher
  var status: ApplierStatus
  let time: TermTime
  /// Since when the own segment has a beacon, at the latest (boot time).
  private(set) var segmentSince: Duration
  /// When the claim that began the term did (boot time).
  let claimed: Duration
  /// Batches in the next group at most.
  private(set) var groupBound = Leader.smallestGroup
  private(set) var nextIsAlone = false
  /// The turn that is out.
  var turn: GrantedTurn? {
    didSet { intake.turnHolder = turn?.holder }
  }
  /// A group is being executed and committed now, and nothing else done but beats.
  var isExecuting = false
  /// What beacons name is being executed now.
  var isExecutingNamed = false
  /// How long the next beat may take, as the last one says.
  var announcedBeat: Duration = .zero
  /// What beats in the middle of a statement have shown.
  var hold = TermHold.whole
  /// The last beat left it out.
  var skipsMark = false
  var hasBegun = false
  /// The last rest ended since a beacon was written.
  var wasInterrupted = false
  private(set) var hasLookedAround = false
  private(set) var hasCommitted = false
  private(set) var lastWork: Duration
  private var lastPrune: Duration = .zero
  var lastPoll: Duration = .zero
  /// The last look left something unread.
  var hasMoreToRead = true
  /// When hints were last taken while a group was executed (boot time).
  var lastHearing = Duration.zero
  /// Writers that hints told of, whose segments are read ahead.
  var aheadHinted: Set<WriterID> = []
  /// The next look where no hints can be relied on (boot time).
  var nextLook = Duration.zero
  /// Of an assistant's term: when somebody waited for it last.
  var lastWanted: Duration
  var rate = RateMeter()
  /// Batches that earlier terms found missing.
  let missingBefore: UInt64

  init(
    _ won: LogClaim.Won, store: PageStore, worker: (any PreparedWorker)?, survived: [Attempt],
    options: ApplierOptions, lease: any Lease, desk: HintDesk?, claimed: Duration,
    environment: Environment
  ) throws(StoreError) {
    self.claimed = claimed
    self.store = store
    var options = options
    options.retention = options.retention.adopted(after: won.inherited?.status.retention)
    self.options = options
    self.environment = environment
    self.lease = lease
    self.desk = desk
    logger = options.logger
    holder = won.holder
    status = ApplierStatus(after: won.inherited, survived: survived, environment)
    missingBefore = status.missing
    segment = try Leader.openOwn(won.holder, store.handle)
    store.adopt(segment)
    time = TermTime(won.holder, environment)
    lastWork = environment.clock.elapsed()
    (segmentSince, lastWanted) = (lastWork, lastWork)
    intake = try JournalIntake(
      of: store.handle, name: options.holder,
      openFiles: options.openSegments ?? min(8192, environment.fileSystem.openFileLimit / 4),
      log: logger)
    intake.silence = options.retireAfter
    publisher = Publisher(won.published, environment)
    let checkpoint = Checkpoint(of: store.handle)
    var housekeeping = environment
    if let many = options.many { housekeeping.executor = many.housekeeping }
    checkpointer = Checkpointer(checkpoint, options, housekeeping)
    retirer = Retirer(
      Retention(checkpoint, options, environment), options.retention,
      startsAtOnce: options.retiresAtOnce(in: won.holder.header.number), housekeeping)
    execution = try Leader.execution(store, worker, options, environment)
    status.rejected = execution.rejected
    checkpointer.assume(newest: status.checkpoint)
  }

  /// The own segment, for reading. Its name is gone where another applier took over and retention
  /// moved it already.
  private static func openOwn(_ holder: LogHolder, _ store: StoreHandle) throws(StoreError)
    -> LogSegment
  {
    do throws(StoreError) {
      return try LogSegment(
        path: holder.file.path, store: store.id, environment: store.environment)
    } catch {
      guard error.isNoSuchFile else { throw error }
      throw StoreError(
        .notLeading, "another applier took over already; this one stands back",
        path: holder.file.path)
    }
  }

  // MARK: its work

  /// Opening the database may have taken longer than the lease. Nobody took over meanwhile (the mark
  /// says so), so the term counts from here; and no batch is named before that is known. Where it took less
  /// than a beat, the first beacon is as good, and somebody waits for the first commit.
  func settle() throws(StoreError) {
    let started = environment.clock.elapsed()
    guard started - claimed >= options.beat else { return }
    publisher.start(beacon(.active), holder)
    try publisher.wait()
    _ = publisher.takeFinishedStart()
    try holder.checkOpen()
    try lease.claimed(at: started)
  }

  /// What a term finds: the newest checkpoint, the log since, and what dead processes left. Somebody waits
  /// for the term's first commit, which needs none of it.
  private func lookAround() throws(StoreError) {
    let newest = try checkpointer.checkpoint.newest(upTo: publisher.publishedTxID) ?? .zero
    let since = try logSince(newest)
    checkpointer.begin(
      newest: newest, age: checkpointer.age(of: newest, now_ms: time.serverTime_ms()),
      logBytes: since.bytes, segments: since.segments)
    removeStrays()
    tellWhatIsKept()
    hasLookedAround = true
  }

  /// Executes and publishes one group.
  func work() throws(StoreError) {
    if status.isWatched {
      try workWatched()
    } else {
      var request = Session.Request(
        batches: intake.next(turn == nil ? groupBound : 1, bytes: Limits.batchBytesPerCommit),
        isAlone: nextIsAlone || turn != nil, time_ms: commitTime_ms(),
        mayLackBatches: { [intake] in intake.mayLackBatches($0) })
      request.prunesBeside = try writersToKeep(request.time_ms)
      request.turn = turn?.number
      request.ahead = { [unowned self] in framesAhead(behind: $0).frames }
      let done = try commit(request)
      charge(done, of: request.batches)
      turn = turn(after: done, of: request.batches)
      grow(after: done)
      lastWork = environment.clock.elapsed()
      try publishBeside()
    }
    lastWork = environment.clock.elapsed()
    removePublished()
    try keepHouse()
  }

  /// A group ends with the batch that is executed when it has taken its time. What it takes beyond twice
  /// that is this batch's, therefore, and its writer and user owe it to the others. Where the group was tried again, or
  /// ended before a batch that is to be alone, the time may be that of a batch that is not in it: nobody owes it.
  /// What a batch took that a worker ended with is owed whatever becomes of it. A turn is charged at its end.
  private func charge(_ done: Session.Done, of batches: ArraySlice<PendingBatch>) {
    for (batch, time) in execution.takeLost() { intake.charge(batch, time) }
    guard turn == nil, let time = execution.executingTime else { return }
    let isSlow = time > Session.longestGroup * 2 && !done.nextIsAlone
    intake.charge(isSlow ? batches.prefix(done.count).last : nil, time)
  }

  private static let smallestGroup = 64

  /// The next group may be twice as large. (It is executed for 250 ms at most, however large.)
  func grow(after done: Session.Done) {
    groupBound = min(Limits.batchesPerCommit, max(Leader.smallestGroup, done.count * 2))
  }

  func watch(_ shouldStop: @escaping () -> Bool) {
    execution.events.onProgress = { [unowned self] in
      beatDuringExecution()
      hearDuringExecution()
    }
    execution.events.isInVain = { [unowned self] in hold.isLost }
    execution.events.shouldStop = shouldStop
    takeHints()
    execution.publish = { [unowned self] () throws(StoreError) in
      try publisher.wait()
      if publisher.publishedTxID.txid < execution.extent.txid { try publishNow(.active) }
    }
  }

  func commit(_ request: Session.Request) throws(StoreError) -> Session.Done {
    let (began, bytes) = (environment.clock.elapsed(), holder.usedBytes)
    isExecuting = true
    defer { isExecuting = false }
    lookAhead(behind: request.batches.count)
    let done = try execution.commit(request) { [self] (content) throws(StoreError) in
      let pages = try holder.commit(content) { () throws(StoreError) in beatDuringExecution() }
      return (pages, segment)
    }
    // What follows may ask the database, which is no time to begin to read.
    isExecuting = false
    try hold.check()
    if let lack = done.lack, let batch = request.batches.first {
      // Its segments are given up, and one of them may be being read.
      _ = try takeAhead()
      intake.holdBack(batch, lacking: lack)
      intake.charge(batch, environment.clock.elapsed() - began)
      // It would be waited for.
      if turn?.holder == batch.id.writer { turn = nil }
    }
    intake.take(done.count, in: execution.extent.txid)
    nextIsAlone = done.nextIsAlone
    if !hasCommitted, done.committed > 0 {
      logger.debug(
        "first batches",
        metadata: ["txid": "\(execution.extent.txid)", "count": "\(done.committed)"])
      hasCommitted = true
    }
    status.rejected = execution.rejected
    measure(done, began, bytes)
    return done
  }

  // MARK: time

  func commitTime_ms() -> Int64 { time.commit_ms(after: execution.extent.time_ms) }

  /// Once a minute, the writers that must not be forgotten with a commit of time `time_ms`: those with
  /// a file in the journal. nil: nobody is forgotten with it. Not with a term's first commit, which is
  /// waited for, unless it may be the last.
  ///
  /// Who makes a file after this listing must not have been silent for a week by the commit's time,
  /// and goes by the file server's clock. So that is asked, and before the listing begins: this process
  /// may stand still at any place here, and its clocks may be wrong.
  func writersToKeep(_ time_ms: Int64) throws(StoreError) -> WritersWithFiles? {
    let now = environment.clock.elapsed()
    guard now - lastPrune > .seconds(60), hasCommitted || options.drains else { return nil }
    lastPrune = now
    switch time.compare(time_ms) {
    case .agrees: return try intake.writersWithFiles()
    case .unknown: return nil
    case .isAhead(let server_ms):
      logger.warning(
        "no silent writer is forgotten: the time of commits is ahead",
        metadata: ["time": "\(timestamp(time_ms))", "server": "\(timestamp(server_ms))"])
      return nil
    }
  }

  /// Ends the term where its time is far behind the files that it reads.
  func checkTime() throws(StoreError) {
    guard options.clockTolerance != nil, let file_ms = intake.takeLatestFile_ms(),
      time.isBehind(file_ms, after: execution.extent.time_ms)
    else { return }
    let time_ms = commitTime_ms()
    // The next term, here or elsewhere, need not wait.
    try? handOver()
    throw StoreError(
      .notLeading,
      "a journal file is dated \(timestamp(file_ms)), and this term's time is \(timestamp(time_ms)), as where the clocks of a suspended machine stood still, or the file server's was set; the term ends"
    )
  }

  /// Whether there is more to remove.
  @discardableResult
  func removePublished() -> Bool { intake.remove(published: publisher.publishedTxID) }

  // MARK: idle

  func keepHouse() throws(StoreError) {
    if !hasLookedAround { try lookAround() }
    checkpointer.noteLog(bytes: holder.usedBytes)
    let newest = checkpointer.newest
    if let error = checkpointer.finished() {
      logger.error("checkpoint failed", metadata: ["error": "\(error)"])
      if error.isFullDisk { retirer.hurryForRoom() }
    }
    if checkpointer.newest > newest {
      removeStrays()
      retirer.hurry()
    }
    if checkpointer.isDue(execution.snapshot) {
      // Under load a beacon is always on its way.
      if environment.makes(.publishedCheckpoint) { try publisher.wait() }
      let published =
        PublishedTxID(execution.extent.txid, without: .publishedCheckpoint, in: environment)
        ?? publisher.publishedTxID
      if let state = PublishedSnapshot(execution.snapshot, upTo: published) {
        checkpointer.start(state)
      }
    }
    try retire()
    if holder.room < options.segmentBytes / 8 { try rotate() }
  }

  /// Goes on in a new segment: a claim on one's own, every step of it.
  private func rotate() throws(StoreError) {
    try publisher.wait()
    try holder.finish()
    try publishNow(.active)
    let status = status
    let clock = environment.clock
    var claim = LogClaim(of: store.handle, holder: options.holder, engine: Engine.current)
    claim.segmentBytes = options.segmentBytes
    claim.clockTolerance = nil
    guard
      let won = try claim.claim(
        successorOf: holder.header.number, rotating: true,
        firstBeacon: { holder, _ in
          holder.beacon(.active, status, time_ms: clock.wallTime_ms())
        })
    else {
      throw StoreError(.notLeading, "another applier took the next log segment; this one stops")
    }
    holder = won.holder
    segment = try Leader.openOwn(holder, store.handle)
    segmentSince = environment.clock.elapsed()
    checkpointer.rotated()
    logger.debug("log segment begun", metadata: ["segment": "\(holder.header.number)"])
  }

  // MARK: the end

  func release() throws(StoreError) -> End {
    intake.dropAhead()
    try handOver()
    logger.info("released")
    // A checkpoint needs no term: whoever leads now, it says the same. Nor does removing what is old. Other
    // stores do not wait for it.
    if options.many != nil, !options.drains { return .stopped }
    checkpointer.wait()
    endRetiring()
    return .stopped
  }

  /// Finishes in order: everything confirmed is published, and nobody has to wait for a lease.
  private func handOver() throws(StoreError) {
    try publisher.wait()
    removePublished()
    try holder.finish()
    let named = status.attempts
    _ = status.takeBack()
    do throws(StoreError) { try publishNow(.released) } catch {
      status.attempts = named
      throw error
    }
    desk?.released()
    try lease.release()
  }
}
