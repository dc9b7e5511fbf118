import Glibc
import SluiceJournal
import SluiceShared
import SluiceTeardown
import SluiceWriter
import Testing

@testable import SluiceApplier
@testable import SluiceFakes
@testable import SluiceReader

@Suite("Who reads what is just being removed finds the rest whole", .serialized)
struct RemovalTests {
  /// A term and a checkpoint for each of batches 1 to 6; segment 1 is `init`'s, batch n is in n + 1.
  private func worked() throws -> TestStore {
    let store = try TestStore()
    for i in 1...6 {
      try store.apply(i == 1 ? "CREATE TABLE t(a)" : "INSERT INTO t VALUES(\(i))")
      try makeCheckpoint(store)
    }
    return store
  }

  private func checkpointing(_ store: TestStore) throws -> Checkpoint {
    Checkpoint(of: try store.handle)
  }

  private func makeCheckpoint(_ store: TestStore) throws {
    let pages = try PageStore(path: store.path, environment: store.environment)
    try checkpointing(store).make(of: pages.published(.latest))
  }

  /// One round, half a minute from now. Two checkpoints stay, where `keep` is over.
  @discardableResult
  private func retire(
    _ store: TestStore, keep: Duration = .milliseconds(1), readers: Duration = .zero,
    isUrgent: Bool = false
  ) throws -> Retention.Done {
    let checkpoint = try checkpointing(store)
    let present = try Log(of: checkpoint.store).present()
    var options = store.options
    options.retention.keep = keep
    options.retention.checkpoints = 2
    options.retention.readers = readers
    options.retention.listing = .zero
    return try Retention(checkpoint, options, store.environment).run(
      Retention.Occasion(
        now_ms: store.environment.clock.wallTime_ms() + 30_000, published: present.published,
        segment: present.segment.number, isSettled: true, isUrgent: isUrgent))
  }

  /// It took so long that it shows neither those that went nor those that came.
  @Test("A listing that shows no checkpoint is made again")
  func listing() throws {
    let store = try worked()
    let files = OverlookingFileSystem(store.environment.fileSystem)
    files.overlooks = { StoreLayout.checkpointTxID($0) != nil }
    var environment = store.environment
    environment.fileSystem = files
    let pages = try PageStore(path: store.path, environment: environment)
    #expect(files.overlooks == nil)
    #expect(try pages.snapshot(.latest).txid == TxID(6))
  }

