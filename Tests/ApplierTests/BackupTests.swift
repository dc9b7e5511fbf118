import Glibc
import SluiceApplier
import SluiceFakes
import SluiceJournal
import SluiceReader
import SluiceSQLite
import SluiceShared
import SluiceWriter
import Testing

@Suite("A backup is a whole copy, or none, and grows with its store")
struct BackupTests {
  @Test("Of several terms, with what every command asks of a store")
  func whole() throws {
    let store = try BackedUpStore()
    try store.work(1...3)
    try store.makeCheckpoint()
    try store.work(4...6)
    let summary = try store.backUp()
    #expect(summary.isFirst && summary.txid == TxID(7) && summary.checkpoints == 1)
    try store.expectWhole(upTo: 7)
    let copy = store.copy
    // Nothing of it is the store's own.
    for directory in ["log", "checkpoints"] {
      for name in try store.names("\(copy)/\(directory)") where name != "old" {
        #expect(try PosixFileSystem().status("\(copy)/\(directory)/\(name)").links == 1)
      }
    }
    #expect(
      try store.names(copy).sorted() == [
        "backup.json", "checkpoints", "current.sqlite", "journal", "log", "store.json",
      ])
    #expect(try PosixFileSystem().status("\(copy)/journal").permissions & 0o7777 == 0o3777)
    let mark = try PosixFileSystem().open("\(copy)/backup.json", .fixed).read(4096, at: 0)
    #expect(String(decoding: mark, as: UTF8.self).contains("\"whole\": true}"))
    // What is before the checkpoint is not in it.
    let feed = try ChangeFeed(path: copy, from: TxID(5), environment: store.environment)
    var seen: [UInt64] = []
    try feed.advance { seen.append($0.txid.rawValue) }
    #expect(seen == [5, 6, 7])
    let replayed = try Replay.run(
      RecordedHistory(store: copy, store.environment), into: "\(store.place)/replayed.sqlite")
    #expect(replayed.last == TxID(7))
    let current = try Connection(path: "\(copy)/current.sqlite", flags: [.readOnly])
    #expect(try current.scalar("SELECT count(*) FROM t") == 3)
  }

  @Test("Again into the same directory: only what is new, in the tail and behind it")
  func incremental() throws {
    let store = try BackedUpStore()
    try store.work(1...2)
    _ = try store.backUp()
    let first = try store.inodes()
    // Nothing is new.
    let same = try store.backUp()
    #expect(same.bytes == 0 && same.segments == 0 && !same.isFirst)
    try store.applying { writer in
      for i in 3...8 {
        let receipt = try writer.submitBlocking(BackedUpStore.row(i))
        _ = try writer.outcomeBlocking(of: receipt, timeout: .seconds(60))
        let summary = try store.backUp()
        #expect(summary.txid == TxID(UInt64(i) + 1))
        // A term's first segment, and then what it grows by.
        #expect(summary.segments <= (i == 3 ? 2 : 1) && summary.bytes < 200_000)
        try store.expectWhole(upTo: UInt64(i) + 1)
      }
    }
    try store.makeCheckpoint()
    try store.work(9...9)
    let last = try store.backUp()
    #expect(last.checkpoints == 1 && last.txid == TxID(10))
    try store.expectWhole(upTo: 10)
    // What was there is there, in the same files.
    let now = try store.inodes()
    #expect(first.allSatisfy { now[$0.key] == $0.value })
    // All of the past, though the newest checkpoint is later.
    #expect(try store.queryCopy("SELECT count(*) FROM t", .asOf(.txid(TxID(3)))) == 2)
  }

  @Test("A copy of a copy is a store that goes on, and knows keys and writers")
  func led() throws {
    let store = try BackedUpStore()
    try store.work(1...2)
    try store.store.apply([Batch(BackedUpStore.row(3).statements, key: "k")])
    _ = try store.backUp()
    let place = try TestStore()
    removeTree(place.path)
    try store.copyFiles(to: place.path)
    let outcomes = try place.apply([
      Batch(BackedUpStore.row(3).statements, key: "k"), BackedUpStore.row(4),
    ])
    #expect(outcomes.map(\.isApplied) == [false, true])
    guard case .duplicate(let of, _) = outcomes[0] else {
      Issue.record("\(outcomes[0])")
      return
    }
    #expect(of == TxID(4))
    #expect(try place.query("SELECT count(*) FROM t") == [[4]])
    var damages: [Verification.Damage] = []
    _ = try Verification(store: place.path, place.environment) { damages.append($0) }.run()
    #expect(damages == [])
  }

  @Test("What is no copy, or another's, is not touched")
  func refusals() throws {
    let store = try BackedUpStore()
    try store.work(1...2)
    let fileSystem = PosixFileSystem()
    // Something else is there.
    try fileSystem.makeDirectory(store.copy, mode: 0o755)
    _ = try fileSystem.create("\(store.copy)/notes.txt", mode: 0o644)
    #expect(store.failure() == .invalid)
    #expect(try store.names(store.copy) == ["notes.txt"])
    // The store itself.
    #expect(store.failure(into: store.store.path) == .invalid)
    try fileSystem.unlink("\(store.copy)/notes.txt")
    _ = try store.backUp()
    // The same with a mark in it, as a copy has that was put in place.
    #expect(throws: StoreError.self) {
      try Backup(store: store.copy, store.environment).write(into: store.copy)
    }
    // Another store's.
    let other = try TestStore()
    let error = #expect(throws: StoreError.self) {
      try Backup(store: other.path, other.environment).write(into: store.copy)
    }
    #expect(error?.code == .foreign)
    // Somebody led it.
    try store.work(3...3)
    var options = store.store.options
    options.drains = true
    try Applier(path: store.copy, options: options, environment: store.environment)
      .run(shouldStop: { false })
    #expect(store.failure() == .foreign)
  }

  /// Everything in a directory, and what is in its files.
  private func content(_ path: String) throws -> [String: [UInt8]] {
    let fileSystem = PosixFileSystem()
    var found: [String: [UInt8]] = [:]
    for name in try fileSystem.list(path) {
      let status = try fileSystem.status("\(path)/\(name)")
      if status.kind == .directory {
        for (inner, bytes) in try content("\(path)/\(name)") { found["\(name)/\(inner)"] = bytes }
      } else if status.kind != .symbolicLink {
        found[name] = try fileSystem.open("\(path)/\(name)", .fixed)
          .read(Int(status.size), at: 0)
      }
    }
    return found
  }

  @Test("Nothing of a copy that was whole is removed, whatever it lacks")
  func untouched() throws {
    let store = try BackedUpStore()
    try store.work(1...2)
    _ = try store.backUp()
    let fileSystem = PosixFileSystem()
    // What somebody else keeps there, under names that could be ours.
    _ = try fileSystem.create("\(store.copy)/notes.0123456789abcdef.tmp", mode: 0o644)
    // The database of a checkpoint was lost.
    let sums = "\(store.copy)/checkpoints/\(StoreLayout.sidecarName(TxID(1)))"
    _ = try fileSystem.create(sums, mode: 0o444)
    // store.json is gone.
    let description = try fileSystem.open("\(store.copy)/store.json", .fixed).read(4096, at: 0)
    try fileSystem.unlink("\(store.copy)/store.json")
    let before = try content(store.copy)
    let error = #expect(throws: StoreError.self) { try store.backUp() }
    #expect(
      error?.code == .damaged && error?.message.contains("copy the store's store.json") == true)
    #expect(try content(store.copy) == before)
    // Or that of another store.
    let other = try TestStore()
    let foreign = try fileSystem.open("\(other.path)/store.json", .fixed).read(4096, at: 0)
    try fileSystem.create("\(store.copy)/store.json", mode: 0o444).write(foreign, at: 0)
    #expect(store.failure() == .foreign)
    try fileSystem.unlink("\(store.copy)/store.json")
    #expect(try content(store.copy) == before)
    // As the message says.
    try fileSystem.create("\(store.copy)/store.json", mode: 0o444).write(description, at: 0)
    try store.work(3...3)
    #expect(try store.backUp().isFirst == false)
    #expect(try content(store.copy).keys.contains("notes.0123456789abcdef.tmp"))
    try fileSystem.unlink(sums)
    try store.expectWhole(upTo: 4)
  }

  @Test("A mark that says nothing, or not that the copy is unfinished, gives no right to remove")
  func marks() throws {
    let store = try BackedUpStore()
    try store.work(1...2)
    let fileSystem = PosixFileSystem()
    // Somebody's own file of that name.
    try fileSystem.makeDirectory(store.copy, mode: 0o755)
    _ = try fileSystem.create("\(store.copy)/backup.json", mode: 0o644)
    try fileSystem.makeDirectory("\(store.copy)/log", mode: 0o755)
    let precious = "\(store.copy)/log/\(StoreLayout.logName(1))"
    try fileSystem.create(precious, mode: 0o644).write([1], at: 0)
    #expect(store.failure() == .foreign)
    #expect(try fileSystem.status(precious).size == 1)
    // Of an earlier version, which did not say.
    let id = try StoreDescription.read(store.store.layout, fileSystem).id
    try fileSystem.open("\(store.copy)/backup.json", .write)
      .write(Array("{\"copyOf\": \"\(id)\"}\n".utf8), at: 0)
    #expect(store.failure() == .damaged)
    #expect(try fileSystem.status(precious).size == 1)
    // With nothing in it, it is begun anew.
    try fileSystem.unlink(precious)
    #expect(try store.backUp().isFirst)
    try store.expectWhole(upTo: 3)
  }

  @Test("One at a time")
  func locked() throws {
    let store = try BackedUpStore()
    try store.work(1...1)
    _ = try store.backUp()
    let descriptor = open("\(store.copy)/backup.json", O_RDWR)
    defer { close(descriptor) }
    try #require(flock(descriptor, LOCK_EX) == 0)
    #expect(store.failure() == .busy)
    try #require(flock(descriptor, LOCK_UN) == 0)
    _ = try store.backUp()
  }

  @Test("A store that was put back from an older copy is another history")
  func olderStore() throws {
    let store = try BackedUpStore()
    try store.work(1...2)
    let older = "\(store.place)/older"
    _ = try store.backUp(into: older)
    try store.work(3...4)
    _ = try store.backUp()
    let error = #expect(throws: StoreError.self) {
      try Backup(store: older, store.environment).write(into: store.copy)
    }
    #expect(error?.code == .foreign)
    try store.expectWhole(upTo: 5)
  }

  /// The segment in which both end is one, and the numbers of batches are reached again.
  @Test("A store that was put back from an older copy and went on is another's, too")
  func putBackAndLed() throws {
    let store = try BackedUpStore()
    let older = "\(store.place)/older"
    try store.applying { writer in
      for i in 1...4 {
        let receipt = try writer.submitBlocking(BackedUpStore.row(i))
        _ = try writer.outcomeBlocking(of: receipt, timeout: .seconds(60))
        if i == 2 { _ = try store.backUp(into: older) }
      }
      _ = try store.backUp()
    }
    let place = try TestStore()
    removeTree(place.path)
    try copyTree(older, to: place.path)
    for i in 5...12 { try place.apply([BackedUpStore.row(i)]) }
    let pages = try PageStore(path: place.path, environment: place.environment)
    #expect(try pages.snapshot(.latest).txid > TxID(5))
    let error = #expect(throws: StoreError.self) {
      try Backup(store: place.path, store.environment).write(into: store.copy)
    }
    #expect(error?.code == .foreign)
    try store.expectWhole(upTo: 5)
  }

  @Test("A segment that is damaged in the store is put back from its copy")
  func putBack() throws {
    let store = try BackedUpStore()
    try store.work(1...3)
    try store.backUp()
    try store.work(4...4)
    let name = StoreLayout.logName(3)
    let path = "\(store.store.layout.log)/\(name)"
    try PosixFileSystem().open(path, .write).write([1], at: Block.firstLogFrame + 4)
    var damages = 0
    _ = try Verification(store: store.store.path, .posix()) { _ in damages += 1 }.run()
    #expect(damages > 0)
    try PosixFileSystem().unlink(path)
    try copyTree("\(store.copy)/log/\(name)", to: path)
    try store.expectWhole(upTo: 5, in: store.store.path)
    try store.work(5...5)
    try store.expectWhole(upTo: 6, in: store.store.path)
  }

  @Test("What changes of store.json is in the next copy")
  func description() throws {
    let store = try BackedUpStore()
    try store.work(1...1)
    _ = try store.backUp()
    _ = try LeaseChange(
      store: store.store.path, name: "test", environment: store.environment
    ).make(.dynamodb(table: "locks"))
    _ = try store.backUp()
    let copied = try StoreDescription.read(StoreLayout(store.copy), PosixFileSystem())
    #expect(copied.lease == .dynamodb(table: "locks"))
    try store.expectWhole(upTo: 2)
  }
}
