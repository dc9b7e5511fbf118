public import SluiceShared

/// A lease in a table of locks (DynamoDB): who holds the store's item leads.
///
/// A standby takes an item that is absent or released, and one whose lock id stayed the same for the
/// lease time on its own boot-time clock. A holder renews, beside its work, from the progress of its
/// loop; it leads until the lease time has passed since it sent the last request that was answered. No
/// two clocks are ever compared. After a condition that did not hold the item says who has it, which may
/// be this process: an answer was lost, or the request was sent twice.
public final class TableLease: Lease {
  private let table: any LockTable
  private let environment: Environment
  private let report: (LeaseReport) -> Void
  private let duration: Duration
  private let timing: Timing
  private let holder: String
  private var candidacy: Candidacy
  /// nil: it does not lead.
  private var tenure: Tenure?
  private var flight: Flight?
  private var pacing: RetryPacing
  private var nextRead: Duration = .zero
  /// After a try to take the item that came to nothing: when the next one may be made.
  private var nextTake: Duration = .zero
  /// A taking that was not answered: it may have been carried out.
  private var doubtful: LockItem?
  private var hurried: (segment: UInt64, looks: Int) = (0, 0)
  private var hasBeenAnswered = false
  private var lastReport: (message: String, at: Duration)?

  /// What follows from the lease time.
  struct Timing {
    /// Between two renewals: 2 s of 10.
    var renewal: Duration
    /// … of a holder at rest: 3 s. One may go unanswered, and another one is in time.
    var restingRenewal: Duration
    /// Between two looks of a standby: 1 s, less where the lease is under 4 s.
    var look: Duration
    /// That one request may take.
    var request: Duration
    /// For which a release is tried.
    var release: Duration

    init(_ lease: Duration) {
      renewal = lease / 5
      restingRenewal = lease * 3 / 10
      look = min(.seconds(1), lease / 4)
      request = min(.seconds(1), lease / 2)
      release = min(.seconds(2), lease / 2)
    }
  }

  /// `name`: who holds it, for people; `report` is called on the thread that calls the lease.
  public init(
    _ table: any LockTable, duration: Duration, name: String, environment: Environment,
    report: @escaping (LeaseReport) -> Void
  ) {
    self.table = table
    self.duration = duration
    self.environment = environment
    self.report = report
    timing = Timing(duration)
    holder = "\(name) \(hexadecimal(environment.random(), width: 16))"
    candidacy = Candidacy(lease: duration, me: holder)
    pacing = RetryPacing(longest: min(.seconds(1), duration / 5))
  }

  private var now: Duration { environment.clock.elapsed() }

  // MARK: Standing by

  public func mayClaim(_ seen: LeaseObservation) throws(StoreError) -> Bool {
    if tenure != nil { abandon() }
    try land()
    if isChance { return true }
    let isHurried = hurries(seen)
    guard flight == nil, now >= pacing.notBefore, now >= nextRead || isHurried else { return false }
    nextRead = now + timing.look
    send(.read)
    // In a hurry there is nothing else to do; else the beacon is looked at meanwhile.
    try land(waits: isHurried)
    return isChance
  }

  /// Who led has said in the beacon that it stops, and gives the item back at this moment: a few looks
  /// that are not a second apart.
  private func hurries(_ seen: LeaseObservation) -> Bool {
    guard seen.isReleased else { return false }
    if seen.segment != hurried.segment { hurried = (seen.segment, 0) }
    hurried.looks += 1
    return hurried.looks <= TableLease.hurriedLooks
  }

  private static let hurriedLooks = 5

  private var isChance: Bool {
    now >= max(pacing.notBefore, nextTake)
      && candidacy.chance(at: now, observes: environment.makes(.stealAfterObservation)) != nil
  }

  public func acquire() throws(StoreError) -> Bool {
    try land(waits: true)
    let started = now
    let condition = candidacy.chance(
      at: started, observes: environment.makes(.stealAfterObservation))
    guard let condition else { return false }
    let before = candidacy.holder
    let item = candidacy.successor(lockID: newLockID(), expires_s: expiry)
    nextTake = started + timing.look
    let (sent, result) = perform(.put(item, if: condition))
    switch result {
    case .success(.refused(let found)):
      sees(found)
      guard found?.lockID == item.lockID else { return false }
    case .success: break
    case .failure(let failure):
      doubtful = item
      try failed(failure)
      return false
    }
    doubtful = nil
    tenure = Tenure(item, sent: sent, renewal: timing.renewal)
    // What was there is no more.
    candidacy.sees(item, at: now)
    report(
      LeaseReport(
        .info, "lease taken", [("term", "\(item.term)")] + (before.map { [("after", $0)] } ?? [])))
    return true
  }

