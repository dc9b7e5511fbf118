import Glibc
import SluiceJournal
import SluiceReader
import SluiceShared
import Testing

/// A snapshot written out is the database, in few reads; what was damaged is named and not written.
struct SnapshotImageTests {
  private func image(_ snapshot: Snapshot, of store: TestStore, _ files: any FileSystem) throws
    -> [UInt8]
  {
    var environment = store.environment
    environment.fileSystem = files
    let path = "\(store.root).image"
    defer { unlink(path) }
    let checksums = try SnapshotImage(snapshot, environment).write(to: path, mode: 0o600)
    #expect(checksums == store.pages.map { crc32c($0) })
    return try store.environment.fileSystem.open(path, .fixed).read(
      Int(snapshot.byteCount) + 1, at: 0)
  }

  /// Pages of the checkpoint and of three segments, compressed ones among them, and dropped ones.
  private func mixedStore() throws -> TestStore {
    let store = try TestStore("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); \(insert(1...900))")
    for i in 1...3 {
      try store.commit("UPDATE t SET v = hex(randomblob(30 + id)) WHERE id % 40 < \(3 * i)")
      try store.commit("UPDATE t SET v = printf('%.*c', length(v), 'x') WHERE id % 31 = \(i)")
      if i == 2 {
        let full = store.pages
        try store.commit(image: Array(full[0..<full.count - 20]))
        var again = full
        for page in full.count - 20..<full.count {
          again[page] = [UInt8](repeating: 0, count: full[page].count)
        }
        try store.commit(image: again, unwritten: Set(full.count - 15...full.count))
      }
      if i < 3 { try store.nextSegment(finishing: i == 1) }
    }
    return store
  }

  @Test func allPagesAreThereAndTheirChecksums() throws {
    let store = try mixedStore()
    let files = CountingFileSystem()
    let snapshot = try store.open(files).snapshot()
    files.reset()
    #expect(try image(snapshot, of: store, files) == Array(store.pages.joined()))
    // To write, and to read back; a page by itself would be one read each.
    #expect(
      files.counts.reads < store.pages.count / 4, "\(files.counts), \(store.pages.count) pages")
  }

  @Test func damagedNeighboursAreNamed() throws {
    let store = try mixedStore()
    let snapshot = try store.open().snapshot()
    let checkpoint = try store.environment.fileSystem.open(store.checkpointPath, .fixed)
    let size = snapshot.pageSize
    let unchanged = try (1..<store.pages.count).first {
      try checkpoint.read(size, at: Int64($0 * size)) == store.pages[$0]
    }
    let offset = Int64(try #require(unchanged) * size)
    try store.damage(store.checkpointPath, at: offset + 100)
    let error = #expect(throws: StoreError.self) {
      try image(snapshot, of: store, store.environment.fileSystem)
    }
    #expect(error?.code == .damaged && error?.path == store.checkpointPath)
    #expect(error?.offset == offset)
  }
}
