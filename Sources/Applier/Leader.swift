internal import Logging
internal import SluiceJournal
internal import SluiceLease
internal import SluiceReader
internal import SluiceShared

/// One applier's time in office: reads the journal, executes, commits, publishes, until it is told
/// to stop, closed by a claimant, or late with its lease.
final class Leader {
  enum End {
    /// As asked; the store is released.
    case stopped
    /// Another applier took over, or the lease ran out.
    case deposed(StoreError, executing: [Attempt])
  }

  private let store: PageStore
  private let options: ApplierOptions
  let environment: Environment
  private let lease: any Lease
  let logger: Logger
  let intake: JournalIntake
  private let checkpointer: Checkpointer
  private(set) var holder: LogHolder
  private var segment: LogSegment
  let execution: Execution
  let publisher: Publisher
  var status: ApplierStatus
  private let time: TermTime
  /// When the claim that began the term did (boot time).
  private let claimed: Duration
  /// Batches in the next group at most.
  private(set) var groupBound = Leader.smallestGroup
  private(set) var nextIsAlone = false
  /// What beacons name is being executed now.
  var isExecutingNamed = false
  /// What a beat in the middle of a statement met, which cannot be thrown there.
  private var failedBeat: StoreError?
  /// After that: when the own mark was last looked at, and whether it was set.
  private var lastLook: Duration = .zero
  private var isClosed = false
  private var hasLookedAround = false
  private var hasCommitted = false
  private var lastWork: Duration
  private var lastPrune: Duration = .zero
  private var lastPoll: Duration = .zero
  private var rate = RateMeter()
  /// Batches that earlier terms found missing.
  private let missingBefore: UInt64

  init(
    _ won: LogClaim.Won, store: PageStore, worker: (any PreparedWorker)?, survived: [Attempt],
    options: ApplierOptions, lease: any Lease, claimed: Duration, environment: Environment
  ) throws(StoreError) {
    self.claimed = claimed
    self.store = store
    self.options = options
    self.environment = environment
    self.lease = lease
    logger = options.logger
    holder = won.holder
    status = ApplierStatus(after: won.inherited, survived: survived, environment)
    missingBefore = status.missing
    segment = try Leader.openOwn(won.holder, store, environment)
    time = TermTime(won.holder, environment)
    lastWork = environment.clock.elapsed()
    intake = try JournalIntake(
      layout: store.layout, store: store.description.id, environment: environment,
      name: options.holder,
      openFiles: options.openSegments ?? min(8192, environment.fileSystem.openFileLimit / 4),
      log: logger)
    intake.silence = options.retireAfter
    publisher = Publisher(environment)
    checkpointer = Checkpointer(
      Checkpoint(layout: store.layout, store: store.description.id, environment: environment),
      options, environment)
    execution = try Leader.execution(store, worker, options, environment)
    status.rejected = execution.rejected
    checkpointer.assume(newest: status.checkpoint)
    publisher.published(holder.extent.txid)
  }

  /// The own segment, for reading. Its name is gone where another applier took over and retention
  /// moved it already.
  private static func openOwn(_ holder: LogHolder, _ store: PageStore, _ environment: Environment)
    throws(StoreError) -> LogSegment
  {
    do throws(StoreError) {
      return try LogSegment(
        path: holder.file.path, store: store.description.id, environment: environment)
    } catch {
      guard error.isNoSuchFile else { throw error }
      throw StoreError(
        .notLeading, "another applier took over already; this one stands back",
        path: holder.file.path)
    }
  }

  // MARK: the loop

