import Glibc
import SluiceFakes
import SluiceJournal
import SluiceReader
import SluiceShared
import SluiceTeardown
import SluiceWriter
import Testing

@testable import SluiceApplier

/// In which order it goes, and what others, a long term and a full disk do to that.
extension RetentionTests {
  // MARK: what others leave

  @Test("A late claimant's file with a number that became free goes, and replaces nothing")
  func strays() throws {
    let store = try worked()
    let fileSystem = store.environment.fileSystem
    let name = StoreLayout.logName(3)
    let stray = try fileSystem.open("\(store.layout.log)/\(name)", .shared).read(8192, at: 0)
    try retire(store, settings(readers: .seconds(3600)))
    let old = try fileSystem.status("\(store.layout.oldLog)/\(name)").inode
    let file = try fileSystem.create("\(store.layout.log)/\(name)", mode: 0o644)
    try file.resize(to: 1 << 20)
    // As it is before its start frame: a header with a nonce of its own.
    let header = LogSegmentHeader(
      store: try store.handle.id, number: 3, nonce: 99, term: 2, created_ms: 0,
      holder: "late")
    try file.write(header.encoded(), at: 4096)
    #expect(stray.count == 8192)
    // What had the number before is still found, and the history goes on.
    let pages = try PageStore(path: store.path, environment: store.environment)
    #expect(try pages.snapshot(.asOf(.txid(TxID(2)))).txid == TxID(2))
    #expect(try retire(store, settings(readers: .seconds(3600))).retired == [3])
    #expect(try numbers(store, store.layout.log) == [7])
    #expect(try fileSystem.status("\(store.layout.oldLog)/\(name)").inode == old)
    // And it is closed, should it still be held.
    #expect(try Mark.isClosed(file))
    #expect(try damages(store) == [])
  }

  @Test("What a person was recording goes a minute later, and not what is being recorded")
  func straysOfOperators() throws {
    let store = try TestStore()
    let handled = store.layout.handled
    #expect(mkdir(handled, 0o755) == 0)
    let recorded = "0000000000000007"
    let (old, fresh) = ("\(recorded).0123456789abcdef.tmp", "\(recorded).fedcba9876543210.tmp")
    for name in [recorded, old, fresh] {
      _ = try store.environment.fileSystem.create("\(handled)/\(name)", mode: 0o644)
    }
    for name in [recorded, old] {
      let before = timespec(tv_sec: time(nil) - 90, tv_nsec: 0)
      #expect(utimensat(AT_FDCWD, "\(handled)/\(name)", [before, before], 0) == 0)
    }
    try store.apply("CREATE TABLE t(a)")
    #expect(try Set(store.names(handled)) == [recorded, fresh])
  }

  @Test("As by rename it would")
  func strayReplaces() throws {
    let store = try worked()
    try retire(store, settings(readers: .seconds(3600)))
    let fileSystem = store.environment.fileSystem
    let name = StoreLayout.logName(3)
    let old = try fileSystem.status("\(store.layout.oldLog)/\(name)").inode
    _ = try fileSystem.create("\(store.layout.log)/\(name)", mode: 0o644)
    store.environment.omittedChecks = [.retireByLink]
    store.isDamagedOnPurpose = true
    try retire(store, settings(readers: .seconds(3600)))
    #expect(try fileSystem.status("\(store.layout.oldLog)/\(name)").inode != old)
  }

