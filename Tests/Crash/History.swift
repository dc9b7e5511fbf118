import SluiceJournal
import SluiceShared

/// The published history as the driver has read it so far, batch by batch.
final class History {
  struct Entry: Hashable {
    var txid: TxID
    var outcome: BatchOutcome
    var batch: Batch
  }

  private(set) var entries: [Entry] = []
  private(set) var terms: UInt64 = 0
  private var follower = LogFollower(after: .empty)

  /// Reads what was published since.
  func advance(_ log: Log) throws {
    let present = try log.present()
    var found: [Entry] = []
    try follower.advance(log, to: present) { (commit, cursor) throws(StoreError) in
      found += try Self.entries(of: commit, &cursor)
    }
    entries += found
    terms = present.segment.header.term
  }

  private static func entries(of commit: Commit, _ cursor: inout LogCursor) throws(StoreError)
    -> [Entry]
  {
    let outcomes = try cursor.outcomes(of: commit.header)
    let bytes = try cursor.section(.batches, of: commit.header)
    do throws(DecodingError) {
      let ranges = try BatchList.ranges(bytes, count: outcomes.count)
      var entries: [Entry] = []
      for (i, (outcome, range)) in zip(outcomes, ranges).enumerated() {
        let batch = try Self.batch(Array(bytes[range]))
        entries.append(
          Entry(txid: commit.first.advanced(by: UInt64(i)), outcome: outcome, batch: batch))
      }
      return entries
    } catch {
      throw StoreError(
        .damaged, "the batches of a commit: \(error)", path: cursor.segment.file.path,
        offset: commit.header.offset)
    }
  }

  private static func batch(_ bytes: [UInt8]) throws(DecodingError) -> Batch {
    var result = Result<Batch, DecodingError>.failure(DecodingError("empty"))
    bytes.withUnsafeBytes { raw in
      do throws(DecodingError) { result = .success(try Batch(decoding: raw)) } catch {
        result = .failure(error)
      }
    }
    return try result.get()
  }
}
