import SluiceFakes
import SluiceJournal
import SluiceLease
import SluiceShared
import SluiceWriter
import Testing

@testable import SluiceApplier

/// On a file server each operation is a round trip or some: with 5 ms each, a hundred of them are half a
/// second without an applier.
@Suite("A hand-over is short: what need not come before the first commit comes after it")
struct HandOverTests {
  let store: TestStore
  init() throws {
    store = try TestStore()
    store.options.segmentBytes = 64 << 10
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY, b)", "CREATE TABLE waiting(a)")
  }

  private func insert(_ number: Int) -> Batch {
    Batch([Batch.Statement("INSERT INTO t VALUES (?, randomblob(4000))", [.integer(Int64(number))])]
    )
  }

  /// A history of many log segments, and ten writers whose live segments hold what waits.
  private func prepare() throws {
    let writers = try (0..<10).map { _ in try store.writer() }
    for (i, writer) in writers.enumerated() {
      for j in 0..<20 { _ = try writer.submitBlocking(insert(i * 100 + j)) }
      try store.drain()
    }
    for writer in writers {
      _ = try writer.submitBlocking(Batch([Batch.Statement("INSERT INTO waiting VALUES (1)")]))
    }
  }

  /// Leads on `files` until something was committed.
  private func lead(_ files: any FileSystem) throws {
    var (options, environment) = (store.options, store.environment)
    environment.fileSystem = files
    // A slow machine makes a beat meanwhile.
    environment.clock = ManualClock(wall_ms: SystemClock().wallTime_ms())
    let didCommit = Monitor(false)
    options.beforeBatch = { _ in didCommit.withLock { $0 = true } }
    try Applier(path: store.path, options: options, environment: environment)
      .run(shouldStop: { didCommit.withLock { $0 } })
    #expect(try store.query("SELECT count(*) > 0 FROM waiting") == [[1]])
  }

  @Test func fewOperationsComeBeforeTheFirstCommit() throws {
    try prepare()
    #expect(try store.names(store.layout.log).count > 10)
    let files = TracingFileSystem(store.environment.fileSystem)
    try lead(files)
    let all = files.operations
    // Of the new segment the first beacon is written with the claim, and the first frame behind the
    // start frame is the first commit.
    let won = try #require(all.firstIndex(of: .write(Block.beacons.1)))
    let first = try #require(
      all.firstIndex { if case .write(let at) = $0 { at > Block.firstLogFrame } else { false } })
    let between = all[won..<first].filter { $0 != .journal }
    #expect(between.count <= 20, "\(between)")
    // With the claim, a quarter of a second at 5 ms each.
    let claimed = try #require(all.firstIndex(of: .create))
    let since = all[claimed..<first].filter { $0 != .journal }
    #expect(since.count <= 45, "\(since.count)")
    // What came before that comes now.
    #expect(all[first...].filter { $0 == .list("checkpoints") }.count >= 1)
  }

  /// And what is done before the claim does not grow with the history since the standby looked last.
  @Test func aStandbyFollowsTheLog() throws {
    try prepare()
    let files = TracingFileSystem(store.environment.fileSystem)
    var (options, environment) = (store.options, store.environment)
    environment.fileSystem = files
    options.standbyPoll = .milliseconds(1)
    options.leaseTime = .seconds(3600)
    let lease = FileLeaseThatWaits()
    var looks = 0
    try Applier(path: store.path, options: options, lease: lease, environment: environment)
      .run(shouldStop: {
        looks += 1
        return looks > 3
      })
    // Though it may not claim.
    #expect(files.operations.contains(.list("checkpoints")))
    #expect(files.operations.filter { $0 == .list("checkpoints") }.count == 1)
  }

  private final class FileLeaseThatWaits: Lease {
    func mayClaim(_ seen: LeaseObservation) -> Bool { false }
    func claimed(at started: Duration) {}
    func renew(beatStarted started: Duration) -> Bool { true }
    func release() {}
  }

  /// One after the other they would be as many round trips.
  @Test func journalSegmentsAreOpenedSideBySide() throws {
    try prepare()
    let files = MeetingFileSystem(store.environment.fileSystem)
    try lead(files)
    #expect(files.most.withLock { $0 } >= 4)
  }
}

/// Notes what is done, journal segments apart.
private final class TracingFileSystem: ForwardingFileSystem, @unchecked Sendable {
  // Sendable: what changes is under a monitor.
  enum Operation: Equatable {
    case write(Int64)
    case read, open, create, link, unlink, status
    case list(String)
    case journal
  }

  private let noted = Monitor<[Operation]>([])
  var operations: [Operation] { noted.withLock { $0 } }

  private func note(_ operation: Operation, _ path: String) {
    noted.withLock { $0.append(path.hasSuffix(".seg") ? .journal : operation) }
  }
  override func willWrite(_ path: String, at offset: Int64) {
    note(.write(path.contains("/log/") ? offset : 0), path)
  }
  override func willRead(_ path: String) { note(.read, path) }
  override func willOpen(_ path: String, _ access: FileAccess) { note(.open, path) }
  override func list(_ directory: String) throws(StoreError) -> [String] {
    note(.list(directory.split(separator: "/").last.map(String.init) ?? ""), directory)
    return try super.list(directory)
  }
  override func create(_ path: String, mode: UInt32) throws(StoreError) -> any File {
    note(.create, path)
    return try super.create(path, mode: mode)
  }
  override func link(_ path: String, to newPath: String) throws(StoreError) {
    note(.link, newPath)
    try super.link(path, to: newPath)
  }
  override func unlink(_ path: String) throws(StoreError) {
    note(.unlink, path)
    try super.unlink(path)
  }
  override func status(_ path: String) throws(StoreError) -> FileStatus {
    note(.status, path)
    return try super.status(path)
  }
}

/// A network, on which opens of journal segments wait for each other, but not for ever.
private final class MeetingFileSystem: ForwardingFileSystem, @unchecked Sendable {
  // Sendable: what changes is under a monitor.
  private let opening = Monitor(0)
  let most = Monitor(0)
  private let clock = Environment.posix().clock

  override func isNetwork(_ path: String) -> Bool { true }

  override func willOpen(_ path: String, _ access: FileAccess) {
    guard path.hasSuffix(".seg"), most.withLock({ $0 < 4 }) else { return }
    let before = opening.withLock { count in
      count += 1
      return count
    }
    most.withLock { $0 = max($0, before) }
    _ = clock.wait(on: most, atMost: .seconds(20)) { $0 >= 4 ? true : nil }
    most.wakeAll()
    opening.withLock { $0 -= 1 }
  }
}