  func run(shouldStop: @escaping () -> Bool) throws(StoreError) -> End {
    watch(shouldStop)
    intake.serverTime_ms = { [time] in time.serverTime_ms() }
    intake.history = { [unowned self] (writer) throws(StoreError) in
      guard let known = try execution.known(writer) else { return nil }
      return KnownWriter(
        owner: known.owner, sequence: known.sequence, asOf: execution.extent.txid)
    }
    do throws(StoreError) {
      try intake.countQuarantine()
      try settle()
      while true {
        if shouldStop() { return try release() }
        let found = try pollWhenDue()
        try checkTime()
        if !intake.isIdle {
          try work()
        } else {
          if found {
            // There may be more of what is nobody's batch, or in the history, than can be looked at within
            // a lease.
            try beatWhenDue()
            try removePublished()
            if hasLookedAround { try keepHouse() }
            continue
          }
          if status.isWatched, intake.isComplete { status.clear() }
          if options.drains, !intake.isRetiring {
            try publisher.wait()
            try keepHouse()
            return try release()
          }
          try rest()
        }
      }
    } catch {
      publisher.abandon()
      takeBackNames(after: error)
      if error.endsOnlyTheTerm {
        return .deposed(error, executing: status.executing)
      }
      throw error
    }
  }

  /// Opening the database may have taken longer than the lease. Nobody took over meanwhile (the mark
  /// says so), so the term counts from here; and no batch is named before that is known. Where it took less
  /// than a beat, the first beacon is as good, and somebody waits for the first commit.
  private func settle() throws(StoreError) {
    let started = environment.clock.elapsed()
    guard started - claimed >= options.beat else { return }
    publisher.start(beacon(.active), holder)
    try publisher.wait()
    _ = publisher.takeFinishedStart()
    try holder.checkOpen()
    try lease.claimed(at: started)
  }

  /// What others left behind: at the beginning of a term, and when a checkpoint was made.
  private func removeStrays() {
    do throws(StoreError) {
      try Strays(layout: store.layout, environment: environment)
        .remove(log: holder, checkpoint: checkpointer.newest)
    } catch {
      logger.warning("temporary files stay", metadata: ["error": "\(error)"])
    }
  }

  /// What a term finds: the newest checkpoint, the log since, and what dead processes left. Somebody waits
  /// for the term's first commit, which needs none of it.
  private func lookAround() throws(StoreError) {
    let newest = try checkpointer.checkpoint.newest() ?? .zero
    let since = try logSince(newest)
    checkpointer.begin(newest: newest, logBytes: since.bytes, segments: since.segments)
    removeStrays()
    hasLookedAround = true
  }

  /// How much log earlier terms wrote since a checkpoint.
  private func logSince(_ txid: TxID) throws(StoreError) -> (bytes: Int64, segments: UInt64) {
    let log = Log(
      layout: store.layout, store: store.description.id, environment: environment)
    let spans = try log.history(after: txid, upTo: try log.present()).dropLast()
    return (
      spans.reduce(0) { $0 + $1.end - Block.firstLogFrame }, UInt64(spans.count)
    )
  }

  /// Executes and publishes one group.
  private func work() throws(StoreError) {
    if status.isWatched {
      try workWatched()
    } else {
      var request = Session.Request(
        batches: intake.next(groupBound, bytes: Limits.batchBytesPerCommit),
        isAlone: nextIsAlone, time_ms: commitTime_ms(),
        mayLackBatches: { [intake] in intake.mayLackBatches($0) })
      request.prunesBeside = try writersToKeep(request.time_ms)
      grow(after: try commit(request))
      try publishBeside()
    }
    lastWork = environment.clock.elapsed()
    try removePublished()
    try keepHouse()
  }

  private static let smallestGroup = 64

  /// The next group may be twice as large. (It is executed for 250 ms at most, however large.)
  func grow(after done: Session.Done) {
    groupBound = min(Limits.batchesPerCommit, max(Leader.smallestGroup, done.count * 2))
  }

  /// Looks into the journal. Where a whole group waits already that is not urgent: each look is some round
  /// trips, and what is new comes behind a turn of each other writer anyway.
  private func pollWhenDue() throws(StoreError) -> Bool {
    let now = environment.clock.elapsed()
    if intake.waitingCount >= groupBound, now - lastPoll < options.slowestPoll { return true }
    let found = try intake.poll()
    lastPoll = environment.clock.elapsed()
    return found
  }

