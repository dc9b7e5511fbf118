internal import SluiceJournal
internal import SluiceShared
internal import Synchronization

/// Finds out what is published now, and makes the newest snapshot of it.
///
/// Used by one thread at a time: the one that `PageStore` lets refresh.
final class Refresher: @unchecked Sendable {
  // Sendable: every access is made by the one caller that holds the `refreshing` baton of `PageStore`.
  private let files: StoreFiles
  private let log: Log
  private var follower: LogFollower
  /// What `snapshot` was made of.
  private var position: LogPosition
  private(set) var snapshot: Snapshot
  /// The last refresh found something new, so the next one may.
  private var foundNews = false

  /// Since when a checkpoint newer than the snapshot's is known; boot time in nanoseconds.
  private var newerCheckpointSince_ns: UInt64?
  private var nextRebase_ns: UInt64 = 0

  /// For how long a superseded checkpoint stays in use while the index is small: half of the time
  /// for which retention keeps it at least.
  private static let rebaseAge_ns: UInt64 = 1_800_000_000_000
  /// How long after one rebase the next may be, where the first found nothing newer.
  private static let rebasePause_ns: UInt64 = 10_000_000_000
  private static let largeIndex = 4096
  private static let manySegments = 32
  /// Retention may remove a file between its listing and its opening, but not for ever.
  private static let attempts = 5

  init(_ files: StoreFiles) throws(StoreError) {
    self.files = files
    log = Log(of: files.store)
    let built = try Self.build(log, try log.present(), files)
    (snapshot, position) = (built.snapshot, built.present.beacon.position)
    follower = LogFollower(at: built.present)
  }

  /// The snapshot of what is published now: one read where nothing is new. `expectsNews`: there is something, as
  /// far as is known.
  func refresh(expectsNews: Bool = false) throws(StoreError) -> Snapshot {
    let present = try log.present(readingFor: expectsNews || foundNews ? follower : nil)
    foundNews = present.beacon.position != position
    if files.expired.load(ordering: .relaxed), files.expired.exchange(false, ordering: .relaxed) {
      try rebuild(present)
    } else if isRebaseDue(present) {
      // The old base still serves, so a newer one that cannot be used yet is no failure.
      do throws(StoreError) { try rebuild(present) } catch { try advance(to: present) }
    } else if present.beacon.position != position {
      try advance(to: present)
    }
    return snapshot
  }

  func adopt(_ segment: LogSegment) { log.adopt(segment) }

  private func advance(to present: Log.Present) throws(StoreError) {
    if present.segment.number > position.segment + 1 {
      // Far behind: the merged indexes of whole segments are shorter than their commits.
      return try rebuild(present)
    }
    var draft = SnapshotDraft(snapshot)
    var failure: StoreError?
    do throws(StoreError) {
      try follower.advance(log, to: present) { commit, cursor throws(StoreError) in
        try draft.add(commit, &cursor)
        // A small frame was read whole, with its pages.
        let read = cursor.lastRead
        if read.offset == commit.header.offset { draft.keep(read.bytes, at: read.offset) }
      }
      try draft.checkComplete(present, files.environment)
      position = present.beacon.position
    } catch {
      failure = error
    }
    // What came before a failure counts, for the follower stands behind it.
    if draft.extent != snapshot.extent { snapshot = draft.snapshot() }
    guard let failure else { return }
    guard failure.isRemoval else { throw failure }
    try rebuild(present)
  }

  // MARK: Beginning anew

  private func rebuild(_ present: Log.Present) throws(StoreError) {
    nextRebase_ns = files.environment.clock.bootTime_ns() + Self.rebasePause_ns
    let built = try Self.build(log, present, files)
    guard built.snapshot.txid >= snapshot.txid else { return }
    snapshot = built.snapshot
    position = built.present.beacon.position
    follower = LogFollower(at: built.present)
    newerCheckpointSince_ns = nil
  }

  /// From the newest checkpoint on; what was published at `point`, or the present.
  static func build(
    _ log: Log, _ first: Log.Present, asOf point: HistoryPoint? = nil, _ files: StoreFiles
  ) throws(StoreError) -> (snapshot: Snapshot, present: Log.Present) {
    var present = first
    var attempt = 1
    while true {
      do throws(StoreError) {
        let draft = try SnapshotDraft.building(log, upTo: present, asOf: point, files)
        return (draft.snapshot(), present)
      } catch {
        guard attempt < attempts, error.isRemoval else { throw error }
      }
      files.environment.clock.sleep(.milliseconds(10 * attempt))
      attempt += 1
      present = try log.present()
    }
  }

  /// A newer checkpoint is worth beginning anew: the index is large, or holds many files open, or
  /// retention may soon remove the checkpoint that is in use.
  private func isRebaseDue(_ present: Log.Present) -> Bool {
    guard present.beacon.status.checkpoint > snapshot.checkpointTxID else {
      newerCheckpointSince_ns = nil
      return false
    }
    let now = files.environment.clock.bootTime_ns()
    let since = newerCheckpointSince_ns ?? now
    newerCheckpointSince_ns = since
    guard now >= nextRebase_ns else { return false }
    let entries = snapshot.index.count
    return entries > Self.largeIndex && entries > Int(snapshot.pageCount) / 4
      || snapshot.index.segments.count > Self.manySegments || now - since >= Self.rebaseAge_ns
  }
}
