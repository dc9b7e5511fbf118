import Glibc
import SluiceFakes
import SluiceJournal
import SluiceReader
import SluiceShared
import Testing

/// How a reader follows the log through takeovers, rotations and checkpoints.
struct LogReadingTests {
  @Test func aTakeoverIsFollowed() throws {
    let store = try TestStore()
    let reader = try store.open()
    try store.commit(insert(1...50))
    #expect(try reader.snapshot().txid == TxID(1))
    // Confirmed, not published: the successor carries it over.
    try store.commit(insert(51...90), publishing: false)
    try store.nextSegment(finishing: false)
    #expect(try store.difference(reader.snapshot()) == nil)
    try store.commit(insert(20...70))
    #expect(try store.difference(reader.snapshot()) == nil)
    #expect(try store.difference(store.open().snapshot()) == nil)
  }

  @Test func aRotatedSegmentIsReadByItsMergedIndex() throws {
    let store = try TestStore()
    for i in 1...200 { try store.commit(insert(i...i + 200)) }
    let files = CountingFileSystem()
    let walking = try store.open(files)
    let walked = files.counts.reads
    try store.nextSegment(finishing: true)
    try store.commit(insert(1...3))
    files.reset()
    let merged = try store.open(files)
    #expect(files.counts.reads < walked)
    #expect(files.counts.reads < 12)
    #expect(try store.difference(merged.current) == nil)
    #expect(try store.difference(walking.snapshot()) == nil)
  }

  /// However many commits a finished segment holds, its last frame has all of it. The directory is listed once.
  @Test func aFinishedSegmentIsOpenedByOneRead() throws {
    let store = try TestStore()
    let files = CountingFileSystem()
    var reads: [Int] = []
    var lists: [Int] = []
    for _ in 0..<3 {
      for _ in 0..<10 {
        for i in 1...20 { try store.commit(insert(i...i + 20)) }
        try store.nextSegment(finishing: true)
      }
      try store.commit(insert(1...3))
      files.reset()
      #expect(try store.difference(store.open(files).current) == nil)
      files.reset()
      _ = try store.open(files)
      reads.append(files.counts.reads)
      lists.append(files.counts.lists)
    }
    #expect(reads[1] - reads[0] == 10 && reads[2] - reads[1] == 10, "\(reads)")
    #expect(lists[0] == lists[1] && lists[1] == lists[2], "\(lists)")
  }

  /// Commits that were carried over, segments that nobody finished, and what an earlier version finished: each is
  /// opened by its header then.
  @Test func aSegmentWithoutSuchALastFrameIsOpenedByItsHeader() throws {
    let store = try TestStore()
    for i in 1...12 {
      try store.commit(insert(i...i + 20))
      if i % 3 == 0 { try store.commit(insert(i...i + 3), publishing: false) }
      try store.nextSegment(finishing: i % 2 == 0)
    }
    for number: UInt64 in [2, 4, 6] { try damageCopyOfHeader(in: store, number) }
    #expect(try store.difference(store.open().current) == nil)
  }

  @Test func aCheckpointInsideASegmentIsABase() throws {
    let store = try TestStore()
    for i in 1...20 { try store.commit(insert(i...i * 9)) }
    try store.checkpoint()
    for i in 1...20 { try store.commit(insert(i...i * 5)) }
    let walking = try store.open()
    #expect(walking.current.checkpointTxID == TxID(20))
    #expect(try store.difference(walking.current) == nil)
    try store.nextSegment(finishing: true)
    let merged = try store.open()
    #expect(try store.difference(merged.current) == nil)
  }

  /// It stood still in between, for so long that retention has removed the file.
  @Test func aSegmentThatGoesBetweenItsOpeningAndItsHeaderIsListedAgain() throws {
    let store = try TestStore()
    try store.commit(insert(1...50))
    let wasMet = Monitor(false)
    let files = HookedFileSystem { operation in
      guard operation.action == .read, operation.path.hasSuffix(".log"),
        operation.offset == Block.header, !wasMet.withLock({ $0 })
      else { return .done }
      wasMet.withLock { $0 = true }
      return .fails(.posix(ESTALE, operation.path))
    }
    #expect(try store.difference(store.open(files).snapshot()) == nil)
    #expect(wasMet.withLock { $0 })
  }

