import SluiceQuery
import SluiceReader
import SluiceSQLite
import SluiceShared
import Testing

/// A commit can change the page size: a state has that of its last commit, whatever it is made from.
struct PageSizeTests {
  init() { ReadVFS.register() }

  private func resize(_ store: TestStore, to size: Int) throws {
    try store.commit("PRAGMA page_size = \(size); VACUUM")
  }

  private func open(_ store: TestStore) throws -> Connection {
    try Connection(path: "file:\(store.root)?vfs=sluice", flags: [.readOnly, .uri, .noMutex])
  }

  @Test(arguments: [512, 4096, 65536])
  func everyWayToAStateHasItsPages(size: Int) throws {
    let store = try TestStore()
    try store.commit(insert(1...300))
    let reader = try store.open()
    let before = (try reader.snapshot(), store.pages)
    for (i, finishing) in [true, true, false, true].enumerated() {
      // In a segment's first commit, and in one behind others.
      if i % 2 == 1 { try store.commit(insert(400 + i...500)) }
      try resize(store, to: i % 2 == 0 ? size : 1024)
      #expect(try store.difference(try reader.snapshot()) == nil)
      #expect(try store.difference(try store.open().snapshot()) == nil)
      try store.commit(insert(600...700 + 50 * i))
      if i == 2 { try store.checkpoint() }
      #expect(try store.difference(try reader.snapshot()) == nil)
      try store.nextSegment(finishing: finishing)
      #expect(try store.difference(try store.open().snapshot()) == nil)
    }
    for (i, page) in before.1.enumerated() {
      #expect(try before.0.page(UInt32(i + 1)) == page)
    }
  }

  /// The size is what it was in the end, and no page is.
  @Test func thereAndBackInOneSegmentNothingOlderCounts() throws {
    let store = try TestStore()
    try store.commit(insert(1...300))
    try store.nextSegment(finishing: true)
    try store.commit("DELETE FROM t WHERE id > 10")
    try resize(store, to: 8192)
    try resize(store, to: 1024)
    try store.nextSegment(finishing: true)
    try store.commit(insert(11...12))
    #expect(try store.difference(try store.open().snapshot()) == nil)
  }

  @Test func aConnectionTakesItUpWithItsNextTransaction() throws {
    let store = try TestStore()
    try store.commit(insert(1...300, "'old'"))
    let (beside, connection) = (try open(store), try open(store))
    let statement = try connection.prepare("SELECT count(*), min(v) FROM t")
    #expect(try statement.step())
    statement.reset()
    try beside.execute("BEGIN")
    #expect(try beside.scalar("SELECT count(*) FROM t WHERE v = 'old'") == 300)
    for size in [8192, 512, 65536, 1024] {
      try resize(store, to: size)
      try store.commit(insert(1...300, "'size \(size)'"))
      #expect(try statement.step())
      #expect(statement.columnValue(1) == .text("size \(size)"))
      statement.reset()
      #expect(try connection.scalar("PRAGMA page_size") == .integer(Int64(size)))
      #expect(try connection.scalar("PRAGMA integrity_check") == "ok")
      #expect(try beside.scalar("SELECT count(*) FROM t WHERE v = 'old'") == 300)
    }
    try beside.execute("COMMIT")
    #expect(try beside.scalar("SELECT count(*) FROM t WHERE v = 'size 1024'") == 300)
    #expect(try beside.scalar("PRAGMA integrity_check") == "ok")
  }

  /// There is nothing else that has a page which it leaves out.
  @Test(arguments: [false, true])
  func aChangeThatLeavesAPageOutIsDamage(isMerged: Bool) throws {
    let store = try TestStore()
    try store.commit(insert(1...300))
    let reader = try store.open()
    _ = try reader.snapshot()
    try store.plain.execute("PRAGMA page_size = 512; VACUUM")
    try store.commit(image: try store.imageOfPlain(), unwritten: [3])
    if isMerged { try store.nextSegment(finishing: true) }
    for reader in [reader, nil] {
      let error = #expect(throws: StoreError.self) {
        try (reader ?? store.open()).snapshot()
      }
      #expect(error?.code == .damaged)
    }
  }

  @Test func withTheCheckpointsSizeTheStateCannotBeRead() throws {
    let store = try TestStore()
    try store.commit(insert(1...300))
    try resize(store, to: 4096)
    let snapshot = try store.open(omitting: [.ownPageSize]).snapshot()
    #expect(throws: (any Error).self) { try snapshot.page(2) }
  }
}