  @Test("Checkpoints that are all later than what a reader begins with are no damage")
  func laterCheckpoints() throws {
    let store = try worked()
    for txid in 0...5 as ClosedRange<UInt64> {
      for name in [StoreLayout.checkpointName(TxID(txid)), StoreLayout.sidecarName(TxID(txid))] {
        try store.environment.fileSystem.unlink("\(store.layout.checkpoints)/\(name)")
      }
    }
    let files = StoreFiles(
      of: try store.handle)
    let error = #expect(throws: StoreError.self) {
      _ = try CheckpointPages.newest(upTo: TxID(3), files)
    }
    // Whoever meets it begins anew, with what is published now.
    #expect(error?.isRemoval == true)
  }

  private func numbers(_ store: TestStore, _ directory: String) throws -> [UInt64] {
    try store.names(directory).compactMap(StoreLayout.logNumber).sorted()
  }

  /// The store as another host has it: what was removed here cannot be read there, though it is open.
  private func elsewhere(_ store: TestStore) -> Environment {
    var environment = store.environment
    let base = environment.fileSystem
    environment.fileSystem = HookedFileSystem(base) { operation in
      guard operation.action == .read, (try? base.status(operation.path)) == nil else {
        return .done
      }
      return .fails(.posix(ESTALE, operation.path))
    }
    return environment
  }

  // MARK: a late claimant's file

  private func contents(_ snapshot: Snapshot) throws -> [[UInt8]] {
    var pages: [[UInt8]] = []
    for number in 1...snapshot.pageCount {
      var page = [UInt8](repeating: 0, count: snapshot.pageSize)
      try page.withUnsafeMutableBytes { try snapshot.read(page: number, into: $0) }
      pages.append(page)
    }
    return pages
  }

  private func makeStray(_ store: TestStore, _ number: UInt64) throws {
    let file = try store.environment.fileSystem.create(store.layout.segment(number), mode: 0o644)
    try file.resize(to: 1 << 20)
    let header = LogSegmentHeader(
      store: try store.handle.id, number: number, nonce: 99, term: 2, created_ms: 0,
      holder: "late")
    try file.write(header.encoded(), at: Block.header)
  }

  /// A snapshot whose pages are in segments 2 to 4, all of which were moved and have a stray's file in
  /// their place.
  private func strayed(_ files: LateFiles) throws -> (TestStore, Snapshot, [[UInt8]]) {
    let store = try TestStore()
    for sql in ["CREATE TABLE t(a)", "INSERT INTO t VALUES('early')", "CREATE TABLE other(a)"] {
      try store.apply(sql)
    }
    var environment = store.environment
    environment.fileSystem = files
    let snapshot = try PageStore(path: store.path, environment: environment).snapshot(.latest)
    let before = try contents(
      PageStore(path: store.path, environment: store.environment).snapshot(.latest))
    for _ in 0..<2 {
      try store.apply("INSERT INTO other VALUES(1)")
      try makeCheckpoint(store)
    }
    try retire(store, readers: .seconds(3600))
    try #require(numbers(store, store.layout.oldLog) == Array(1...5))
    for number in 2...4 as ClosedRange<UInt64> { try makeStray(store, number) }
    return (store, snapshot, before)
  }

  @Test("What was moved is read where it is, not in a late claimant's file of its name")
  func strayIsNoSegment() throws {
    let files = LateFiles(PosixFileSystem())
    let (store, snapshot, before) = try strayed(files)
    defer { withExtendedLifetime(store) {} }
    files.isStale = true
    #expect(try contents(snapshot) == before)
  }

  @Test("Nor is such a file taken for what nobody writes any more")
  func strayIsNotSettled() throws {
    let files = LateFiles(PosixFileSystem())
    let (store, snapshot, before) = try strayed(files)
    defer { withExtendedLifetime(store) {} }
    #expect(try contents(snapshot) == before)
    #expect(files.openedAgain == 0)
  }

  @Test("And where only that is left, the snapshot is expired, and nothing is damaged")
  func strayAlone() throws {
    let (store, snapshot, _) = try strayed(LateFiles(PosixFileSystem()))
    let fileSystem = store.environment.fileSystem
    for number in 2...4 as ClosedRange<UInt64> {
      let path = store.layout.oldSegment(number)
      // What is open here is of no use any more.
      try fileSystem.open(path, .write).write(
        [UInt8](repeating: 0xaa, count: 256 << 10), at: Block.firstLogFrame)
      try fileSystem.unlink(path)
    }
    let error = #expect(throws: StoreError.self) { try contents(snapshot) }
    #expect(error?.code == .snapshotExpired, "\(String(describing: error))")
  }

  // MARK: who follows

  @Test("What was open and is removed is opened anew, and then not kept any more")
  func follower() throws {
    let store = try TestStore()
    let writer = try store.writer()
    let first = try writer.submitBlocking(Batch([.init("CREATE TABLE t(a)")]))
    let log = Log(of: try StoreHandle(at: store.layout, elsewhere(store)))
    var follower: LogFollower?
    try Applier(path: store.path, options: store.options, environment: store.environment).run(
      shouldStop: {
        guard let present = try? log.present(), present.extent.txid > .zero else { return false }
        guard follower == nil else { return present.extent.txid > TxID(1) }
        follower = LogFollower(at: present)
        _ = try? writer.submitBlocking(Batch([.init("INSERT INTO t VALUES(1)")]))
        return false
      })
    _ = try writer.outcomeBlocking(of: first, timeout: .seconds(30))
    writer.closeBlocking()
    try makeCheckpoint(store)
    try store.apply("INSERT INTO t VALUES(2)")
    try makeCheckpoint(store)
    try retire(store)
    try #require(numbers(store, store.layout.log) == [3])
    var standing = try #require(follower)
    var codes: [StoreError.Code] = []
    for _ in 0..<2 {
      let error = #expect(throws: StoreError.self) {
        try standing.advance(log, to: log.present()) { _, _ in }
      }
      codes += [error?.code].compactMap { $0 }
    }
    #expect(codes.last == .snapshotExpired, "\(codes)")
  }

  @Test("Who waits for an outcome is not told of a file that was removed meanwhile")
  func poller() throws {
    let store = try TestStore()
    let files = FailingOnce(store.environment.fileSystem)
    var environment = store.environment
    environment.fileSystem = files
    let writer = try Writer(store: store.path, environment: environment)
    let receipt = try writer.submitBlocking(Batch([.init("CREATE TABLE t(a)")]))
    files.arm()
    try store.drain()
    #expect(try writer.outcomeBlocking(of: receipt, timeout: .seconds(30)).outcome.isApplied)
    #expect(files.hasFailed)
    writer.closeBlocking()
  }

  @Test("A feed begins anew where the file that it begins with was removed meanwhile")
  func feed() throws {
    let store = try worked()
    let files = FailingOnce(store.environment.fileSystem)
    var environment = store.environment
    environment.fileSystem = files
    files.arm()
    let feed = try ChangeFeed(path: store.path, from: TxID(1), environment: environment)
    #expect(files.hasFailed)
    var seen: [UInt64] = []
    try feed.advance { seen.append($0.txid.rawValue) }
    #expect(seen == Array(1...6))
  }

  // MARK: who proves it

  @Test("A checkpoint that another host removes while it is verified is passed over")
  func verification() throws {
    let store = try worked()
    let base = store.environment.fileSystem
    let directory = store.layout.checkpoints
    let database = "\(directory)/\(StoreLayout.checkpointName(TxID(2)))"
    let sidecar = "\(directory)/\(StoreLayout.sidecarName(TxID(2)))"
    var environment = store.environment
    environment.fileSystem = HookedFileSystem(base) { operation in
      guard operation.action == .read, operation.path == database else { return .done }
      try? base.unlink(database)
      try? base.unlink(sidecar)
      return .fails(.posix(ESTALE, database))
    }
    var damages: [Verification.Damage] = []
    let summary = try Verification(
      store: store.path, environment, onDamage: { damages.append($0) }
    ).run()
    #expect(damages == [])
    #expect(summary.checkpoints == [0, 1, 3, 4, 5, 6].map { TxID($0) })
  }

  @Test("A replay that is overtaken begins anew, and nothing is found to be damaged")
  func replay() throws {
    let store = try worked()
    var notes: [String] = []
    var isRetired = false
    let summary = try Replay.compare(
      store: store.path, elsewhere(store), note: { notes.append($0) },
      onProgress: { _, _ in
        guard !isRetired else { return }
        isRetired = true
        do { try retire(store) } catch { Issue.record(error) }
      })
    #expect(isRetired)
    #expect(summary?.first == TxID(5) && summary?.last == TxID(6))
    #expect(notes.contains { $0.contains("is passed over") }, "\(notes)")
  }

  @Test("A replay that was not overtaken says what is missing")
  func replayMissing() throws {
    let store = try worked()
    store.isDamagedOnPurpose = true
    let fileSystem = store.environment.fileSystem
    for txid in 1...6 as ClosedRange<UInt64> {
      for name in [StoreLayout.checkpointName(TxID(txid)), StoreLayout.sidecarName(TxID(txid))] {
        try fileSystem.unlink("\(store.layout.checkpoints)/\(name)")
      }
    }
    try fileSystem.unlink(store.layout.segment(3))
    let error = #expect(throws: StoreError.self) {
      try Replay.compare(store: store.path, store.environment)
    }
    #expect(error?.code == .snapshotExpired)
  }

  // MARK: current.sqlite, and a full disk

  @Test("current.sqlite is set right also where nothing is to go")
  func setBack() throws {
    let store = try worked()
    let fileSystem = store.environment.fileSystem
    try fileSystem.replaceSymbolicLink(
      store.layout.current, target: "checkpoints/\(StoreLayout.checkpointName(TxID(1)))")
    // The first round leaves nothing to the second one.
    try retire(store)
    try fileSystem.replaceSymbolicLink(
      store.layout.current, target: "checkpoints/\(StoreLayout.checkpointName(TxID(1)))")
    #expect(try retire(store).isEmpty)
    #expect(
      try fileSystem.readSymbolicLink(store.layout.current)
        == "checkpoints/\(StoreLayout.checkpointName(TxID(6)))")
  }

  @Test("A disk without room for a name keeps nothing from going", arguments: [true, false])
  func noRoomForNames(isUrgent: Bool) throws {
    let store = try worked()
    let plain = store.environment
    try plain.fileSystem.replaceSymbolicLink(
      store.layout.current, target: "checkpoints/\(StoreLayout.checkpointName(TxID(1)))")
    store.environment.fileSystem = NamelessDisk(plain.fileSystem)
    guard isUrgent else {
      let error = #expect(throws: StoreError.self) { try retire(store) }
      #expect(error?.isFullDisk == true)
      #expect(try numbers(store, store.layout.log) == Array(1...7))
      return
    }
    let done = try retire(store, isUrgent: true)
    #expect(done.retired == Array(1...6))
    // What the link leads to stays until there is room to point it on.
    #expect(done.removedCheckpoints == [0, 2, 3, 4].map { TxID($0) })
    store.environment = plain
    #expect(try numbers(store, store.layout.log) == [7])
    #expect(try retire(store).removedCheckpoints == [TxID(1)])
    #expect(try numbers(store, store.layout.oldLog) == [])
  }
}

