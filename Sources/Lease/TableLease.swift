package import SluiceShared

/// A lease in a table of locks (DynamoDB): who holds the store's item leads.
///
/// A standby takes an item that is absent or released, and one whose lock id stayed the same for the
/// lease time on its own boot-time clock. A holder renews, beside its work, from the progress of its
/// loop; it leads until the lease time has passed since it sent the last request that was answered. No
/// two clocks are ever compared. After a condition that did not hold the item says who has it, which may
/// be this process: an answer was lost, or the request was sent twice.
///
/// Who has one store waits for some answers: it has nothing else to do. Who has many waits for none, and is called when
/// one is there (`onAnswer`): a table that does not answer must not keep the others' stores waiting. There an item is
/// taken in two steps: `acquire` sends the request and says no, and is asked again when the answer is there.
package final class TableLease: Lease {
  let table: any LockTable
  let environment: Environment
  let report: (LeaseReport) -> Void
  let duration: Duration
  let timing: Timing
  let holder: String
  /// Called from any thread; nil: answers are waited for.
  let onAnswer: (@Sendable () -> Void)?
  var candidacy: Candidacy
  /// nil: it does not lead.
  var tenure: Tenure?
  /// An item that is given back, which nobody waits for.
  var parting: Parting?
  var flight: Flight?
  var pacing: RetryPacing
  let budget: RetryBudget
  /// From that, for the request that is sent next, or on its way.
  var drawn = 0
  private var nextRead: Duration = .zero
  /// After a try to take the item that came to nothing: when the next one may be made.
  var nextTake: Duration = .zero
  /// A taking that was not answered: it may have been carried out.
  var doubtful: LockItem?
  private var hurried: (segment: UInt64, looks: Int) = (0, 0)
  /// When the item was looked at last, and answered.
  var lastSeen: Duration = .zero
  private var seen: LeaseObservation?
  private(set) var pace: StandbyPace
  var hasBeenAnswered = false
  var lastReport: (message: String, at: Duration)?

  /// What follows from the lease time.
  struct Timing {
    /// Between two renewals: 2 s of 10.
    var renewal: Duration
    /// … of a holder at rest: 5 s. One that goes unanswered is sent again within two, and that twice is in time.
    /// So many are due even where nothing may be repeated (`RetryBudget`).
    var restingRenewal: Duration
    /// Between two looks of a standby: 1 s, less where the lease is under 4 s.
    var look: Duration
    /// That one request may take.
    var request: Duration
    /// For which a release is tried.
    var release: Duration

    init(_ lease: Duration) {
      renewal = lease / 5
      restingRenewal = lease / 2
      look = min(.seconds(1), lease / 4)
      request = min(.seconds(1), lease / 2)
      release = min(.seconds(2), lease / 2)
    }
  }

  /// `name`: who holds it, for people; `report` is called on the thread that calls the lease. `onAnswer`: nothing
  /// in here waits for an answer; when one is there this is called, from any thread, and `goOn` takes it.
  package init(
    _ table: any LockTable, duration: Duration, name: String, environment: Environment,
    budget: RetryBudget = RetryBudget(), onAnswer: (@Sendable () -> Void)? = nil,
    report: @escaping (LeaseReport) -> Void
  ) {
    self.table = table
    self.duration = duration
    self.environment = environment
    self.budget = budget
    self.onAnswer = onAnswer
    self.report = report
    timing = Timing(duration)
    holder = "\(name) \(hexadecimal(environment.random(), width: 16))"
    candidacy = Candidacy(lease: duration, me: holder)
    pacing = RetryPacing(longest: min(.seconds(1), duration / 5))
    pace = StandbyPace(lease: duration, beat: timing.restingRenewal)
  }

  var now: Duration { environment.clock.elapsed() }
  var waits: Bool { onAnswer == nil }

  // MARK: Standing by

  package func mayClaim(_ seen: LeaseObservation) throws(StoreError) -> Bool {
    if waits {
      if tenure != nil { abandon() }
      try land()
    } else {
      try progress()
      if let held = tenure {
        if now < held.deadline { return true }
        abandon()
      }
      guard parting == nil else { return false }
    }
    // A standby that rests has not seen the last renewals. It reads the item again first, since a refused write costs
    // more than a read.
    let isOld = waits && isChance && now - lastSeen > timing.look * 2
    if isChance, !isOld { return true }
    let isHurried = hurries(seen)
    follow(seen)
    guard flight == nil, now >= pacing.notBefore, now >= nextRead || isHurried else { return false }
    nextRead = now + timing.look
    send(.read, .look)
    // In a hurry there is nothing else to do; else the beacon is looked at meanwhile.
    try land(waits: (isHurried || isOld) && waits)
    return isChance
  }

  /// Who led has said in the beacon that it stops, and gives the item back at this moment: a few looks
  /// that are not a second apart.
  private func hurries(_ seen: LeaseObservation) -> Bool {
    guard seen.isReleased else { return false }
    if seen.segment != hurried.segment { hurried = (seen.segment, 0) }
    guard waits || flight == nil else {
      if let sent = flight?.sent { flight?.hasten(sent + timing.request * 2) }
      return false
    }
    hurried.looks += 1
    return hurried.looks <= TableLease.hurriedLooks
  }

  private static let hurriedLooks = 5

  /// A leader that has published something between two looks has work, and renews more often than one at rest, which
  /// makes beats too.
  private func follow(_ seen: LeaseObservation) {
    let isAtWork = self.seen.map { $0.txid != seen.txid } ?? false
    self.seen = seen
    pace = StandbyPace(
      lease: duration, beat: isAtWork ? timing.renewal : timing.restingRenewal)
  }

  /// The item was looked at by a request that was sent at `sent` and answered at `at`: when the next look is worth it, for who is called
  /// when an answer is there. Who waits looks each time that this is allowed.
  func looked(sent: Duration, at: Duration) {
    guard !waits else { return }
    let isStopping = seen?.isReleased == true && hurried.looks < TableLease.hurriedLooks
    let silence = candidacy.silence(at: at)
    // Looks for what should be there by now come on top of those that are due, as what is sent again does.
    let pause = budget.isSpent ? pace.beat : pace.pause(afterSilence: silence)
    // An answer that was expected may be taken only now.
    nextRead = max(sent + timing.look, (silence == .zero ? sent : at) + pause)
    if isStopping { nextRead = now + timing.look / 5 }
  }

  var isChance: Bool {
    now >= max(pacing.notBefore, nextTake) && chance != nil
  }

  private var chance: LockCondition? {
    candidacy.chance(at: now, observes: environment.makes(.stealAfterObservation))
  }

  package var nextLook: Duration? {
    if let flight { return nextTry(of: flight) }
    if tenure != nil { return now }
    if parting != nil { return max(now, pacing.notBefore) }
    let due = chance != nil ? nextTake : min(nextRead, candidacy.nextChance ?? nextRead)
    return max(due, pacing.notBefore)
  }

  /// When its answer is looked for next, unless somebody says that it is there (`onAnswer`).
  private func nextTry(of flight: Flight) -> Duration {
    now < flight.isTaken ? flight.isTaken : now + timing.request / 4
  }

  package func goOn() throws(StoreError) -> Bool {
    try progress()
    return parting == nil && flight == nil && (tenure != nil || isChance)
  }

  package var isBeingTaken: Bool {
    if case .taking = flight?.purpose { true } else { tenure != nil }
  }

  package func acquire() throws(StoreError) -> Bool {
    try land(waits: waits)
    if !waits, let held = tenure { return now < held.deadline }
    guard flight == nil else { return false }
    let started = now
    guard let condition = chance else { return false }
    let item = candidacy.successor(lockID: newLockID(), expires_s: expiry)
    nextTake = started + timing.look
    if waits {
      let (sent, result) = perform(.put(item, if: condition))
      try answered(result, .taking(item), sent: sent, at: now)
    } else {
      send(.put(item, if: condition), .taking(item))
      try land()
    }
    return tenure != nil
  }

  // MARK: While it leads

  /// Claiming the log, or opening the database, may have taken longer than the lease, and nothing is
  /// renewed meanwhile: so where it is due it is begun here. Where the time is up already its answer is waited for, in any
  /// case: only a process that was stopped, or takes as long as the lease to open a database, comes to that.
  package func claimed(at started: Duration) throws(StoreError) {
    try land()
    guard let held = tenure else { throw lost() }
    guard now >= held.deadline else { return try renewWhenDue() }
    try land(waits: true)
    let until = now + (waits ? timing.release : .zero)
    for _ in 0..<TableLease.releaseTries {
      guard let held = tenure else { break }
      let (sent, result) = perform(renewal(of: held))
      try answered(result, .renewal, sent: sent, at: now)
      guard let held = tenure else { break }
      if now < held.deadline { return }
      guard max(now, pacing.notBefore) < until else { break }
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
    send(renewal(of: held), .renewal)
    // Where it is done at once.
    try land()
  }

  private func lost() -> StoreError {
    StoreError(.notLeading, "the lease ran out while the term began; this applier stands back")
  }

  package func renew(beatStarted started: Duration, nextBeat: Duration) throws(StoreError) -> Bool {
    try renewed(later: .zero)
  }

  /// The item is what others elect by, so at rest it alone is kept, and a beat may come much later.
  package func keep() throws(StoreError) -> Bool { try renewed(later: restingDelay) }

  /// Where the last renewal failed it rests no more until one is answered.
  private var restingDelay: Duration {
    tenure?.hasFailed == true ? .zero : timing.restingRenewal - timing.renewal
  }

  package func longestPauseBetweenBeats(isHeard: Bool) -> Duration? { Limits.longestRestingBeat }

  package var nextKeep: Duration? {
    guard let held = tenure else { return nil }
    if let flight { return min(held.deadline, nextTry(of: flight)) }
    return min(held.deadline, max(held.nextRenewal + restingDelay, pacing.notBefore))
  }

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
}
