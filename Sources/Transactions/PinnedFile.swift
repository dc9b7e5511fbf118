package import SluiceJournal
package import SluiceReader
package import SluiceShared
package import SluiceVFS

/// A state of a store, pinned by the lock SHARED, as SQLite's main database file: what a transaction is based on.
package protocol PinnedFile: VirtualFile {
  /// The store's directory, for errors.
  var path: String { get }
  /// The last batch in the pinned state; between transactions in the last one.
  var txid: TxID { get }
  var pageSize: Int { get }
  var pageCount: UInt32 { get }
  /// False in a child that was forked since the connection was opened.
  var isOfThisProcess: Bool { get }
  /// Whether batches of the store are executed with foreign keys enforced.
  var enforcesForeignKeys: Bool { get }
  /// Fills `buffer` with a page of the pinned state.
  func read(page: UInt32, into buffer: UnsafeMutableRawBufferPointer) throws(StoreError)
  /// The last batch that is published now; looks at the store.
  func newest() throws(StoreError) -> TxID
  /// What the applier says now of itself, and of the turn; looks at the store.
  func beacon() throws(StoreError) -> Beacon
  /// The states that are pinned next contain this batch.
  func see(_ txid: TxID)
  /// As `see`, for a batch of this connection's own.
  func committed(_ txid: TxID)
  /// Remembers why a call fails, and tells it.
  func note(_ error: StoreError)
  /// As `note`, where others were first and nothing is wrong. One that is not final SQLite answers by itself, by
  /// beginning again.
  func noteRefusal(_ error: StoreError, isFinal: Bool)
  /// What was refused has succeeded since.
  func forgetRefusal()
}

extension SnapshotFile: PinnedFile {
  package var path: String { store.layout.root }
  package var txid: TxID { snapshot.txid }
  package var pageSize: Int { snapshot.pageSize }
  package var pageCount: UInt32 { snapshot.pageCount }
  package var enforcesForeignKeys: Bool { store.description.foreignKeys }

  package func read(page: UInt32, into buffer: UnsafeMutableRawBufferPointer) throws(StoreError) {
    try snapshot.read(page: page, into: buffer)
  }

  package func newest() throws(StoreError) -> TxID { try store.snapshot(.latest).txid }

  package func beacon() throws(StoreError) -> Beacon { try store.beacon() }

  package func see(_ txid: TxID) { written = max(written, txid) }

  package func committed(_ txid: TxID) {
    see(txid)
    own = max(own, txid)
  }
}