/// On a network; where wished, what was opened in `log/` is stale behind its header.
private final class LateFiles: HookedFileSystem, @unchecked Sendable {
  // Sendable: what changes is under a lock.
  private let state = Monitor((isStale: false, openedAgain: 0))
  var isStale: Bool {
    get { state.withLock { $0.isStale } }
    set { state.withLock { $0.isStale = newValue } }
  }
  /// How often a file in `log/old/` was opened.
  var openedAgain: Int { state.withLock { $0.openedAgain } }

  override func isNetwork(_ path: String) -> Bool { true }

  override func fate(of operation: FileOperation) -> FileFate {
    let isOld = operation.path.contains("/log/old/")
    if operation.action == .open, isOld { state.withLock { $0.openedAgain += 1 } }
    guard operation.action == .read, operation.offset >= Block.firstLogFrame, isStale, !isOld,
      operation.path.contains("/log/")
    else { return .done }
    return .fails(.posix(ESTALE, operation.path))
  }
}

/// Once it is armed, the next frame of the log that is read is of a file that another host removed.
private final class FailingOnce: HookedFileSystem, @unchecked Sendable {
  // Sendable: what changes is under a lock.
  private let state = Monitor((isArmed: false, hasFailed: false))

  var hasFailed: Bool { state.withLock { $0.hasFailed } }
  func arm() { state.withLock { $0.isArmed = true } }

  override func fate(of operation: FileOperation) -> FileFate {
    guard operation.action == .read, operation.offset >= Block.header,
      operation.path.contains("/log/")
    else { return .done }
    let fails = state.withLock { state in
      defer { if state.isArmed { state.hasFailed = true } }
      return state.isArmed && !state.hasFailed
    }
    return fails ? .fails(.posix(ESTALE, operation.path)) : .done
  }
}

/// A file server's disk that has no room for one more name.
private final class NamelessDisk: HookedFileSystem, @unchecked Sendable {
  // Sendable: it has no state.
  override func isNetwork(_ path: String) -> Bool { true }

  override func fate(of operation: FileOperation) -> FileFate {
    switch operation.action {
    case .create, .link, .replaceSymbolicLink: .fails(.posix(ENOSPC, operation.path))
    default: .done
    }
  }
}
