import SluiceApplier
import SluiceJournal
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
        let outcome = try writer.outcomeBlocking(of: receipt, timeout: .seconds(5)).outcome
        #expect(outcome.isApplied, "\(outcome)")
      }
    }
    #expect(try store.query("SELECT count(*) FROM t") == [[60]])
    #expect(try store.query("SELECT txid FROM _sluice_state") == [[61]])
  }

  @Test func aBatchThatEndsTheApplierThreeTimesIsPoisonous() throws {
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
    // Once in its group, three times alone.
    #expect(ends == 4)
    let outcome = try writer.outcomeBlocking(of: bad, timeout: .seconds(5)).outcome
    #expect(outcome.rejectionCode == Outcome.Rejection.Code.poisonous)
    for receipt in good + more {
      #expect(try writer.outcomeBlocking(of: receipt, timeout: .seconds(5)).outcome.isApplied)
    }
    #expect(try store.query("SELECT count(*) FROM t") == [[9]])
  }

  /// A term that follows one that died reads live segments from their beginning: what is applied
  /// already must not use up the care that is meant for what was being executed.
  @Test func whatIsAppliedAlreadyIsNotExecutedWithCare() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
    let writer = try store.writer()
    // The last segment, which is live, holds more of them than the care of a second term is for.
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
    // Once in its group, three times alone.
    #expect(ends == 4)
    let outcome = try writer.outcomeBlocking(of: bad, timeout: .seconds(5)).outcome
    #expect(outcome.rejectionCode == Outcome.Rejection.Code.poisonous)
    #expect(try store.query("SELECT count(*) FROM t") == [[460]])
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
    let outcome = try writer.outcomeBlocking(of: #require(receipt), timeout: .seconds(5)).outcome
    #expect(outcome.isApplied)
    #expect(try store.query("SELECT count(*) FROM t") == [[1]])
  }

  @Test func aClosedHolderStops() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
    let writer = try store.writer()
    let passes = Monitor(0)
    // The first applier loses its office to a second one while it runs, and stands by again.
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
        let environment = store.environment
        let claim = LogClaim(
          layout: store.layout,
          store: try! PageStore(path: store.path, environment: environment)
            .description.id, environment: environment, holder: "thief",
          engine: .init(sourceID: "", compileOptions: "", architecture: ""))
        let log = Log(layout: store.layout, store: claim.store, environment: environment)
        let newest = try! log.listed()[0]
        let won = try! claim.claim(
          successorOf: newest,
          firstBeacon: { holder, _ in holder.beacon(.released, ApplierStatus(), time_ms: 0) })
        deposed = won != nil
        _ = try! writer.submitBlocking(insert(1))
      }
      return pass > 400
    })
    #expect(deposed)
    #expect(try store.query("SELECT count(*) FROM t") == [[1]])
  }
}

@Suite("Journal segments go when what they hold is published, and damage is kept aside")
struct IntakeTests {
  private func insert(_ n: Int64) -> Batch {
    Batch([Batch.Statement("INSERT INTO t VALUES(?)", [.integer(n)])])
  }

