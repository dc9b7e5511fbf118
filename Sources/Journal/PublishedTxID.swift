package import SluiceShared

/// The last batch of a history that is published: a beacon states it, and no later history lacks it.
///
/// What must not be done for a batch before everybody can see it takes one of these in place of a `TxID`:
/// its file in the journal is removed, a checkpoint is made of it, what is older is retired. So it can only
/// come from a beacon that was written by its holder, or read by somebody.
package struct PublishedTxID: Hashable, Comparable, Sendable {
  package let txid: TxID

  package static func < (a: Self, b: Self) -> Bool { a.txid < b.txid }

  /// As read.
  package init(_ present: Log.Present) { txid = present.extent.txid }

  /// `LogHolder.publish` has written `beacon`.
  init(written beacon: SealedBeacon) { txid = beacon.content.extent.txid }

  /// What a fault that a test plants takes for published; nil where `check` is made, as it always is in what
  /// is shipped.
  package init?(_ txid: TxID, without check: SafetyCheck, in environment: Environment) {
    guard !environment.makes(check) else { return nil }
    self.txid = txid
  }
}

extension Log.Present {
  package var published: PublishedTxID { PublishedTxID(self) }
}