  /// The item as a condition that did not hold found it. nil: it is gone, or this table does not say.
  private func sees(_ found: LockItem?) {
    if let found { candidacy.sees(found, at: now) } else { candidacy.forget() }
  }

  // MARK: While it leads

  /// Claiming the log, or opening the database, may have taken longer than the lease, and nothing is
  /// renewed meanwhile: so where it is due it is begun here.
  public func claimed(at started: Duration) throws(StoreError) {
    try land()
    guard let held = tenure else { throw lost() }
    guard now >= held.deadline else { return try renewWhenDue() }
    try land(waits: true)
    let until = now + timing.release
    for _ in 0..<TableLease.releaseTries {
      guard let held = tenure else { break }
      let (sent, result) = perform(renewal(of: held))
      try answered(result, sent: sent)
      guard let held = tenure else { break }
      if now < held.deadline { return }
      guard now < until else { break }
      environment.clock.sleep(max(.milliseconds(10), pacing.notBefore - now))
    }
    throw lost()
  }

  /// `later`: than is usual.
  private func renewWhenDue(later: Duration = .zero) throws(StoreError) {
    guard let held = tenure, flight == nil, now >= held.nextRenewal + later,
      now >= pacing.notBefore
    else { return }
    tenure?.asked(at: now, renewal: timing.renewal)
    send(renewal(of: held))
    // Where it is done at once.
    try land()
  }

  private func lost() -> StoreError {
    StoreError(.notLeading, "the lease ran out while the term began; this applier stands back")
  }

  public func renew(beatStarted started: Duration) throws(StoreError) -> Bool {
    try renewed(later: .zero)
  }

  /// The item is what others elect by, so at rest it alone is kept, and a beat may come much later.
  public func keep() throws(StoreError) -> Bool {
    try renewed(later: timing.restingRenewal - timing.renewal)
  }

  public var longestPauseBetweenBeats: Duration? { Limits.longestRestingBeat }
  public var longestPauseBetweenKeeps: Duration? { timing.look }

  private func renewed(later: Duration) throws(StoreError) -> Bool {
    try land()
    guard let held = tenure else { return false }
    guard now <= held.deadline else { return false }
    try renewWhenDue(later: later)
    return tenure.map { now <= $0.deadline } ?? false
  }

  private func renewal(of held: Tenure) -> LockRequest {
    .update(beat(of: held.item, .active), if: condition(of: held.item))
  }

  private func condition(of item: LockItem) -> LockCondition {
    environment.makes(.renewalByTerm) ? .held(holder: item.holder, term: item.term) : .any
  }

  private func beat(of item: LockItem, _ state: LockItem.State) -> LockItem {
    var item = item
    item.lockID = newLockID()
    item.state = state
    item.expires_s = state == .active ? expiry : environment.clock.wallTime_ms() / 1000
    return item
  }

  // MARK: The end

  public func release() throws(StoreError) {
    guard tenure != nil else { return }
    let until = now + timing.release
    try? land(waits: true)
    var reason = "the time is up"
    for _ in 0..<TableLease.releaseTries {
      guard let held = tenure, now < until else { break }
      let item = beat(of: held.item, .released)
      switch perform(.update(item, if: condition(of: held.item))).result {
      case .success(let answer):
        if case .refused(let found) = answer { sees(found) } else { sees(item) }
        return tenure = nil
      case .failure(let failure):
        reason = failure.message
        guard failure.isPassing else { break }
        pacing.failed(at: now, environment.random())
        environment.clock.sleep(pacing.notBefore - now)
        continue
      }
      break
    }
    guard tenure != nil else { return }
    tenure = nil
    report(
      LeaseReport(
        .warning, "the lease is not released; others wait until it has run out",
        [("reason", reason)]))
  }

  private static let releaseTries = 8

  public func abandon() {
    nextTake = now + timing.look
    giveBackDoubtful()
    guard tenure != nil else { return }
    guard environment.makes(.giveBackAfterLostClaim) else {
      tenure = nil
      return
    }
    try? release()
    tenure = nil
  }

