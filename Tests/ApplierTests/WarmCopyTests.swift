import Glibc
import SluiceApplier
import SluiceFakes
import SluiceJournal
import SluiceReader
import SluiceSQLite
import SluiceShared
import Testing

@Suite("A warm copy is each state of its store, whole")
struct WarmCopyTests {
  private func rows(_ path: String) throws -> SQLValue? {
    let connection = try Connection(path: path, flags: [.readOnly])
    #expect(try connection.scalar("PRAGMA integrity_check") == "ok")
    return try connection.scalar("SELECT count(*) FROM t")
  }

  @Test("Over terms, checkpoints and what is removed, as whoever opens it sees it")
  func followed() throws {
    let store = try BackedUpStore()
    let path = "\(store.place)/warm.sqlite"
    let copy = try WarmCopy(of: store.store.path, at: path, store.environment)
    #expect(try copy.update() == TxID(1))
    #expect(try copy.update() == nil)
    let opened = try Connection(path: path, flags: [.readOnly])
    #expect(try opened.scalar("SELECT count(*) FROM t") == 0)
    try PosixFileSystem().setPermissions(path, mode: 0o644)
    for n in 1...5 {
      try store.work(n...n)
      try store.makeCheckpoint()
      if n == 4 { try removeOld(store) }
      #expect(try copy.update() == TxID(UInt64(n) + 1))
      #expect(try rows(path) == .integer(Int64(n)))
    }
    // What was open stays what it was, and what was said of its rights as well.
    #expect(try opened.scalar("SELECT count(*) FROM t") == 0)
    #expect(try PosixFileSystem().status(path).permissions & 0o777 == 0o644)
    #expect(try store.names(store.place).sorted() == ["warm.sqlite", "warm.sqlite.copy"])
  }

  private func removeOld(_ store: BackedUpStore) throws {
    let layout = store.store.layout
    let newest = try #require(store.names(layout.log).compactMap(StoreLayout.logNumber).max())
    let retirement = LogRetirement(layout: layout, environment: .posix(), name: "test")
    _ = try retirement.retire(below: newest, beneath: newest)
    _ = try retirement.delete(movedBefore: .max)
  }

  /// What is exclusive-or'd with the polynomial of the checksum has the same one.
  @Test("A page that another process left is not taken for the store's because it has its checksum")
  func collision() throws {
    let store = try BackedUpStore()
    try store.work(1...3)
    let path = "\(store.place)/warm.sqlite"
    do {
      let copy = try WarmCopy(of: store.store.path, at: path, store.environment)
      _ = try copy.update()
    }
    let whole = try PosixFileSystem().open(path, .fixed).read(1 << 20, at: 0)
    let file = try PosixFileSystem().open(path, .write)
    let place = Int64(whole.count - 100)
    var bytes = try file.read(5, at: place)
    let polynomial: UInt64 = 1 | 0x82F6_3B78 << 1
    for i in bytes.indices { bytes[i] ^= UInt8(truncatingIfNeeded: polynomial >> (8 * i)) }
    try file.write(bytes, at: place)
    let pageSize = try StoreDescription.read(store.store.layout, PosixFileSystem()).pageSize
    let changed = try file.read(pageSize, at: Int64(whole.count - pageSize))
    #expect(changed != Array(whole.suffix(pageSize)))
    #expect(crc32c(changed) == crc32c(Array(whole.suffix(pageSize))))
    let next = try WarmCopy(of: store.store.path, at: path, store.environment)
    _ = try next.update()
    #expect(try PosixFileSystem().open(path, .fixed).read(1 << 20, at: 0) == whole)
  }

