internal import Logging
internal import SluiceHints
internal import SluiceJournal
internal import SluiceLease
internal import SluiceShared

/// One of many stores: its applier, which does one step at a time and never waits.
///
/// One thread at a time has a turn with it; the schedule sees to that.
final class FleetStore: @unchecked Sendable {
  // Sendable: `wishes` has its lock, and all else belongs to who has the turn.
  let path: String
  private let makeOptions: () -> ApplierOptions
  private let environment: Environment
  private unowned let fleet: any FleetMembership
  private let wishes = Monitor(Wishes())
  private var applier: Applier?
  private var leader: Leader?
  /// The next look at the beacon, whatever hints say, or the next try of a store that failed (boot time).
  private var nextLook = Duration.zero
  /// Of the fleet's `departures`, those that a look came behind.
  private var seenDepartures = 0
  /// What may be claimed and is left to others for a while, since when (boot time).
  private var claimable: (seen: LeaseObservation, since: Duration)?
  private var heldBack = false
  /// This process has released it for others, and has not seen yet who leads it.
  private var isOffered = false
  private var failure: StoreError?
  /// How often it has failed since somebody led it.
  private var failures = 0

  /// What others want of it.
  private struct Wishes {
    var release = false
    var isGone = false
    var leads = false
  }

  init(
    _ path: String, fleet: any FleetMembership, environment: Environment,
    options: @escaping () -> ApplierOptions
  ) {
    (self.path, self.fleet, self.environment, makeOptions) = (path, fleet, environment, options)
  }

  // MARK: for others, from any thread

  var leads: Bool { wishes.withLock { $0.leads } }

  /// Others are to lead it.
  func offer() { wishes.withLock { $0.release = true } }

  /// Its directory is no longer there.
  func vanished() { wishes.withLock { $0.isGone = true } }

  private var isGone: Bool { wishes.withLock { $0.isGone } }

  private var isOver: Bool { fleet.isStopping || isGone }

  // MARK: turns

  /// Does what is next. Only a drain that failed throws.
  func step(mayExecute: () -> Bool) throws(StoreError) -> Schedule<Int>.Rest {
    do throws(StoreError) { return try advance(mayExecute) } catch { return try failed(error) }
  }

  private func advance(_ mayExecute: () -> Bool) throws(StoreError) -> Schedule<Int>.Rest {
    if let leader { return try lead(leader, mayExecute) }
    if isOver { return ended() }
    // One that failed is not tried again for what wakes all.
    if applier == nil, environment.clock.elapsed() < nextLook { return .until(nextLook) }
    let applier = try opened()
    let departures = fleet.departures
    guard
      try isLookDue(applier) || departures != seenDepartures || wasReleased(applier)
    else { return .until(due(applier)) }
    seenDepartures = departures
    heldBack = false
    switch try applier.look() {
    case .leads(let leader):
      self.leader = leader
      failures = 0
      wishes.withLock { ($0.leads, $0.release) = (true, false) }
      claimable = nil
      if isOffered { fleet.tookBack() }
      isOffered = false
      leader.begin { [unowned self] in isOver || wishes.withLock { $0.release } }
      return .until(.zero)
    case .rests(let pause, let beat, let hints):
      let isBeating = beat == .new
      // Whoever takes it has waited for others already.
      if !heldBack, !applier.lease.isBeingTaken { claimable = nil }
      if isBeating { failures = 0 }
      stand(applier, isBeating, hints)
      nextLook = environment.clock.elapsed() + self.pause(applier, pause, isBeating)
      return .until(due(applier))
    }
  }

  private func opened() throws(StoreError) -> Applier {
    if let applier { return applier }
    let options = makeOptions()
    let opened = try Applier(path: path, options: options, environment: environment)
    if !options.drains { opened.holdsBack = { [unowned self] in holdsBack($0) } }
    opened.beginStanding()
    applier = opened
    return opened
  }

  // MARK: standing by

  /// Of a table of locks the answers say when.
  private func isLookDue(_ applier: Applier) throws(StoreError) -> Bool {
    let hasNews = try applier.lease.goOn()
    return hasNews && !heldBack || environment.clock.elapsed() >= due(applier)
  }

  private func due(_ applier: Applier) -> Duration {
    heldBack || applier.options.drains ? nextLook : applier.lease.nextLook ?? nextLook
  }

  /// A leader tells who asked that it has released the store.
  private func wasReleased(_ applier: Applier) -> Bool {
    guard applier.line.answer()?.kind == .released else { return false }
    applier.hearRelease()
    return true
  }

  private func stand(_ applier: Applier, _ isBeating: Bool, _ hints: HintEndpoint?) {
    if isBeating, let seen = applier.standing.beat?.seen {
      if seen.isReleased {
        fleet.sawRelease()
      } else if isOffered {
        isOffered = false
        fleet.gaveAway()
      }
    }
    // Who has its share can wait: a question costs both sides a datagram for each look. That the store is released it is
    // told without (`released`).
    applier.line.aim(at: hints)
    if fleet.wantsMore { _ = applier.line.ask([Hint(.standby)]) }
  }

