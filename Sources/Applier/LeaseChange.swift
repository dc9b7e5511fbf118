package import SluiceJournal
internal import SluiceLease
package import SluiceShared

/// Changes how a store's applier is elected, while nobody leads.
///
/// Two kinds must never elect side by side, and an applier of the old kind may be standing by
/// somewhere. So this claims the log, as an applier does; replaces `store.json`, durably; and reads its
/// own mark. A claimant does the reverse: it marks, and when its claim has succeeded it reads `store.json`
/// (`Applier.hasOwnKind`). At least one of the two sees the other: either the claimant reads the new kind,
/// and does not lead by the old one, or this finds itself closed, and claims once more, behind it.
package struct LeaseChange {
  private let layout: StoreLayout
  private let environment: Environment
  /// Who does it, for people.
  private let name: String
  /// For how long a beacon that is not released must stay the same.
  package var silence: Duration = .seconds(10)
  package var clockTolerance: Duration? = .seconds(60)

  package init(store path: String, name: String, environment: Environment = .posix()) {
    layout = StoreLayout(path)
    self.name = name
    self.environment = environment
  }

  /// How the applier was elected before. Throws `.busy` while an applier leads.
  package func make(_ kind: StoreDescription.LeaseKind) throws(StoreError)
    -> StoreDescription.LeaseKind
  {
    try make(kind, transactions: nil).lease
  }

  /// What store.json said before; nil changes nothing. Throws `.busy` while an applier leads.
  package func make(
    _ kind: StoreDescription.LeaseKind?, transactions: TransactionRight?
  ) throws(StoreError) -> StoreDescription {
    var description = try StoreDescription.read(layout, environment.fileSystem)
    let before = description
    if let kind { description.lease = kind }
    if let transactions { description.transactions = transactions }
    let store = StoreHandle(layout: layout, id: description.id, environment: environment)
    let log = Log(of: store)
    var newest = try awaitSilence(log)
    var isChanged = false
    // Each claimant that closes this one's segment has read store.json before, and the next time it
    // reads the new one.
    for _ in 0..<Limits.claimsPerLeaseChange {
      if let (holder, status) = try claim(of: store, newest) {
        do throws(StoreError) {
          try description.replace(in: layout, environment)
          isChanged = true
          try holder.checkOpen()
          try release(holder, status)
          return before
        } catch {
          guard error.code == .notLeading else {
            try? release(holder, status)
            throw error
          }
        }
      } else if !isChanged {
        throw isLed()
      }
      newest = try log.listed().first ?? newest
    }
    throw StoreError(
      .busy,
      "appliers claim the log again and again; the lease is \(description.lease) now, but one of them may still lead by the old one: stop all appliers, and do this again",
      path: layout.root)
  }

  private func isLed() -> StoreError {
    StoreError(
      .busy, "an applier leads this store; stop all of its appliers first (SIGTERM)",
      path: layout.root)
  }

  /// The newest segment, once its holder has released it or made no beat for a while.
  private func awaitSilence(_ log: Log) throws(StoreError) -> UInt64 {
    let watch = FileLease(duration: silence, environment: environment)
    var first: LeaseObservation?
    var observed: LogSegment?
    while true {
      let seen = try LeaseObservation.newest(of: log, &observed)
      if let seen {
        if watch.mayClaim(seen) { return seen.segment }
        guard seen == first ?? seen else { throw isLed() }
        first = seen
      }
      environment.clock.sleep(.milliseconds(200))
    }
  }

  /// And what its first beacon says of earlier terms; the last one says the same, for nothing was executed.
  private func claim(of store: StoreHandle, _ newest: UInt64) throws(StoreError)
    -> (LogHolder, ApplierStatus)?
  {
    var claim = LogClaim(of: store, holder: name, engine: Engine.current)
    claim.clockTolerance = clockTolerance
    var status = ApplierStatus()
    let won = try claim.claim(
      successorOf: newest,
      firstBeacon: { holder, inherited in
        status = ApplierStatus(after: inherited, survived: [], environment)
        return holder.beacon(.active, status, time_ms: environment.clock.wallTime_ms())
      })
    return won.map { ($0.holder, status) }
  }

  private func release(_ holder: LogHolder, _ status: ApplierStatus) throws(StoreError) {
    try holder.finish()
    try holder.publish(
      holder.beacon(.released, status, time_ms: environment.clock.wallTime_ms()))
  }
}
