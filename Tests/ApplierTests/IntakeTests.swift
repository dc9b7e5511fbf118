import SluiceApplier
import SluiceFakes
import SluiceJournal
import SluiceReader
import SluiceShared
import SluiceWriter
import Testing

@Suite("Journal segments go when what they hold is published, and damage is kept in quarantine")
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
    #expect(try writer.outcomeBlocking(of: receipt, timeout: .seconds(60)).outcome.isApplied)
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
    let hooked = CallingFileSystem(store.environment.fileSystem)
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
    let files = CallingFileSystem(fileSystem)
    environment.fileSystem = files
    files.beforeListing = { directory in
      guard directory == layout.journal else { return }
      try? fileSystem.link("\(layout.journal)/\(name)", to: "\(layout.quarantine)/\(name)")
    }
    try run(
      store, environment: environment, until: { try store.query("SELECT a FROM t") == [[1]] })
    #expect(try writer.outcomeBlocking(of: receipt, timeout: .seconds(60)).outcome.isApplied)
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
    #expect(try writer.outcomeBlocking(of: receipt, timeout: .seconds(60)).outcome.isApplied)
  }

  /// The name is another applier's, who died before it was answered: a file server that loses power may
  /// lose it. One that is answered follows it, before the journal's name goes.
  @Test(arguments: [false, true])
  func aNameInQuarantineIsNotReliedOnBeforeAnAnswer(anotherTidiesUp: Bool) throws {
    let (store, name) = try storeWithRemains()
    let files = TwiceLinkingFileSystem(store.environment.fileSystem, in: store.layout.quarantine)
    files.losesIt = anotherTidiesUp
    var environment = store.environment
    environment.fileSystem = files
    try run(
      store, environment: environment,
      until: { try store.names(store.layout.journal) == ["quarantine"] })
    #expect(try store.names(store.layout.quarantine) == [name])
    let changes = files.changes.withLock { $0 }
    let target = "\(store.layout.quarantine)/\(name)"
    let made = try #require(changes.dropFirst().first)
    #expect(made.hasPrefix("create \(target).") && made.hasSuffix(".tmp"), "\(changes)")
    #expect(
      changes == [
        "link \(target)", made, "unlink" + made.dropFirst("create".count),
        "unlink \(store.layout.journal)/\(name)",
      ])
  }

  /// The segment has two names then, and is known by them.
  @Test func whoDiesInQuarantineLeavesTheSegmentToTheNext() throws {
    let (store, name) = try storeWithRemains()
    let files = TwiceLinkingFileSystem(store.environment.fileSystem, in: store.layout.quarantine)
    files.diesThere = true
    var environment = store.environment
    environment.fileSystem = files
    try run(
      store, environment: environment,
      until: { try store.names(store.layout.quarantine).count == 2 })
    #expect(try store.names(store.layout.quarantine).count == 2)
    #expect(try store.names(store.layout.journal).contains(name))
    try run(store, until: { try store.names(store.layout.journal) == ["quarantine"] })
    #expect(try store.names(store.layout.quarantine) == [name])
    #expect(try store.query("SELECT a FROM t") == [[1]])
  }

  /// A journal segment with a batch and, behind it, something torn.
  private func storeWithRemains() throws -> (TestStore, segment: String) {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY)")
    try store.drain()
    _ = try store.writer().submitBlocking(insert(1))
    let name = try #require(try store.names(store.layout.journal).first { $0.hasSuffix(".seg") })
    let file = try store.environment.fileSystem.open("\(store.layout.journal)/\(name)", .write)
    try file.write([UInt8](repeating: 7, count: 100), at: 12288)
    store.options.retireAfter = .milliseconds(50)
    return (store, name)
  }

  /// Its writer was told that the name was taken, by its own create whose first answer was lost, and
  /// went on under the next one.
  @Test func anEmptySegmentHoldsNothingUp() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY)")
    let files = StumblingFileSystem(store.environment.fileSystem)
    var environment = store.environment
    environment.fileSystem = files
    let journal = try store.journal(environment)
    try journal.flush([insert(1).encoded()], ends: true)
    try store.drain()
    files.stumblesAt = .create
    try journal.flush([insert(2).encoded()], ends: true)
    #expect(try store.names(store.layout.journal).filter { $0.hasSuffix(".seg") }.count == 2)
    // This term knows nothing of the first batch's segment.
    try store.drain()
    #expect(try store.query("SELECT a FROM t") == [[1], [2]])
    #expect(try store.names(store.layout.quarantine).isEmpty)
    #expect(try store.names(store.layout.journal) == ["quarantine"])
  }

  /// Two segments were made while a listing was under way, which shows the later one. The check taken
  /// out: the earlier batches are taken for missing, and the writer is refused.
  @Test(arguments: [true, false])
  func aListingMayMissTheEarlierOfTwo(_ listsAgain: Bool) throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY)")
    let journal = try store.journal()
    for n in 1...2 { try journal.flush([insert(Int64(n)).encoded()], ends: true) }
    let files = OverlookingFileSystem(store.environment.fileSystem)
    files.overlooks = { $0.hasSuffix(".00000001.seg") }
    store.environment.fileSystem = files
    if !listsAgain { store.environment.omittedChecks = [.listAgain] }
    try store.drain()
    #expect(try store.query("SELECT a FROM t") == (listsAgain ? [[1], [2]] : []))
  }

  /// It could not be opened, which holds its writer back, and is gone before that is tried again.
  @Test func aFileThatCannotBeOpenedHoldsNobodyBackWhenItIsGone() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY)")
    let journal = try store.journal()
    try journal.flush([insert(1).encoded()])
    let id = try #require(journal.writer)
    let next = "\(store.layout.journal)/\(StoreLayout.journalName(.init(writer: id, number: 2)))"
    _ = try store.environment.fileSystem.create(next, mode: 0o660)
    let files = LockedFileSystem(store.environment.fileSystem)
    files.locked = next
    var environment = store.environment
    environment.fileSystem = files
    let fileSystem = store.environment.fileSystem
    var isGone = false
    try run(
      store, environment: environment,
      until: {
        if !isGone, files.refusals.withLock({ $0 }) > 0 {
          try fileSystem.unlink(next)
          try journal.flush([insert(2).encoded()])
          isGone = true
        }
        return try store.query("SELECT a FROM t") == [[1], [2]]
      })
  }

  /// The applier may read a silent segment, and not close it.
  @Test func aFileThatMayNotBeWrittenStopsNobodyElse() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY)")
    let silent = try store.writer()
    let receipt = try silent.submitBlocking(insert(1))
    let name = StoreLayout.journalName(.init(writer: receipt.batch.writer, number: 1))
    let files = LockedFileSystem(store.environment.fileSystem)
    files.locked = "\(store.layout.journal)/\(name)"
    files.isReadable = true
    var environment = store.environment
    environment.fileSystem = files
    store.options.retireAfter = .milliseconds(50)
    var hasSubmitted = false
    try run(
      store, environment: environment,
      until: {
        if !hasSubmitted, files.refusals.withLock({ $0 }) > 0 {
          _ = try store.writer().submitBlocking(insert(2))
          hasSubmitted = true
        }
        return try store.query("SELECT a FROM t") == [[1], [2]]
      })
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
    let outcome = try writer.outcomeBlocking(of: last, timeout: .seconds(60)).outcome
    #expect(
      outcome.rejectionCode == Outcome.Rejection.Code.expiredWriter,
      "\(outcome) \(receipts.map(\.batch))")
    #expect(try store.query("SELECT count(*) FROM t") == [[0]])
  }

  private func run(
    _ store: TestStore, environment: Environment? = nil, until done: @escaping () throws -> Bool
  ) throws {
    var failure: (any Error)?
    var isDone = false
    let patience = ContinuousClock.now + .seconds(900 * TestStore.patience)
    try Applier(
      path: store.path, options: store.options, environment: environment ?? store.environment
    ).run(shouldStop: {
      do { isDone = try done() } catch { failure = error }
      return isDone || failure != nil || ContinuousClock.now > patience
    })
    if let failure { throw failure }
    #expect(isDone)
  }
}
