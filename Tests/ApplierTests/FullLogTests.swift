import SluiceEdits
import SluiceFakes
import SluiceJournal
import SluiceReader
import SluiceShared
import SluiceWriter
import Testing

@testable import SluiceApplier

@Suite("A log disk that is full in the middle of a large commit costs nothing but time")
struct FullLogTests {
  private static let rowsPerBatch = 40

  /// Each of its commits is one in pieces, through scratch files.
  private func store(_ kind: FullLogFileSystem.Kind) throws -> (TestStore, FullLogFileSystem) {
    let store = try TestStore()
    let files = FullLogFileSystem(store.environment.fileSystem, kind)
    store.environment.fileSystem = files
    store.environment.commitSizes = .small
    store.environment.commitSizes.pieceBytes = 24 << 10
    store.environment.commitSizes.syncBytes = 48 << 10
    // A term that failed is followed soon.
    store.options.leaseTime = .milliseconds(250)
    store.options.standbyPoll = .milliseconds(5)
    try store.apply("CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
    return (store, files)
  }

  private static let insert = """
    INSERT INTO t(v) WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < \(rowsPerBatch))
    SELECT randomblob(3000) FROM c
    """

  private func batch(_ store: TestStore, inParts: Bool) throws -> Batch {
    guard inParts else { return Batch([Batch.Statement(Self.insert)]) }
    let snapshot = try PageStore(path: store.path, environment: store.environment).snapshot(.latest)
    let edited = try EditedSnapshot(snapshot)
    try edited.execute(Self.insert)
    try edited.take()
    return Batch(.commit(try edited.batch(partBytes: 16 << 10)))
  }

  private func rows(_ store: TestStore) throws -> Int64 {
    guard case .integer(let count)? = try store.query("SELECT count(*) FROM t").first?.first else {
      return -1
    }
    return count
  }

  /// Where what is published ends in the newest segment, whether anything is written behind that, and its size.
  private func end(_ store: TestStore) throws -> (published: Int64, hasMore: Bool, size: Int64) {
    let present = try store.present()
    let file = try store.environment.fileSystem.open(present.segment.file.path, .shared)
    let published = present.beacon.position.end
    return (published, try file.nextData(from: published) != nil, try file.status().size)
  }

  /// One drain after another, each with a batch, each full at a later operation, until one needs fewer.
  @Test(arguments: zip(FullLogFileSystem.Kind.allCases, [false, true, false]))
  func atEachOperation(_ kind: FullLogFileSystem.Kind, inParts: Bool) throws {
    let (store, files) = try store(kind)
    let writer = try store.writer()
    var expected: Int64 = 0
    var (pieces, kept) = (0, 0)
    for n in 1... {
      try #require(n < 200)
      let receipt = try writer.submitBlocking(try batch(store, inParts: inParts))
      files.fill(at: n)
      do { try store.drain() } catch let error as StoreError {
        #expect(error.isFullDisk, "operation \(n): \(error)")
      }
      guard let failed = files.state.withLock({ $0.failed }) else { break }
      expected += Int64(Self.rowsPerBatch)
      let (published, hasMore, size) = try end(store)
      if failed.action == .write, failed.offset > published, try rows(store) < expected {
        // Nothing is left of what has no header.
        #expect(!hasMore && size == store.options.segmentBytes, "operation \(n), \(failed)")
        pieces += 1
      } else {
        kept += 1
      }
      files.makeRoom()
      try store.drain()
      #expect(try rows(store) == expected, "operation \(n), \(failed)")
      try isApplied(receipt, of: writer, "operation \(n), \(failed)")
    }
    #expect(pieces > 5 && kept > 2, "\(pieces), \(kept)")
    try isWhole(store)
  }

  private func isApplied(_ receipt: Receipt, of writer: Writer, _ comment: Comment) throws {
    let outcome = try writer.outcomeBlocking(of: receipt, timeout: .seconds(60)).outcome
    #expect(outcome.isApplied, comment)
  }

  /// The frame is whole and not confirmed, and the next term carries it over, with the disk full at each operation.
  @Test func whileItIsCarriedOver() throws {
    let (store, files) = try store(.allLands)
    let writer = try store.writer()
    var expected: Int64 = 0
    var pieces = 0
    for n in 1... {
      try #require(n < 200)
      let receipt = try writer.submitBlocking(try batch(store, inParts: false))
      files.fillAtHeader()
      #expect(throws: StoreError.self) { try store.drain() }
      #expect(try rows(store) == expected)
      #expect(try end(store).hasMore)
      expected += Int64(Self.rowsPerBatch)
      files.fill(at: n)
      do { try store.drain() } catch let error as StoreError {
        #expect(error.isFullDisk, "operation \(n): \(error)")
      }
      guard let failed = files.state.withLock({ $0.failed }) else { break }
      let file = try store.environment.fileSystem.open(failed.path, .shared)
      if try file.nextData(from: Block.firstLogFrame) == nil {
        #expect(try file.status().size == store.options.segmentBytes)
        pieces += 1
      }
      files.makeRoom()
      try store.drain()
      #expect(try rows(store) == expected, "operation \(n), \(failed)")
      try isApplied(receipt, of: writer, "operation \(n), \(failed)")
    }
    #expect(pieces > 3, "\(pieces)")
    try isWhole(store)
  }

  private func isWhole(_ store: TestStore) throws {
    #expect(try store.query("PRAGMA integrity_check") == [["ok"]])
    let found = try Verification(store: store.path, store.environment) { _ in }.run()
    #expect(found.damages == 0)
    _ = try Replay.compare(try RecordedHistory(store: store.path, store.environment))
    #expect(try store.names(store.layout.log).allSatisfy { !$0.hasSuffix(".tmp") })
  }
}
