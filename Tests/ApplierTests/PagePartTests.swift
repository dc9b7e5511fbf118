import SluiceEdits
import SluiceJournal
import SluiceReader
import SluiceShared
import SluiceWriter
import Synchronization
import Testing

@testable import SluiceApplier

@Suite("A transaction whose pages come in parts is committed whole, or not at all")
struct PagePartTests {
  private typealias Code = Outcome.Rejection.Code
  private static let partBytes = 16 << 10
  private static let insert = """
    INSERT INTO t WITH RECURSIVE c(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM c WHERE n < 100)
    SELECT n, randomblob(1000) FROM c
    """

  private func store() throws -> TestStore {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(id INTEGER PRIMARY KEY, v)", "INSERT INTO t VALUES(1, 'one')")
    return store
  }

  /// 100 KB and more.
  private func pages(_ store: TestStore) throws -> PageBatch {
    let snapshot = try PageStore(path: store.path, environment: store.environment).snapshot(.latest)
    let edited = try EditedSnapshot(snapshot)
    try edited.execute(Self.insert)
    try edited.take()
    return try edited.batch(partBytes: Self.partBytes)
  }

  private func bytes(_ pages: PageBatch) throws -> [[UInt8]] {
    var list: [[UInt8]] = []
    try pages.parts?.forEach { (bytes) throws(StoreError) in
      list.append(bytes)
      return true
    }
    return list
  }

  @Test("What it wrote is there, once in the log, and all goes on from it")
  func committed() throws {
    let store = try store()
    let pages = try pages(store)
    let parts = try #require(pages.parts)
    #expect(parts.list.count > 4)
    #expect(try store.apply([Batch(.commit(pages))])[0].isApplied)
    #expect(try store.query("SELECT count(*) FROM t") == [[100]])
    #expect(try store.query("PRAGMA integrity_check") == [["ok"]])
    #expect(try store.apply("INSERT INTO t VALUES(200, 'two')").isApplied)
    let found = try Verification(store: store.path, store.environment) { _ in }.run()
    #expect(found.damages == 0)
    #expect(try Batch(.commit(pages)).encoded().count < 200)
    try store.drain()
    #expect(try store.names(store.layout.journal).filter { $0.hasSuffix(".seg") }.isEmpty)
    let replayed = store.path + "/replayed.sqlite"
    let history = try RecordedHistory(store: store.path, store.environment)
    let summary = try Replay.run(history, into: replayed)
    #expect(summary.takenPages == 1 && summary.samePages == summary.commits)
  }

  @Test("Over another state it is refused, and its key stays free")
  func conflict() throws {
    let store = try store()
    let pages = try pages(store)
    try store.apply("UPDATE t SET v = 'other'")
    let refused = try store.apply([Batch(.commit(pages), key: "once")])[0]
    #expect(refused.rejectionCode == Code.conflict)
    _ = try Replay.compare(try RecordedHistory(store: store.path, store.environment))
    let again = try self.pages(store)
    #expect(try store.apply([Batch(.commit(again), key: "once")])[0].isApplied)
    guard case .duplicate = try store.apply([Batch(.commit(again), key: "once")])[0] else {
      Issue.record("its repeat is no duplicate")
      return
    }
    #expect(try store.query("SELECT count(*), max(v) > '' FROM t") == [[100, 1]])
  }

  @Test("A batch that was read from the history cannot be submitted again without its parts")
  func resubmitted() throws {
    let store = try store()
    let bytes = try Batch(.commit(try pages(store))).encoded()
    let read = try bytes.withUnsafeBytes { try Batch(decoding: $0) }
    #expect(throws: StoreError.self) { try store.apply([read]) }
    let results = try store.writer().submitBlocking([Batch([.init("SELECT 1")]), read])
    #expect(throws: StoreError.self) { try results[1].get() }
  }

  // MARK: Files that lie

  private static let liar = WriterID(high: 0x0190_0000_0001_7333, low: 0x8000_0000_0000_0444)

  /// A segment with these parts, the batch, and a batch of SQL behind it.
  private func segment(
    _ store: TestStore, _ parts: [[UInt8]], _ batches: [Batch], tears: Bool = false
  ) throws {
    let description = try StoreDescription.read(store.layout, store.environment.fileSystem)
    let header = JournalSegmentHeader(
      store: description.id, id: JournalSegmentID(writer: Self.liar, number: 1), nonce: 5,
      firstSequence: SequenceNumber(1), predecessor: nil, created_ms: 1)
    var bytes = [UInt8](repeating: 0, count: 4096) + header.encoded()
    var previous = JournalSegmentHeader.checksum(of: header.encoded())
    func add(_ sections: [SectionContent], first: Int, count: UInt32, ends: Bool = false) {
      let frame = EncodedFrame(
        kind: .batches, endsSegment: ends, offset: Int64(bytes.count), nonce: 5,
        previous: previous, first: UInt64(first), count: count, sections: sections)
      bytes += frame.bytes
      previous = frame.header.checksum
    }
    for part in parts {
      add(
        [SectionContent(.batches, raw: []), SectionContent(.part, raw: part)], first: 1, count: 0)
    }
    if tears { bytes[bytes.count - Self.partBytes / 2] ^= 1 }
    for (index, batch) in batches.enumerated() {
      add(
        [SectionContent(.batches, raw: try batch.listed())], first: index + 1, count: 1,
        ends: index == batches.count - 1)
    }
    let path = "\(store.layout.journal)/\(StoreLayout.journalName(header.id))"
    try store.environment.fileSystem.create(path, mode: 0o640).write(bytes, at: 0)
  }

