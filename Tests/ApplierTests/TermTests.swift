import SluiceApplier
import SluiceFakes
import SluiceJournal
import SluiceQuery
import SluiceReader
import SluiceShared
import SluiceWriter
import Synchronization
import Testing

@Suite("Terms follow each other without losing or repeating a batch")
struct TermTests {
  private func insert(_ n: Int64) -> Batch {
    Batch([Batch.Statement("INSERT INTO t VALUES(?, randomblob(2000))", [.integer(n)])])
  }

  @Test func theLogRotatesAndReadersFollow() throws {
    let store = try TestStore()
    store.options.segmentBytes = 256 << 10
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
    let reader = Database(
      try PageStore(path: store.path, environment: store.environment),
      executor: store.environment.executor)
    var seen: Int64 = 0
    for round in 0..<6 {
      try store.apply((0..<40).map { insert(Int64(round * 40 + $0)) })
      let count = try reader.read { try $0.query("SELECT count(*) FROM t") }
      #expect(count == [[.integer(Int64(round + 1) * 40)]])
      seen = Int64(round + 1) * 40
    }
    #expect(try store.names(store.layout.log).count > 8)
    // A reader that begins now sees the same.
    #expect(
      try store.query("SELECT count(*), max(a) FROM t") == [[.integer(seen), .integer(seen - 1)]])
    try store.drain()
    #expect(try store.names(store.layout.journal) == ["quarantine"])
  }

  @Test func checkpointsAreMadeAndUsed() throws {
    let store = try TestStore()
    store.options.checkpointBytes = 1 << 20
    store.options.segmentBytes = 512 << 10
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
    for round in 0..<6 { try store.apply((0..<120).map { insert(Int64(round * 120 + $0)) }) }
    let checkpoints = try store.names(store.layout.checkpoints).compactMap(
      StoreLayout.checkpointTxID)
    #expect(checkpoints.count > 1)
    let target = try store.environment.fileSystem.readSymbolicLink(store.layout.current)
    let newest = try #require(checkpoints.max())
    #expect(target == "checkpoints/\(StoreLayout.checkpointName(newest))")
    #expect(try store.query("SELECT count(*) FROM t") == [[720]])
    let page = try PageStore(path: store.path, environment: store.environment)
    #expect(try page.snapshot(.latest).checkpointTxID == newest)
  }

  /// With more to do at any time a beacon is always on its way.
  @Test func checkpointsAreMadeUnderLoad() throws {
    let store = try TestStore()
    store.options.checkpointBytes = 64 << 10
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
    _ = try store.writer().submitBlocking((0..<1000).map { insert(Int64($0)) })
    try store.drain()
    let checkpoints = try store.names(store.layout.checkpoints).compactMap(
      StoreLayout.checkpointTxID)
    #expect(checkpoints.contains { TxID(1) < $0 && $0 < TxID(1001) }, "\(checkpoints)")
  }

  /// The applier is dropped in mid-term, as a killed one would be: nothing is released.
  @Test func aSuccessorGoesOnWhereAKilledTermEnded() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
    let writer = try store.writer()
    var options = store.options
    options.leaseTime = .milliseconds(300)
    for term in 0..<3 {
      let receipts = try (0..<20).map { try writer.submitBlocking(insert(Int64(term * 20 + $0))) }
      let failing = FailingFileSystem(store.environment.fileSystem)
      var environment = store.environment
      environment.fileSystem = failing
      // Dies at some write of its own: between frame and beacon, or before either.
      failing.failWritesAfter = 3 + term
      #expect(throws: StoreError.self) {
        try Applier(path: store.path, options: options, environment: environment)
          .run(shouldStop: { false })
      }
      var draining = options
      draining.drains = true
      try Applier(path: store.path, options: draining, environment: store.environment)
        .run(shouldStop: { false })
      for receipt in receipts {
        let outcome = try writer.outcomeBlocking(of: receipt, timeout: .seconds(60)).outcome
        #expect(outcome.isApplied, "\(outcome)")
      }
    }
    #expect(try store.query("SELECT count(*) FROM t") == [[60]])
    #expect(try store.query("SELECT txid FROM _sluice_state") == [[61]])
  }

  @Test func aBatchThatEndsTheApplierAgainAndAgainIsPoisonous() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
    let writer = try store.writer()
    let good = try (0..<5).map { try writer.submitBlocking(insert(Int64($0))) }
    let bad = try writer.submitBlocking(insert(100))
    let more = try (5..<9).map { try writer.submitBlocking(insert(Int64($0))) }
    var options = store.options
    options.leaseTime = .milliseconds(100)
    options.drains = true
    options.beforeBatch = { (id: BatchID) throws(StoreError) in
      if id == bad.batch { throw StoreError(.io, "killed by the batch") }
    }
    var ends = 0
    while true {
      do throws(StoreError) {
        try Applier(path: store.path, options: options, environment: store.environment)
          .run(shouldStop: { false })
        break
      } catch {
        #expect(error.message == "killed by the batch")
        ends += 1
        try #require(ends < 10)
      }
    }
    // Once in a group that nothing names, twice in the same named one, three times alone.
    #expect(ends == 6)
    let outcome = try writer.outcomeBlocking(of: bad, timeout: .seconds(60)).outcome
    #expect(outcome.rejectionCode == Outcome.Rejection.Code.poisonous)
    for receipt in good + more {
      #expect(try writer.outcomeBlocking(of: receipt, timeout: .seconds(60)).outcome.isApplied)
    }
    #expect(try store.query("SELECT count(*) FROM t") == [[9]])
  }

  /// An applier that ends because a device fails starts anew as often as it likes.
  @Test func aFailingDevicePoisonsNothing() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
    let writer = try store.writer()
    let receipt = try writer.submitBlocking(insert(1))
    var options = store.options
    options.leaseTime = .milliseconds(100)
    options.drains = true
    options.beforeBatch = { (_: BatchID) throws(StoreError) in
      throw StoreError(.io, "write failed", path: "/scratch", errno: 5)
    }
    for _ in 0..<8 {
      #expect(throws: StoreError.self) {
        try Applier(path: store.path, options: options, environment: store.environment)
          .run(shouldStop: { false })
      }
    }
    options.beforeBatch = nil
    try Applier(path: store.path, options: options, environment: store.environment)
      .run(shouldStop: { false })
    #expect(try writer.outcomeBlocking(of: receipt, timeout: .seconds(60)).outcome.isApplied)
  }

  /// A virtual table reads its settings when a statement is compiled.
  @Test func aDeviceThatFailsWhileAStatementIsCompiledRejectsNothing() throws {
    let store = try TestStore()
    try store.apply("CREATE VIRTUAL TABLE f USING fts5(a)")
    let files = UnreadableFileSystem(store.environment.fileSystem)
    store.environment.fileSystem = files
    let writer = try store.writer()
    let receipt = try writer.submitBlocking(
      Batch([Batch.Statement("INSERT INTO f VALUES ('x')")]))
    store.options.beforeBatch = { _ in files.isUnreadable.store(true, ordering: .relaxed) }
    let error = #expect(throws: StoreError.self) { try store.drain() }
    #expect(error?.message == "read failed: Input/output error")
    files.isUnreadable.store(false, ordering: .relaxed)
    store.options.beforeBatch = nil
    store.options.leaseTime = .milliseconds(100)
    try store.drain()
    #expect(try writer.outcomeBlocking(of: receipt, timeout: .seconds(60)).outcome.isApplied)
  }

  /// The store's own device is full when the commit is written, again and again.
  @Test func aFullStorePoisonsNothing() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
    let writer = try store.writer()
    let receipt = try writer.submitBlocking(insert(1))
    let files = FullFileSystem(store.environment.fileSystem)
    var environment = store.environment
    environment.fileSystem = files
    var options = store.options
    options.leaseTime = .milliseconds(100)
    options.drains = true
    for _ in 0..<8 {
      let error = #expect(throws: StoreError.self) {
        try Applier(path: store.path, options: options, environment: environment)
          .run(shouldStop: { false })
      }
      #expect(error?.isFullDisk == true)
    }
    files.isFull.store(false, ordering: .relaxed)
    try Applier(path: store.path, options: options, environment: environment)
      .run(shouldStop: { false })
    #expect(try writer.outcomeBlocking(of: receipt, timeout: .seconds(60)).outcome.isApplied)
  }

  /// A term that follows one that died reads live segments from their beginning.
  @Test func whatIsAppliedAlreadyIsNotExecutedWithCare() throws {
    let store = try TestStore()
    // No beat names what it must not, however slow the machine is. The file server goes by the real time.
    store.environment.clock = ManualClock(wall_ms: SystemClock().wallTime_ms())
    store.options.clockTolerance = nil
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
    let writer = try store.writer()
    // The last segment, which is live, holds them.
    for i in 0..<460 { _ = try writer.submitBlocking(insert(Int64(i))) }
    try store.drain()
    let bad = try writer.submitBlocking(insert(1000))
    var options = store.options
    options.leaseTime = .milliseconds(100)
    options.drains = true
    options.beforeBatch = { (id: BatchID) throws(StoreError) in
      if id == bad.batch { throw StoreError(.io, "killed by the batch") }
    }
    var ends = 0
    while ends < 10 {
      do throws(StoreError) {
        try Applier(path: store.path, options: options, environment: store.environment)
          .run(shouldStop: { false })
        break
      } catch {
        #expect(error.message == "killed by the batch")
        ends += 1
      }
    }
    #expect(ends == 6)
    let outcome = try writer.outcomeBlocking(of: bad, timeout: .seconds(60)).outcome
    #expect(outcome.rejectionCode == Outcome.Rejection.Code.poisonous)
    #expect(try store.query("SELECT count(*) FROM t") == [[460]])
  }

  /// The refusal comes in the middle of a statement.
  @Test func whoIsRefusedARenewalLeadsNoMore() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
    let writer = try store.writer()
    let receipt = try writer.submitBlocking(
      Batch([
        Batch.Statement(
          "WITH c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 100000) INSERT INTO t SELECT i, '' FROM c"
        )
      ]))
    let lease = NotingLease()
    var options = store.options
    options.drains = true
    options.beat = .milliseconds(1)
    options.beforeBatch = { _ in
      if !lease.events.contains(.executed) { lease.refuseOnce() }
      lease.note(.executed)
    }
    try Applier(
      path: store.path, options: options, lease: lease, environment: store.environment
    ).run(shouldStop: { false })
    let behind = lease.events.drop { $0 != .refused }.dropFirst()
    #expect(behind.prefix(3) == [.abandoned, .acquired, .claimed], "\(lease.events)")
    #expect(try writer.outcomeBlocking(of: receipt, timeout: .seconds(60)).outcome.isApplied)
    #expect(try store.query("SELECT count(*) FROM t") == [[100_000]])
  }

  /// As after a host was away for longer than the file server's lease.
  @Test func aTermWhoseFilesAreLostEndsAndTheNextGoesOn() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
    let files = ForgetfulFileSystem(store.environment.fileSystem)
    var environment = store.environment
    environment.fileSystem = files
    let writer = try store.writer()
    var options = store.options
    options.leaseTime = .milliseconds(200)
    var receipt: Receipt?
    var passes = 0
    try Applier(path: store.path, options: options, environment: environment).run(shouldStop: {
      passes += 1
      if passes == 5 {
        files.forgets.store(true, ordering: .relaxed)
        receipt = try? writer.submitBlocking(insert(1))
      }
      return passes > 400
    })
    let didForget = !files.forgets.load(ordering: .relaxed)
    #expect(didForget)
    let outcome = try writer.outcomeBlocking(of: #require(receipt), timeout: .seconds(60)).outcome
    #expect(outcome.isApplied)
    #expect(try store.query("SELECT count(*) FROM t") == [[1]])
  }

  /// Becomes the log's holder in the applier's place, and releases at once; false where it lost.
  private func takeOver(_ path: String, _ environment: Environment) throws(StoreError) -> Bool {
    let claim = LogClaim(
      of: try PageStore(path: path, environment: environment).handle, holder: "thief",
      engine: .init(sourceID: "", compileOptions: "", architecture: ""))
    let log = Log(of: claim.store)
    let won = try claim.claim(
      successorOf: try log.listed()[0],
      firstBeacon: { holder, _ in holder.beacon(.released, ApplierStatus(), time_ms: 0) })
    return won != nil
  }

  /// After a refusal it goes on for as long as nobody else leads; its commit would be carried over.
  @Test func aStatementInVainIsInterrupted() throws {
    let store = try TestStore()
    let writer = try store.writer()
    let receipt = try writer.submitBlocking(
      Batch([
        Batch.Statement(
          "WITH c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) SELECT max(i) FROM c")
      ]))
    let log = NotedLog()
    let lease = NotingLease()
    let tookOver = Monitor<Bool?>(nil)
    var options = store.options
    options.drains = true
    options.beat = .milliseconds(20)
    options.stepsPerBatch = 50_000_000
    options.logger = log.logger
    options.beforeBatch = {
      [path = store.path, environment = store.environment] _ throws(StoreError) in
      guard tookOver.withLock({ $0 }) == nil else { return }
      let isHolder = try takeOver(path, environment)
      tookOver.withLock { $0 = isHolder }
      lease.refuseOnce()
    }
    try Applier(
      path: store.path, options: options, lease: lease, environment: store.environment
    ).run(shouldStop: { false })
    #expect(tookOver.withLock { $0 } == true)
    #expect(log.text.contains("this one stops executing"), "\(log.text)")
    // Who leads gets to the end of it.
    let outcome = try writer.outcomeBlocking(of: receipt, timeout: .seconds(60)).outcome
    #expect(outcome.rejectionCode == Outcome.Rejection.Code.stepLimit)
  }

  @Test func aClosedHolderStops() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
    let writer = try store.writer()
    let passes = Monitor(0)
    // The first applier loses its lead to a second one while it runs, and stands by again.
    var options = store.options
    options.leaseTime = .milliseconds(200)
    let first = try Applier(path: store.path, options: options, environment: store.environment)
    var deposed = false
    try first.run(shouldStop: {
      let pass = passes.withLock { count in
        count += 1
        return count
      }
      if pass == 5 {
        deposed = (try? takeOver(store.path, store.environment)) == true
        _ = try! writer.submitBlocking(insert(1))
      }
      return pass > 400
    })
    #expect(deposed)
    #expect(try store.query("SELECT count(*) FROM t") == [[1]])
  }
}
