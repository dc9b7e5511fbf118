internal import Logging
internal import SluiceLease
internal import SluiceShared

/// A term of an assistant's, which ends when there is nothing more to do.
extension Applier {
  enum Round {
    /// The lease does not allow it.
    case notYet
    /// Another was faster.
    case lost
    case led(applied: Bool)
  }

  /// Leads for a moment, where the lease allows it. Throws what keeps this process from leading.
  func assist(after seen: LeaseObservation, shouldStop: @escaping () -> Bool) throws(StoreError)
    -> Round
  {
    guard try lease.mayClaim(seen) else { return .notYet }
    try Applier.checkScratch(environment)
    try checkWorker()
    // What was not released in order, also a taking that was not answered.
    defer { lease.abandon() }
    guard let leader = try won(after: seen) else { return .lost }
    let before = leader.publisher.publishedTxID
    switch try leader.run(shouldStop: shouldStop) {
    case .stopped: options.metrics?.termEnded(isLost: false)
    case .deposed(let error, let executing):
      survived = executing
      options.metrics?.termEnded(isLost: true)
      options.logger.warning("no longer leading", metadata: ["reason": "\(error)"])
    }
    return .led(applied: leader.publisher.publishedTxID > before)
  }

  private func won(after seen: LeaseObservation) throws(StoreError) -> Leader? {
    do throws(StoreError) { return try claim(seen) } catch {
      guard error.endsOnlyTheTerm || madeRoom(for: error) else { throw error }
      options.logger.debug("claim given up", metadata: ["reason": "\(error)"])
      return nil
    }
  }
}

extension Leader {
  /// Whether a term of an assistant's is over; asked between two groups of batches.
  func isAssistanceOver() -> Bool {
    guard let assistance = options.assistance, let isWanted = options.isAssistanceWanted else {
      return false
    }
    let now = environment.clock.elapsed()
    // Who has a turn comes back within its time, and whoever waits, waits for that.
    if isWanted() || turn != nil { lastWanted = now }
    if now - claimed >= assistance.longestTerm || now - lastWanted >= assistance.longestLinger {
      return true
    }
    // Of the looks since the last batch one was that long after it.
    return turn == nil && intake.isIdle && lastPoll - lastWork >= assistance.linger
  }
}

extension ApplierOptions {
  /// Whether a term removes what is old from its beginning on, since it will not be there later.
  func retiresAtOnce(in segment: UInt64) -> Bool {
    drains || assistance != nil && segment % Assistance.termsPerRetirement == 0
  }
}
