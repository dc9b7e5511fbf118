import SluiceJournal
import SluiceReader
import SluiceShared
import Testing

/// Promise 8: damage is detected where it is read, and named.
struct DamageTests {
  /// A store whose page `number` lies in the log, at the offset returned.
  private func storeWithPageInLog() throws -> (TestStore, PageEntry) {
    let store = try TestStore()
    let start = store.holder.confirmed
    try store.commit(insert(1...40))
    let segment = try LogSegment(
      path: store.segmentPath, store: store.description.id, environment: store.environment)
    var cursor = LogCursor(
      segment, from: start.end, checksum: start.checksum, to: store.holder.confirmed.end,
      environment: store.environment)
    let header = try #require(try cursor.next())
    // The last one is full of random text, so it is stored as it is.
    let entry = try #require(try cursor.pages(of: header).last { $0.page > 1 })
    return (store, entry)
  }

  @Test func aDamagedPageInTheLogIsNamed() throws {
    let (store, entry) = try storeWithPageInLog()
    let snapshot = try store.open().snapshot()
    try store.damage(store.segmentPath, at: entry.offset + 20)
    let error = #expect(throws: StoreError.self) { try snapshot.page(entry.page) }
    #expect(error?.code == .damaged)
    #expect(error?.path == store.segmentPath)
    #expect(error?.offset == entry.offset)
    // Everything else stays usable.
    for page in 1...snapshot.pageCount where page != entry.page {
      #expect(try snapshot.page(page) == store.pages[Int(page) - 1])
    }
  }

  @Test func aDamagedPageOfACheckpointIsNamed() throws {
    let store = try TestStore()
    let snapshot = try store.open().snapshot()
    try store.damage(store.checkpointPath, at: 1024 + 300)
    let error = #expect(throws: StoreError.self) { try snapshot.page(2) }
    #expect(error?.code == .damaged)
    #expect(error?.path == store.checkpointPath)
    #expect(error?.offset == 1024)
    #expect(try snapshot.page(1) == store.pages[0])
  }

  @Test func damagedChecksumsOfACheckpointAreNamed() throws {
    let store = try TestStore()
    let snapshot = try store.open().snapshot()
    try store.damage(store.sidecarPath, at: 4096 + 2)
    let error = #expect(throws: StoreError.self) { try snapshot.page(1) }
    #expect(error?.code == .damaged)
    #expect(error?.path == store.sidecarPath)
    #expect(error?.offset == 4096)
  }

  @Test func aDamagedFrameIsNamed() throws {
    let (store, _) = try storeWithPageInLog()
    let reader = try store.open()
    let offset = store.holder.confirmed.end
    try store.commit(insert(1...2))
    try store.damage(store.segmentPath, at: offset + 60)
    let error = #expect(throws: StoreError.self) { try reader.snapshot() }
    #expect(error?.code == .damaged)
    #expect(error?.path == store.segmentPath)
    #expect(error?.offset == offset)
    // What was read before stays readable.
    #expect(reader.current.txid == TxID(1))
  }

  @Test func withoutTheChecksumDamageWouldBeReadAsData() throws {
    let store = try TestStore()
    let snapshot = try store.open(omitting: [.pageChecksum]).snapshot()
    try store.damage(store.checkpointPath, at: 1024 + 300)
    #expect(try snapshot.page(2) != store.pages[1])
  }

  @Test func aCacheThatIsWrongIsReadAgain() throws {
    let (store, entry) = try storeWithPageInLog()
    let files = CountingFileSystem()
    let snapshot = try store.open(files).snapshot()
    try store.damage(store.segmentPath, at: entry.offset + 20)
    let block = entry.offset / Int64(Block.size) * Int64(Block.size)
    // The damage is gone when the page is read for the second time.
    files.onRead { [segment = store.segmentPath] path, offset in
      guard path == segment, offset == block else { return }
      files.onRead { _, _ in
        files.onRead(nil)
        guard let file = try? PosixFileSystem().open(segment, .write),
          var byte = try? file.read(1, at: entry.offset + 20)
        else { return }
        byte[0] ^= 0x10
        try? file.write(byte, at: entry.offset + 20)
      }
    }
    #expect(try snapshot.page(entry.page) == store.pages[Int(entry.page) - 1])
  }

  @Test func anExpiredSnapshotSaysSoAndANewOneIsFound() throws {
    let store = try TestStore(
      "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); \(insert(11...200))")
    let files = CountingFileSystem()
    let reader = try store.open(files)
    try store.commit(insert(1...10))
    let old = try reader.snapshot()
    let removed = [store.checkpointPath, store.sidecarPath]
    try store.checkpoint()
    for path in removed {
      try store.remove(path)
      files.makeStale(path)
    }
    #expect(try reader.snapshot().checkpointTxID == .zero)
    let error = #expect(throws: StoreError.self) {
      for page in 1...old.pageCount { _ = try old.page(page) }
    }
    #expect(error?.code == .snapshotExpired)
    #expect(try store.difference(reader.snapshot(.maxStaleness(.seconds(60)))) == nil)
    #expect(try reader.snapshot().checkpointTxID == TxID(1))
  }

  @Test func aSegmentMovedToOldIsStillRead() throws {
    let store = try TestStore()
    try store.environment.fileSystem.makeDirectory(store.layout.oldLog, mode: 0o755)
    try store.commit(insert(1...40))
    let files = CountingFileSystem()
    let snapshot = try store.open(files).snapshot()
    let name = StoreLayout.logName(1)
    try store.environment.fileSystem.link(store.segmentPath, to: "\(store.layout.oldLog)/\(name)")
    try store.remove(store.segmentPath)
    files.makeStale(store.segmentPath)
    #expect(try store.difference(snapshot) == nil)
  }
}
