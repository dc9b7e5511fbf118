internal import Logging
internal import SluiceHints
internal import SluiceJournal
package import SluiceLease
internal import SluiceReader
internal import SluiceSQLite
public import SluiceShared

/// The process that executes batches: stands by, is elected, leads, and stands by again.
///
/// Synchronous and without threads of its own; `run` returns when it is told to stop. Several
/// appliers of one store are safe at any time; for many stores in one process there is `Fleet`.
public final class Applier {
  let store: StoreHandle
  private(set) var description: StoreDescription
  private(set) var options: ApplierOptions
  private(set) var lease: any Lease
  /// The lease is the caller's.
  private let isGivenLease: Bool
  let log: Log
  /// Where this process takes hints while it leads.
  private let desk: HintDesk?
  /// To whoever leads, while this process stands by.
  let line: HintLine
  /// The newest segment when it was last listed.
  var observed: LogSegment?
  var standing = Standing()
  /// Whether `run` returns although nobody told it to stop: asked at each look while another leads or may.
  public var isDoneWithoutTerm: () -> Bool = { false }
  /// Whether others are to have this claim.
  var holdsBack: (LeaseObservation) -> Bool = { _ in false }
  /// Opened while standing by, and kept up, so that the time without an applier is short.
  var pages: PageStore?
  /// Whether checkpoints were compared with the log.
  private var hasCompared = false
  var lastPrepared: (at: Duration, txid: TxID)?
  /// nil: what executes batches needs no preparation.
  let worker: StandbyWorker?
  /// What the last term of this process had named, and what did not end the process.
  var survived: [Attempt] = []

  /// Opens the store at `path`. Throws `.noSuchStore`, `.damaged`, `.unsupported`, or `.invalid`
  /// where the store's lease is of a kind that this version does not have.
  public convenience init(
    path: String, options: ApplierOptions, environment: Environment = .posix()
  ) throws(StoreError) {
    try self.init(path: path, options: options, lease: nil, environment: environment)
  }

  /// `lease`: in place of that which the store's description names.
  package init(
    path: String, options: ApplierOptions, lease: (any Lease)?,
    environment: Environment = .posix()
  ) throws(StoreError) {
    let layout = StoreLayout(path)
    description = try StoreDescription.read(layout, environment.fileSystem)
    store = StoreHandle(layout: layout, id: description.id, environment: environment)
    self.options = options
    // Before anything is claimed: who could execute nothing must not keep others from it.
    self.options.extensions = try StoreExtensions.open(
      description, in: layout, environment)
    try Applier.checkScratch(environment)
    self.options.metrics = ApplierMetrics(layout)
    desk = try Applier.desk(options, environment)
    line = HintLine(environment)
    log = Log(of: store)
    try log.proveWritable()
    worker =
      options.many == nil
      ? Applier.standbyWorker(layout, description, self.options, environment) : nil
    isGivenLease = lease != nil
    if let lease {
      self.lease = lease
    } else {
      self.lease = try StoreLease.make(for: description, layout, options, environment)
    }
  }

  var layout: StoreLayout { store.layout }
  var environment: Environment { store.environment }

  /// What the last term that ended in order found and could not apply.
  package private(set) var leftBehind: LeftBehind?

  /// Stands by and leads until `shouldStop` says so; then releases. Throws when this process cannot
  /// go on (a full or failing device, damage, a wrong clock): nothing durable is lost, and another
  /// applier, or this one started anew, goes on.
  public func run(shouldStop: @escaping () -> Bool) throws(StoreError) {
    // What was not released in order.
    defer { lease.abandon() }
    while !shouldStop() {
      guard let leader = try standBy(shouldStop) else { return }
      let end = try leader.run(shouldStop: shouldStop)
      if ended(end, leader) { return }
    }
  }

