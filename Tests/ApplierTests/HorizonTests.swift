import Glibc
import SluiceApplier
import SluiceJournal
import SluiceReader
import SluiceShared
import SluiceWriter
import Testing

@Suite("Keys are remembered for a day, silent writers for a week")
struct HorizonTests {
  private static let day = Duration.seconds(24 * 3600)

  private let store: TestStore
  /// Of the file server, and of all hosts where nothing else is said.
  private let clock = ShiftedClock()
  private let files: DatingFileSystem

  init() throws {
    store = try TestStore()
    files = DatingFileSystem(store.environment.fileSystem, clock)
    store.environment.clock = clock
    store.environment.fileSystem = files
    try store.apply("CREATE TABLE t(a)")
  }

  /// On a machine that can be suspended.
  private func suspendable() -> (environment: Environment, clock: SuspendedClock) {
    var environment = store.environment
    let clock = SuspendedClock(clock)
    environment.clock = clock
    return (environment, clock)
  }

  private func insert(_ n: Int64, key: String? = nil) -> Batch {
    Batch([Batch.Statement("INSERT INTO t VALUES(?)", [.integer(n)])], key: key)
  }

  @Test(arguments: [(23, false), (25, true)])
  func aKeyIsRememberedForADay(hours: Int, isForgotten: Bool) throws {
    let first = try store.apply([insert(1, key: "k")])[0]
    clock.advance(by: .seconds(hours * 3600))
    let second = try store.apply([insert(1, key: "k")])[0]
    if isForgotten {
      #expect(second.isApplied)
    } else {
      #expect(second == .duplicate(of: TxID(2), original: first))
    }
    #expect(try store.query("SELECT count(*) FROM t") == [[isForgotten ? 2 : 1]])
    // The row goes with a commit after that day, whatever is in it.
    try store.apply([insert(2)])
    #expect(try store.query("SELECT txid FROM _sluice_keys") == [[isForgotten ? 3 : 2]])
    clock.advance(by: .seconds(25 * 3600))
    try store.apply([insert(3)])
    #expect(try store.query("SELECT count(*) FROM _sluice_keys") == [[0]])
  }

  @Test(arguments: [(6, false), (8, true)])
  func aSilentWriterIsRememberedForAWeek(days: Int, isForgotten: Bool) throws {
    // These two do not look how late it is.
    var careless = store.environment
    careless.omittedChecks = [.rememberedWriter]
    let early = try store.journal(careless)
    _ = early.nextBatch()
    clock.advance(by: .seconds(3600))
    let writer = try store.journal(careless)
    try writer.flush([insert(1).encoded()], ends: true)
    try store.drain()
    #expect(try store.names(store.layout.journal) == ["quarantine"])
    clock.advance(by: .seconds(days * 24 * 3600))
    let fresh = try store.journal()
    try fresh.flush([insert(2).encoded()], ends: true)
    try store.drain()
    #expect(try isKnown(writer.writer) == !isForgotten)

    // What it sends now might have been executed already, for all that anybody knows; the same goes
    // for one that was made earlier and never heard of. Nobody else's batches are refused.
    try writer.flush([insert(3).encoded()], ends: true)
    try early.flush([insert(4).encoded()], ends: true)
    try fresh.flush([insert(5).encoded()], ends: true)
    try store.drain()
    let refused: [[SQLValue]] = isForgotten ? [[.text(Outcome.Rejection.Code.expiredWriter)]] : []
    for journal in [writer, early] {
      let id = try #require(journal.writer)
      #expect(try rows("SELECT code FROM _sluice_rejected", of: id) == refused)
    }
    let rows = try store.query("SELECT a FROM t ORDER BY a")
    #expect(rows == (isForgotten ? [[1], [2], [5]] : [[1], [2], [3], [4], [5]]))
  }