  @Test("Pages that did not change are not read from the store again")
  func reused() throws {
    let store = try BackedUpStore()
    try store.store.apply("CREATE TABLE large(x)")
    try store.store.apply(
      "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 500) INSERT INTO large SELECT randomblob(3000) FROM c"
    )
    try store.makeCheckpoint()
    let read = Monitor(0)
    var environment = store.environment
    let root = store.store.layout.root
    environment.fileSystem = HookedFileSystem(PosixFileSystem()) { operation in
      if operation.action == .read, operation.path.hasPrefix(root + "/") {
        read.withLock { $0 += operation.count }
      }
      return .done
    }
    let copy = try WarmCopy(
      of: store.store.path, at: "\(store.place)/warm.sqlite", environment)
    #expect(try copy.update() == TxID(3))
    #expect(read.withLock { $0 } > 1_500_000)
    try store.work(1...1)
    read.withLock { $0 = 0 }
    #expect(try copy.update() == TxID(4))
    #expect(read.withLock { $0 } < 500_000, "\(read.withLock { $0 }) bytes")
    #expect(try rows("\(store.place)/warm.sqlite") == 1)
  }

  @Test("It goes on with a file that is its own, and touches no other")
  func owned() throws {
    let store = try BackedUpStore()
    let path = "\(store.place)/warm.sqlite"
    let fileSystem = PosixFileSystem()
    func refused(_ source: String) -> StoreError.Code? {
      do throws(StoreError) {
        _ = try WarmCopy(of: source, at: path, store.environment)
        return nil
      } catch { return error.code }
    }
    try fileSystem.create(path, mode: 0o644).write([1, 2, 3], at: 0)
    #expect(refused(store.store.path) == .invalid)
    #expect(try store.names(store.place) == ["warm.sqlite"])
    try fileSystem.unlink(path)
    do {
      let copy = try WarmCopy(of: store.store.path, at: path, store.environment)
      #expect(refused(store.store.path) == .busy)
      #expect(try copy.update() == TxID(1))
    }
    // Of a process that died in mid-copy.
    _ = try fileSystem.create(
      "\(store.place)/\(StoreLayout.temporaryName("warm.sqlite", 7))", mode: 0o600)
    _ = try fileSystem.create(
      "\(store.place)/\(StoreLayout.temporaryName("other.sqlite", 7))", mode: 0o600)
    try store.work(1...1)
    let again = try WarmCopy(of: store.store.path, at: path, store.environment)
    #expect(try again.update() == TxID(2))
    #expect(try store.names(store.place).count { $0.hasSuffix(".tmp") } == 1)
    let other = try TestStore()
    #expect(refused(other.path) == .busy || refused(other.path) == .foreign)
    // A journal of somebody who wrote to it.
    _ = try fileSystem.create(path + "-wal", mode: 0o644)
    try store.work(2...2)
    let error = #expect(throws: StoreError.self) { try again.update() }
    #expect(error?.code == .invalid)
    #expect(try rows(path) == 1)
  }

  @Test("Stopped in the middle, or out of room, it leaves the state that there was")
  func stopped() throws {
    let store = try BackedUpStore()
    let path = "\(store.place)/warm.sqlite"
    let isFull = Monitor(false)
    var environment = store.environment
    environment.fileSystem = HookedFileSystem(PosixFileSystem()) { operation in
      guard operation.action == .write, isFull.withLock({ $0 }) else { return .done }
      return .fails(StoreError(.io, "full", path: operation.path, errno: ENOSPC))
    }
    let copy = try WarmCopy(of: store.store.path, at: path, environment)
    #expect(try copy.update() == TxID(1))
    try store.work(1...1)
    #expect(try copy.update(shouldStop: { true }) == nil)
    #expect(try rows(path) == 0)
    isFull.withLock { $0 = true }
    #expect(throws: StoreError.self) { try copy.update() }
    #expect(try rows(path) == 0)
    #expect(try store.names(store.place).sorted() == ["warm.sqlite", "warm.sqlite.copy"])
    isFull.withLock { $0 = false }
    #expect(try copy.update() == TxID(2))
    #expect(try rows(path) == 1)
  }
}
