internal import SluiceShared

/// What a process may spend on sending requests again that failed: one for each table, which all its leases there share.
///
/// A table that answers too slowly would be asked the more for it: each lease sends again what was not answered, and more
/// leases that run out ask for more. So who sends something again before it is due draws from here; each answer fills it
/// up a little. Costs and refill are those of the standard retry mode of AWS's own SDKs. Where too little is left, what
/// failed is sent when it would be due if it had been answered: the next renewal, the next look. So a table
/// that answers nobody is asked about as much as one that answers.
///
/// No lease is safer or less safe for it. It only says later, never earlier; a first try never draws, and least of all a
/// renewal that is due. Until when a holder leads, and from when another may take its item, follows from answers that
/// came. Counted wrongly, or left out, it costs requests, or a lease that runs out for want of a renewal: as any network
/// may cost it, and as its holder notices by its own clock.
package final class RetryBudget: Sendable {
  package enum Grant: Equatable, Sendable {
    /// So much was drawn, and comes back with an answer.
    case granted(Int)
    /// `isNews`: for the first time since half of it was there.
    case refused(isNews: Bool)
  }

  private struct State {
    var left: Int
    var isTold = false
  }

  private let capacity: Int
  private let state: Monitor<State>

  package init(capacity: Int = Limits.retryCapacity) {
    self.capacity = capacity
    state = Monitor(State(left: capacity))
  }

  /// What failed is to be sent again. What took all of its time costs more: it may have cost the table as much as an answer.
  package func draw(isLate: Bool) -> Grant {
    let cost = isLate ? Limits.lateRetryCost : Limits.retryCost
    return state.withLock { state in
      guard state.left >= cost else {
        defer { state.isTold = true }
        return .refused(isNews: !state.isTold)
      }
      state.left -= cost
      return .granted(cost)
    }
  }

  /// A request was answered, for which `drawn` was drawn; 0: a first try.
  package func answered(drawn: Int) {
    state.withLock { state in
      state.left += min(capacity - state.left, max(drawn, Limits.retryRefill))
      if state.left >= capacity / 2 { state.isTold = false }
    }
  }

  /// What is not answered in time is not sent again.
  package var isSpent: Bool { state.withLock { $0.left < Limits.lateRetryCost } }
}