  /// What became of the liar's two batches, and that another writer's is applied.
  private func rows(_ store: TestStore) throws -> (pages: Int64, sql: Int64) {
    #expect(try store.apply("INSERT INTO t VALUES(900, 'other')").isApplied)
    let rows = try store.query(
      "SELECT (SELECT count(*) FROM t WHERE id BETWEEN 2 AND 100), (SELECT count(*) FROM t WHERE id = 901)"
    )[0]
    guard case .integer(let pages) = rows[0], case .integer(let sql) = rows[1] else {
      return (-1, -1)
    }
    return (pages, sql)
  }

  private static let behind = Batch([.init("INSERT INTO t VALUES(901, 'behind')")])

  enum Lie: CaseIterable {
    case none, lastIsMissing, firstIsMissing, swapped, altered, another, oneMore
  }

  private func told(_ lie: Lie, _ parts: [[UInt8]]) -> [[UInt8]] {
    var parts = parts
    switch lie {
    case .none: break
    case .lastIsMissing: parts.removeLast()
    case .firstIsMissing: parts.removeFirst()
    case .swapped: parts.swapAt(1, 2)
    case .altered: parts[1][parts[1].count / 2] ^= 1
    case .another: parts[parts.count - 1] = [0]
    case .oneMore: parts.append(parts[parts.count - 1])
    }
    return parts
  }

  @Test(arguments: Lie.allCases)
  func liesAreOneRejection(_ lie: Lie) throws {
    let store = try store()
    let pages = try pages(store)
    try segment(store, told(lie, try bytes(pages)), [Batch(.commit(pages)), Self.behind])
    try store.drain()
    let rows = try rows(store)
    #expect(rows.pages == (lie == .none ? 99 : 0))
    #expect(rows.sql == 1)
    #expect(
      try store.query("SELECT count(*) FROM _sluice_rejected") == [[lie == .none ? 0 : 1]])
    #expect(try store.query("PRAGMA integrity_check") == [["ok"]])
    // A replay comes to the same, though it has no parts.
    _ = try Replay.compare(try RecordedHistory(store: store.path, store.environment))
  }

  #if DEBUG
    @Test("Without the check a part that is missing goes unseen, and the database is damaged")
    func withoutNames() throws {
      let store = try store()
      store.environment.omittedChecks = [.namedParts]
      let pages = try pages(store)
      try segment(
        store, told(.lastIsMissing, try bytes(pages)), [Batch(.commit(pages)), Self.behind])
      do {
        try store.drain()
        #expect(try store.query("PRAGMA integrity_check") != [["ok"]])
      } catch let error as StoreError {
        // The applier itself stumbles over it.
        #expect(error.message.contains("malformed"))
      }
    }
  #endif

  @Test("Parts without their batch are nothing, and in nobody's way")
  func withoutBatch() throws {
    let store = try store()
    let parts = try bytes(try pages(store))
    try segment(store, parts, [])
    #expect(try rows(store) == (0, 0))
    #expect(try store.query("SELECT count(*) FROM _sluice_rejected") == [[0]])
  }

  @Test("Behind a part that is torn nothing is read")
  func torn() throws {
    let store = try store()
    let pages = try pages(store)
    try segment(store, try bytes(pages), [Batch(.commit(pages)), Self.behind], tears: true)
    #expect(try rows(store) == (0, 0))
    #expect(try store.query("SELECT count(*) FROM _sluice_rejected") == [[0]])
  }

  @Test("What changes behind the look at it is one rejection", arguments: [true, false])
  func changed(isRemoved: Bool) throws {
    let store = try store()
    let pages = try pages(store)
    let name =
      "\(store.layout.journal)/\(StoreLayout.journalName(.init(writer: Self.liar, number: 1)))"
    try segment(store, try bytes(pages), [Batch(.commit(pages)), Self.behind])
    let fileSystem = store.environment.fileSystem
    store.options.beforeBatch = { (batch) throws(StoreError) in
      guard batch.sequence == SequenceNumber(1), batch.writer == Self.liar else { return }
      if isRemoved {
        try? fileSystem.unlink(name)
      } else {
        try fileSystem.open(name, .write).write(
          [UInt8](repeating: 7, count: 8192), at: 8192 + 4096)
      }
    }
    try store.drain()
    let rows = try rows(store)
    #expect(rows.pages == 0 && rows.sql == 1)
    #expect(try store.query("SELECT count(*) FROM _sluice_rejected") == [[1]])
  }
}