  /// Once: whoever stands by after it waits for the lease to run out.
  private func giveBackDoubtful() {
    guard tenure == nil, let item = doubtful else { return }
    doubtful = nil
    _ = perform(.update(beat(of: item, .released), if: condition(of: item)))
    candidacy.forget()
  }

  // MARK: Requests

  /// One request on its way, beside the caller.
  private struct Flight {
    var work: any StartedWork
    var sent: Duration
    /// With when it came.
    var result: Monitor<(answer: Result<LockAnswer, LockFailure>, at: Duration)?>
    var isRead: Bool
  }

  private func send(_ request: LockRequest) {
    let result = Monitor<(answer: Result<LockAnswer, LockFailure>, at: Duration)?>(nil)
    let sent = now
    let work = environment.executor.start {
      [table, limit = timing.request, clock = environment.clock] in
      let answer = table.perform(request, atMost: limit)
      result.withLock { $0 = (answer, clock.elapsed()) }
    }
    let isRead = if case .read = request { true } else { false }
    flight = Flight(work: work, sent: sent, result: result, isRead: isRead)
  }

  private func perform(_ request: LockRequest) -> (
    sent: Duration, result: Result<LockAnswer, LockFailure>
  ) {
    let sent = now
    return (sent, table.perform(request, atMost: timing.request))
  }

  /// Takes the answer of the request on its way, where it is there or `waits`.
  private func land(waits: Bool = false) throws(StoreError) {
    guard let flight else { return }
    if !flight.work.isDone {
      guard waits else { return }
      flight.work.wait()
    }
    self.flight = nil
    // nil: the work was never run, as in a process that dies.
    guard let (result, at) = flight.result.withLock({ $0 }) else { return }
    if tenure != nil, !flight.isRead {
      try answered(result, sent: flight.sent)
    } else {
      switch result {
      case .success(.item(let item)):
        succeeded()
        doubtful = nil
        candidacy.sees(item, at: at)
      case .success(.refused(let found)):
        succeeded()
        sees(found)
      case .success(.written): succeeded()
      case .failure(let failure): try failed(failure)
      }
    }
  }

  /// The answer to a renewal.
  private func answered(
    _ result: Result<LockAnswer, LockFailure>, sent: Duration
  ) throws(StoreError) {
    switch result {
    case .success(.written):
      succeeded()
      tenure?.renewed(from: environment.makes(.deadlineFromRequest) ? sent : now)
    case .success(.refused(let found)):
      succeeded()
      tenure = nil
      sees(found)
      report(
        LeaseReport(
          .warning, "lease lost",
          [("to", found.map { $0.state == .active ? $0.holder : "nobody" } ?? "nobody")]))
    case .success(.item): break
    case .failure(let failure): try failed(failure)
    }
  }

  private func succeeded() {
    pacing.succeeded()
    if lastReport != nil { report(LeaseReport(.info, "the lock table answers again", [])) }
    lastReport = nil
    hasBeenAnswered = true
  }

  /// Throws where nobody ever was answered and waiting does not help: somebody looks at a process that
  /// was just started. Later it may be what mends itself (rights, credentials).
  private func failed(_ failure: LockFailure) throws(StoreError) {
    pacing.failed(at: now, environment.random())
    tenure?.asked(at: pacing.notBefore, renewal: .zero)
    guard failure.isPassing || hasBeenAnswered else { throw StoreError(.io, failure.message) }
    // What the library or the server says is in brackets, and different each time.
    let kind = String(failure.message.prefix { $0 != "(" })
    let isNews = lastReport.map { $0.message != kind || now - $0.at >= .seconds(30) }
    guard isNews ?? true else { return }
    lastReport = (kind, now)
    report(
      LeaseReport(
        failure.isPassing ? .warning : .error, "the lock table gives no answer",
        [("reason", failure.message)]))
  }

  private func newLockID() -> String {
    Identifier128(time_ms: environment.clock.wallTime_ms(), random: environment.random).description
  }

  private var expiry: Int64 {
    environment.clock.wallTime_ms() / 1000 + max(1, duration.components.seconds)
  }
}

/// What whoever runs an applier is told of its lease.
public struct LeaseReport: Sendable {
  public enum Level: Sendable { case info, warning, error }
  public var level: Level
  public var message: String
  public var details: [(name: String, value: String)]

  public init(_ level: Level, _ message: String, _ details: [(String, String)]) {
    self.level = level
    self.message = message
    self.details = details.map { (name: $0.0, value: $0.1) }
  }
}
