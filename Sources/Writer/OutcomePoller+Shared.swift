internal import SluiceJournal
internal import SluiceShared

extension OutcomePoller {
  private struct Registered {
    weak var poller: OutcomePoller?
  }

  private struct Place: Hashable {
    var store: StoreID
    /// A copy of a store has its id.
    var root: String
    /// A forked child has no thread of its parent's, so it needs a poller of its own.
    var process: Int32
  }

  private static let registry = ProcessLocal<[Place: Registered]> { [:] }

  /// The process's poller of the store. It is at or before the present of this call.
  static func shared(of store: StoreHandle) throws(StoreError) -> OutcomePoller {
    let place = Place(
      store: store.id, root: store.layout.root, process: store.environment.processID())
    if let poller = registry.withLock({ $0[place]?.poller }) { return poller }
    let made = try OutcomePoller(of: store)
    return registry.withLock { registry in
      if let poller = registry[place]?.poller { return poller }
      registry = registry.filter { $0.value.poller != nil }
      registry[place] = Registered(poller: made)
      return made
    }
  }
}