  @Test func aSilentSegmentIsRetiredAndItsWriterGoesOn() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY)")
    let writer = try store.writer()
    _ = try writer.submitBlocking(insert(1))
    store.options.retireAfter = .milliseconds(50)
    try run(store, until: { try store.names(store.layout.journal) == ["quarantine"] })
    let receipt = try writer.submitBlocking(insert(2))
    try store.drain()
    #expect(try writer.outcomeBlocking(of: receipt, timeout: .seconds(5)).outcome.isApplied)
    #expect(try store.query("SELECT a FROM t") == [[1], [2]])
  }

  /// The check taken out: what a writer flushes between the applier's last look and its mark is lost.
  @Test(arguments: [true, false])
  func framesAreReadAgainAfterTheMark(_ rereads: Bool) throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY)")
    let writer = try store.writer()
    _ = try writer.submitBlocking(insert(1))
    store.options.retireAfter = .milliseconds(50)
    if !rereads { store.environment.omittedChecks = [.rereadAfterMark] }
    let hooked = HookedFileSystem(store.environment.fileSystem)
    var applierEnvironment = store.environment
    applierEnvironment.fileSystem = hooked
    let late = Monitor<Receipt?>(nil)
    // In the moment before the mark is written.
    hooked.beforeOpenForWriting = { path in
      guard path.hasSuffix(".seg") else { return }
      late.withLock { if $0 == nil { $0 = try? writer.submitBlocking(insert(2)) } }
    }
    try run(
      store, environment: applierEnvironment,
      until: { try store.names(store.layout.journal) == ["quarantine"] })
    #expect(late.withLock { $0 } != nil)
    #expect(try store.query("SELECT count(*) FROM t") == [[rereads ? 2 : 1]])
  }

  /// Its writer was paused between making the file and giving it its size: it must find the mark.
  @Test func aSegmentWithoutItsSizeIsMarkedBeforeItGoes() throws {
    let store = try TestStore()
    let id = JournalSegmentID(writer: WriterID(time_ms: 1, random: { 5 }), number: 1)
    let own = try store.environment.fileSystem.create(
      "\(store.layout.journal)/\(StoreLayout.journalName(id))", mode: 0o660)
    store.options.retireAfter = .milliseconds(50)
    try run(store, until: { try store.names(store.layout.journal) == ["quarantine"] })
    try own.resize(to: 65536)
    #expect(try Mark.isClosed(own))
  }

  /// An applier that was moving a segment to quarantine stopped in between; it did so after its
  /// successor had looked what lies there.
  @Test func aMoveToQuarantineInMidTermHidesNothing() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY)")
    let writer = try store.writer()
    let receipt = try writer.submitBlocking(insert(1))
    let name = try #require(try store.names(store.layout.journal).first { $0.hasSuffix(".seg") })
    let layout = store.layout
    let fileSystem = store.environment.fileSystem
    var environment = store.environment
    environment.fileSystem = ListingFileSystem(fileSystem) { directory in
      guard directory == layout.journal else { return }
      try? fileSystem.link("\(layout.journal)/\(name)", to: "\(layout.quarantine)/\(name)")
    }
    try run(
      store, environment: environment, until: { try store.query("SELECT a FROM t") == [[1]] })
    #expect(try writer.outcomeBlocking(of: receipt, timeout: .seconds(5)).outcome.isApplied)
  }

  @Test func aTornFrameGoesToQuarantine() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY)")
    try store.drain()
    let writer = try store.writer()
    _ = try writer.submitBlocking(insert(1))
    let name = try #require(try store.names(store.layout.journal).first { $0.hasSuffix(".seg") })
    let file = try store.environment.fileSystem.open("\(store.layout.journal)/\(name)", .write)
    try file.write([UInt8](repeating: 7, count: 100), at: 12288)
    store.options.retireAfter = .milliseconds(50)
    try run(store, until: { try store.names(store.layout.journal) == ["quarantine"] })
    #expect(try store.names(store.layout.quarantine) == [name])
    #expect(try store.query("SELECT a FROM t") == [[1]])
    // That writer's later batches are not held up.
    let receipt = try writer.submitBlocking(insert(2))
    try store.drain()
    #expect(try writer.outcomeBlocking(of: receipt, timeout: .seconds(5)).outcome.isApplied)
  }

  @Test func strangersInTheJournalAreIgnored() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY)")
    let files = store.environment.fileSystem
    let id = WriterID(time_ms: 1, random: { 5 })
    _ = try files.create("\(store.layout.journal)/.nfs000", mode: 0o600)
    _ = try files.create("\(store.layout.journal)/notes.txt", mode: 0o600)
    try files.makeDirectory("\(store.layout.journal)/\(id).00000001.seg", mode: 0o700)
    try files.replaceSymbolicLink(
      "\(store.layout.journal)/\(id).00000002.seg", target: "/etc/passwd")
    makeFIFO("\(store.layout.journal)/\(id).00000003.seg")
    let garbage = try files.create("\(store.layout.journal)/\(id).00000004.seg", mode: 0o600)
    try garbage.write((0..<20000).map { UInt8(truncatingIfNeeded: $0 &* 31) }, at: 0)
    #expect(try store.apply([insert(1)])[0].isApplied)
  }

  @Test func aWriterWithMissingBatchesIsRefused() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY)")
    try store.drain()
    let writer = try store.writer()
    _ = try writer.submitBlocking(insert(1))
    let name = try #require(try store.names(store.layout.journal).first { $0.hasSuffix(".seg") })
    try store.environment.fileSystem.unlink("\(store.layout.journal)/\(name)")
    // Its next segment begins at batch 2, and nobody knows of batch 1.
    let receipts = try (2..<40).map { n in
      try writer.submitBlocking(
        Batch([
          Batch.Statement(
            "INSERT INTO t VALUES(?) -- \(String(repeating: "x", count: 9000))", [.integer(n)])
        ]))
    }
    try store.drain()
    let last = try #require(receipts.last)
    let outcome = try writer.outcomeBlocking(of: last, timeout: .seconds(5)).outcome
    #expect(
      outcome.rejectionCode == Outcome.Rejection.Code.expiredWriter,
      "\(outcome) \(receipts.map(\.batch))")
    #expect(try store.query("SELECT count(*) FROM t") == [[0]])
  }

  private func run(
    _ store: TestStore, environment: Environment? = nil, until done: () throws -> Bool
  ) throws {
    var failure: (any Error)?
    var passes = 0
    try Applier(
      path: store.path, options: store.options, environment: environment ?? store.environment
    ).run(shouldStop: {
      passes += 1
      do { return try done() || passes > 100_000 } catch {
        failure = error
        return true
      }
    })
    if let failure { throw failure }
    #expect(passes <= 100_000)
  }
}
