import SluiceFakes
import SluiceShared
import Testing

@testable import SluiceJournal

/// A store's log in memory, with one segment that is held.
struct LogStore {
  static let layout = StoreLayout("/s")
  let disk = MemoryDisk()
  let clock = ManualClock()
  let log: Log
  let holder: LogHolder
  var environment: Environment

  init(
    _ wrap: (MemoryFileSystem) -> any FileSystem = { $0 }, hook: FileHook? = nil
  ) throws {
    let fileSystem = MemoryFileSystem(disk, clock: clock, hook: hook)
    fileSystem.makeDirectories([Self.layout.log, Self.layout.oldLog])
    environment = Samples.environment(wrap(fileSystem))
    holder = try #require(try Self.claim(successorOf: 0, environment)?.holder)
    log = Log(of: Self.handle(environment))
  }

  static func handle(_ environment: Environment) -> StoreHandle {
    StoreHandle(layout: layout, id: Samples.store, environment: environment)
  }

  static func claim(successorOf number: UInt64, _ environment: Environment) throws
    -> LogClaim.Won?
  {
    try LogClaim(
      of: handle(environment), holder: "test",
      engine: .init(sourceID: "", compileOptions: "", architecture: "")
    ).claim(successorOf: number) { holder, _ in
      holder.beacon(.active, ApplierStatus(), time_ms: 0)
    }
  }

  /// Another applier claims the successor of the first segment.
  func takeOver(_ environment: Environment? = nil) throws -> LogClaim.Won? {
    try Self.claim(successorOf: 1, environment ?? self.environment)
  }

  /// A segment that somebody linked before it died, and that the file server may lose with its power.
  func stray(_ number: UInt64) throws {
    let path = Self.layout.segment(number)
    let file = try environment.fileSystem.create(path, mode: 0o644)
    try file.resize(to: 65536)
    try file.write(
      LogSegmentHeader(
        store: Samples.store, number: number, nonce: 79, term: 1, created_ms: 0, holder: "stray"
      ).encoded(), at: Block.header)
  }

  func commit() throws { try LogStore.commit(behind: holder) }

  static func commit(behind holder: LogHolder) throws {
    var meta = Samples.meta
    meta.commit = holder.extent.commits + 1
    _ = try holder.commit(
      CommitContent(
        first: holder.extent.txid.next, count: 1, meta: meta, entries: [], outcomes: [],
        consumed: [], pages: .memory([1, 2, 3]), batches: SectionContent(.batches, raw: [])))
  }

  func publish() throws {
    try holder.publish(holder.beacon(.active, ApplierStatus(), time_ms: 0))
  }
}

@Suite("What a commit and a latest read cost, and how damage to the log is told from its end")
struct LogTests {
  /// No loss of power takes it back then.
  @Test func aBeaconIsDurableWhenItsWritingReturns() throws {
    let store = try LogStore()
    try store.commit()
    try store.publish()
    let path = "\(LogStore.layout.log)/\(Self.name)"
    let slots = Int(Block.beacons.0)..<Int(Block.firstLogFrame)
    let content = try #require(store.disk.content(path))[slots]
    #expect(content.contains { $0 != 0 })
    #expect(try #require(store.disk.stableContent(path))[slots] == content)
  }

  private static let name = "000000000001.log"

  @Test func latestCostsOneReadWhenNothingIsNew() throws {
    let memory = CountingFileSystemBox()
    let store = try LogStore { memory.wrap($0) }
    _ = try store.log.present()
    memory.counting.reset()
    for _ in 0..<10 { _ = try store.log.present() }
    #expect(memory.counting.count(.read) == 10)
    #expect(memory.counting.total == 10)
  }

  @Test func aCommitCostsOneWriteOneSyncAndOneRead() throws {
    let memory = CountingFileSystemBox()
    let store = try LogStore { memory.wrap($0) }
    memory.counting.reset()
    try store.commit()
    #expect(memory.counting.count(.write) == 1)
    #expect(memory.counting.count(.sync) == 1)
    #expect(memory.counting.count(.read) == 1)
    #expect(memory.counting.total == 3)
    memory.counting.reset()
    try store.publish()
    #expect(memory.counting.count(.write) == 1)
    #expect(memory.counting.count(.sync) == 1)
    #expect(memory.counting.total == 2)
  }

  @Test func nothingIsWrittenAfterAFailedWrite() throws {
    let memory = CountingFileSystemBox()
    let fails = Monitor(false)
    let store = try LogStore {
      memory.wrap($0)
    } hook: { operation in
      fails.withLock { $0 } && operation.action == .write
        ? .fails(.posix(5, operation.path)) : .done
    }
    try store.commit()
    fails.withLock { $0 = true }
    #expect(throws: StoreError.self) { try store.publish() }
    fails.withLock { $0 = false }
    memory.counting.reset()
    for attempt in [store.publish, store.commit, store.holder.finish] {
      let error = #expect(throws: StoreError.self) { try attempt() }
      #expect(error?.code == .notLeading)
    }
    #expect(memory.counting.count(.write) == 0)
  }

