import SluiceJournal
import SluiceLease
import SluiceShared
import SluiceWriter
import Testing

@testable import SluiceApplier
@testable import SluiceFakes

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
    // Three of them ask behind the claim whether the store is still elected in the same way.
    #expect(between.count <= 23, "\(between)")
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
    // Though it may not claim: once to compare them with the log, and once to open the database.
    #expect(files.operations.filter { $0 == .list("checkpoints") }.count == 2)
  }

  private final class FileLeaseThatWaits: Lease {
    func mayClaim(_ seen: LeaseObservation) -> Bool { false }
    func claimed(at started: Duration) {}
    func renew(beatStarted started: Duration, nextBeat: Duration) -> Bool { true }
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
private final class TracingFileSystem: HookedFileSystem, @unchecked Sendable {
  // Sendable: what changes is under a monitor.
  enum Operation: Equatable {
    case write(Int64)
    case read, open, create, link, unlink, status
    case list(String)
    case journal
  }

  private let noted = Monitor<[Operation]>([])
  var operations: [Operation] { noted.withLock { $0 } }

  private static func name(_ operation: FileOperation) -> Operation? {
    let path = operation.path
    switch operation.action {
    case .write: return .write(path.contains("/log/") ? operation.offset : 0)
    case .read: return .read
    case .open: return .open
    case .create: return .create
    case .link: return .link
    case .unlink: return .unlink
    case .status: return operation.isOfOpenFile ? nil : .status
    case .list: return .list(path.split(separator: "/").last.map(String.init) ?? "")
    default: return nil
    }
  }

  override func fate(of operation: FileOperation) throws(StoreError) -> FileFate {
    if let name = Self.name(operation) {
      noted.withLock { $0.append(operation.path.hasSuffix(".seg") ? .journal : name) }
    }
    return .done
  }
}

/// A network, on which opens of journal segments wait for each other, but not for ever.
private final class MeetingFileSystem: HookedFileSystem, @unchecked Sendable {
  // Sendable: what changes is under a monitor.
  private let opening = Monitor(0)
  let most = Monitor(0)
  private let clock = Environment.posix().clock

  override func isNetwork(_ path: String) -> Bool { true }

  override func fate(of operation: FileOperation) throws(StoreError) -> FileFate {
    guard operation.action == .open, operation.path.hasSuffix(".seg"),
      most.withLock({ $0 < 4 })
    else { return .done }
    let before = opening.withLock { count in
      count += 1
      return count
    }
    most.withLock { $0 = max($0, before) }
    _ = clock.wait(on: most, atMost: .seconds(20)) { $0 >= 4 ? true : nil }
    most.wakeAll()
    opening.withLock { $0 -= 1 }
    return .done
  }
}
