import SluiceApplier
import SluiceJournal
import SluiceReader
import SluiceShared
import SluiceWriter
import Testing

@Suite("Who follows the history goes on from segment to segment of a term, and misses nothing")
struct FollowedRotationTests {
  private static let rows = 60
  /// Submitted before the next one is looked at.
  private static let rowsAtOnce = 3

  /// Batch n + 1, so large that a few of them fill a segment.
  private func row(_ n: Int) -> Batch {
    Batch([
      .init("INSERT INTO t VALUES(?, randomblob(120000))", [.integer(Int64(n))])
    ])
  }

  /// Follows while the applier goes from segment to segment. `isRight` says of what comes whether it is the row.
  private func follow<Event>(
    _ events: (BackedUpStore) -> FeedSequence<Event>, isRight: (Event, _ row: Int) -> Bool
  ) async throws {
    let store = try BackedUpStore()
    store.store.options.segmentBytes = 1 << 20
    let stop = store.startApplier()
    let writer = try store.store.writer()
    var iterator = events(store).makeAsyncIterator()
    var isStill = true
    do {
      _ = try await iterator.next()
      for n in 1...Self.rows {
        _ = try await writer.submit(row(n))
        guard n.isMultiple(of: Self.rowsAtOnce) else { continue }
        for followed in n - Self.rowsAtOnce + 1...n where isStill {
          let event = try #require(try await iterator.next())
          isStill = isRight(event, followed)
          #expect(isStill, "row \(followed): \(event)")
        }
      }
    } catch {
      Issue.record(error)
    }
    await writer.close()
    try stop()
    #expect(try segmentsOfLastTerm(store.store) > 5)
  }

  private func segmentsOfLastTerm(_ store: TestStore) throws -> Int {
    let id = try StoreDescription.read(store.layout, store.environment.fileSystem).id
    let terms = try store.names(store.layout.log).filter { StoreLayout.logNumber($0) != nil }.map {
      try LogSegment(path: "\(store.layout.log)/\($0)", store: id, environment: store.environment)
        .header.term
    }
    return terms.count { $0 == terms.max() }
  }

  @Test("Batch by batch")
  func changes() async throws {
    try await follow({ ChangeFeed.events(path: $0.store.path, follows: true) }) { event, row in
      guard case .batch(let entry) = event else { return false }
      return entry.txid == TxID(UInt64(row) + 1)
        && entry.batch?.statements.first?.rows.first?.first == .integer(Int64(row))
    }
  }

  @Test("Row by row")
  func rows() async throws {
    try await follow({ RowFeed.events(path: $0.store.path, follows: true) }) { event, row in
      guard case .batch(let entry) = event, let changes = entry.changes else { return false }
      return entry.batch.txid == TxID(UInt64(row) + 1) && changes.count == 1
        && changes[0].old == nil && changes[0].new?.first?.value == .integer(Int64(row))
    }
  }
}
