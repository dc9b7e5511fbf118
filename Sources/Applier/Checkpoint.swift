package import SluiceJournal
package import SluiceReader
package import SluiceShared

/// A complete, plain SQLite file as of a published batch, for any SQLite tool and for readers to
/// begin from.
package struct Checkpoint: Sendable {
  package let store: StoreHandle
  var layout: StoreLayout { store.layout }
  var environment: Environment { store.environment }

  package init(of store: StoreHandle) { self.store = store }

  /// Writes the checkpoint of a state and points `current.sqlite` to it.
  ///
  /// The file gets its name only when it is durable, was read back, and has the commit's checksum.
  /// Where a checkpoint of that batch exists already, nothing is written. May run beside everything
  /// else, in any process with the right to write; the one that links first wins.
  package func make(of published: PublishedSnapshot) throws(StoreError) {
    let snapshot = published.snapshot
    let fileSystem = environment.fileSystem
    let name = StoreLayout.checkpointName(snapshot.txid)
    let path = layout.database(of: snapshot.txid)
    let sidecarName = StoreLayout.sidecarName(snapshot.txid)
    let names = Set(try fileSystem.list(layout.checkpoints))
    if names.contains(name), !names.contains(sidecarName),
      // The sidecar is linked first, so a listing that began when the database was there shows it.
      try !fileSystem.list(layout.checkpoints).contains(sidecarName)
    {
      // Somebody's, made through a dangling `current.sqlite`.
      try fileSystem.unlink(path)
    }
    if try !fileSystem.list(layout.checkpoints).contains(name) {
      let nonce = environment.random()
      let pages = StoreLayout.temporaryName(path, nonce)
      let sidecar = layout.sidecar(of: snapshot.txid)
      let newSidecar = StoreLayout.temporaryName(sidecar, nonce)
      defer {
        try? fileSystem.unlink(pages)
        try? fileSystem.unlink(newSidecar)
      }
      let checksums = try SnapshotImage(snapshot, environment).write(to: pages, mode: 0o444)
      let file = try fileSystem.create(newSidecar, mode: 0o444)
      try CheckpointSidecar.write(
        CheckpointSidecar.Header(
          store: store.id, extent: snapshot.extent, pageSize: UInt32(snapshot.pageSize),
          pageCount: snapshot.pageCount, checksum: snapshot.checksum,
          rejected: snapshot.rejected,
          description: (try? StoreDescription.read(layout, fileSystem).json) ?? ""),
        checksums: checksums, to: file)
      try file.sync()
      // The sidecar first: a database without one is no checkpoint yet.
      try linked(newSidecar, to: sidecar)
      try fileSystem.syncDirectory(layout.checkpoints)
      try linked(pages, to: path)
    }
    try pointCurrent(to: snapshot.txid)
  }

  private func linked(_ temporary: String, to path: String) throws(StoreError) {
    do throws(StoreError) { try environment.fileSystem.link(temporary, to: path) } catch {
      // Somebody made the same checkpoint meanwhile; it says the same.
      if !error.isExistingFile { throw error }
    }
  }

  /// Points `current.sqlite` to a checkpoint, unless it points to a newer one.
  package func pointCurrent(to txid: TxID) throws(StoreError) {
    let target = StoreLayout.currentTarget(txid)
    let present = try? environment.fileSystem.readSymbolicLink(layout.current)
    // Names are padded, so their order is the checkpoints'.
    if let present, present >= target { return }
    // Whoever linked it may have died before its name was durable; the link must not outlive it.
    if environment.makes(.syncCheckpointDirectory) {
      try environment.fileSystem.syncDirectory(layout.checkpoints)
      if try environment.fileSystem.isNetwork(layout.checkpoints) {
        try environment.changeDirectory(of: "\(layout.root)/\(target)")
      }
    }
    try environment.fileSystem.replaceSymbolicLink(layout.current, target: target)
    try environment.fileSystem.syncDirectory(layout.root)
  }

  /// The checkpoint that `current.sqlite` leads to, there or not; nil where it is missing or no link of ours.
  func current() -> TxID? {
    (try? environment.fileSystem.readSymbolicLink(layout.current)).flatMap(StoreLayout.currentTxID)
  }

  /// The newest checkpoint of what is published.
  package func newest(upTo published: PublishedTxID) throws(StoreError) -> TxID? {
    try CheckpointListing(of: store).newest(upTo: published.txid)
  }
}
