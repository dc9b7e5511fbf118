/// A table in which each store has one item, and in which an item is written only if a condition holds:
/// what a lease needs of DynamoDB.
package protocol LockTable: Sendable {
  /// Sends one request and waits for its answer, for `limit` or a little longer. Called by one thread at
  /// a time.
  ///
  /// An answer may be lost, and a request may be carried out late, or twice.
  func perform(_ request: LockRequest, atMost limit: Duration) -> Result<LockAnswer, LockFailure>

  /// As `perform`, beside the caller: `done` is called once, from any thread. False: not here, or not now, and it is
  /// not called; a thread may `perform` it.
  func start(
    _ request: LockRequest, atMost limit: Duration,
    done: @escaping @Sendable (Result<LockAnswer, LockFailure>) -> Void
  ) -> Bool
}

extension LockTable {
  package func start(
    _ request: LockRequest, atMost limit: Duration,
    done: @escaping @Sendable (Result<LockAnswer, LockFailure>) -> Void
  ) -> Bool { false }
}

/// A store's item.
package struct LockItem: Hashable, Sendable {
  package enum State: String, Sendable {
    case active, released
  }

  /// New with every beat; nil: somebody wrote an item without.
  package var lockID: String?
  /// Who holds it: unique to one lease of one process.
  package var holder: String
  /// Counts up with each holder, and is not the log's term.
  package var term: Int64
  /// How long its holder may be silent.
  package var lease: Duration
  package var state: State
  /// Unix seconds at which the lease runs out unless it is renewed: for people, and for other users of
  /// the table. Nobody here believes it.
  package var expires_s: Int64

  package init(
    lockID: String?, holder: String, term: Int64, lease: Duration, state: State, expires_s: Int64
  ) {
    self.lockID = lockID
    self.holder = holder
    self.term = term
    self.lease = lease
    self.state = state
    self.expires_s = expires_s
  }
}

package enum LockRequest: Sendable {
  /// The item, as of the last write (ConsistentRead).
  case read
  /// The whole item, in place of what was there.
  case put(LockItem, if: LockCondition)
  /// Of the item only what a beat changes: lock id, state and expiry.
  case update(LockItem, if: LockCondition)
}

package enum LockCondition: Hashable, Sendable {
  /// There is no item.
  case absent
  /// Nobody has written since that was read.
  case unchanged(lockID: String?)
  /// It is active, and this holder's, of this term.
  case held(holder: String, term: Int64)
  /// There is an item: for a simulator that leaves a check out.
  case any

  package func holds(of item: LockItem?) -> Bool {
    switch self {
    case .absent: item == nil
    case .unchanged(let lockID): item.map { $0.lockID == lockID } ?? false
    case .held(let holder, let term):
      item.map { $0.state == .active && $0.holder == holder && $0.term == term } ?? false
    case .any: item != nil
    }
  }
}

package enum LockAnswer: Sendable {
  /// To a read; nil: there is none.
  case item(LockItem?)
  case written
  /// The condition did not hold; the item as it is.
  case refused(LockItem?)
}

/// A request that got no answer, or a useless one. It may have been carried out all the same.
package struct LockFailure: Error, Hashable, Sendable {
  /// True: the same again may work (throttling, an error of the server's, no answer). False: somebody
  /// has to change something.
  package var isPassing: Bool
  /// It took all the time that it had: the table may be overloaded.
  package var isLate: Bool
  /// What is wrong, and what to do.
  package var message: String

  package init(isPassing: Bool, isLate: Bool = false, _ message: String) {
    self.isPassing = isPassing
    self.isLate = isLate
    self.message = message
  }

  /// It waited behind those of other stores. An answer that comes too late is worth nothing, and would cost the table
  /// the same: where less than a quarter of its time is left a request is not sent.
  package static var notSent: LockFailure {
    LockFailure(
      isPassing: true,
      "too many requests wait for an answer (this one was not sent); see why the table answers slowly"
    )
  }
}
