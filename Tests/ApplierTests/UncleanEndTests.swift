import Glibc
import SluiceJournal
import SluiceReader
import SluiceShared
import SluiceWriter
import Testing

@testable import SluiceApplier
@testable import SluiceFakes

/// Hosts die, and that says nothing about the batch at hand; a batch that kills its applier kills each next
/// one. Both look the same at first.
@Suite("An unclean end costs nothing, and a batch that kills its applier is found")
struct UncleanEndTests {
  let store: TestStore
  init() throws {
    store = try TestStore()
    store.options.drains = true
    // No beat comes in between, however slow the machine is. The file server goes by the real time.
    store.options.clockTolerance = nil
    store.environment.clock = ManualClock(wall_ms: SystemClock().wallTime_ms())
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
  }

  private static let mostEnds = 1 + Int(Limits.endsBeforeCare + Limits.endsInCare)

  private func insert(_ numbers: Range<Int>) -> [Batch] {
    numbers.map { Batch([Batch.Statement("INSERT INTO t VALUES (?, 'x')", [.integer(Int64($0))])]) }
  }

  private func submit(_ numbers: Range<Int>, _ writer: Writer) throws -> [Receipt] {
    try writer.submitBlocking(insert(numbers)).map { try $0.get() }
  }

  /// A term that dies when it begins to execute one of `deadly`; true where it came to its end without.
  @discardableResult
  private func term(
    dyingAt deadly: Set<BatchID>, _ files: (any FileSystem)? = nil,
    before: @escaping @Sendable (BatchID) -> Void = { _ in }
  ) throws -> Bool {
    var (options, environment) = (store.options, store.environment)
    // How large groups are must not depend on how fast this machine is.
    environment.clock = ManualClock(wall_ms: SystemClock().wallTime_ms())
    if let files { environment.fileSystem = files }
    options.beforeBatch = { (batch: BatchID) throws(StoreError) in
      before(batch)
      if deadly.contains(batch) { throw StoreError(.io, "killed") }
    }
    do throws(StoreError) {
      try Applier(path: store.path, options: options, environment: environment)
        .run(shouldStop: { false })
      return true
    } catch {
      guard error.message == "killed" else { throw error }
      return false
    }
  }

  private func beacon() throws -> Beacon {
    try Log(of: store.handle).present().beacon
  }

  private func outcome(_ receipt: Receipt, _ writer: Writer) throws -> Outcome {
    try writer.outcomeBlocking(of: receipt, timeout: .seconds(60)).outcome
  }

  // MARK: an unclean end

