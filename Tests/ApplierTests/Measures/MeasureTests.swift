import SluiceFakes
import SluiceHints
import SluiceJournal
import SluiceReader
import SluiceShared
import SluiceWriter
import Testing

@testable import SluiceApplier

/// A measure that comes without a deed here is an error of the compiler, and one that its deed does not look at fails.
@Suite("Each measure is of what it says: something is done, and the number is read")
struct MeasureTests {
  let measured = Measured()
  let store: TestStore

  init() throws {
    store = try TestStore()
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY)")
  }

  @Test(arguments: Measure.allCases)
  func isRecorded(measure: Measure) throws {
    try deed(measure)()
    #expect(measured.seen.contains(measure))
  }

  private func deed(_ measure: Measure) -> () throws -> Void {
    switch measure {
    case .submitSeconds, .flushBatches, .flushBytes: writing
    case .submitFailures: failing
    case .refreshSeconds, .snapshots: reading
    case .leading, .terms, .journalWriters, .backlogBatches, .backlogBytes, .oldestBatch: leading
    case .lostTerms: losing
    case .leaseAge: beating
    case .txid, .commitSeconds, .commitBatches, .commitBytes, .rejected: committing
    case .quarantined, .ignored: findingFiles
    case .missing: missing
    case .checkpoints: checkpoint
    case .checkpointFailures: failingCheckpoint
    case .hintsReceived, .hintsUseful, .hintsSent: hinting
    case .fileOperations, .fileErrors: asking
    case .lockRequests, .lockFailures, .lockSeconds: electing
    }
  }

  func insert(_ n: Int64) -> Batch {
    Batch([Batch.Statement("INSERT INTO t VALUES (?)", [.integer(n)])])
  }

  /// Each write takes 20 ms or more.
  private func slow() -> HookedFileSystem {
    HookedFileSystem(store.environment.fileSystem) { operation in
      if operation.action == .write { SystemClock().sleep(.milliseconds(20)) }
      return .done
    }
  }

  func failing(_ action: FileOperation.Action, _ part: String) -> HookedFileSystem {
    HookedFileSystem(store.environment.fileSystem) { operation in
      operation.action == action && operation.path.contains(part)
        ? .fails(.posix(28, operation.path)) : .done
    }
  }

  // MARK: Writers and readers

  private func writing() throws {
    store.environment.fileSystem = slow()
    let writer = try measured.by { try store.writer() }
    _ = try writer.submitBlocking(insert(1))
    for result in writer.submitBlocking([insert(2), insert(3), insert(4)]) { _ = try result.get() }
    measured.expect(.submitSeconds, "_count", is: 2)
    #expect(try #require(measured.value(.submitSeconds, "_sum")) >= 0.04)
    measured.expect(.flushBatches, "_count", is: 2)
    measured.expect(.flushBatches, "_sum", is: 4)
    measured.expect(.flushBytes, "_count", is: 2)
    measured.expect(.flushBytes, "_sum", is: Double(writer.unappliedBytes))
    #expect(writer.unappliedBytes > 100)
    measured.expect(.submitFailures, is: 0)
  }

  private func failing() throws {
    store.environment.fileSystem = failing(.create, "/journal/")
    let writer = try measured.by { try store.writer() }
    for n in 1...2 {
      #expect(throws: StoreError.self) { try writer.submitBlocking(insert(1)) }
      measured.expect(.submitFailures, is: Double(n))
    }
    measured.expect(.submitSeconds, "_count", is: 0)
  }

  private func reading() throws {
    let gate = Monitor(true)
    store.environment.fileSystem = HookedFileSystem(store.environment.fileSystem) { operation in
      if operation.action == .read { gate.wait { $0 ? () : nil } }
      return .done
    }
    let pages = try measured.by { try PageStore(path: store.path, environment: store.environment) }
    for source in ["refresh", "shared", "cache"] {
      measured.expect(.snapshots, "", "source=\"\(source)\"", is: 0)
    }
    let began = SystemClock().elapsed()
    for _ in 0..<3 { _ = try pages.snapshot(.latest) }
    let took: Duration = SystemClock().elapsed() - began
    measured.expect(.snapshots, "", "source=\"refresh\"", is: 3)
    measured.expect(.refreshSeconds, "_count", is: 3)
    let sum = try #require(measured.value(.refreshSeconds, "_sum"))
    #expect(.seconds(sum) <= took && sum > 0)
    _ = try pages.snapshot(.maxStaleness(.seconds(3600)))
    _ = try pages.snapshot(.atLeast(pages.current.txid, timeout: .seconds(1)))
    measured.expect(.snapshots, "", "source=\"cache\"", is: 2)
    measured.expect(.snapshots, "", "source=\"refresh\"", is: 3)
    try sharing(pages, gate)
  }

  /// Many ask while the file server does not answer: one asks again, behind that, for all who came.
  private func sharing(_ pages: PageStore, _ gate: Monitor<Bool>) throws {
    for round in 1...200 {
      gate.withLock { $0 = false }
      let asking = (0..<4).map { _ in
        ThreadExecutor.shared.start { _ = try? pages.snapshot(.latest) }
      }
      SystemClock().sleep(.milliseconds(10))
      gate.withLock { $0 = true }
      gate.wakeAll()
      for one in asking { one.wait() }
      measured.expect(.snapshots, is: Double(5 + 4 * round))
      if measured.value(.snapshots, "", "source=\"shared\"") != 0 { return }
    }
    Issue.record("no snapshot was shared")
  }

  // MARK: Who leads

  private func leading() throws {
    let writers = try (0..<2).map { _ in try store.writer() }
    let term = try MeasuredLeader(measured, store)
    measured.expect(.leading, is: 1)
    measured.expect(.terms, is: 1)
    for (n, writer) in [0, 0, 1].enumerated() {
      _ = try writers[writer].submitBlocking(insert(Int64(n)))
    }
    try term.step(executes: false)
    try term.beat(executes: false)
    measured.expect(.backlogBatches, is: 3)
    measured.expect(.backlogBytes, is: Double(term.leader.intake.waiting.bytes))
    #expect(term.leader.intake.waiting.bytes > 0)
    measured.expect(.oldestBatch, is: 5)
    measured.expect(.journalWriters, is: 2)
    try term.beat()
    try term.beat()
    for measure in [Measure.backlogBatches, .backlogBytes, .oldestBatch] {
      measured.expect(measure, is: 0)
    }
    try term.stop()
    measured.expect(.leading, is: 0)
    for measure in [Measure.backlogBatches, .backlogBytes, .oldestBatch, .journalWriters] {
      measured.expectNone(measure)
    }
    measured.expect(.terms, is: 1)
    measured.expect(.lostTerms, is: 0)
  }

  private func losing() throws {
    let first = try MeasuredLeader(measured, store)
    let other = Measured()
    let second = try MeasuredLeader(other, store)
    other.expect(.leading, is: 1)
    measured.expect(.leading, is: 1)
    measured.expect(.lostTerms, is: 0)
    try first.beat()
    measured.expect(.lostTerms, is: 1)
    measured.expect(.leading, is: 0)
    try second.stop()
    other.expect(.lostTerms, is: 0)
    other.expect(.terms, is: 1)
  }

  private func beating() throws {
    let term = try MeasuredLeader(measured, store)
    for _ in 0..<2 { try term.beat() }
    measured.expect(.leaseAge, is: 5)
    // A standby, which sees the beacon age.
    let (standby, clock) = (Measured(), ManualClock())
    var environment = store.environment
    environment.clock = clock
    let applier = try standby.by {
      try Applier(path: store.path, options: store.options, environment: environment)
    }
    for age in [0, 3, 4.5] {
      clock.sleep(.seconds(age) - clock.elapsed() + .seconds(1))
      _ = try applier.look()
      standby.expect(.leaseAge, is: age)
    }
    standby.expect(.leading, is: 0)
    try term.stop()
  }
}