  private func watch(_ shouldStop: @escaping () -> Bool) {
    execution.events.onProgress = { [unowned self] in beatDuringExecution() }
    execution.events.isInVain = { [unowned self] in isClosed }
    execution.events.shouldStop = shouldStop
    execution.publish = { [unowned self] () throws(StoreError) in
      try publisher.wait()
      if publisher.publishedTxID < execution.extent.txid { try publishNow(.active) }
    }
  }

  /// The worker is a child process where the options name a program for it.
  private static func execution(
    _ store: PageStore, _ prepared: (any PreparedWorker)?, _ options: ApplierOptions,
    _ environment: Environment
  ) throws(StoreError) -> Execution {
    let settings = Session.Settings(store.description, options)
    let events = WorkerEvents()
    let execution = Execution(
      from: try store.snapshot(.latest), events, logger: options.logger, environment: environment,
      prepared: prepared
    ) { (snapshot) throws(WorkerEnd) in
      if let program = options.worker {
        return try ChildWorker(
          program, store: store.layout, settings, batchTime: options.batchTime, environment
        ).opened(at: snapshot.txid, events)
      }
      do throws(StoreError) {
        guard let fault = options.workerFault else {
          return try LocalWorker(snapshot, settings, events, environment)
        }
        // As a child process does.
        let begins: Freshness =
          environment.makes(.workerAtEnd)
          ? .atLeast(snapshot.txid, timeout: .seconds(60)) : .latest
        let store = try PageStore(path: store.layout.root, environment: environment)
        return try LocalWorker(
          try store.snapshot(begins), settings, events, environment, fault: fault)
      } catch {
        throw .failed(error)
      }
    }
    // In this process nothing else is done meanwhile, so the term counts from when it is open.
    if options.worker == nil { try execution.open() }
    return execution
  }