  /// As many commits as without, and requests: the beacon that publishes a group names the next one.
  @Test(arguments: 0...2) func groupsAreAsLargeAfterUncleanEnds(ends: Int) throws {
    let writer = try store.writer()
    let receipts = try submit(0..<1000, writer)
    // The hosts die in different places, for no reason of the batches'.
    for end in 0..<ends { try term(dyingAt: [receipts[100 + 600 * end].batch]) }
    let before = try beacon()
    let done = before.extent.txid.rawValue - 1
    let files = CountedFileSystem(store.environment.fileSystem)
    let counts = Monitor<[CountedFileSystem.Counts]>([])
    #expect(try term(dyingAt: [], files) { _ in counts.withLock { $0.append(files.counts) } })
    let commits = try beacon().extent.commits - before.extent.commits
    // 64, 128, 256, 512 and the rest.
    #expect(commits <= 5, "\(commits) commits for \(1000 - done) batches")
    let (first, last) = try counts.withLock { (try #require($0.first), try #require($0.last)) }
    // A frame and a beacon each.
    #expect((last - first).logSyncs <= 2 * Int(commits - 1))
    #expect(try store.query("SELECT count(*) FROM t") == [[1000]])
    // The next unclean end is the first again.
    #expect(try beacon().status.uncleanTerms == 0)
    #expect(try beacon().status.attempts == [])
  }

  /// The range that two terms in a row ended in, and nothing else, is executed one batch a commit; each
  /// costs a frame and a beacon, which publishes it and names the next.
  @Test func careIsForWhatTwoTermsInARowEndedIn() throws {
    let writer = try store.writer()
    let receipts = try submit(0..<300, writer)
    // In the first group of 64; a dead host may have died anywhere in it.
    for place in [9, 5, 40] { #expect(try !term(dyingAt: [receipts[place].batch])) }
    #expect(
      try beacon().status.attempts == [
        Attempt(batch: receipts[0].batch, length: 64, ends: 1, isExecuting: true)
      ])
    let before = try beacon().extent.commits
    let files = CountedFileSystem(store.environment.fileSystem)
    let counts = Monitor<[CountedFileSystem.Counts]>([])
    #expect(try term(dyingAt: [], files) { _ in counts.withLock { $0.append(files.counts) } })
    let perBatch = counts.withLock { counts in
      zip(counts, counts.dropFirst()).prefix(60).map { $1 - $0 }
    }
    #expect(perBatch.allSatisfy { $0.logSyncs == 2 }, "\(perBatch.map(\.logSyncs))")
    // 64 alone, then 64, 128 and the rest.
    let commits = try beacon().extent.commits - before
    #expect((66...69).contains(commits), "\(commits)")
    #expect(try store.query("SELECT count(*) FROM t") == [[300]])
  }

  /// A term that gets beyond what was tried before begins to count anew.
  @Test func endsInDifferentPlacesAddUpToNothing() throws {
    let writer = try store.writer()
    let receipts = try submit(0..<2000, writer)
    for place in [10, 20, 100, 300, 700, 1500] {
      #expect(try !term(dyingAt: [receipts[place].batch]))
      #expect(try beacon().status.attempts.allSatisfy { $0.ends < Limits.endsBeforeCare })
    }
    let before = try beacon().extent.commits
    #expect(try term(dyingAt: []))
    #expect(try beacon().extent.commits - before < 10)
    for receipt in [receipts[10], receipts[1500]] {
      #expect(try outcome(receipt, writer).isApplied)
    }
  }

  // MARK: a batch that kills

  /// Others, which come meanwhile, are read before it by each term: it would never be met twice in the
  /// same place of the total order.
  @Test func itIsFoundBehindWritersThatGoOn() throws {
    let busy = try [store.writer(), store.writer()]
    var good: [(Receipt, Writer)] = []
    for (i, writer) in busy.enumerated() {
      good += try submit(i * 10_000..<i * 10_000 + 200, writer).map { ($0, writer) }
    }
    // Its writer's id, which is the latest, comes last in each listing.
    let writer = try store.writer()
    good += try submit(90_000..<90_003, writer).map { ($0, writer) }
    let bad = try submit(90_003..<90_004, writer)[0]
    good += try submit(90_004..<90_007, writer).map { ($0, writer) }
    var ends = 0
    while try !term(dyingAt: [bad.batch]) {
      ends += 1
      try #require(ends < 20)
      for (i, writer) in busy.enumerated() {
        let first = i * 10_000 + ends * 200
        good += try submit(first..<first + 200, writer).map { ($0, writer) }
      }
    }
    #expect(ends == Self.mostEnds)
    #expect(
      try outcome(bad, writer).rejectionCode == Outcome.Rejection.Code.poisonous)
    for (receipt, writer) in good { #expect(try outcome(receipt, writer).isApplied) }
  }

  /// In one group, each is found, and nothing else is rejected.
  @Test func severalAreFound() throws {
    let writer = try store.writer()
    let receipts = try submit(0..<40, writer)
    let bad = [receipts[3], receipts[4], receipts[30]]
    var ends = 0
    while try !term(dyingAt: Set(bad.map(\.batch))) {
      ends += 1
      try #require(ends < 30)
    }
    // What follows the first one was named with it.
    #expect(ends == Self.mostEnds + 2 * Int(Limits.endsInCare))
    for (i, receipt) in receipts.enumerated() {
      let isBad = [3, 4, 30].contains(i)
      #expect(try outcome(receipt, writer).isApplied != isBad, "batch \(i)")
    }
  }

  /// Appliers are stopped in order, before they come to it; a host dies before its claim is complete; and
  /// the log goes on in a new segment with each commit or two: what is known of it stays known.
  @Test func whatIsKnownOfItOutlastsTerms() throws {
    let writer = try store.writer()
    let receipts = try submit(0..<10, writer)
    let bad = receipts[5]
    store.options.segmentBytes = 64 << 10
    var ends = 0
    while try !term(dyingAt: [bad.batch]) {
      ends += 1
      try #require(ends < 20)
      try stopInOrder()
      try dieBeforeTheFirstBeacon()
    }
    #expect(ends == Self.mostEnds)
    #expect(
      try outcome(bad, writer).rejectionCode == Outcome.Rejection.Code.poisonous)
    #expect(try store.query("SELECT count(*) FROM t") == [[9]])
  }

  /// It leads, and is told to stop before it executes anything.
  private func stopInOrder() throws {
    let files = CallingFileSystem(store.environment.fileSystem)
    let leads = Monitor(false)
    files.beforeOpenForWriting = { path in
      if path.contains("/log/") { leads.withLock { $0 = true } }
    }
    var (options, environment) = (store.options, store.environment)
    environment.fileSystem = files
    options.drains = false
    options.beforeBatch = { _ in Issue.record("executed") }
    try Applier(path: store.path, options: options, environment: environment)
      .run(shouldStop: { leads.withLock { $0 } })
  }

  /// It has started, and cannot write its first beacon.
  private func dieBeforeTheFirstBeacon() throws {
    let files = FirstBeaconFailingFileSystem(store.environment.fileSystem)
    var environment = store.environment
    environment.fileSystem = files
    let error = #expect(throws: StoreError.self) {
      try Applier(path: store.path, options: store.options, environment: environment)
        .run(shouldStop: { false })
    }
    #expect(error?.message == "the host is gone")
  }

  private final class FirstBeaconFailingFileSystem: HookedFileSystem, @unchecked Sendable {
    // Sendable: nothing changes.
    override func fate(of operation: FileOperation) throws(StoreError) -> FileFate {
      guard operation.action == .write, operation.path.contains("/log/"),
        [Block.beacons.0, Block.beacons.1].contains(operation.offset)
      else { return .done }
      throw StoreError(.io, "the host is gone", path: operation.path, errno: EIO)
    }
  }

  // MARK: what is left out

  /// Without one of these it ends appliers for ever.
  @Test(arguments: [SafetyCheck.watchAfterUncleanEnd, .nameBeforeExecution, .countEnds])
  func aCheckLeftOutIsMissed(check: SafetyCheck) throws {
    let writer = try store.writer()
    let bad = try submit(0..<10, writer)[5]
    store.environment.omittedChecks = [check]
    for _ in 0..<2 * Self.mostEnds { #expect(try !term(dyingAt: [bad.batch])) }
    store.environment.omittedChecks = []
    #expect(try term(dyingAt: []))
    #expect(try outcome(bad, writer).isApplied)
  }
}
