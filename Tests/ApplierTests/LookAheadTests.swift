import Glibc
import SluiceJournal
import SluiceShared
import SluiceWriter
import Testing

@testable import SluiceApplier
@testable import SluiceFakes

@Suite("The next group is read while the last one is executed")
struct LookAheadTests {
  private static let batches = 400
  let store: TestStore

  init() throws {
    store = try TestStore()
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
    // More than a term's first look reads, which ends behind 64 KiB.
    let writer = try store.writer()
    for number in 0..<Self.batches {
      _ = try writer.submitBlocking(
        Batch([
          Batch.Statement(
            "INSERT INTO t VALUES (?, randomblob(10))", [.integer(Int64(number))])
        ]))
    }
  }

  private static func row(_ number: Int) -> Batch {
    Batch([Batch.Statement("INSERT INTO t VALUES (?, 'x')", [.integer(Int64(number))])])
  }

  /// Applies what waits; `first` is called with the first batch that is executed.
  private func drain(
    _ files: ReadsFileSystem, _ executor: any Executor, first: @escaping @Sendable () -> Void = {}
  ) throws {
    var (options, environment) = (store.options, store.environment)
    environment.fileSystem = files
    environment.executor = executor
    options.drains = true
    let isFirst = Monitor(true)
    options.beforeBatch = { _ in
      let isNow = isFirst.withLock { isFirst in
        defer { isFirst = false }
        return isFirst
      }
      if isNow { first() }
    }
    files.begin()
    try Applier(path: store.path, options: options, environment: environment)
      .run(shouldStop: { false })
    #expect(try store.query("SELECT count(*) FROM t") == [[.integer(Int64(Self.batches))]])
  }

  @Test func readsAreMadeBeforeTheCommitEnds() throws {
    let files = ReadsFileSystem(store.environment.fileSystem)
    try drain(files, store.environment.executor) {
      // The group is being executed, by the thread that looks into the journal otherwise.
      _ = SystemClock().wait(on: files.counts, atMost: .seconds(30)) { $0.beside > 0 ? () : nil }
    }
    let counts = files.counts.withLock { $0 }
    #expect(counts.beside > 0, "\(counts)")
  }

  @Test func noReadIsMadeTwice() throws {
    let copy = try TestStore(copying: store)
    let (ahead, alone) = (
      ReadsFileSystem(store.environment.fileSystem), ReadsFileSystem(copy.environment.fileSystem)
    )
    try drain(ahead, store.environment.executor)
    try LookAheadTests(of: copy).drain(alone, InlineExecutor(startsThreads: false))
    let (with, without) = (ahead.counts.withLock { $0 }, alone.counts.withLock { $0 })
    print("ahead \(with), one after the other \(without)")
    #expect(without.beside == 0)
    #expect(with.beside > 0)
    // Where one look ends and the next one begins may be another place.
    #expect(with.reads <= without.reads + 8, "\(with) and \(without)")
    #expect(with.bytes <= without.bytes + 64 << 10, "\(with) and \(without)")
  }

  /// What a hint tells of while a group is executed, of a segment that was read to its end before.
  @Test func whatAHintTellsOfIsReadBeforeTheCommitEnds() throws {
    let files = ReadsFileSystem(store.environment.fileSystem)
    let (writer, other) = (try store.writer(), try store.writer())
    let first = Monitor<BatchID?>(nil)
    var (options, environment) = (store.options, store.environment)
    environment.fileSystem = files
    options.hints = .loopback
    options.beforeBatch = { batch in
      guard let first = first.withLock({ $0 }), batch.writer == first.writer else { return }
      if batch == first {
        files.counts.withLock { $0 = .init() }
        _ = try? other.submitBlocking(Self.row(9999))
        // The hint is there when the second batch of the group begins.
        SystemClock().sleep(Limits.hearingPause * 4)
      } else if batch.sequence == first.sequence.advanced(by: 2) {
        _ = SystemClock().wait(on: files.counts, atMost: .seconds(10)) {
          $0.beside > 0 ? () : nil
        }
      }
    }
    let stops = Monitor(false)
    nonisolated(unsafe) let applier = try Applier(
      path: store.path, options: options, environment: environment)
    let running = ThreadExecutor.shared.start {
      files.begin()
      try? applier.run { stops.withLock { $0 } }
    }
    defer {
      stops.withLock { $0 = true }
      running.wait()
    }
    var last: BatchID?
    // Both are known to the leader, and hints prove themselves.
    for number in 1000..<1060 {
      let receipt = try (number < 1030 ? other : writer).submitBlocking(Self.row(number))
      _ = try writer.outcomeBlocking(of: receipt, timeout: .seconds(20))
      last = receipt.batch
    }
    let known = try #require(last)
    first.withLock {
      $0 = BatchID(writer: known.writer, sequence: known.sequence.advanced(by: 1))
    }
    // One frame, and so one group.
    let receipts = try writer.submitBlocking((3000..<3003).map(Self.row)).map { try $0.get() }
    #expect(receipts.first?.batch == first.withLock { $0 })
    _ = try writer.outcomeBlocking(of: receipts[2], timeout: .seconds(30))
    #expect(files.counts.withLock { $0.beside } > 0)
  }

