public import SluiceJournal
public import SluiceShared

/// What became of a batch, and its place in the total order.
public struct AppliedOutcome: Hashable, Sendable {
  public var txid: TxID
  public var outcome: Outcome

  public init(txid: TxID, outcome: Outcome) {
    self.txid = txid
    self.outcome = outcome
  }
}

/// A batch that the log has an outcome of.
package struct AppliedBatch: Hashable, Sendable {
  package var batch: BatchID
  package var outcome: AppliedOutcome

  package init(batch: BatchID, outcome: AppliedOutcome) {
    self.batch = batch
    self.outcome = outcome
  }
}

/// Follows the published log and picks out of it the outcomes of some writers' batches.
///
/// It begins where the log was when it was made, or before. So it must be made before the first batch that
/// it is to find is written.
///
/// Synchronous and not safe to use from two threads at once.
package struct OutcomeFollower {
  private let log: Log
  private var follower: LogFollower

  package init(_ log: Log) throws(StoreError) {
    self.log = log
    follower = LogFollower(at: try log.beginning())
  }

  /// The published present. Decide whom to look for after this was read: a batch that is in this present was
  /// written before, and its writer was made known before that.
  /// `expectsNews`: something is published, as far as is known.
  package func present(expectsNews: Bool = false) throws(StoreError) -> Log.Present {
    try log.present(readingFor: expectsNews ? follower : nil)
  }

  /// Passes over everything up to `present`.
  package mutating func skip(to present: Log.Present) { follower = LogFollower(at: present) }

  /// Calls `found` with each outcome of `writers` from where it stands up to `present`, in order.
  /// Where this throws, it does not begin again with what `found` was called with.
  package mutating func advance(
    to present: Log.Present, of writers: Set<WriterID>, _ found: (AppliedBatch) -> Void
  ) throws(StoreError) {
    try follower.advance(log, to: present) { (commit, cursor) throws(StoreError) in
      let bytes = try cursor.section(.outcomes, of: commit.header)
      guard Self.mentions(bytes, writers) else { return }
      for (i, outcome) in try cursor.outcomes(of: commit.header).enumerated()
      where writers.contains(outcome.batch.writer) {
        found(
          AppliedBatch(
            batch: outcome.batch,
            outcome: AppliedOutcome(
              txid: commit.first.advanced(by: UInt64(i)), outcome: outcome.outcome)))
      }
    }
  }

  /// Whether an outcomes section, which begins with the ids of its writers, has one of `writers`.
  /// True where it cannot be read, so that whoever decodes it says what is wrong.
  private static func mentions(_ outcomes: [UInt8], _ writers: Set<WriterID>) -> Bool {
    outcomes.withUnsafeBytes { raw in
      var reader = ByteReader(raw)
      do throws(DecodingError) {
        for _ in 0..<(try reader.count(ofAtLeast: 16)) {
          if writers.contains(try reader.identifier()) { return true }
        }
        return false
      } catch {
        return true
      }
    }
  }
}