  @Test func manySegmentsBehindBeginAnew() throws {
    let store = try TestStore()
    let reader = try store.open()
    for i in 1...100 {
      try store.commit(insert(i...i + 20))
      try store.nextSegment(finishing: i % 3 != 0)
    }
    #expect(try store.difference(reader.snapshot()) == nil)
    for i in 1...100 {
      try store.commit(insert(i...i + 20))
      try store.nextSegment(finishing: i % 3 != 0)
      if i % 5 == 0 { #expect(try store.difference(reader.snapshot()) == nil) }
    }
    #expect(try store.difference(reader.snapshot()) == nil)
  }

  @Test func aLargeIndexMovesToANewerCheckpoint() throws {
    let store = try TestStore(pageSize: 512)
    try store.commit(insert(1...30000))
    let reader = try store.open()
    #expect(store.pages.count > 4200)
    let old = try reader.snapshot()
    let oldPages = store.pages
    #expect(old.checkpointTxID == .zero)
    try store.checkpoint()
    let new = try reader.snapshot()
    #expect(new.checkpointTxID == TxID(1))
    #expect(try store.difference(new) == nil)
    try store.commit(insert(1...30))
    #expect(try store.difference(reader.snapshot()) == nil)
    // What was pinned before stays valid.
    for i in stride(from: 0, to: oldPages.count, by: 97) {
      #expect(try old.page(UInt32(i + 1)) == oldPages[i])
    }
  }

  @Test func aSmallIndexStaysWithItsCheckpoint() throws {
    let store = try TestStore()
    let reader = try store.open()
    try store.commit(insert(1...10))
    try store.checkpoint()
    #expect(try reader.snapshot().checkpointTxID == .zero)
  }

  @Test func aDamagedCheckpointIsPassedOverForAnOlderOne() throws {
    let store = try TestStore()
    try store.commit(insert(1...10))
    try store.checkpoint()
    try store.damage(store.sidecarPath, at: 40)
    let reader = try store.open()
    #expect(reader.current.checkpointTxID == .zero)
    #expect(try store.difference(reader.current) == nil)
  }

  @Test func aCheckpointNewerThanThePresentIsNotUsed() throws {
    let store = try TestStore()
    try store.commit(insert(1...10), publishing: false)
    try store.checkpoint(publishing: false)
    let reader = try store.open()
    #expect(reader.current.txid == .zero)
    try store.publish()
    #expect(try store.difference(reader.snapshot()) == nil)
  }

  @Test func anotherStoresCheckpointIsRefused() throws {
    let store = try TestStore()
    let other = try TestStore()
    for path in [store.sidecarPath, store.checkpointPath] { try store.remove(path) }
    try store.environment.fileSystem.link(other.sidecarPath, to: store.sidecarPath)
    try store.environment.fileSystem.link(other.checkpointPath, to: store.checkpointPath)
    let error = #expect(throws: StoreError.self) { try store.open() }
    #expect(error?.code == .foreign)
  }

  @Test func thereIsNoStoreWhereThereIsNone() throws {
    let error = #expect(throws: StoreError.self) {
      try PageStore(path: "/tmp/no-such-store-here", environment: .posix())
    }
    #expect(error?.code == .noSuchStore)
  }

  private func damageCopyOfHeader(in store: TestStore, _ number: UInt64) throws {
    let path = "\(store.layout.log)/\(StoreLayout.logName(number))"
    let segment = try LogSegment(
      path: path, store: store.description.id, environment: store.environment)
    let place = try #require(try segment.control().beacon).position.lastFrame
    var scanner = segment.scanner()
    let frame = try #require(try scanner.header(at: place))
    let section = try #require(frame.section(.segmentHeader))
    try store.damage(path, at: place + section.offset)
  }
}
