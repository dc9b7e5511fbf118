internal import SluiceJournal
internal import SluiceShared

/// Snapshots of the past, made when they are asked for. They never change, so the last few are kept.
final class PastSnapshots: Sendable {
  private let files: StoreFiles
  /// The last ones asked for, the newest last.
  private let known = Monitor<[(point: HistoryPoint, snapshot: Snapshot)]>([])
  private static let mostKnown = 8

  init(_ files: StoreFiles) { self.files = files }

  /// The database as of `point`; `latest` is asked only where that is not known. Two that ask at once may
  /// both build it.
  func snapshot(_ point: HistoryPoint, latest: () throws(StoreError) -> Snapshot)
    throws(StoreError) -> Snapshot
  {
    if let snapshot = known.withLock({ $0.last { $0.point == point }?.snapshot }) {
      return snapshot
    }
    let newest = try latest()
    var snapshot = newest
    if !point.includes(newest.extent) {
      snapshot = try built(point)
    } else if case .txid(let txid) = point {
      guard txid == newest.txid else {
        throw StoreError(
          .invalid,
          "the store is at batch \(newest.txid), so there is nothing as of batch \(txid) yet",
          path: files.layout.root)
      }
    } else {
      // The next commit may have the same time.
      return newest
    }
    known.withLock { known in
      if known.count >= Self.mostKnown { known.removeFirst() }
      known.append((point, snapshot))
    }
    return snapshot
  }

  private func built(_ point: HistoryPoint) throws(StoreError) -> Snapshot {
    let log = Log(of: files.store)
    return try Refresher.build(log, try log.present(), asOf: point, files).snapshot
  }

  /// Some file that they need is gone.
  func forget() { known.withLock { $0 = [] } }
}