  /// A term is over. True where it was told to stop.
  func ended(_ end: Leader.End, _ leader: Leader) -> Bool {
    // Behind what is told: it may ask somebody who does not answer.
    defer { lease.abandon() }
    // Of many stores most rest: what is not needed to look at the beacon is opened by the next claim.
    if options.many != nil { (pages, observed) = (nil, nil) }
    switch end {
    case .stopped:
      options.metrics?.termEnded(isLost: false)
      leftBehind = leader.intake.leftBehind
      return true
    case .deposed(let error, let executing):
      survived = executing
      options.metrics?.termEnded(isLost: true)
      options.logger.warning("no longer leading", metadata: ["reason": "\(error)"])
      return false
    }
  }

  /// Watches the holder until this process may lead and wins; nil when told to stop.
  private func standBy(_ shouldStop: () -> Bool) throws(StoreError) -> Leader? {
    beginStanding()
    while !shouldStop(), !isDoneWithoutTerm() {
      switch try look() {
      case .leads(let leader): return leader
      case .rests(let pause, let beat, let hints):
        line.aim(at: hints)
        rest(pause, beat, shouldStop)
      }
    }
    return nil
  }

  /// Throws where the program that executes batches is not there.
  func checkWorker() throws(StoreError) {
    guard let program = options.worker else { return }
    do throws(StoreError) { _ = try environment.fileSystem.status(program.path) } catch {
      throw StoreError(
        .io, "the program that executes batches is not there: \(error.message); is /proc mounted?",
        path: program.path, errno: error.errno)
    }
  }

  /// Throws where there is no place for the files that executing needs. They are asked for as a term
  /// begins; a process that has none must not begin one.
  static func checkScratch(_ environment: Environment) throws(StoreError) {
    _ = try environment.fileSystem.scratchFile()
  }

  /// Opens the database, or follows the log. Where that is not possible, the claim may be what mends it (a
  /// beacon that cannot be read). A holder that died in the middle of a beacon makes readers wait, but not
  /// its successor.
  func prepare() throws(StoreError) {
    worker?.start()
    try compareCheckpoints()
    guard (try? log.present(waits: false)) != nil else { return }
    worker?.follow()
    if let pages {
      _ = try pages.snapshot(.latest)
    } else {
      let opened = try PageStore(path: layout.root, environment: environment)
      try proveOpening(opened.current)
      pages = opened
    }
  }

  /// Once, and before the first claim: a standby has done it before it takes over.
  private func compareCheckpoints() throws(StoreError) {
    if !hasCompared { hasCompared = try newClaim().compareCheckpoints() }
  }

  /// Throws `.damaged` where a term would find, after its claim, that SQLite cannot open the database.
  private func proveOpening(_ snapshot: Snapshot) throws(StoreError) {
    let reader = try DatabaseReader(snapshot, [], environment)
    let txid = try reader.reading { (connection) throws(SQLiteError) in
      try connection.scalar("SELECT txid FROM _sluice_state")
    }
    guard txid != .integer(Int64(snapshot.txid.rawValue)) else { return }
    throw StoreError(
      .damaged,
      "the log ends at batch \(snapshot.txid), and the database says that it is of another; see `sluice verify` and `sluice repair`",
      path: layout.root)
  }

  private static func standbyWorker(
    _ layout: StoreLayout, _ description: StoreDescription, _ options: ApplierOptions,
    _ environment: Environment
  ) -> StandbyWorker? {
    var settings = Session.Settings(description, options)
    settings.journal = layout.journal
    if let program = options.worker {
      return StandbyWorker(logger: options.logger, environment: environment) {
        () throws(WorkerEnd) in
        try ChildWorker(
          program, store: layout, settings, batchTime: options.batchTime, environment)
      }
    }
    guard let fault = options.workerFault else { return nil }
    return StandbyWorker(logger: options.logger, environment: environment) {
      () throws(WorkerEnd) in
      LocalPreparation(layout, settings, environment, fault: fault)
    }
  }

