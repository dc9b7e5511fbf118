internal import SluiceJournal
package import SluiceShared

extension PageStore {
  private struct Weak { weak var store: PageStore? }
  private static let open = ProcessLocal<[ExactText: Weak]> { [:] }

  /// The process's one page store for `path`, which all its connections share; closed when the last
  /// of them goes.
  package static func shared(path: String) throws(StoreError) -> PageStore {
    let root = StoreLayout(path).root
    let key = ExactText(root)
    if let known = open.withLock({ $0[key]?.store }) { return known }
    // Outside of the lock, for it waits for the file server. Of two that come at once one is kept.
    let opened = try PageStore(path: root, environment: .posix())
    return open.withLock { stores in
      if let known = stores[key]?.store { return known }
      stores = stores.filter { $0.value.store != nil }
      stores[key] = Weak(store: opened)
      return opened
    }
  }

  // MARK: By number

  /// The URI parameter by which a connection reaches one certain page store, whatever its files are.
  package static let numberParameter = "page_store"
  private static let numbers = ProcessLocal<(next: UInt64, stores: [UInt64: Weak])> { (1, [:]) }

  /// Gives `store` a number, under which the file system `sluice` finds it as long as it lives.
  package static func number(_ store: PageStore) -> UInt64 {
    numbers.withLock { known in
      known.stores = known.stores.filter { $0.value.store != nil }
      let number = known.next
      known.next += 1
      known.stores[number] = Weak(store: store)
      return number
    }
  }

  static func numbered(_ number: UInt64) -> PageStore? {
    numbers.withLock { $0.stores[number]?.store }
  }
}
