internal import Logging
internal import SluiceJournal
public import SluiceLease
internal import SluiceReader
public import SluiceShared

/// The process that executes batches: stands by, is elected, leads, and stands by again.
///
/// Synchronous and without threads of its own; `run` returns when it is told to stop. Several
/// appliers of one store are safe at any time; several stores in one process, each on its thread.
public final class Applier {
  private let layout: StoreLayout
  private let description: StoreDescription
  private var options: ApplierOptions
  private let lease: any Lease
  private let environment: Environment
  private let log: Log
  /// Opened while standing by, and kept up, so that the time without an applier is short.
  private var pages: PageStore?
  private var lastPrepared: Duration?
  /// nil: what executes batches needs no preparation.
  private let worker: StandbyWorker?
  /// What the last term of this process had named, and what did not end the process.
  private var survived: [Attempt] = []

  /// Opens the store at `path`. Throws `.noSuchStore`, `.damaged`, `.unsupported`, or `.invalid`
  /// where the store's lease is of a kind that this version does not have.
  public init(
    path: String, options: ApplierOptions, lease: (any Lease)? = nil,
    environment: Environment = .posix()
  ) throws(StoreError) {
    layout = StoreLayout(path)
    description = try StoreDescription.read(layout, environment.fileSystem)
    self.options = options
    // Before anything is claimed: who could execute nothing must not keep others from it.
    self.options.extensions = try StoreExtensions.open(
      description, in: layout, environment)
    try Applier.checkScratch(environment)
    self.environment = environment
    log = Log(layout: layout, store: description.id, environment: environment)
    worker = Applier.standbyWorker(layout, description, self.options, environment)
    if let lease {
      self.lease = lease
    } else {
      guard description.lease == .file else {
        throw StoreError(
          .invalid, "this store's lease is \(description.lease), which needs a newer Sluice",
          path: layout.description)
      }
      self.lease = FileLease(duration: options.leaseTime, environment: environment)
    }
  }

  /// What the last term that ended in order found and could not apply.
  public private(set) var leftBehind: LeftBehind?

  /// Stands by and leads until `shouldStop` says so; then releases. Throws when this process cannot
  /// go on (a full or failing device, damage, a wrong clock): nothing durable is lost, and another
  /// applier, or this one started anew, goes on.
  public func run(shouldStop: @escaping () -> Bool) throws(StoreError) {
    while !shouldStop() {
      guard let leader = try standBy(shouldStop) else { return }
      switch try leader.run(shouldStop: shouldStop) {
      case .stopped:
        leftBehind = leader.intake.leftBehind
        return
      case .deposed(let error, let executing):
        survived = executing
        options.logger.warning(
          "no longer leading", metadata: ["reason": "\(error)"])
      }
    }
  }

  /// Watches the holder until this process may lead and wins; nil when told to stop.
  private func standBy(_ shouldStop: () -> Bool) throws(StoreError) -> Leader? {
    options.logger.info("standing by", metadata: ["store": "\(layout.root)"])
    var jitter = environment.random() % 50
    while !shouldStop() {
      if let seen = try observe(), try lease.mayClaim(seen) {
        try Applier.checkScratch(environment)
        try checkWorker()
        do throws(StoreError) {
          if let leader = try claim(seen) { return leader }
        } catch {
          guard error.endsOnlyTheTerm else { throw error }
          options.logger.warning("claim given up", metadata: ["reason": "\(error)"])
        }
        // Somebody else was faster; losers do not come back all at once.
        jitter = environment.random() % 100
      } else if lastPrepared.map({ environment.clock.elapsed() - $0 >= options.leaseTime / 2 })
        ?? true
      {
        prepare()
      }
      let pause = options.standbyPoll + .milliseconds(Int64(jitter))
      jitter = 0
      environment.clock.sleep(pause)
    }
    return nil
  }

  /// Throws where there is no place for the files that executing needs. They are asked for as a term
  /// begins; a process that has none must not begin one.
  /// What executes batches is there.
  private func checkWorker() throws(StoreError) {
    guard let program = options.worker else { return }
    do throws(StoreError) { _ = try environment.fileSystem.status(program.path) } catch {
      throw StoreError(
        .io, "the program that executes batches is not there: \(error.message); is /proc mounted?",
        path: program.path, errno: error.errno)
    }
  }

  private static func checkScratch(_ environment: Environment) throws(StoreError) {
    _ = try environment.fileSystem.scratchFile()
  }

  /// nil: the newest segment is gone again (a file server that lost power), or its open is; look once
  /// more.
  private func observe() throws(StoreError) -> LeaseObservation? {
    guard let number = try log.listed().first else {
      throw StoreError(
        .damaged, "the log has no segment; restore the store from a backup", path: layout.log)
    }
    guard let segment = try log.open(number), let control = try log.control(of: segment)
    else { return nil }
    return LeaseObservation(
      segment: number, counter: control.beacon?.counter ?? 0,
      isReleased: control.beacon?.state == .released)
  }

  /// Opens the database, or follows the log. Where that is not possible, the claim may be what mends it (a
  /// beacon that cannot be read). A holder that died in the middle of a beacon makes readers wait, but not
  /// its successor.
  private func prepare() {
    lastPrepared = environment.clock.elapsed()
    worker?.start()
    guard (try? log.present(waits: false)) != nil else { return }
    worker?.follow()
    if let pages {
      _ = try? pages.snapshot(.latest)
    } else {
      pages = try? PageStore(path: layout.root, environment: environment)
    }
  }

  private static func standbyWorker(
    _ layout: StoreLayout, _ description: StoreDescription, _ options: ApplierOptions,
    _ environment: Environment
  ) -> StandbyWorker? {
    let settings = Session.Settings(description, options)
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

  private func claim(_ seen: LeaseObservation) throws(StoreError) -> Leader? {
    prepare()
    let started = environment.clock.elapsed()
    var claim = LogClaim(
      layout: layout, store: description.id, environment: environment,
      holder: options.holder, engine: Engine.current)
    claim.segmentBytes = options.segmentBytes
    claim.clockTolerance = options.clockTolerance.map { min($0, TermTime.tolerance) }
    let clock = environment.clock
    let survived = survived
    guard
      let won = try claim.claim(
        successorOf: seen.segment,
        firstBeacon: { holder, inherited in
          holder.beacon(
            .active, ApplierStatus(after: inherited, survived: survived, environment),
            time_ms: clock.wallTime_ms())
        })
    else { return nil }
    // It opens the database while the term begins.
    let worker = worker?.take(for: won.holder.extent.txid)
    try lease.claimed(at: started)
    options.logger.info(
      "leading",
      metadata: [
        "segment": "\(won.holder.header.number)", "term": "\(won.holder.header.term)",
        "txid": "\(won.holder.extent.txid)",
      ])
    let store: PageStore
    if let pages {
      store = pages
    } else {
      store = try PageStore(path: layout.root, environment: environment)
    }
    return try Leader(
      won, store: store, worker: worker, survived: survived, options: options, lease: lease,
      claimed: started, environment: environment)
  }
}

extension StoreError {
  /// Another leads, or files that were open are open no more: the next term begins anew with what
  /// there is then.
  var endsOnlyTheTerm: Bool { code == .notLeading || code == .snapshotExpired || isLostOpen }
}