  /// Takes what is elected by, then the log.
  func claim(_ seen: LeaseObservation) throws(StoreError) -> Leader? {
    try compareCheckpoints()
    // Who meets damage could execute nothing, and would leave a segment with each try. All else may be over
    // when the database is opened.
    do throws(StoreError) { try prepare() } catch { if error.code == .damaged { throw error } }
    guard try lease.acquire() else { return nil }
    do throws(StoreError) {
      if let leader = try claimLog(seen) { return leader }
    } catch {
      lease.abandon()
      throw error
    }
    lease.abandon()
    return nil
  }

  /// False where the store is elected in another way by now: then by that from here on. It is asked now and
  /// then while standing by, and when the log is claimed, which `LeaseChange` relies on.
  func hasOwnKind() throws(StoreError) -> Bool {
    // On NFS a name that was replaced is stale for 30 s, but not behind an open of its directory.
    _ = try environment.fileSystem.list(layout.root)
    let kind = try StoreDescription.read(layout, environment.fileSystem).lease
    guard kind != description.lease else { return true }
    let change = "this store's lease was changed from \(description.lease) to \(kind)"
    guard !isGivenLease else { throw StoreError(.busy, change, path: layout.description) }
    var changed = description
    changed.lease = kind
    let next = try StoreLease.make(for: changed, layout, options, environment)
    lease.abandon()
    lease = next
    description = changed
    options.logger.info("\(change)")
    return false
  }

  /// The log is claimed, and no term begins: others need not wait for it.
  private func giveUp(_ holder: LogHolder, _ status: ApplierStatus) {
    do throws(StoreError) {
      try holder.finish()
      try holder.publish(
        holder.beacon(.released, status, time_ms: environment.clock.wallTime_ms()))
    } catch {
      options.logger.warning("claim not released", metadata: ["reason": "\(error)"])
    }
  }

  private func newClaim() -> LogClaim {
    var claim = LogClaim(of: store, holder: options.holder, engine: Engine.current)
    claim.log = log
    return claim
  }

  private func claimLog(_ seen: LeaseObservation) throws(StoreError) -> Leader? {
    let started = environment.clock.elapsed()
    var claim = newClaim()
    claim.segmentBytes = options.segmentBytes
    claim.clockTolerance = options.clockTolerance.map { min($0, TermTime.tolerance) }
    let clock = environment.clock
    let (survived, desk) = (survived, desk)
    var status = ApplierStatus()
    guard
      let won = try claim.claim(
        successorOf: seen.segment,
        firstBeacon: { holder, inherited in
          status = ApplierStatus(after: inherited, survived: survived, environment)
          status.hints = StatedHints(desk)
          return holder.beacon(.active, status, time_ms: clock.wallTime_ms())
        })
    else { return nil }
    do throws(StoreError) {
      if environment.makes(.kindAfterClaim), try !hasOwnKind() {
        giveUp(won.holder, status)
        return nil
      }
      try lease.claimed(at: started)
    } catch {
      giveUp(won.holder, status)
      throw error
    }
    // It opens the database while the term begins.
    let worker = worker?.take(for: won.holder.extent.txid)
    options.logger.info(
      "leading",
      metadata: [
        "segment": "\(won.holder.header.number)", "term": "\(won.holder.header.term)",
        "txid": "\(won.holder.extent.txid)",
      ])
    let opened: PageStore
    if let pages {
      opened = pages
    } else {
      opened = try PageStore(path: layout.root, environment: environment)
    }
    let leader = try Leader(
      won, store: opened, worker: worker, survived: survived, options: options, lease: lease,
      desk: desk, claimed: started, environment: environment)
    options.metrics?.termBegan()
    return leader
  }
}

extension StoreError {
  /// Another leads, and may have removed what was open, or files that were open are open no more: the next
  /// term begins anew with what there is then.
  var endsOnlyTheTerm: Bool {
    code == .notLeading || code == .snapshotExpired || isLostOpen || isStaleHandle
  }
}
