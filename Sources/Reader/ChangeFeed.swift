public import SluiceJournal
public import SluiceShared

/// The published history batch by batch, in the total order, from any batch that is kept on.
///
/// It reads what the log has, as a reader does: without locks, writing nothing. Used by one thread at a
/// time.
public final class ChangeFeed {
  /// What the history says of one batch.
  public struct Entry: Sendable {
    public var txid: TxID
    /// Of the commit that holds it: its number, and its time in Unix milliseconds.
    public var commit: UInt64
    public var time_ms: Int64
    public var outcome: BatchOutcome
    /// As it was submitted; nil where that cannot be read, which the outcome says then.
    public var batch: Batch?
  }

  private let log: Log
  private var follower: LogFollower
  /// What `advance` passes next is this batch or a later one.
  private var next: TxID
  /// The last batch that `body` took.
  private var taken = TxID.zero

  /// From batch `first` on. Throws as `PageStore` does, and `.snapshotExpired` where retention has removed
  /// that batch.
  public init(path: String, from first: TxID, environment: Environment) throws(StoreError) {
    let layout = StoreLayout(path)
    let description = try StoreDescription.read(layout, environment.fileSystem)
    log = Log(layout: layout, store: description.id, environment: environment)
    next = first
    let present = try log.present()
    guard first <= present.extent.txid else {
      follower = LogFollower(at: present)
      return
    }
    // A segment begins between two commits.
    let before = TxID(max(1, first.rawValue) - 1)
    let spans = try log.history(after: before, upTo: present)
    follower = LogFollower(after: spans.first?.inherited ?? .empty)
  }

  /// The last batch that was passed.
  public var txid: TxID { max(follower.extent.txid, taken) }

  /// Passes what was published since to `body`, oldest first.
  ///
  /// Each batch once, unless `body` throws: then the next call begins with the batch that it threw for,
  /// also in the middle of a commit.
  public func advance(_ body: (Entry) throws -> Void) throws {
    var failure: (any Error)?
    do {
      try follower.advance(log, to: try log.present()) { (commit, cursor) throws(StoreError) in
        guard commit.last >= next else { return }
        do { try entries(commit, &cursor, body) } catch {
          failure = error
          throw StoreError(.io, "the reader of the feed has failed")
        }
      }
    } catch {
      throw failure ?? error
    }
  }

  private func entries(
    _ commit: Commit, _ cursor: inout LogCursor, _ body: (Entry) throws -> Void
  ) throws {
    let outcomes = try cursor.outcomes(of: commit.header)
    let bytes = try cursor.section(.batches, of: commit.header)
    let ranges: [Range<Int>]
    do { ranges = try BatchList.ranges(bytes, count: outcomes.count) } catch {
      throw StoreError(
        .damaged, "the batches of a commit cannot be read: \(error)",
        path: cursor.segment.file.path, offset: commit.header.offset)
    }
    for (i, (outcome, range)) in zip(outcomes, ranges).enumerated() {
      let txid = TxID(commit.first.rawValue + UInt64(i))
      guard txid >= next else { continue }
      try body(
        Entry(
          txid: txid, commit: commit.meta.commit, time_ms: commit.meta.time_ms, outcome: outcome,
          batch: try? bytes[range].withUnsafeBytes { try Batch(decoding: $0) }))
      taken = txid
      next = txid.next
    }
  }
}