  private func pause(_ applier: Applier, _ pause: Duration, _ isBeating: Bool) -> Duration {
    if applier.options.drains { return pause }
    let now = environment.clock.elapsed()
    if let claimable {
      return max(
        .milliseconds(20), claimable.since + patience(claimable.seen) - now + pause / 10)
    }
    guard let pace = pace(applier) else { return applier.options.leaseTime / 5 }
    let since = applier.standing.beat?.since ?? now
    return pace.pause(afterSilence: isBeating ? .zero : max(.nanoseconds(1), now - since))
  }

  /// By the lease of now: a look may have found that the store has another. nil: a table of locks, which has a rhythm
  /// of its own (`due`).
  private func pace(_ applier: Applier) -> StandbyPace? {
    let (lease, options) = (applier.lease, applier.options)
    guard lease.nextLook == nil, let beat = lease.longestPauseBetweenBeats(isHeard: false)
    else { return nil }
    return StandbyPace(
      lease: options.leaseTime, beat: max(options.beat, min(beat, Limits.longestRestingBeat)))
  }

  private func holdsBack(_ seen: LeaseObservation) -> Bool {
    let now = environment.clock.elapsed()
    let since = claimable.flatMap { $0.seen == seen ? $0.since : nil } ?? now
    claimable = (seen, since)
    heldBack = now - since < patience(seen)
    return heldBack
  }

  private func patience(_ seen: LeaseObservation) -> Duration {
    fleet.patience(isReleased: seen.isReleased, isOffered: isOffered)
  }

  // MARK: leading

  private func lead(_ leader: Leader, _ mayExecute: () -> Bool) throws(StoreError)
    -> Schedule<Int>.Rest
  {
    if leader.desk?.takeInterrupt() == true { leader.wasInterrupted = true }
    var hasExecuted = false
    let step = try leader.step {
      hasExecuted = mayExecute()
      return hasExecuted
    }
    if hasExecuted, leader.options.many?.workers.areTooMany == true { leader.execution.letGo() }
    let now = environment.clock.elapsed()
    switch step {
    case .goesOn: return .until(now)
    case .waitsToExecute: return .slot(orUntil: now + leader.options.beat)
    case .rests(let pause): return .until(now + pause)
    case .ended(let end): return termEnded(end, leader)
    }
  }

  private func termEnded(_ end: Leader.End, _ leader: Leader) -> Schedule<Int>.Rest {
    self.leader = nil
    let isOffered = wishes.withLock { wishes in
      defer { (wishes.leads, wishes.release) = (false, false) }
      return wishes.release
    }
    guard let applier else { return ended() }
    if applier.ended(end, leader) {
      if let endpoint = leader.desk?.endpoint { fleet.released(endpoint) }
      if applier.options.drains {
        failure = applier.leftBehind?.error
        failure?.path = applier.layout.journal
        return ended()
      }
      self.isOffered = isOffered
    }
    if isOver { return ended() }
    applier.beginStanding()
    nextLook = .zero
    return .until(.zero)
  }

  // MARK: ends

  /// What kept a drain from applying everything.
  var leftBehind: StoreError? { failure }

  private func ended() -> Schedule<Int>.Rest {
    applier?.lease.abandon()
    // Others are to have it at once.
    if let lease = applier?.lease, (try? lease.goOn()) != nil, lease.isParting {
      return .until(lease.nextLook ?? environment.clock.elapsed())
    }
    if isGone {
      makeOptions().logger.notice("the store is no longer there; it is not served any more")
    }
    close()
    return .ended
  }

  private func close() {
    applier?.lease.abandon()
    (leader, applier, claimable, isOffered) = (nil, nil, nil, false)
    wishes.withLock { ($0.leads, $0.release) = (false, false) }
  }

  private func failed(_ error: StoreError) throws(StoreError) -> Schedule<Int>.Rest {
    let options = makeOptions()
    if leader != nil { applier?.options.metrics?.termEnded(isLost: true) }
    close()
    if options.drains { throw error }
    if isOver { return ended() }
    let pause = pauseAfterFailure()
    options.logger.error(
      "stopped; tried again", metadata: ["error": "\(error)", "after": "\(pause.inSeconds) s"])
    nextLook = environment.clock.elapsed() + pause
    return .until(nextLook)
  }

  /// Soon behind the first one: what passes by itself must not make a takeover longer.
  private func pauseAfterFailure() -> Duration {
    defer { failures += 1 }
    return min(
      Limits.longestPauseAfterFailure, Limits.shortestPauseAfterFailure * (1 << min(failures, 10)))
  }
}

/// What a store asks of the fleet that it belongs to, from any thread.
protocol FleetMembership: AnyObject, Sendable {
  var isStopping: Bool { get }
  /// Rises while a process that has gone is releasing its stores: each is worth a look.
  var departures: Int { get }
  /// Whether this process leads less than its share.
  var wantsMore: Bool { get }
  /// For how long what may be claimed is left to others.
  func patience(isReleased: Bool, isOffered: Bool) -> Duration
  /// A store was released: perhaps its process stops.
  func sawRelease()
  /// This process has released the store whose hints came to `endpoint`.
  func released(_ endpoint: HintEndpoint)
  /// What this process released is led by another, or by itself again.
  func gaveAway()
  func tookBack()
}
