public import SluiceJournal
public import SluiceReader
public import SluiceShared

/// Makes a store usable again of which something is lost or damaged (`sluice repair`).
///
/// First it finds out what is wrong (`Verification`), the latest state that can be had of what is left
/// (`Salvage`), and what is to be done. Where all that was published can be had, what is broken is made anew.
/// Where not, a new line of the history begins with that state (`HistoryLine`). Nothing is deleted: what is
/// in the way goes to `repaired/<time>/`. Why what comes of it is a legal store is said in
/// docs/GUARANTEES.md (8, What a repair makes).
///
/// It can be cut off at any place and begun anew: what the next one finds is what is left then.
public struct Repair {
  /// One thing to be done, in this order.
  public enum Step: Hashable, Sendable {
    /// `store.json` is written anew.
    case description(String)
    /// A directory that every store has is made anew.
    case directory(String)
    /// A file gets out of the way.
    case putApart(String)
    /// The log goes on in a new segment, as with a new applier.
    case segment
    /// A checkpoint of the present is made.
    case checkpoint(TxID)
    /// A new line of the history begins: the state of batch `of`, as `line`.
    case line(of: TxID, as: TxID)
    /// `current.sqlite` leads to the newest checkpoint.
    case current
  }

  /// What is wrong, and what would be done.
  public struct Plan {
    public internal(set) var damages: [Verification.Damage] = []
    public internal(set) var steps: [Step] = []
    /// Batches of which something is lost.
    public internal(set) var lost: [ClosedRange<TxID>] = []
    /// What was published may have gone further than anything shows that is left.
    public internal(set) var losesUnknown = false
    /// The right to interactive transactions that `store.json` had once, and that nobody has any more: nothing
    /// shows whether it was taken away since.
    public internal(set) var withheldRight: TransactionRight?
    package internal(set) var salvage: Salvage?
    var description: StoreDescription?
    var state: Snapshot?
    var segments: Set<UInt64> = []
    /// The replayed file that `state` is read from.
    var replayed: ReplayedState?
  }

  let layout: StoreLayout
  let environment: Environment
  /// Who does it, for people.
  private let name: String
  var given = DescribedStore.Given()
  /// For how long a beacon that is not released must stay the same.
  public var silence: Duration = .seconds(10)
  public var clockTolerance: Duration? = .seconds(60)
  /// Told what is found out, a sentence at a time.
  public var note: (String) -> Void = { _ in }

  public init(store path: String, name: String, environment: Environment = .posix()) {
    layout = StoreLayout(path)
    self.name = name
    self.environment = environment
  }

  /// What `store.json` is to say where nothing says it any more.
  public mutating func describe(
    lease: StoreDescription.LeaseKind?, foreignKeys: Bool?, transactions: TransactionRight?
  ) {
    given = DescribedStore.Given(
      lease: lease, foreignKeys: foreignKeys, transactions: transactions)
  }

  /// Does what `plan` says. Throws `.busy` while an applier leads, and `.notLeading` where one has begun to.
  public func perform(_ plan: Plan) throws(StoreError) {
    guard let description = plan.description, !plan.steps.isEmpty else { return }
    let store = StoreHandle(layout: layout, id: description.id, environment: environment)
    try SilentStore(store: store, silence: silence).wait()
    // Before anything else: each try that ended for want of one would leave another checkpoint.
    for one in layout.directories { try one.makeIfMissing(environment.fileSystem) }
    var apart = PutApart(layout, environment)
    if case .line(let state, let line)? = plan.steps.first(where: \.isLine) {
      try begin(line, behind: state, plan, description, store, &apart)
    } else {
      try mend(plan, description, store, &apart)
    }
  }

  // MARK: without a loss

  private func mend(
    _ plan: Plan, _ description: StoreDescription, _ store: StoreHandle, _ apart: inout PutApart
  ) throws(StoreError) {
    let checkpoint = Checkpoint(of: store)
    for step in plan.steps {
      switch step {
      case .description: try write(description, &apart)
      case .directory: break
      case .putApart(let path): try apart.keep(path)
      case .segment: try beginSegment(of: store)
      case .checkpoint:
        // What is damaged has the name, where it is of the same batch.
        try apart.removeNames()
        try makeCheckpoint(checkpoint, plan)
      case .current: break
      case .line: break
      }
    }
    try apart.removeNames()
    try pointCurrent(checkpoint)
  }