  /// It lies elsewhere, and says what was confirmed before; what ends the term can be told with it.
  @Test func onlyBeaconsAreWrittenAfterAFailedFrame() throws {
    let fails = Monitor(false)
    let store = try LogStore(hook: { operation in
      fails.withLock { $0 } && operation.action == .write && operation.offset >= Block.firstLogFrame
        ? .fails(.posix(28, operation.path)) : .done
    })
    try store.commit()
    fails.withLock { $0 = true }
    #expect(throws: StoreError.self) { try store.commit() }
    fails.withLock { $0 = false }
    var status = ApplierStatus()
    status.uncleanTerms = 7
    status.nextBeat_ms = 12_000
    try store.holder.publish(store.holder.beacon(.active, status, time_ms: 0))
    let present = try store.log.present()
    #expect(present.beacon.status == status)
    #expect(present.extent.txid == TxID(1))
    #expect(throws: StoreError.self) { try store.commit() }
    // Nor in a closed segment.
    _ = try store.takeOver()
    #expect(throws: StoreError.self) { try store.holder.checkOpen() }
    #expect(throws: StoreError.self) { try store.publish() }
  }

  /// What beacons say is not lost with a holder that died between its start frame and its first beacon.
  @Test func aClaimantInheritsTheLastBeaconThereIs() throws {
    let fails = Monitor(false)
    let store = try LogStore(hook: { operation in
      fails.withLock { $0 } && operation.action == .write
        && [Block.beacons.0, Block.beacons.1].contains(operation.offset)
        ? .fails(.posix(5, operation.path)) : .done
    })
    var status = ApplierStatus()
    status.uncleanTerms = 7
    try store.commit()
    try store.holder.publish(store.holder.beacon(.active, status, time_ms: 0))
    fails.withLock { $0 = true }
    for number in 1...2 {
      #expect(throws: StoreError.self) {
        try LogStore.claim(successorOf: UInt64(number), store.environment)
      }
    }
    fails.withLock { $0 = false }
    let won = try #require(try LogStore.claim(successorOf: 3, store.environment))
    #expect(won.inherited?.status.uncleanTerms == 7)
    #expect(won.holder.extent.txid == TxID(1))
  }

  private func follow(_ store: LogStore, _ environment: Environment) throws -> UInt64 {
    let log = Log(of: LogStore.handle(environment))
    var follower = LogFollower(after: .empty)
    var commits: UInt64 = 0
    try follower.advance(log, to: try log.present()) { (_, _) throws(StoreError) in commits += 1 }
    return commits
  }

  @Test func damageBeforeThePublishedEndIsNotTakenForTheEnd() throws {
    let store = try LogStore()
    for _ in 0..<3 { try store.commit() }
    try store.publish()
    #expect(try follow(store, store.environment) == 3)
    let second = Block.firstLogFrame + 2 * Int64(Block.size)
    store.disk.damage("\(LogStore.layout.log)/\(Self.name)", at: second + 60) { $0 ^= 1 }
    let error = #expect(throws: StoreError.self) { try follow(store, store.environment) }
    #expect(error?.code == .damaged)
    #expect(error?.offset == second)

    var careless = store.environment
    careless.omittedChecks = [.damageIsNoEnd]
    #expect(try follow(store, careless) == 1)
  }

  /// A claimant reads nothing that is published: what is damaged there is named to who reads it, and what
  /// lies behind is carried over as ever.
  @Test func damageBeforeThePublishedEndIsNoClaimantsAffair() throws {
    let store = try LogStore()
    for _ in 0..<3 { try store.commit() }
    try store.publish()
    try store.commit()
    let place = Block.firstLogFrame + 4096 + 200
    store.disk.damage("\(LogStore.layout.log)/\(Self.name)", at: place) { $0 ^= 1 }
    let won = try #require(try store.takeOver())
    #expect(won.holder.extent.txid == TxID(4))
    let error = #expect(throws: StoreError.self) { try follow(store, store.environment) }
    #expect(error?.code == .damaged && error?.path?.hasSuffix(Self.name) == true)
  }

  /// What is carried over is compared with its checksum as it is copied: a file server that loses
  /// power in between may have lost what was whole a moment before.
  @Test(arguments: [SectionID.meta, .index, .pages, .outcomes])
  func aCommitThatChangesWhileItIsCarriedOverIsNotCarried(_ id: SectionID) throws {
    let disk = Monitor<(disk: MemoryDisk, target: Int64)?>(nil)
    let store = try LogStore(hook: { operation in
      disk.withLock { armed in
        guard let (disk, target) = armed, operation.action == .read, operation.offset == target
        else { return }
        armed = nil
        disk.damage(operation.path, at: target) { $0 ^= 1 }
      }
      return .done
    })
    try store.commit()
    let segment = try #require(try store.log.open(1))
    var scanner = segment.scanner()
    let start = try #require(try scanner.header(at: Block.firstLogFrame))
    let commit = try #require(try scanner.header(at: start.end))
    let section = try #require(commit.section(id))
    disk.withLock { $0 = (store.disk, commit.offset + section.offset) }
    let error = #expect(throws: StoreError.self) { _ = try store.takeOver() }
    #expect(error?.code == .notLeading)
    #expect(disk.withLock { $0 == nil })
  }

  /// An NFS client whose server forgot its opens answers EBADF for them.
  @Test func aLostOpenIsOpenedAnew() throws {
    let isLost = Monitor(false)
    let store = try LogStore(hook: { operation in
      isLost.withLock { lost in
        if operation.action == .open { lost = false }
        return lost && operation.action == .read ? .fails(.posix(9, operation.path)) : .done
      }
    })
    #expect(try store.log.present().extent == .empty)
    try store.commit()
    try store.publish()
    isLost.withLock { $0 = true }
    #expect(try store.log.present().extent.txid == TxID(1))
    var follower = LogFollower(after: .empty)
    isLost.withLock { $0 = true }
    let present = try store.log.present()
    try follower.advance(store.log, to: present) { (_, _) throws(StoreError) in }
    #expect(follower.extent.txid == TxID(1))
  }

  @Test func anUnreadableBeaconIsNamed() throws {
    let store = try LogStore()
    store.disk.damage("\(LogStore.layout.log)/\(Self.name)", at: Block.beacons.1 + 40) { $0 ^= 1 }
    let error = #expect(throws: StoreError.self) { try follow(store, store.environment) }
    #expect(error?.code == .damaged)
  }

  /// A late claimant's file with the number of a segment that was moved: the nonce tells.
  @Test func aStrayFileIsNotTakenForTheSegment() throws {
    let store = try LogStore()
    try store.commit()
    try store.publish()
    var environment = store.environment
    environment.random = { 78 }
    #expect(try store.takeOver(environment) != nil)
    let fileSystem = environment.fileSystem
    let path = "\(LogStore.layout.log)/\(Self.name)"
    try fileSystem.link(path, to: "\(LogStore.layout.oldLog)/\(Self.name)")
    try fileSystem.unlink(path)
    try store.stray(1)
    #expect(try follow(store, environment) == 1)
  }

  /// A start frame that names its own segment as the one before it.
  @Test func theWayDownwardsHasAnEnd() throws {
    let store = try LogStore()
    let nonce = store.holder.header.nonce
    let place = Block.firstLogFrame
    let extent = LogExtent(txid: TxID(1), commits: 1, time_ms: 0)
    let record = StartRecord(
      parent: LogPosition(
        segment: 1, nonce: nonce, end: place, lastFrame: place, checksum: 0, startFrame: place),
      inherited: extent, carried: extent,
      engine: .init(sourceID: "", compileOptions: "", architecture: ""))
    let segment = try #require(try store.log.open(1))
    let start = EncodedFrame(
      kind: .start, offset: place, nonce: nonce, previous: segment.headerChecksum, first: 1,
      count: 0, sections: [SectionContent(.start, raw: record.encoded())])
    try store.holder.file.write(start.bytes, at: place)
    store.log.forgetFiles()
    let present = try store.log.present()
    let error = #expect(throws: StoreError.self) {
      _ = try store.log.history(after: .zero, upTo: present)
    }
    #expect(error?.code == .damaged && error?.offset == place)
  }

  /// It was seen, and lost with the file server's power; then somebody else got its number.
  @Test func aSegmentThatWasLostIsNotReadInPlaceOfItsSuccessor() throws {
    let store = try LogStore()
    try store.stray(2)
    let path = LogStore.layout.segment(2)
    #expect(try store.log.present().segment.number == 1)
    try store.environment.fileSystem.unlink(path)
    var environment = store.environment
    environment.random = { 80 }
    let won = try #require(try store.takeOver(environment))
    try LogStore.commit(behind: won.holder)
    try won.holder.publish(won.holder.beacon(.active, ApplierStatus(), time_ms: 0))
    #expect(try store.log.present().extent.txid == TxID(1))
  }

  /// The same, between a claimant's first look at the log and its link.
  @Test func whatAClaimantReadsIsWhatItMarked() throws {
    let store = try LogStore()
    try store.stray(2)
    let path = LogStore.layout.segment(2)
    var first = store.environment
    first.random = { 80 }
    var second = store.environment
    let winner = first
    let hasWon = Monitor(false)
    second.fileSystem = MemoryFileSystem(store.disk, clock: store.clock) { operation in
      guard operation.action == .create, !hasWon.withLock({ $0 }) else { return .done }
      try? winner.fileSystem.unlink(path)
      // Confirmed, and not published.
      guard let rival = try? LogStore.claim(successorOf: 1, winner)?.holder else { return .done }
      hasWon.withLock { $0 = (try? LogStore.commit(behind: rival)) != nil }
      return .done
    }
    second.random = { 81 }
    #expect(try LogStore.claim(successorOf: 2, second)?.holder.extent.txid == TxID(1))
    #expect(hasWon.withLock { $0 })
  }
}

/// Wraps a file system and keeps the counts at hand.
private final class CountingFileSystemBox {
  private(set) var counting = CountingFileSystem(MemoryFileSystem())

  func wrap(_ base: MemoryFileSystem) -> any FileSystem {
    counting = CountingFileSystem(base)
    return counting
  }
}
