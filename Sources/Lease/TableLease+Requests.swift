internal import SluiceShared

/// Requests on their way, beside the caller, and what their answers mean.
extension TableLease {
  /// One at a time.
  struct Flight {
    /// nil: it runs on no thread of its own.
    var work: (any StartedWork)?
    var sent: Duration
    var arrival: Monitor<Arrival>
    var purpose: Purpose
    /// Where the answer is as expected nobody is told of it, and it is taken then.
    var isTaken: Duration

    var isDone: Bool { work?.isDone ?? arrival.withLock { $0.answer != nil } }
    func wait() {
      if let work { work.wait() } else { arrival.wait { $0.answer == nil ? nil : () } }
    }

    /// Somebody waits for it, whatever it is. One that is there already is taken by `land`.
    mutating func hasten(_ latest: Duration) {
      arrival.withLock { $0.isAwaited = true }
      isTaken = min(isTaken, latest)
    }
  }

  struct Arrival {
    /// With when it came.
    var answer: (result: Result<LockAnswer, LockFailure>, at: Duration)?
    var isAwaited = false
  }

  /// What a request is for.
  enum Purpose {
    case look
    case taking(LockItem)
    case renewal
    case parting(LockItem)
  }

  func send(_ request: LockRequest, _ purpose: Purpose) {
    let arrival = Monitor(Arrival())
    let (sent, clock) = (now, environment.clock)
    let (isExpected, isTaken) = expectation(of: purpose, sent)
    let arrived: @Sendable (Result<LockAnswer, LockFailure>) -> Void = { [onAnswer] result in
      let isAwaited = arrival.withLock {
        $0.answer = (result, clock.elapsed())
        return $0.isAwaited
      }
      arrival.wakeAll()
      if isAwaited || !isExpected(result) { onAnswer?() }
    }
    var work: (any StartedWork)?
    if waits || !table.start(request, atMost: timing.request, done: arrived) {
      work = environment.executor.start { [table, limit = timing.request] in
        let left = limit - (clock.elapsed() - sent)
        arrived(left >= limit / 4 ? table.perform(request, atMost: left) : .failure(.notSent))
      }
    }
    flight = Flight(
      work: work, sent: sent, arrival: arrival, purpose: purpose, isTaken: isTaken)
  }

  /// Which answers nobody need be told of, and when such a one is taken: when the next request is due. Among many stores
  /// nearly all are such, and to wake a thread for each costs as much as the request.
  ///
  /// What has come is known with when it came, so it says the same later: a holder that was renewed takes that
  /// before it looks at its time (`renewed`), and a standby counts from when it was there. A standby is told at once
  /// of all that may be a chance, or makes it wait for less long.
  private func expectation(of purpose: Purpose, _ sent: Duration) -> (
    isExpected: @Sendable (Result<LockAnswer, LockFailure>) -> Bool, isTaken: Duration
  ) {
    switch purpose {
    case .look:
      let (seen, me, lease) = (candidacy.lockID, holder, duration)
      return (
        {
          guard case .success(.item(let item?)) = $0 else { return false }
          return item.lockID != seen && item.state == .active && item.holder != me
            && item.lease >= lease
        }, sent + pace.pause(afterSilence: .zero)
      )
    case .renewal:
      return (
        { if case .success(.written) = $0 { true } else { false } }, sent + timing.restingRenewal
      )
    case .taking, .parting: return ({ _ in false }, sent + timing.request * 2)
    }
  }

  func perform(_ request: LockRequest) -> (
    sent: Duration, result: Result<LockAnswer, LockFailure>
  ) {
    let sent = now
    return (sent, table.perform(request, atMost: timing.request))
  }

  /// Takes the answer of the request on its way, where it is there or `waits`.
  func land(waits: Bool = false) throws(StoreError) {
    guard let flight else { return }
    var arrived = flight.arrival.withLock { $0.answer }
    if arrived == nil {
      guard waits || flight.isDone else { return }
      flight.wait()
      arrived = flight.arrival.withLock { $0.answer }
    }
    self.flight = nil
    // nil: the work was never run, as in a process that dies.
    guard let (result, at) = arrived else { return }
    try answered(result, flight.purpose, sent: flight.sent, at: at)
  }

  func answered(
    _ result: Result<LockAnswer, LockFailure>, _ purpose: Purpose, sent: Duration, at: Duration
  ) throws(StoreError) {
    switch purpose {
    case .look:
      defer { looked(sent: sent, at: at) }
      guard case .item(let item)? = try success(result, due: sent + lookPause) else { return }
      doubtful = nil
      lastSeen = at
      candidacy.sees(item, at: at)
    case .taking(let item): try taken(result, item, sent: sent, at: at)
    case .renewal: try renewalAnswered(result, sent: sent)
    case .parting(let item): parted(result, item)
    }
  }

