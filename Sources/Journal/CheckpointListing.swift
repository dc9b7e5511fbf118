package import SluiceShared

/// The checkpoints that a listing of `checkpoints/` shows, by batch.
///
/// One is a database and its page checksums: either file alone is none. And only what was published is gone by: a
/// repair that was cut off leaves a checkpoint of a line that never began.
package struct CheckpointListing: Sendable {
  /// Those that have both their files, ascending.
  package let whole: [TxID]
  /// Ascending, and so are the page checksums.
  package let databasesAlone: [TxID]
  package let sidecarsAlone: [TxID]
  /// Those whose database has a temporary name: who made it may have died before it got its own.
  package let unfinished: Set<TxID>

  package init(_ names: [String]) {
    let databases = Set(names.compactMap(StoreLayout.checkpointTxID))
    let sidecars = Set(names.compactMap(StoreLayout.sidecarTxID))
    whole = databases.intersection(sidecars).sorted()
    databasesAlone = databases.subtracting(sidecars).sorted()
    sidecarsAlone = sidecars.subtracting(databases).sorted()
    unfinished = Set(
      names.compactMap(StoreLayout.temporaryTarget).compactMap(StoreLayout.checkpointTxID))
  }

  package init(of store: StoreHandle) throws(StoreError) {
    self.init(try store.fileSystem.list(store.layout.checkpoints))
  }

  /// The databases, with page checksums or without, ascending.
  package var databases: [TxID] { (whole + databasesAlone).sorted() }

  /// The newest that is of no batch behind `last`.
  package func newest(upTo last: TxID) -> TxID? { whole.last { $0 <= last } }
}
