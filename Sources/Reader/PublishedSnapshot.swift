package import SluiceJournal
package import SluiceShared

/// A state of the database that is published: of which checkpoints may be made.
///
/// A term also has states that are only confirmed. One of those is in no history yet that others read, and
/// after a claim maybe in none at all.
package struct PublishedSnapshot: Sendable {
  package let snapshot: Snapshot

  fileprivate init(_ snapshot: Snapshot) { self.snapshot = snapshot }

  /// nil where `snapshot`, of the same store, has more than what is published.
  package init?(_ snapshot: Snapshot, upTo published: PublishedTxID) {
    guard snapshot.txid <= published.txid else { return nil }
    self.snapshot = snapshot
  }

  package var txid: TxID { snapshot.txid }
}

extension PageStore {
  /// As `snapshot`: what a reader sees is published.
  package func published(_ freshness: Freshness = .latest) throws(StoreError) -> PublishedSnapshot {
    PublishedSnapshot(try snapshot(freshness))
  }
}