  func commit(_ request: Session.Request) throws(StoreError) -> Session.Done {
    let done = try execution.commit(request) { [self] (content) throws(StoreError) in
      let pages = try holder.commit(content) { () throws(StoreError) in beatDuringExecution() }
      return (pages, segment)
    }
    if let failedBeat { throw failedBeat }
    intake.take(done.count, in: execution.extent.txid)
    nextIsAlone = done.nextIsAlone
    if !hasCommitted, done.committed > 0 {
      logger.debug(
        "first batches",
        metadata: ["txid": "\(execution.extent.txid)", "count": "\(done.committed)"])
      hasCommitted = true
    }
    status.rejected = execution.rejected
    rate.add(Int(done.committed), at: environment.clock.elapsed())
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
  private func checkTime() throws(StoreError) {
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

  // MARK: publishing

  func beacon(_ state: Beacon.State) -> Beacon {
    status.checkpoint = checkpointer.newest
    status.backlogBatches = UInt64(intake.waitingCount)
    status.backlogBytes = UInt64(max(0, intake.waitingBytes))
    status.oldest_ms = intake.age_ms
    status.batchesPerSecond = rate.perSecond(at: environment.clock.elapsed())
    status.quarantined = intake.quarantined
    status.writers = UInt32(intake.writerCount)
    status.ignored = UInt64(intake.ignoredCount)
    status.missing = missingBefore.addingReportingOverflow(intake.missing).partialValue
    return holder.beacon(state, status, time_ms: environment.clock.wallTime_ms())
  }

  /// Publishes what is confirmed while the next group is prepared; one beacon is in flight at most.
  private func publishBeside() throws(StoreError) {
    try publisher.wait()
    try renewed()
    publisher.start(beacon(.active), holder)
  }

  func publishNow(_ state: Beacon.State) throws(StoreError) {
    try publisher.wait()
    publisher.start(beacon(state), holder)
    try publisher.wait()
    try renewed()
  }

  private func renewed() throws(StoreError) {
    guard let started = publisher.takeFinishedStart() else { return }
    if try !lease.renew(beatStarted: started) {
      throw StoreError(
        .notLeading, "the lease ran out before it was renewed; this applier stands back")
    }
  }

  var isBeatDue: Bool {
    environment.clock.elapsed() - publisher.lastStart >= options.beat
  }

  /// A long statement's progress keeps the lease. Where it does not, the statement goes on until
  /// somebody has taken over: this term publishes no commit more, but the next one, if it is made
  /// before that, is carried over. So one step that takes longer than a lease gets done in the end.
  private func beatDuringExecution() {
    guard failedBeat == nil else { return lookWhetherClosed() }
    guard isBeatDue else { return }
    do throws(StoreError) { try publishNow(.active) } catch {
      logger.warning("no beat during a long statement", metadata: ["error": "\(error)"])
      failedBeat = error
    }
  }

  private func lookWhetherClosed() {
    let now = environment.clock.elapsed()
    guard !isClosed, now - lastLook >= options.beat else { return }
    lastLook = now
    do throws(StoreError) { try holder.checkOpen() } catch {
      if error.code == .notLeading { isClosed = true }
    }
  }

  private func removePublished() throws(StoreError) {
    try intake.remove(published: publisher.publishedTxID)
  }

  // MARK: idle

  /// Nothing to do: a beat when it is time, then a pause that grows with the quiet.
  private func rest() throws(StoreError) {
    let now = environment.clock.elapsed()
    try beatWhenDue()
    try removePublished()
    try keepHouse()
    let pause = (now - lastWork) / 128
    environment.clock.sleep(min(options.slowestPoll, max(.microseconds(50), pause)))
  }

  private func beatWhenDue() throws(StoreError) {
    if isBeatDue {
      try publishNow(.active)
      try holder.checkOpen()
    } else if publisher.isDone {
      try publisher.wait()
    }
  }

  private func keepHouse() throws(StoreError) {
    if !hasLookedAround { try lookAround() }
    checkpointer.noteLog(bytes: holder.usedBytes)
    let newest = checkpointer.newest
    if let error = checkpointer.finished() {
      logger.error("checkpoint failed", metadata: ["error": "\(error)"])
    }
    if checkpointer.newest > newest { removeStrays() }
    if checkpointer.isDue(execution.snapshot) {
      // Of what is published only, and under load a beacon is always on its way.
      try publisher.wait()
      if publisher.publishedTxID >= execution.extent.txid { checkpointer.start(execution.snapshot) }
    }
    if holder.room < options.segmentBytes / 8 { try rotate() }
  }

  /// Goes on in a new segment: a claim on one's own, every step of it.
  private func rotate() throws(StoreError) {
    try publisher.wait()
    try holder.finish()
    try publishNow(.active)
    let status = status
    let clock = environment.clock
    var claim = LogClaim(
      layout: store.layout, store: store.description.id, environment: environment,
      holder: options.holder, engine: Engine.current)
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
    segment = try Leader.openOwn(holder, store, environment)
    checkpointer.rotated()
    logger.debug("log segment begun", metadata: ["segment": "\(holder.header.number)"])
  }

  // MARK: the end

  private func release() throws(StoreError) -> End {
    try handOver()
    logger.info("released")
    // A checkpoint needs no office: whoever leads now, it says the same.
    checkpointer.wait()
    return .stopped
  }

  /// Finishes in order: everything confirmed is published, and nobody has to wait for a lease.
  private func handOver() throws(StoreError) {
    try publisher.wait()
    try removePublished()
    try holder.finish()
    let named = status.attempts
    _ = status.takeBack()
    do throws(StoreError) { try publishNow(.released) } catch {
      status.attempts = named
      throw error
    }
    try lease.release()
  }
}
