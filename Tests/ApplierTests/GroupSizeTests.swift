import SluiceJournal
import SluiceShared
import SluiceWriter
import Testing

@testable import SluiceApplier
@testable import SluiceFakes

/// Time passes here only where a test lets it, so that nothing depends on how fast the machine is.
@Suite("What comes new waits for a short group, on a slow host too")
struct GroupSizeTests {
  let store: TestStore
  let clock: ManualClock
  init() throws {
    store = try TestStore()
    clock = ManualClock(wall_ms: SystemClock().wallTime_ms())
    store.options.drains = true
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
  }

  private func extent() throws -> LogExtent {
    try Log(of: store.handle).present().beacon.extent
  }

  /// Applies what waits; each batch takes so long.
  private func apply(_ pace: Duration) throws -> UInt64 {
    var (options, environment) = (store.options, store.environment)
    environment.clock = clock
    let clock = clock
    options.beforeBatch = { _ in clock.advance(by: pace) }
    let before = try extent().commits
    try Applier(path: store.path, options: options, environment: environment)
      .run(shouldStop: { false })
    return try extent().commits - before
  }

  private func submit(_ count: Int) throws {
    let writer = try store.writer()
    let batches = (0..<count).map { _ in Batch([Batch.Statement("INSERT INTO t(b) VALUES ('x')")]) }
    for result in writer.submitBlocking(batches) { _ = try result.get() }
  }

  /// Milliseconds of a batch; at least so many batches a commit on the average, at most so many.
  @Test(arguments: [(0, 200, 1000), (10, 20, 26)])
  func aGroupIsShort(pace_ms: Int, least: Int, most: Int) throws {
    try submit(1000)
    let commits = try apply(.milliseconds(pace_ms))
    #expect((least...most).contains(1000 / Int(commits)), "\(commits) commits")
    #expect(try store.query("SELECT count(*) FROM t") == [[1000]])
  }

  /// A duplicate of eight bytes has the rows of the first.
  @Test(arguments: [[], [SafetyCheck.boundedOutcomes]])
  func outcomesAreBounded(_ omitted: [SafetyCheck]) throws {
    let writer = try store.writer()
    let batch = Batch(
      [Batch.Statement("SELECT zeroblob(1000000)")], key: "k", wantsResults: true)
    for result in writer.submitBlocking(Array(repeating: batch, count: 24)) { _ = try result.get() }
    store.environment.omittedChecks = Set(omitted)
    let commits = try apply(.zero)
    #expect(omitted.isEmpty ? commits >= 3 : commits == 1, "\(commits)")
  }

  /// Each look is some round trips. But every 50 ms there is one.
  @Test(arguments: [0, 2]) func theJournalIsLookedAtNowAndThen(pace_ms: Int) throws {
    try submit(1000)
    let files = ListingsFileSystem(store.environment.fileSystem)
    var (options, environment) = (store.options, store.environment)
    environment.clock = clock
    environment.fileSystem = files
    let (clock, looks) = (clock, Monitor<[Int]>([]))
    options.beforeBatch = { _ in
      looks.withLock { $0.append(files.journal.withLock { $0 }) }
      clock.advance(by: .milliseconds(pace_ms))
    }
    try Applier(path: store.path, options: options, environment: environment)
      .run(shouldStop: { false })
    // The first four groups, behind which a whole group waits: 960 batches; or all of them, of up to 250 ms.
    let between = looks.withLock { $0[900] - $0[0] }
    #expect(pace_ms == 0 ? between == 0 : between >= 5, "\(between)")
  }

  private final class ListingsFileSystem: HookedFileSystem, @unchecked Sendable {
    // Sendable: under a monitor.
    let journal = Monitor(0)

    override func fate(of operation: FileOperation) throws(StoreError) -> FileFate {
      if operation.action == .list, operation.path.hasSuffix("journal") {
        journal.withLock { $0 += 1 }
      }
      return .done
    }
  }
}