  /// Whose batch finds no room on the scratch disk, its segments are given up; more of one is being read then.
  @Test func aSegmentThatIsReadAheadIsNotGivenUpMeanwhile() throws {
    let writer = try store.writer()
    let big = try writer.submitBlocking(
      Batch([
        Batch.Statement(
          "INSERT INTO t WITH RECURSIVE c(n) AS (SELECT 1000 UNION ALL SELECT n + 1 FROM c WHERE n < 1899) SELECT n, hex(randomblob(50000)) FROM c"
        )
      ]))
    for number in 2000..<2100 {
      _ = try writer.submitBlocking(
        Batch([Batch.Statement("INSERT INTO t VALUES (?, 'x')", [.integer(Int64(number))])]))
    }
    let real = store.environment.fileSystem
    let slow = SlowReadsBeside(real)
    var (options, environment) = (store.options, store.environment)
    options.drains = true
    options.cacheBytes = 256 << 10
    options.beforeBatch = { if $0 == big.batch { slow.isSlow.withLock { $0 = true } } }
    environment.fileSystem = SmallScratchFileSystem(
      slow, bytes: 8 << 20, others: 8 * Limits.leastScratchBytes)
    slow.begin()
    try Applier(path: store.path, options: options, environment: environment)
      .run(shouldStop: { false })
    #expect(slow.count.withLock { $0 } > 0)
    #expect(try store.query("SELECT count(*) FROM t") == [[.integer(Int64(Self.batches))]])
    try store.drain()
    #expect(try store.query("SELECT count(*) FROM t") == [[.integer(Int64(Self.batches) + 1000)]])
    writer.closeBlocking()
  }

  private init(of store: TestStore) { self.store = store }
}

/// Counts what is read of journal segments, and by whom.
private final class ReadsFileSystem: HookedFileSystem, @unchecked Sendable {
  // Sendable: what changes is under a monitor.
  struct Counts {
    var reads = 0
    var bytes = 0
    /// By other threads than the applier's.
    var beside = 0
  }

  let counts = Monitor(Counts())
  private let leader = Monitor<pthread_t?>(nil)

  init(_ base: any FileSystem) { super.init(base) }

  /// The calling thread is the applier's.
  func begin() { leader.withLock { $0 = pthread_self() } }

  override func did(_ operation: FileOperation) {
    guard operation.action == .read, operation.path.hasSuffix(".seg") else { return }
    let isBeside = leader.withLock { $0 != pthread_self() }
    counts.withLock { counts in
      counts.reads += 1
      counts.bytes += operation.count
      if isBeside { counts.beside += 1 }
    }
    counts.wakeAll()
  }
}

/// Reads of journal segments by other threads than the applier's take longer than what is executed meanwhile.
private final class SlowReadsBeside: HookedFileSystem, @unchecked Sendable {
  // Sendable: what changes is under a monitor.
  let isSlow = Monitor(false)
  let count = Monitor(0)
  private let leader = Monitor<pthread_t?>(nil)

  init(_ base: any FileSystem) { super.init(base) }

  func begin() { leader.withLock { $0 = pthread_self() } }

  override func fate(of operation: FileOperation) throws(StoreError) -> FileFate {
    if operation.action == .read, operation.path.hasSuffix(".seg"), isSlow.withLock({ $0 }),
      leader.withLock({ $0 != pthread_self() })
    {
      count.withLock { $0 += 1 }
      SystemClock().sleep(.milliseconds(500))
    }
    return .done
  }
}