  /// What it was told is durable would be refused.
  @Test(arguments: [(5, false), (8, true)])
  func whoMayBeForgottenTellsNobodyThatABatchIsDurable(days: Int, isForgotten: Bool) throws {
    let writer = try store.journal()
    try writer.flush([insert(1).encoded()], ends: true)
    try store.drain()
    let early = try store.journal()
    let first = [writer, early].map { $0.nextBatch() }
    // As when they stand still here.
    clock.advance(by: .seconds(days * 24 * 3600))
    try store.apply([insert(2)])
    for (journal, batch) in zip([writer, early], first) {
      if isForgotten {
        let error = #expect(throws: StoreError.self) {
          try journal.flush([insert(3).encoded()], as: batch, ends: true)
        }
        #expect(error?.code == .notSubmitted)
        #expect(error?.message.contains("may be forgotten") == true, "\(String(describing: error))")
      } else {
        try journal.flush([insert(3).encoded()], as: batch, ends: true)
      }
      // A new writer begins anew.
      let next = try journal.flush([insert(4).encoded()], ends: true)
      #expect((next.writer != batch.writer) == isForgotten)
    }
    try store.drain()
    #expect(try store.query("SELECT count(*) FROM _sluice_rejected") == [[0]])
    #expect(
      try store.query("SELECT a FROM t ORDER BY a")
        == (isForgotten ? [[1], [2], [4], [4]] : [[1], [2], [3], [3], [4], [4]]))
  }

  /// Nothing on its machine tells it that time passed.
  @Test(arguments: [(false, false), (true, false), (true, true)])
  func whoWasSuspendedIsToldSoToo(wasHeard: Bool, datesItsFiles: Bool) throws {
    let (environment, itsClock) = suspendable()
    if datesItsFiles { files.creator = itsClock }
    let writer = try store.journal(environment)
    if wasHeard {
      try writer.flush([insert(1).encoded()], ends: true)
      try store.drain()
    }
    let batch = writer.nextBatch()
    clock.advance(by: Self.day * 8)
    itsClock.miss(wall: Self.day * 8, boot: Self.day * 8)
    try store.apply([insert(2)])
    let error = #expect(throws: StoreError.self) { try writer.flush([insert(3).encoded()]) }
    #expect(error?.code == .notSubmitted)
    #expect(error?.message.contains("may have to be set") == true)
    #expect(try !store.names(store.layout.journal).contains { $0.hasPrefix("\(batch.writer)") })
    // Its clock would make the new writer an old one, too; but it has seen the file server's.
    let next = try writer.flush([insert(4).encoded()])
    #expect(next.writer != batch.writer)
    try store.drain()
    #expect(try store.query("SELECT count(*) FROM _sluice_rejected") == [[0]])
    #expect(
      try store.query("SELECT a FROM t ORDER BY a") == (wasHeard ? [[1], [2], [4]] : [[2], [4]]))
  }

  /// Nothing was written, and nothing waits: a submit goes on under a new id. Also one that knows only
  /// of its own machine's clock.
  @Test(arguments: [false, true]) func aSubmitDoesNotFailForThat(mayHaveLanded: Bool) throws {
    let (environment, itsClock) = suspendable()
    let writer = try Writer(store: store.path, environment: environment)
    let first = try writer.submitBlocking(insert(1))
    store.options.retireAfter = .milliseconds(1)
    try retireAll()
    clock.advance(by: Self.day * 8)
    itsClock.miss(wall: Self.day * 8, boot: Self.day * 8)
    try store.apply([insert(2)])
    if mayHaveLanded {
      // Its segment was retired, so the frame behind the mark is to be written again.
      let error = #expect(throws: StoreError.self) { try writer.submitBlocking(insert(3)) }
      #expect(error?.code == .outcomeUnknown)
    }
    // Which does not fit the segment that it has.
    let large = Batch([
      Batch.Statement(
        "INSERT INTO t SELECT 4 FROM (SELECT ?)",
        [.blob((0..<100_000).map { _ in UInt8.random(in: 0...255) })])
    ])
    let next = try writer.submitBlocking(large)
    #expect(next.batch.writer != first.batch.writer)
    let (late, results) = try Writer.submitOnce(
      store: store.path, [insert(5), insert(6)], environment: environment)
    let receipts = try results.map { try $0.get() }
    #expect(late.unappliedBytes > 0)
    try store.drain()
    for (writer, receipt) in [(writer, first), (writer, next)] + receipts.map({ (late, $0) }) {
      let outcome = try writer.outcomeBlocking(of: receipt, timeout: .seconds(60)).outcome
      #expect(outcome.isApplied)
    }
    for receipt in [next] + receipts {
      #expect(receipt.batch.writer.time_ms > clock.wallTime_ms() - 60_000)
    }
    #expect(writer.unappliedBytes == 0 && late.unappliedBytes == 0)
    #expect(try store.query("SELECT a FROM t ORDER BY a") == [[1], [2], [4], [5], [6]])
  }

  /// Nobody applies for days. Two ids would be executed in any order.
  @Test(arguments: [false, true]) func theOrderIsKeptForDays(followsOutcomes: Bool) throws {
    var options = Writer.Options()
    options.followsOutcomes = followsOutcomes
    // Of several segments, the second is read first.
    try store.drain()
    #expect(try store.names(store.layout.journal) == ["quarantine"])
    let writer = try Writer(store: store.path, options: options, environment: store.environment)
    for n in 1...4 {
      _ = try writer.submitBlocking(insert(Int64(n)))
      clock.advance(by: .seconds(25 * 3600))
    }
    try store.drain()
    #expect(try store.query("SELECT a FROM t") == [[1], [2], [3], [4]])
  }

  /// What is in doubt for longer than a day is not sent again, and a new id would pass what waits.
  @Test func soItIsBehindADoubtfulBatch() throws {
    let files = UnwritableJournalFileSystem(store.environment.fileSystem)
    var environment = store.environment
    environment.fileSystem = files
    let writer = try store.journal(environment)
    let first = try writer.flush([insert(1).encoded()])
    files.isUnwritable = true
    let error = #expect(throws: StoreError.self) { try writer.flush([insert(2).encoded()]) }
    #expect(error?.code == .outcomeUnknown)
    files.isUnwritable = false
    clock.advance(by: .seconds(25 * 3600))
    let refusal = #expect(throws: StoreError.self) { try writer.flush([insert(3).encoded()]) }
    #expect(refusal?.code == .notSubmitted)
    store.options.retireAfter = .milliseconds(1)
    try retireAll()
    #expect(try writer.flush([insert(4).encoded()]).writer != first.writer)
    try store.drain()
    #expect(try store.query("SELECT a FROM t") == [[1], [4]])
  }

  /// What failed a moment ago has left a file of its own name; that is none that says it was remembered.
  @Test(arguments: [.list, .create] as [StumblingFileSystem.Place])
  func aTryThatFailedMakesNobodyRemembered(place: StumblingFileSystem.Place) throws {
    var (environment, itsClock) = suspendable()
    let files = StumblingFileSystem(environment.fileSystem)
    environment.fileSystem = files
    let writer = try store.journal(environment)
    try writer.flush([insert(1).encoded()], ends: true)
    try store.drain()
    clock.advance(by: Self.day * 8)
    itsClock.miss(wall: Self.day * 8, boot: Self.day * 8)
    try store.apply([insert(2)])
    files.stumblesAt = place
    let error = #expect(throws: StoreError.self) { try writer.flush([insert(3).encoded()]) }
    #expect(files.stumblesAt == nil)
    #expect(error?.code == .notSubmitted)
    try writer.flush([insert(4).encoded()])
    try store.drain()
    #expect(try store.query("SELECT a FROM t ORDER BY a") == [[1], [2], [4]])
    #expect(try store.query("SELECT count(*) FROM _sluice_rejected") == [[0]])
  }

  /// Suspended twice, for less than six days each time. What counts is when the batch was executed, and
  /// that may have been long before it was acknowledged: from a segment that was closed meanwhile.
  @Test func aRepeatIsNoSignOfLife() throws {
    var (environment, itsClock) = suspendable()
    let files = ReadHookFileSystem(environment.fileSystem)
    environment.fileSystem = files
    let writer = try store.journal(environment)
    func suspend(_ days: Double) {
      clock.advance(by: Self.day * days)
      itsClock.miss(wall: Self.day * days, boot: Self.day * days)
    }
    store.options.retireAfter = .milliseconds(1)
    files.beforeFirstRead = { [self] in
      try? retireAll()
      suspend(5.9)
    }
    try writer.flush([insert(1).encoded()])
    #expect(files.beforeFirstRead == nil)
    try retireAll()
    suspend(1.2)
    try store.apply([insert(2)])
    let error = #expect(throws: StoreError.self) {
      try writer.flush([insert(3).encoded()], ends: true)
    }
    #expect(error?.code == .outcomeUnknown || error?.code == .notSubmitted)
    try store.drain()
    #expect(try store.query("SELECT count(*) FROM _sluice_rejected") == [[0]])
    #expect(try store.query("SELECT a FROM t ORDER BY a") == [[1], [2]])
  }

  /// Nobody waits for an outcome; what was applied is looked up all the same, before the next flush.
  @Test func whoAsksForNothingTakesANewIDAfterADay() throws {
    let writer = try store.writer()
    var ids: [WriterID] = []
    for n in 1...4 {
      ids.append(try writer.submitBlocking(insert(Int64(n))).batch.writer)
      try store.drain()
      // Until nobody is looking any more.
      clock.sleep(.milliseconds(1200))
      clock.advance(by: .seconds(13 * 3600))
    }
    #expect(Set(ids).count == 2, "\(ids)")
    #expect(ids[0] == ids[1] && ids[2] == ids[3])
    writer.closeBlocking()
  }

  /// It is not silent, and its files' dates say so.
  @Test func whoWritesForDaysTakesANewSegmentEachDay() throws {
    let writer = try store.journal()
    let first = try writer.flush([insert(1).encoded()])
    for n in 2...5 {
      clock.advance(by: .seconds(13 * 3600))
      #expect(try writer.flush([insert(Int64(n)).encoded()]).writer == first.writer)
    }
    let segments = try store.names(store.layout.journal).filter { $0.hasPrefix("\(first.writer)") }
    #expect(segments.count == 3, "\(segments)")
    try store.drain()
    #expect(try store.query("SELECT count(*) FROM t") == [[5]])
  }

  /// A listing takes time. While the one for forgetting is under way, another applier removes the file
  /// that the writer had, and it makes one that the listing misses.
  @Test func whoMovesToAnotherFileIsNotForgottenBetween() throws {
    let writer = try store.journal()
    let id = try writer.flush([insert(1).encoded()]).writer
    try store.drain()
    clock.advance(by: Self.day * 8)
    let other = try store.journal()
    try other.flush([insert(2).encoded()], ends: true)
    let files = OnceShowingFileSystem(store.environment.fileSystem)
    files.isHidden = { $0.hasPrefix("\(id)") }
    let environment = store.environment
    store.environment.fileSystem = files
    try store.drain()
    store.environment = environment
    #expect(files.listings > 1)
    #expect(try isKnown(id))
  }

  /// A time that stood still would make its writers seem silent for that much longer, and the next term
  /// forget them too early.
  @Test(arguments: [false, true])
  func anApplierThatWasSuspendedEndsItsTerm(clockIsSetRight: Bool) throws {
    let writer = try store.journal()
    let (environment, itsClock) = suspendable()
    let applier = try Applier(path: store.path, options: store.options, environment: environment)
    var passes = 0
    func pass() -> Bool {
      passes += 1
      if passes == 8 {
        clock.advance(by: Self.day * 4)
        itsClock.miss(wall: clockIsSetRight ? .zero : Self.day * 4, boot: Self.day * 4)
        _ = try? writer.flush([insert(1).encoded()])
      }
      return passes > 100_000 || (try? store.query("SELECT a FROM t")) == [[1]]
    }
    if clockIsSetRight {
      try applier.run(shouldStop: pass)
    } else {
      let error = #expect(throws: StoreError.self) { try applier.run(shouldStop: pass) }
      #expect(error?.code == .wrongClock)
      #expect(try store.query("SELECT a FROM t") == [])
      #expect(try lastState() == .released)
      try store.drain()
    }
    #expect(passes >= 8)
    #expect(try store.query("SELECT a FROM t") == [[1]])
    let lately_ms = clock.wallTime_ms() - 3_600_000
    let id = try #require(writer.writer)
    #expect(try rows("SELECT time > \(lately_ms) FROM _sluice_writers", of: id) == [[1]])
  }

  /// The batches that may have ended the term before are to be named by the next one, too.
  @Test func aTermOfCareIsNotHandedOver() throws {
    let writer = try store.journal()
    try writer.flush([insert(1).encoded()])
    var options = store.options
    options.beforeBatch = { _ throws(StoreError) in throw StoreError(.io, "ended by a batch") }
    #expect(throws: StoreError.self) {
      try Applier(path: store.path, options: options, environment: store.environment)
        .run(shouldStop: { false })
    }
    let (environment, itsClock) = suspendable()
    let late = try store.journal()
    store.options.leaseTime = .milliseconds(100)
    var passes = 0
    let error = #expect(throws: StoreError.self) {
      try Applier(path: store.path, options: store.options, environment: environment).run {
        passes += 1
        if (try? store.query("SELECT a FROM t")) == [[1]], late.writer == nil {
          clock.advance(by: Self.day * 4)
          itsClock.miss(wall: Self.day * 4, boot: Self.day * 4)
          _ = try? late.flush([insert(2).encoded()])
        }
        return passes > 100_000
      }
    }
    #expect(error?.code == .wrongClock)
    #expect(try lastState() == .active)
    try store.drain()
    #expect(try store.query("SELECT a FROM t") == [[1], [2]])
  }

  /// The next one need not wait for it.
  @Test func aTermIsHandedOverBeforeItsCheckpointIsMade() throws {
    var (environment, itsClock) = suspendable()
    let hooked = HookedFileSystem(environment.fileSystem)
    environment.fileSystem = hooked
    let isBegun = Monitor(false)
    let states = Monitor<[Beacon.State?]>([])
    hooked.beforeWriting = { [self] path in
      guard path.contains("/checkpoints/"), states.withLock({ $0.isEmpty }) else { return }
      isBegun.withLock { $0 = true }
      for _ in 0..<200 where (try? lastState()) == .active {
        SystemClock().sleep(.milliseconds(50))
      }
      states.withLock { $0.append(try? lastState()) }
    }
    store.options.checkpointBytes = 1
    let writer = try store.journal()
    let late = try store.journal()
    try writer.flush([insert(1).encoded()])
    var passes = 0
    let error = #expect(throws: StoreError.self) {
      try Applier(path: store.path, options: store.options, environment: environment).run {
        passes += 1
        if isBegun.withLock({ $0 }), late.writer == nil {
          clock.advance(by: Self.day * 4)
          itsClock.miss(wall: Self.day * 4, boot: Self.day * 4)
          _ = try? late.flush([insert(2).encoded()])
        }
        return passes > 100_000
      }
    }
    #expect(error?.code == .wrongClock)
    for _ in 0..<200 where states.withLock({ $0.isEmpty }) {
      SystemClock().sleep(.milliseconds(50))
    }
    #expect(states.withLock { $0 } == [.released])
  }

  /// Whatever is allowed: it would end its term with each file that it reads.
  @Test func whoIsHoursBehindDoesNotLead() throws {
    let (environment, itsClock) = suspendable()
    itsClock.miss(wall: .seconds(2 * 3600), boot: .zero)
    store.options.clockTolerance = .seconds(3 * 3600)
    let segments = try store.names(store.layout.log)
    let error = #expect(throws: StoreError.self) {
      var passes = 0
      try Applier(path: store.path, options: store.options, environment: environment).run {
        passes += 1
        return passes > 100
      }
    }
    #expect(error?.code == .wrongClock)
    #expect(try store.names(store.layout.log) == segments)
  }

  /// Anybody can give a file a date.
  @Test(arguments: [.max, 4_000_000_000_000, .min] as [Int64])
  func aFileWithAnyDateEndsNoTerm(date_ms: Int64) throws {
    let writer = try store.journal()
    let first = try writer.flush([insert(1).encoded()])
    files.date(
      "\(store.layout.journal)/\(StoreLayout.journalName(JournalSegmentID(writer: first.writer, number: 1)))",
      date_ms)
    let terms = try store.names(store.layout.log).count
    store.options.leaseTime = .milliseconds(300)
    var passes = 0
    try Applier(path: store.path, options: store.options, environment: store.environment).run {
      passes += 1
      return passes > 60 || (try? store.query("SELECT a FROM t")) == [[1]]
    }
    #expect(try store.names(store.layout.log).count == terms + 1)
    #expect(try store.query("SELECT a FROM t") == [[1]])
  }

  /// A million years either way at most, so that nobody's arithmetic overflows. Here on a file system
  /// that keeps any date.
  @Test(.enabled(if: access("/dev/shm", W_OK) == 0), arguments: [Int.max, .min])
  func anyDateCanBeCountedWith(seconds: Int) throws {
    let path = "/dev/shm/sluice-date-\(getpid())-\(seconds)"
    let files = PosixFileSystem()
    _ = try files.create(path, mode: 0o600)
    defer { try? files.unlink(path) }
    let times = [timespec(tv_sec: 0, tv_nsec: 0), timespec(tv_sec: seconds, tv_nsec: 0)]
    try #require(utimensat(AT_FDCWD, path, times, 0) == 0)
    #expect(try files.status(path).modified_ms.magnitude == (1 << 45) * 1000)
  }

  /// It goes by the file server's.
  @Test func aClockThatIsAheadForgetsNobody() throws {
    let writer = try store.journal()
    try writer.flush([insert(1).encoded()], ends: true)
    try store.drain()
    let (environment, itsClock) = suspendable()
    itsClock.miss(wall: Self.day * -8, boot: .zero)
    store.options.clockTolerance = nil
    try store.journal().flush([insert(2).encoded()], ends: true)
    var options = store.options
    options.drains = true
    try Applier(path: store.path, options: options, environment: environment)
      .run(shouldStop: { false })
    #expect(try isKnown(writer.writer))
    try writer.flush([insert(3).encoded()], ends: true)
    try store.drain()
    #expect(try store.query("SELECT a FROM t ORDER BY a") == [[1], [2], [3]])
  }

  /// Behind an open segment that was retired long ago; nothing of the batch was written.
  @Test func whoWasIdleForLongIsToldThatNothingWasSubmitted() throws {
    let writer = try store.journal()
    try writer.flush([insert(1).encoded()])
    store.options.retireAfter = .milliseconds(1)
    try retireAll()
    clock.advance(by: .seconds(8 * 24 * 3600))
    let error = #expect(throws: StoreError.self) { try writer.flush([insert(2).encoded()]) }
    #expect(error?.code == .notSubmitted)
    try writer.flush([insert(3).encoded()])
    try store.drain()
    #expect(try store.query("SELECT a FROM t ORDER BY a") == [[1], [3]])
  }

  /// Nobody applied for all that time: its order is kept.
  @Test func whoseBatchesWaitGoesOnUnderItsName() throws {
    let writer = try store.journal()
    let first = try writer.flush([insert(1).encoded()], ends: true)
    clock.advance(by: .seconds(8 * 24 * 3600))
    #expect(try writer.flush([insert(2).encoded()]).writer == first.writer)
    try store.drain()
    #expect(try store.query("SELECT a FROM t") == [[1], [2]])
  }

  /// The applier stands still between its listing and its commit; a writer submits meanwhile.
  @Test func nobodyIsForgottenByAnOldListing() throws {
    let writer = try store.journal()
    try writer.flush([insert(1).encoded()], ends: true)
    try store.drain()
    let fresh = try store.journal()
    try fresh.flush([insert(2).encoded()], ends: true)
    let files = ReadHookFileSystem(store.environment.fileSystem)
    files.beforeFirstRead = { [clock] in
      clock.advance(by: .seconds(3600))
      _ = try? writer.flush([insert(3).encoded()])
      clock.advance(by: .seconds(8 * 24 * 3600))
    }
    let environment = store.environment
    store.environment.fileSystem = files
    try store.drain()
    #expect(files.beforeFirstRead == nil)
    store.environment = environment
    try store.drain()
    #expect(try store.query("SELECT a FROM t ORDER BY a") == [[1], [2], [3]])
    #expect(try isKnown(writer.writer))
  }

  /// Applies all there is, and waits until the segments that are silent are gone.
  private func retireAll() throws {
    var passes = 0
    let applier = try Applier(
      path: store.path, options: store.options, environment: store.environment)
    try applier.run {
      passes += 1
      return passes > 1000
        || (try? store.names(store.layout.journal)) == ["quarantine"]
    }
  }

  /// Its batches may wait there, and a repeat of one that was executed must be known. It goes on beside
  /// it; also where an applier ignores the file, since a backup gave it a second name.
  @Test(arguments: [false, true])
  func aWriterWithASegmentIsRememberedForLonger(hasSecondName: Bool) throws {
    let writer = try store.journal()
    try writer.flush([insert(1).encoded()])
    try store.drain()
    clock.advance(by: .seconds(8 * 24 * 3600))
    let name = try #require(try store.names(store.layout.journal).first { $0.hasSuffix(".seg") })
    if hasSecondName {
      try files.link("\(store.layout.journal)/\(name)", to: "\(store.path)/copy")
    }
    try store.apply([insert(2)])
    #expect(try isKnown(writer.writer))
    try writer.flush([insert(3).encoded()])
    try store.drain()
    #expect(try store.query("SELECT a FROM t ORDER BY a") == [[1], [2], [3]])
  }

  /// Somebody who is busy for long has a file at any time, and is known.
  @Test func othersAreForgottenBesideABusyWriter() throws {
    let busy = try store.journal()
    try busy.flush([insert(1).encoded()])
    let silent = try store.journal()
    try silent.flush([insert(2).encoded()], ends: true)
    try store.drain()
    clock.advance(by: .seconds(8 * 24 * 3600))
    try store.apply([insert(3)])
    #expect(try isKnown(busy.writer))
    #expect(try !isKnown(silent.writer))
    try busy.flush([insert(4).encoded()])
    try store.drain()
    #expect(try store.query("SELECT a FROM t ORDER BY a") == [[1], [2], [3], [4]])
  }

  /// Forgetting it would raise the watermark to its date, and nobody else would be let in until then.
  @Test func aWriterFromTheFutureShutsNobodyOut() throws {
    clock.advance(by: .seconds(30 * 24 * 3600))
    let writer = try store.journal()
    try writer.flush([insert(1).encoded()], ends: true)
    clock.advance(by: .seconds(-30 * 24 * 3600))
    try store.drain()
    clock.advance(by: .seconds(8 * 24 * 3600))
    try store.apply([insert(2)])
    #expect(try isKnown(writer.writer))
    try store.apply([insert(3)])
    #expect(try store.query("SELECT a FROM t ORDER BY a") == [[1], [2], [3]])
  }

  /// After an outage of more than a week all of it is read before the first commit.
  @Test func nobodyIsForgottenWhoseBatchWaits() throws {
    let writer = try store.journal()
    try writer.flush([insert(1).encoded()], ends: true)
    try store.drain()
    for n in 0..<100 { try store.journal().flush([insert(Int64(n + 10)).encoded()], ends: true) }
    try writer.flush([insert(2).encoded()], ends: true)
    let behind = try store.journal()
    try behind.flush([insert(3).encoded()], ends: true)
    clock.advance(by: .seconds(8 * 24 * 3600))
    try store.drain()
    #expect(try store.query("SELECT count(*) FROM t") == [[103]])
  }

  /// Forgetting frees pages that the new keys of the same commit have just taken at the database's end.
  /// SQLite writes none of them: the file has holes there, which read as zeros and count as such.
  @Test func pagesThatAreFreedUnwrittenCountAsZeros() throws {
    for day in 1...24 {
      try store.apply(
        (0..<(day * 37 % 200 + 8)).map { n in
          insert(1, key: String(repeating: "\(day) \(n) ", count: 50))
        })
      clock.advance(by: .seconds(25 * 3600))
      let pages = try PageStore(path: store.path, environment: store.environment)
      try Checkpoint(
        layout: store.layout, store: pages.description.id, environment: store.environment
      ).make(of: pages.snapshot(.latest))
    }
  }

  /// The applier's own statements, which forget old keys, have no limit of steps.
  @Test func aBatchThatRanOutOfStepsStopsNothingElse() throws {
    store.options.stepsPerBatch = 2_000_000
    try store.apply((0..<3000).map { insert(Int64($0), key: "key \($0)") })
    clock.advance(by: .seconds(25 * 3600))
    let endless = Batch.Statement(
      "WITH c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) INSERT INTO t SELECT i FROM c")
    let outcomes = try store.apply((0..<3).map { _ in Batch([endless]) })
    for outcome in outcomes {
      #expect(outcome.rejectionCode == Outcome.Rejection.Code.stepLimit)
    }
    #expect(try store.query("SELECT count(*) FROM _sluice_keys") == [[0]])
  }

  private func lastState() throws -> Beacon.State {
    let environment = store.environment
    let id = try StoreDescription.read(store.layout, environment.fileSystem).id
    return try Log(layout: store.layout, store: id, environment: environment).present().beacon.state
  }

  private func isKnown(_ writer: WriterID?) throws -> Bool {
    try !rows("SELECT 1 FROM _sluice_writers", of: #require(writer)).isEmpty
  }

  private func rows(_ select: String, of writer: WriterID) throws -> [[SQLValue]] {
    try store.query("\(select) WHERE hex(writer) = upper(replace('\(writer)', '-', ''))")
  }
}
