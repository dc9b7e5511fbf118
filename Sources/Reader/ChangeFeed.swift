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
  /// What was to be told and is not kept any more, where the feed went on behind it.
  public struct Gap: Hashable, Sendable {
    public var batches: ClosedRange<TxID>
    /// The time of the last of them, in Unix milliseconds.
    public var time_ms: Int64
  }

  private var gap: Gap?

  /// From batch `first` on, or from what is kept behind it. Throws as `PageStore` does.
  public init(path: String, from first: TxID, environment: Environment = .posix())
    throws(StoreError)
  {
    log = Log(of: try StoreHandle(at: StoreLayout(path), environment))
    next = first
    follower = LogFollower(after: .empty)
    try begin()
  }

  /// Stands before `next`, or before what is kept behind it, which leaves a gap.
  private func begin() throws(StoreError) {
    var attempt = 1
    while true {
      let present = try log.present()
      do throws(StoreError) { return try begin(upTo: present) } catch {
        guard error.isRemoval, attempt < Self.attempts else { throw error }
      }
      // What is open here was just removed.
      log.forgetFiles()
      attempt += 1
    }
  }

  private func begin(upTo present: Log.Present) throws(StoreError) {
    guard next <= present.extent.txid else {
      follower = LogFollower(at: present)
      return
    }
    // A segment begins between two commits.
    let before = TxID(max(1, next.rawValue) - 1)
    let start = try log.kept(after: before, upTo: present).first?.inherited ?? .empty
    follower = LogFollower(after: start)
    guard start.txid > before else { return }
    gap = Gap(batches: max(TxID(1), next)...start.txid, time_ms: start.time_ms)
    next = start.txid.next
  }

  /// The last batch that was passed.
  public var txid: TxID { max(follower.extent.txid, taken) }

  /// Passes what was published since to `body`, oldest first.
  ///
  /// Each batch once, unless `body` throws: then the next call begins with the batch that it threw for,
  /// also in the middle of a commit. `onGap` is told first of batches that are not kept any more.
  public func advance(
    onGap: (Gap) throws -> Void = { _ in }, _ body: (Entry) throws -> Void
  ) throws {
    try advance(onGap: onGap, onCommit: { (_, _) in }, body)
  }

  /// The same, told of each commit before its batches are passed; again where it goes on in the middle of
  /// one.
  package func advance(
    onGap: (Gap) throws -> Void,
    onCommit: (Commit, inout LogCursor) throws(StoreError) -> Void,
    _ body: (Entry) throws -> Void
  ) throws {
    var attempt = 1
    while true {
      if let gap {
        try onGap(gap)
        self.gap = nil
      }
      let present = try log.present()
      let before = txid
      failure = nil
      do throws(StoreError) {
        return try follower.advance(log, to: present) { (commit, cursor) throws(StoreError) in
          guard commit.last >= next else { return }
          try onCommit(commit, &cursor)
          try entries(commit, &cursor, body)
        }
      } catch {
        if let failure { throw failure }
        // However long the way is: what counts is how often in a row it does not get on.
        attempt = txid > before ? 1 : attempt + 1
        guard error.isRemoval, attempt <= Self.attempts else { throw error }
        // Behind by more than is kept, or what was read was just removed.
        log.forgetFiles()
        try begin()
      }
    }
  }

  private static let attempts = 5
  /// What the one that entries are passed to threw.
  private var failure: (any Error)?

  /// The batches of one commit, read and not yet passed to the last.
  private struct Batches {
    var commit: UInt64
    var outcomes: [BatchOutcome]
    var bytes: [UInt8]
    var ranges: [Range<Int>]
  }

  /// Kept where `body` throws in the middle of a commit: who takes a few hundred batches at a time reads it once.
  private var current: Batches?

  private func entries(
    _ commit: Commit, _ cursor: inout LogCursor, _ body: (Entry) throws -> Void
  ) throws(StoreError) {
    let batches = try batches(of: commit, &cursor)
    current = batches
    let done = next > commit.first ? Int(next.rawValue - commit.first.rawValue) : 0
    for (i, outcome) in batches.outcomes.enumerated().dropFirst(done) {
      let txid = TxID(commit.first.rawValue + UInt64(i))
      let entry = Entry(
        txid: txid, commit: commit.meta.commit, time_ms: commit.meta.time_ms, outcome: outcome,
        batch: try? batches.bytes[batches.ranges[i]].withUnsafeBytes { try Batch(decoding: $0) })
      do { try body(entry) } catch {
        failure = error
        throw StoreError(.io, "the reader of the feed has failed")
      }
      taken = txid
      next = txid.next
    }
    current = nil
  }

  private func batches(of commit: Commit, _ cursor: inout LogCursor) throws(StoreError) -> Batches {
    if let current, current.commit == commit.meta.commit { return current }
    let outcomes = try cursor.outcomes(of: commit.header)
    let bytes = try cursor.section(.batches, of: commit.header)
    do {
      let ranges = try BatchList.ranges(bytes, count: outcomes.count)
      return Batches(
        commit: commit.meta.commit, outcomes: outcomes, bytes: bytes, ranges: ranges)
    } catch {
      throw StoreError(
        .damaged, "the batches of a commit cannot be read: \(error)",
        path: cursor.segment.file.path, offset: commit.header.offset)
    }
  }
}
