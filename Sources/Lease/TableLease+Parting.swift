package import SluiceShared

/// How a holder of an item gives it back, so that others need not wait until it has run out.
extension TableLease {
  /// An item that is to be given back while the caller does something else.
  struct Parting {
    var item: LockItem
    /// When it is given up: others wait until it has run out then.
    var until: Duration
  }

  static var releaseTries: Int { 8 }

  package func release() throws(StoreError) {
    guard let held = tenure else { return }
    guard waits else { return part(from: held.item) }
    let until = now + timing.release
    try? land(waits: true)
    var reason = "the time is up"
    for _ in 0..<TableLease.releaseTries {
      guard let held = tenure, now < until else { break }
      let item = beat(of: held.item, .released)
      switch perform(.update(item, if: condition(of: held.item))).result {
      case .success(let answer):
        wasAnswered()
        if case .refused(let found) = answer { sees(found) } else { sees(item) }
        return tenure = nil
      case .failure(let failure):
        reason = failure.message
        guard failure.isPassing, mayRepeat(failure) else { break }
        environment.clock.sleep(pacing.notBefore - now)
        continue
      }
      break
    }
    guard tenure != nil else { return }
    tenure = nil
    tellKept(reason)
  }

  private func tellKept(_ reason: String) {
    report(
      LeaseReport(
        .warning, "the lease is not released; others wait until it has run out",
        [("reason", reason)]))
  }

  package func abandon() {
    nextTake = now + timing.look
    giveBackDoubtful()
    guard let held = tenure else { return }
    guard environment.makes(.giveBackAfterLostClaim) else {
      tenure = nil
      return
    }
    if waits { try? release() } else { part(from: held.item) }
    tenure = nil
  }

  /// Once: whoever stands by after it waits for the lease to run out.
  private func giveBackDoubtful() {
    guard tenure == nil else { return }
    if case .taking(let item) = flight?.purpose, !waits { doubtful = item }
    guard let item = doubtful else { return }
    doubtful = nil
    guard waits else { return part(from: item) }
    _ = perform(.update(beat(of: item, .released), if: condition(of: item)))
    candidacy.forget()
  }

  // MARK: beside the caller

  /// Whether an item is still being given back. Who ends waits for it, two seconds at most.
  package var isParting: Bool { parting != nil }

  private func part(from item: LockItem) {
    tenure = nil
    parting = Parting(item: item, until: now + timing.release)
    try? progress()
  }

  /// Takes an answer that has come, and sends what is next where an item is given back.
  func progress() throws(StoreError) {
    try land()
    guard let going = parting else { return }
    // It goes back behind that.
    if let sent = flight?.sent {
      flight?.hasten(sent + timing.request * 2)
      return
    }
    guard now < going.until else {
      parting = nil
      return tellKept("the time is up")
    }
    guard now >= pacing.notBefore else { return }
    let item = beat(of: going.item, .released)
    send(.update(item, if: condition(of: item)), .parting(item))
    try land()
  }

  /// The answer to what gives it back.
  func parted(_ result: Result<LockAnswer, LockFailure>, _ item: LockItem) {
    switch result {
    case .success(let answer):
      wasAnswered()
      parting = nil
      if case .refused(let found) = answer { sees(found) } else { sees(item) }
    case .failure(let failure):
      // It is due no second time.
      guard !failure.isPassing || now >= parting?.until ?? .zero || !mayRepeat(failure) else {
        return
      }
      parting = nil
      tellKept(failure.message)
    }
  }
}
