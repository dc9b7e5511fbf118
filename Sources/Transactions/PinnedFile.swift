internal import SluiceJournal
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
  /// Whether nothing is committed behind the pinned state; looks at the store.
  func isNewest() throws(StoreError) -> Bool
  /// The states that are pinned next contain this batch.
  func see(_ txid: TxID)
  /// As `see`, for a batch of this connection's own.
  func committed(_ txid: TxID)
  /// Remembers why a call fails, and tells it.
  func note(_ error: StoreError)
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

  package func isNewest() throws(StoreError) -> Bool { try store.snapshot(.latest).txid == txid }

  package func see(_ txid: TxID) { written = max(written, txid) }

  package func committed(_ txid: TxID) {
    see(txid)
    own = max(own, txid)
  }
}
