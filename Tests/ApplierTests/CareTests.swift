import Glibc
import SluiceApplier
import SluiceJournal
import SluiceLease
import SluiceReader
import SluiceShared
import SluiceWriter
import Testing

@testable import SluiceFakes

/// After a term that ended without release groups are named in beacons before they are executed, and
/// what two terms in a row ended in is executed in care.
@Suite("A batch that is executed in care is blamed for nothing but its own execution")
struct CareTests {
  let store: TestStore
  let writer: Writer
  init() throws {
    store = try TestStore()
    store.options.drains = true
    store.options.leaseTime = .milliseconds(100)
    try store.apply("CREATE TABLE t(a)", "INSERT INTO t VALUES (1)")
    writer = try store.writer()
  }

  private func batch(_ sql: String) -> Batch { Batch([Batch.Statement(sql)]) }

  /// A term that ends while it executes `id`. Two of them in a row, behind one that named nothing, are
  /// what care begins after.
  private func endTerm(executing id: BatchID, times: Int = 1) throws {
    for _ in 1..<times { try endTerm(executing: id) }
    var options = store.options
    options.beforeBatch = { (batch: BatchID) throws(StoreError) in
      if batch == id { throw StoreError(.io, "killed by the batch") }
    }
    let error = #expect(throws: StoreError.self) {
      try Applier(path: store.path, options: options, environment: store.environment)
        .run(shouldStop: { false })
    }
    #expect(error?.message == "killed by the batch")
  }

  private func run(_ options: ApplierOptions, _ lease: (any Lease)? = nil) throws {
    try Applier(path: store.path, options: options, lease: lease, environment: store.environment)
      .run(shouldStop: { false })
  }

  /// Its commit asks for no renewal, or it would be executed by each term anew.
  @Test(arguments: [1, 3]) func itMayTakeLongerThanTheLease(ends: Int) throws {
    let receipt = try writer.submitBlocking(batch("INSERT INTO t VALUES (2)"))
    try endTerm(executing: receipt.batch, times: ends)
    let log = NotedLog()
    let executions = Monitor(0)
    var options = store.options
    options.logger = log.logger
    options.beforeBatch = { [environment = store.environment] _ in
      if executions.withLock({ count in
        count += 1
        return count == 1
      }) {
        environment.clock.sleep(.milliseconds(300))
      }
    }
    try run(options)
    #expect(log.text.contains("the lease ran out"))
    #expect(executions.withLock { $0 } == 1)
    #expect(try writer.outcomeBlocking(of: receipt, timeout: .seconds(60)).outcome.isApplied)
    #expect(try store.query("SELECT a FROM t") == [[1], [2]])
  }

  /// SQLite takes the database for damaged; a connection opened anew has the last word. That is one
  /// attempt, and the batch is named each time.
  @Test func itsSecondExecutionIsNoSecondAttempt() throws {
    try store.apply("CREATE INDEX i ON t(\"b\")", "ALTER TABLE t ADD COLUMN b")
    let first = try writer.submitBlocking(batch("INSERT INTO t(a) VALUES (2)"))
    let bad = try writer.submitBlocking(batch("DELETE FROM t WHERE a = 1"))
    try endTerm(executing: bad.batch, times: 3)
    let handle = try PageStore(path: store.path, environment: store.environment).handle
    let named = Monitor<[Attempt]>([])
    var options = store.options
    options.beforeBatch = { _ throws(StoreError) in
      let log = Log(of: handle)
      let attempts = try log.present().beacon.status.attempts
      named.withLock { $0 += attempts }
    }
    // In one term.
    try run(options, NotingLease())
    let behind = Attempt(batch: bad.batch, ends: 2, isExecuting: false)
    #expect(
      named.withLock { $0 }
        == [
          behind, Attempt(batch: first.batch, ends: 2, isExecuting: true),
          Attempt(batch: bad.batch, ends: 2, isExecuting: true),
          Attempt(batch: bad.batch, ends: 2, isExecuting: true),
        ])
    #expect(
      try writer.outcomeBlocking(of: bad, timeout: .seconds(60)).outcome.rejectionCode
        == "SQLITE_CORRUPT_INDEX")
  }

  /// Each term ends between naming the batch and executing it.
  @Test(arguments: [false, true])
  func aLeaseThatIsLostMeanwhileIsNoAttempt(answers: Bool) throws {
    let receipt = try writer.submitBlocking(batch("INSERT INTO t VALUES (2)"))
    try endTerm(executing: receipt.batch, times: 3)
    for _ in 0..<4 {
      let lease = LostLease(answers)
      if answers {
        // Stands by again, and is told to stop there.
        try Applier(
          path: store.path, options: store.options, lease: lease, environment: store.environment
        ).run(shouldStop: { lease.isLost })
      } else {
        let error = #expect(throws: StoreError.self) { try run(store.options, lease) }
        #expect(error?.message == "no answer")
      }
      #expect(lease.isLost)
    }
    try run(store.options)
    let outcome = try writer.outcomeBlocking(of: receipt, timeout: .seconds(60)).outcome
    #expect(outcome.isApplied, "\(outcome)")
  }

  /// And the beacon that is to say so cannot be written: the process knows it, and claims again.
  @Test func whatCannotBeTakenBackIsKnownToWhoeverSurvivedIt() throws {
    let receipt = try writer.submitBlocking(batch("INSERT INTO t VALUES (2)"))
    try endTerm(executing: receipt.batch, times: 3)
    let files = BeaconFailingFileSystem(store.environment.fileSystem)
    var environment = store.environment
    environment.fileSystem = files
    let lease = LostLease(true)
    lease.whenLost = { files.fails.withLock { $0 = true } }
    try Applier(path: store.path, options: store.options, lease: lease, environment: environment)
      .run(shouldStop: { lease.losses >= 4 })
    #expect(lease.losses == 4)
    try run(store.options)
    let outcome = try writer.outcomeBlocking(of: receipt, timeout: .seconds(60)).outcome
    #expect(outcome.isApplied, "\(outcome)")
  }

  /// The next beacon cannot be written.
  private final class BeaconFailingFileSystem: HookedFileSystem, @unchecked Sendable {
    // Sendable: what changes is under a lock.
    let fails = Monitor(false)

    override func fate(of operation: FileOperation) throws(StoreError) -> FileFate {
      guard operation.action == .write, operation.path.contains("/log/"),
        [Block.beacons.0, Block.beacons.1].contains(operation.offset),
        fails.withLock({ fails in
          defer { fails = false }
          return fails
        })
      else { return .done }
      throw StoreError(
        .io, "write failed: Input/output error", path: operation.path, errno: EIO)
    }
  }

  /// Granted, and never renewed.
  private final class LostLease: Lease {
    private let answers: Bool
    private(set) var losses = 0
    var isLost: Bool { losses > 0 }
    var whenLost: () -> Void = {}

    init(_ answers: Bool) { self.answers = answers }

    func mayClaim(_ seen: LeaseObservation) -> Bool { true }
    func claimed(at started: Duration) {}
    func renew(beatStarted started: Duration, nextBeat: Duration) throws(StoreError) -> Bool {
      losses += 1
      whenLost()
      guard answers else { throw StoreError(.io, "no answer", errno: 5) }
      return false
    }
    func release() {}
  }
}