  private func makeCheckpoint(_ checkpoint: Checkpoint, _ plan: Plan) throws(StoreError) {
    guard let state = plan.state else { return }
    let log = Log(of: checkpoint.store)
    guard let published = PublishedSnapshot(state, upTo: try log.present().published) else {
      throw StoreError(
        .notLeading,
        "batch \(state.txid) was to be published by now, and is not; stop all appliers, then repair again",
        path: layout.log)
    }
    try checkpoint.make(of: published)
  }

  /// Also where what it leads to has a higher number and is not there.
  private func pointCurrent(_ checkpoint: Checkpoint) throws(StoreError) {
    guard let newest = try CheckpointListing(of: checkpoint.store).whole.last else { return }
    let target = StoreLayout.currentTarget(newest)
    guard (try? environment.fileSystem.readSymbolicLink(layout.current)) != target else { return }
    try environment.fileSystem.replaceSymbolicLink(layout.current, target: target)
    try environment.fileSystem.syncDirectory(layout.root)
  }

  private func write(_ description: StoreDescription, _ apart: inout PutApart) throws(StoreError) {
    do throws(StoreError) {
      _ = try environment.fileSystem.status(layout.description)
      try apart.keepCopy(layout.description)
    } catch {
      guard error.isNoSuchFile else { throw error }
    }
    try description.replace(in: layout, environment)
  }

  /// As an applier does that stops at once.
  private func beginSegment(of store: StoreHandle) throws(StoreError) {
    let log = Log(of: store)
    var status = ApplierStatus()
    let won = try claim(of: store).claim(
      successorOf: try log.listed().first ?? 0,
      firstBeacon: { holder, inherited in
        status = ApplierStatus(after: inherited, survived: [], environment)
        return holder.beacon(.active, status, time_ms: environment.clock.wallTime_ms())
      })
    guard let won else {
      throw StoreError(
        .notLeading, "somebody else has claimed the log; stop all appliers, then repair again",
        path: layout.log)
    }
    try won.holder.finish()
    try won.holder.publish(
      won.holder.beacon(.released, status, time_ms: environment.clock.wallTime_ms()))
  }

  private func claim(of store: StoreHandle) -> LogClaim {
    var claim = LogClaim(of: store, holder: name, engine: Engine.current)
    claim.clockTolerance = clockTolerance
    return claim
  }

  // MARK: with one

  /// Checkpoints, and halves of them, of lines that were never begun; the databases first.
  private func unbegun() throws(StoreError) -> [String] {
    let lines = try BegunLines(layout, environment.fileSystem)
    return try environment.fileSystem.list(layout.checkpoints).filter { name in
      let txid = StoreLayout.checkpointTxID(name) ?? StoreLayout.sidecarTxID(name)
      return txid.map { !lines.include($0) } ?? false
    }.sorted(by: Self.databaseFirst)
  }

  /// The first beacon of the line's segment is where the old one ends; what is done before it changes nothing
  /// for anybody, and what is left to do behind it the next repair would do.
  private func begin(
    _ line: TxID, behind txid: TxID, _ plan: Plan, _ description: StoreDescription,
    _ store: StoreHandle, _ apart: inout PutApart
  ) throws(StoreError) {
    guard let state = plan.state, let salvage = plan.salvage else { return }
    var described = description
    described.lost.append(txid.next...TxID(line.rawValue - 1))
    let extent = LogExtent(
      txid: line, commits: line.rawValue,
      time_ms: max(salvage.latest.time_ms, state.extent.time_ms, environment.clock.wallTime_ms()))
    // What an earlier repair made that was cut off has the same name.
    for name in try unbegun() { try apart.keep("\(layout.checkpoints)/\(name)") }
    try apart.removeNames()
    let checkpoint = Checkpoint(of: store)
    try LineCheckpoint(checkpoint: checkpoint, description: described, extent: extent)
      .make(of: state)
    for step in plan.steps {
      if case .putApart(let path) = step { try apart.keep(path) }
    }
    let number = HistoryLine.segment(of: line, after: plan.segments.max() ?? 0)
    var status = salvage.lastBeacon?.status ?? ApplierStatus()
    status.checkpoint = line
    status.rejected = state.rejected
    status.clear()
    try claim(of: store).beginLine(
      number, term: salvage.lastTerm + 1, behind: extent, known: plan.segments,
      firstBeacon: { holder in
        holder.beacon(.released, status, time_ms: environment.clock.wallTime_ms())
      })
    try apart.removeNames()
    try pointCurrent(checkpoint)
    try write(described, &apart)
  }
}

extension Repair.Step {
  var isLine: Bool { if case .line = self { true } else { false } }
}
