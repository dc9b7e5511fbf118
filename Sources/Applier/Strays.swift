internal import SluiceJournal
internal import SluiceShared

/// Temporary files that processes left when they died, removed when nothing can come of them.
///
/// A log segment's, when its number is taken: who still holds it would lose the link anyway. A
/// checkpoint's, when one of that batch or of a later one is complete. A new `current.sqlite` or
/// `store.json`, after a minute, since it is renamed as soon as it is made. What is made in quarantine, at once.
struct Strays {
  let layout: StoreLayout
  let environment: Environment

  /// `log` is the holder's own segment, `checkpoint` the newest one that is complete.
  func remove(log: LogHolder, checkpoint: TxID) throws(StoreError) {
    let fileSystem = environment.fileSystem
    try remove(in: layout.log) { target in
      StoreLayout.logNumber(target).map { $0 <= log.header.number } ?? false
    }
    try remove(in: layout.checkpoints) { target in
      for txid in [StoreLayout.checkpointTxID(target), StoreLayout.sidecarTxID(target)] {
        if let txid { return txid <= checkpoint }
      }
      return false
    }
    try remove(in: layout.quarantine) { StoreLayout.journalSegment($0) != nil }
    // Both times are the file server's.
    let now_ms = try log.file.status().modified_ms
    for name in try fileSystem.list(layout.root)
    where ["current.sqlite", "store.json"].contains(StoreLayout.temporaryTarget(name)) {
      let path = "\(layout.root)/\(name)"
      guard let status = try? fileSystem.status(path), status.modified_ms < now_ms - 60_000 else {
        continue
      }
      try unlink(path)
    }
  }

  private func remove(in directory: String, _ isSuperseded: (String) -> Bool) throws(StoreError) {
    for name in try environment.fileSystem.list(directory) {
      guard let target = StoreLayout.temporaryTarget(name), isSuperseded(target) else { continue }
      try unlink("\(directory)/\(name)")
    }
  }

  private func unlink(_ path: String) throws(StoreError) {
    do throws(StoreError) { try environment.fileSystem.unlink(path) } catch {
      if !error.isNoSuchFile { throw error }
    }
  }
}
