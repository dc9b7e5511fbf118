internal import SluiceJournal
internal import SluiceShared

/// Temporary files that processes left when they died, removed when nothing can come of them.
///
/// A log segment's, when its number is taken: who still holds it would lose the link anyway. A
/// checkpoint's, when one of that batch or of a later one is complete. A new `current.sqlite` or
/// `store.json`, and what an operator did with a rejected batch, after a minute, since it gets its name as soon as it is
/// made. What is made in quarantine, at once.
struct Strays {
  let layout: StoreLayout
  let environment: Environment

  /// `log` is the holder's own segment, `checkpoint` the newest one that is complete.
  func remove(log: LogHolder, checkpoint: TxID) throws(StoreError) {
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
    try remove(in: layout.root, unchangedSince: now_ms - 60_000) {
      ["current.sqlite", "store.json"].contains($0)
    }
    try remove(in: layout.handled, unchangedSince: now_ms - 60_000) { _ in true }
  }

  private func remove(
    in directory: String, unchangedSince latest_ms: Int64 = .max, _ isSuperseded: (String) -> Bool
  ) throws(StoreError) {
    let fileSystem = environment.fileSystem
    for name in try fileSystem.listed(ifThere: directory) {
      guard let target = StoreLayout.temporaryTarget(name), isSuperseded(target) else { continue }
      let path = "\(directory)/\(name)"
      if latest_ms < .max {
        guard let status = try? fileSystem.status(path), status.modified_ms < latest_ms else {
          continue
        }
      }
      try unlink(path)
    }
  }

  private func unlink(_ path: String) throws(StoreError) {
    do throws(StoreError) { try environment.fileSystem.unlink(path) } catch {
      if !error.isNoSuchFile { throw error }
    }
  }
}