  @Test("Where it was cut off it goes on")
  func cutOff() throws {
    let store = try worked()
    let fileSystem = store.environment.fileSystem
    // A segment with both names, a checkpoint without its database.
    let name = StoreLayout.logName(2)
    try fileSystem.link("\(store.layout.log)/\(name)", to: "\(store.layout.oldLog)/\(name)")
    try fileSystem.unlink("\(store.layout.checkpoints)/\(StoreLayout.checkpointName(TxID(2)))")
    #expect(try damages(store) == [])
    try retire(store, settings())
    #expect(try numbers(store, store.layout.log) == [7])
    #expect(
      try Set(store.names(store.layout.checkpoints))
        == Set(
          [5, 6].flatMap {
            [StoreLayout.checkpointName(TxID($0)), StoreLayout.sidecarName(TxID($0))]
          }))
  }

  @Test("current.sqlite that a late applier set back leads to the newest again")
  func setBack() throws {
    let store = try worked()
    let fileSystem = store.environment.fileSystem
    try fileSystem.replaceSymbolicLink(
      store.layout.current, target: "checkpoints/\(StoreLayout.checkpointName(TxID(1)))")
    try retire(store, settings())
    #expect(
      try fileSystem.readSymbolicLink(store.layout.current)
        == "checkpoints/\(StoreLayout.checkpointName(TxID(6)))")
  }

  // MARK: the order

  @Test("The checkpoint's name is durable before anything goes, and the lowest goes first")
  func order() throws {
    for check in [nil, SafetyCheck.retireBehindDurable, .retireLowestFirst] {
      let store = try worked()
      let files = RemovalNotingFileSystem(store.environment.fileSystem)
      store.environment.fileSystem = files
      if let check { store.environment.omittedChecks = [check] }
      try retire(store, settings(readers: .seconds(3600)))
      let noted = files.noted
      let synced = noted.firstIndex(of: "sync checkpoints")
      let first = try #require(noted.firstIndex { $0.hasPrefix("unlink log/") })
      let named = try #require(noted.firstIndex(of: "sync old"))
      #expect(named < first)
      #expect((synced.map { $0 < first } == true) == (check != .retireBehindDurable))
      let unlinked = noted.filter { $0.hasPrefix("unlink log/") }
      #expect((unlinked == unlinked.sorted()) == (check != .retireLowestFirst))
    }
  }

  // MARK: a term that is long

  @Test("A term goes over to a newer checkpoint before those go that it reads from")
  func longTerm() throws {
    let store = try TestStore()
    store.options.retention = settings()
    store.options.retention.pause = .milliseconds(1)
    store.options.segmentBytes = 64 << 10
    store.options.checkpointBytes = 128 << 10
    let writer = try store.writer()
    var n = 0
    try store.apply("CREATE TABLE t(a, b)")
    let applier = try Applier(
      path: store.path, options: store.options, environment: store.environment)
    var receipt: Receipt?
    try applier.run(shouldStop: {
      // One at a time.
      if let sent = receipt,
        (try? writer.outcomeBlocking(of: sent, timeout: .zero)) == nil
      {
        return false
      }
      n += 1
      receipt = try? writer.submitBlocking(
        Batch([
          .init("INSERT INTO t VALUES(?, randomblob(20000))", [.integer(Int64(n))]),
          .init("DELETE FROM t WHERE a < ?", [.integer(Int64(n - 4))]),
        ]))
      return n > 150
    })
    writer.closeBlocking()
    try store.drain()
    #expect(try checkpoints(store).count <= 3)
    let first = try #require(try numbers(store, store.layout.log).first)
    // It began in segment 3.
    #expect(first > 6, "what the term began with must have gone")
    #expect(try damages(store) == [])
    #expect(try store.query("SELECT count(*) FROM t").count == 1)
  }

  // MARK: a full disk

  /// In the claim, in its first beacons, in the commit.
  @Test("A full disk ends no applier while something may go", arguments: 0..<8)
  func fullDisk(_ writes: Int) throws {
    let store = try worked()
    let device = FillingDisk(store.environment.fileSystem, afterWrites: writes)
    var settings = settings(readers: .seconds(3600))
    settings.pause = .seconds(3600)
    settings.keep = .seconds(3600)
    // Superseded, and in its hour.
    var early = settings
    early.keep = .milliseconds(1)
    try retire(store, early)
    #expect(try numbers(store, store.layout.oldLog) == Array(1...6))
    store.options.retention = settings
    let writer = try store.writer()
    let receipt = try writer.submitBlocking(Batch([.init("INSERT INTO t VALUES('full')")]))
    let plain = store.environment
    store.environment.fileSystem = device
    store.options.leaseTime = .milliseconds(50)
    try store.drain()
    store.environment = plain
    #expect(device.wasFull)
    #expect(try numbers(store, store.layout.oldLog) == [])
    #expect(try writer.outcomeBlocking(of: receipt, timeout: .seconds(30)).outcome.isApplied)
    writer.closeBlocking()
    // What is kept by the settings is there.
    #expect(try damages(store) == [])
  }

  @Test("Where a checkpoint finds no room, what may go goes, and it is made at once")
  func noRoomForCheckpoint() throws {
    let store = try superseded()
    let device = ScarceDisk(store.environment.fileSystem, for: "/checkpoints/", saying: nil)
    store.environment.fileSystem = device
    store.options.retention.pause = .seconds(3600)
    store.options.checkpointAge = .milliseconds(1)
    let writer = try store.writer()
    let receipt = try writer.submitBlocking(Batch([.init("INSERT INTO t VALUES('next')")]))
    // Less than the minute behind which it is tried again in any case.
    let clock = SystemClock()
    let end = clock.elapsed() + .seconds(50)
    try Applier(path: store.path, options: store.options, environment: store.environment).run {
      clock.elapsed() > end || (try? checkpoints(store).last) == 7
    }
    #expect(device.refusals > 0)
    #expect(try checkpoints(store).last == 7)
    #expect(try numbers(store, store.layout.oldLog) == [])
    #expect(try writer.outcomeBlocking(of: receipt, timeout: .seconds(30)).outcome.isApplied)
    writer.closeBlocking()
    #expect(try damages(store) == [])
  }

  @Test("And where nothing may go it says so, as ever")
  func fullForGood() throws {
    let store = try worked(2)
    try retire(store, settings())
    let device = FillingDisk(store.environment.fileSystem, afterWrites: 0)
    store.environment.fileSystem = device
    let error = #expect(throws: StoreError.self) { try store.drain() }
    #expect(error?.isFullDisk == true)
  }
}