  private func taken(
    _ result: Result<LockAnswer, LockFailure>, _ item: LockItem, sent: Duration, at: Duration
  ) throws(StoreError) {
    if case .failure = result { doubtful = item }
    let before = candidacy.holder
    switch try success(result, due: sent + lookPause) {
    case nil, .item: return
    case .refused(let found):
      sees(found)
      looked(sent: sent, at: at)
      guard found?.lockID == item.lockID else {
        // Another's, so there is nothing to give back.
        parting = nil
        return
      }
    case .written: break
    }
    doubtful = nil
    // What was there is no more.
    candidacy.sees(item, at: now)
    // It is not wanted any more: it goes back next.
    guard parting == nil else { return }
    tenure = Tenure(item, sent: sent, renewal: timing.renewal)
    report(
      LeaseReport(
        .info, "lease taken", [("term", "\(item.term)")] + (before.map { [("after", $0)] } ?? [])))
  }

  private func renewalAnswered(
    _ result: Result<LockAnswer, LockFailure>, sent: Duration
  ) throws(StoreError) {
    switch try success(result, due: sent + timing.renewal) {
    case nil, .item: break
    case .written: tenure?.renewed(from: environment.makes(.deadlineFromRequest) ? sent : now)
    case .refused(let found):
      sees(found)
      guard tenure != nil else { return }
      tenure = nil
      report(
        LeaseReport(
          .warning, "lease lost",
          [("to", found.map { $0.state == .active ? $0.holder : "nobody" } ?? "nobody")]))
    }
  }

  /// The item as a condition that did not hold found it. nil: it is gone, or this table does not say.
  func sees(_ found: LockItem?) {
    lastSeen = now
    if let found { candidacy.sees(found, at: now) } else { candidacy.forget() }
  }

  /// nil: it failed, which is seen to. `due`: when it would be sent next if it had been answered.
  private func success(
    _ result: Result<LockAnswer, LockFailure>, due: Duration
  ) throws(StoreError) -> LockAnswer? {
    switch result {
    case .failure(let failure):
      try failed(failure, due: due)
      return nil
    case .success(let answer):
      wasAnswered()
      if lastReport != nil { report(LeaseReport(.info, "the lock table answers again", [])) }
      lastReport = nil
      hasBeenAnswered = true
      return answer
    }
  }

  /// Throws where nobody ever was answered and waiting does not help: somebody looks at a process that
  /// was just started. Later it may be what mends itself (rights, credentials).
  private func failed(_ failure: LockFailure, due: Duration) throws(StoreError) {
    if !mayRepeat(failure) { pacing.failed(due: due) }
    tenure?.failed(next: pacing.notBefore)
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

  // MARK: What is sent again

  /// Whether what failed is sent again before it is due; when is in `pacing` then.
  func mayRepeat(_ failure: LockFailure) -> Bool {
    // What the last try drew is lost.
    drawn = 0
    // What is given back was not sent: many are given back at once where a process stops, and it lasts for a moment.
    if parting != nil, failure == .notSent {
      pacing.failed(at: now, environment.random())
      return true
    }
    switch budget.draw(isLate: failure.isLate) {
    case .granted(let cost):
      drawn = cost
      pacing.failed(at: now, environment.random())
      return true
    case .refused(let isNews):
      if isNews {
        report(
          LeaseReport(
            .warning, "requests to the lock table that fail are not repeated before they are due",
            [
              (
                "reason",
                "too many of this process's fail; see why the table does not answer, give it more capacity, or the stores a longer --ttl"
              )
            ]))
      }
      return false
    }
  }

  func wasAnswered() {
    budget.answered(drawn: drawn)
    drawn = 0
    pacing.succeeded()
  }

  /// Between two looks at an item, or tries to take it, of which none fails.
  var lookPause: Duration { waits ? timing.look : max(timing.look, pace.beat) }

  // MARK: What is written

  func condition(of item: LockItem) -> LockCondition {
    environment.makes(.renewalByTerm) ? .held(holder: item.holder, term: item.term) : .any
  }

  func beat(of item: LockItem, _ state: LockItem.State) -> LockItem {
    var item = item
    item.lockID = newLockID()
    item.state = state
    item.expires_s = state == .active ? expiry : environment.clock.wallTime_ms() / 1000
    return item
  }

  func newLockID() -> String {
    Identifier128(time_ms: environment.clock.wallTime_ms(), random: environment.random).description
  }

  var expiry: Int64 {
    environment.clock.wallTime_ms() / 1000 + max(1, duration.components.seconds)
  }
}

/// What whoever runs an applier is told of its lease.
package struct LeaseReport: Sendable {
  package enum Level: Sendable { case info, warning, error }
  package var level: Level
  package var message: String
  package var details: [(name: String, value: String)]

  package init(_ level: Level, _ message: String, _ details: [(String, String)]) {
    self.level = level
    self.message = message
    self.details = details.map { (name: $0.0, value: $0.1) }
  }
}
