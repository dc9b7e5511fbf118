import SluiceJournal
import SluiceReader
import SluiceShared
import Testing

/// Promise 3: a reader sees whole commits only, and a pinned snapshot never changes.
struct SnapshotTests {
  @Test func everySnapshotStaysAsItWas() throws {
    let store = try TestStore()
    let reader = try store.open()
    var snapshots: [(Snapshot, [[UInt8]])] = []
    for i in 1...30 {
      try store.commit(insert(i * 3...i * 11))
      if i % 7 == 0 { try store.nextSegment(finishing: i % 2 == 0) }
      if i % 10 == 0 { try store.checkpoint() }
      snapshots.append((try reader.snapshot(), store.pages))
    }
    for (snapshot, pages) in snapshots {
      #expect(Int(snapshot.pageCount) == pages.count)
      for (i, page) in pages.enumerated() { #expect(try snapshot.page(UInt32(i + 1)) == page) }
    }
  }

  /// Over NFS each read of the newest segment is a round trip, and a transaction looks at page 1 three times.
  @Test func theNewestBlocksAreReadOnce() throws {
    let store = try TestStore()
    let files = CountingFileSystem()
    let reader = try store.open(files)
    for row in 1...3 {
      try store.commit(insert(row...row))
      let snapshot = try reader.snapshot()
      files.reset()
      for _ in 1...3 {
        for page in 1...2 { #expect(try snapshot.page(UInt32(page)) == store.pages[page - 1]) }
      }
      // They were read along with what the commit says of itself.
      #expect(files.counts.total == 0)
    }
    let later = try store.open(files).snapshot()
    files.reset()
    for _ in 1...3 { #expect(try later.page(2) == store.pages[1]) }
    #expect(files.counts == CountingFileSystem.Counts(reads: 1))
  }

  @Test func theChecksumIsThatOfItsPages() throws {
    let store = try TestStore()
    try store.commit(insert(1...200))
    let snapshot = try store.open().snapshot()
    var checksum = DatabaseChecksum()
    for page in 1...snapshot.pageCount {
      checksum.toggle(page: page, crc: crc32c(try snapshot.page(page)))
    }
    #expect(snapshot.checksum == checksum)
  }

  @Test func beyondTheEndAreZeros() throws {
    let store = try TestStore()
    let snapshot = try store.open().snapshot()
    let zeros = [UInt8](repeating: 0, count: snapshot.pageSize)
    #expect(try snapshot.page(snapshot.pageCount + 1) == zeros)
    #expect(try snapshot.crc(ofPage: snapshot.pageCount + 1) == crc32c(zeros))
  }

  @Test func addingACommitIsWhatAReaderSees() throws {
    let store = try TestStore()
    let reader = try store.open()
    let before = try reader.snapshot()
    let start = store.holder.confirmed
    try store.commit(insert(1...100))
    let segment = try LogSegment(
      path: store.segmentPath, store: store.description.id, environment: store.environment)
    var cursor = LogCursor(
      segment, from: start.end, checksum: start.checksum, to: store.holder.confirmed.end,
      environment: store.environment)
    let header = try #require(try cursor.next())
    let commit = try cursor.commit(header)
    let after = before.adding(
      entries: try cursor.pages(of: header), in: segment, meta: commit.meta, extent: commit.extent)
    #expect(try store.difference(after) == nil)
    #expect(before.txid == .zero)
  }

  @Test func aDatabaseMayShrinkAndGrowAgain() throws {
    let store = try TestStore(
      "PRAGMA auto_vacuum = FULL; CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
    let reader = try store.open()
    try store.commit(insert(1...300))
    let large = store.pages.count
    #expect(try store.difference(reader.snapshot()) == nil)
    try store.commit("DELETE FROM t WHERE id > 10; VACUUM")
    #expect(store.pages.count < large)
    #expect(try store.difference(reader.snapshot()) == nil)
    try store.commit(insert(1...400))
    #expect(store.pages.count > large)
    #expect(try store.difference(reader.snapshot()) == nil)
    #expect(try store.difference(store.open().snapshot()) == nil)
  }

  /// A page that was dropped and comes back without being written is zeros, not what it was.
  @Test(arguments: [false, true], [0, 1, 2, 3])
  func aDroppedPageDoesNotReappear(finishing: Bool, newSegments: Int) throws {
    let store = try TestStore()
    try store.commit(insert(1...200))
    try store.checkpoint()
    try store.commit(insert(1...220))
    let reader = try store.open()
    let full = store.pages
    let small = Array(full[0..<5])
    var again = full
    again[9] = [UInt8](repeating: 0, count: full[9].count)

    if newSegments & 1 != 0 { try store.nextSegment(finishing: finishing) }
    try store.commit(image: small)
    if newSegments & 2 != 0 { try store.nextSegment(finishing: finishing) }
    try store.commit(image: again, unwritten: [10])
    #expect(try store.difference(reader.snapshot()) == nil)
    if finishing { try store.nextSegment(finishing: true) }
    #expect(try store.difference(reader.snapshot()) == nil)
    #expect(try store.difference(store.open().snapshot()) == nil)
  }

  @Test func severalThreadsRead() throws {
    let store = try TestStore()
    try store.commit(insert(1...500))
    let snapshot = try store.open().snapshot()
    let pages = store.pages
    ThreadExecutor.shared.concurrently(8) { thread in
      for round in 0..<200 {
        let page = (thread * 31 + round * 7) % pages.count
        #expect((try? snapshot.page(UInt32(page + 1))) == pages[page])
      }
    }
  }

  /// Commits at random, growing and shrinking, against a dictionary.
  @Test func theIndexIsADictionary() throws {
    let store = try TestStore("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); \(insert(1...200))")
    let segment = try LogSegment(
      path: store.segmentPath, store: store.description.id, environment: store.environment)
    var snapshot = try store.open().snapshot()
    let zeros = crc32c([UInt8](repeating: 0, count: snapshot.pageSize))
    var model = store.pages.map { crc32c($0) }
    var random = SystemRandomNumberGenerator()
    for commit in 1...1500 {
      let count = max(1, model.count + Int.random(in: -9...10, using: &random))
      let written = (1...count).filter { _ in Int.random(in: 0..<count, using: &random) < 6 }
      model = (0..<count).map { $0 < model.count ? model[$0] : zeros }
      var entries: [PageEntry] = []
      for page in written {
        let crc = UInt32.random(in: .min ... .max, using: &random)
        model[page - 1] = crc
        entries.append(PageEntry(page: UInt32(page), storedBytes: 1, crc: crc, offset: 0))
      }
      let meta = CommitMeta(
        commit: UInt64(commit), time_ms: 0, entropy: Identifier128(high: 0, low: 0),
        pageSize: 1024, pageCount: UInt32(count), checksum: DatabaseChecksum(), rejected: 0)
      snapshot = snapshot.adding(
        entries: entries, in: segment, meta: meta,
        extent: LogExtent(txid: TxID(UInt64(commit)), commits: UInt64(commit), time_ms: 0))
      for page in 1...count where commit % 10 == 0 || written.contains(page) {
        #expect(try snapshot.crc(ofPage: UInt32(page)) == model[page - 1])
      }
    }
  }
}
