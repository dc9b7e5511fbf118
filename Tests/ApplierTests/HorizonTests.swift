import SluiceApplier
import SluiceJournal
import SluiceReader
import SluiceShared
import SluiceWriter
import Testing

@Suite("Keys are remembered for a day, silent writers for a week")
struct HorizonTests {
  /// The system's clock, set forward as told.
  private final class ShiftedClock: Clock {
    private let shift = Monitor(Duration.zero)

    func advance(by duration: Duration) { shift.withLock { $0 += duration } }
    func wallTime_ms() -> Int64 {
      SystemClock().wallTime_ms() + shift.withLock { $0 }.wholeMilliseconds
    }
    func bootTime_ns() -> UInt64 {
      UInt64(
        Int64(SystemClock().bootTime_ns()) + shift.withLock { $0 }.wholeMilliseconds * 1_000_000)
    }
    func sleep(_ duration: Duration) { SystemClock().sleep(duration) }
  }

  /// As another one was when this was made.
  private final class StoppedClock: Clock {
    private let now: (wall_ms: Int64, boot_ns: UInt64)

    init(_ clock: any Clock) { now = (clock.wallTime_ms(), clock.bootTime_ns()) }

    func wallTime_ms() -> Int64 { now.wall_ms }
    func bootTime_ns() -> UInt64 { now.boot_ns }
    func sleep(_ duration: Duration) { SystemClock().sleep(duration) }
  }

  private let store: TestStore
  private let clock = ShiftedClock()

  init() throws {
    store = try TestStore()
    store.environment.clock = clock
    store.options.clockTolerance = nil
    try store.apply("CREATE TABLE t(a)")
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
    // These two do not know how late it is.
    var stopped = store.environment
    stopped.clock = StoppedClock(clock)
    let early = try store.journal(stopped)
    _ = early.nextBatch()
    clock.advance(by: .seconds(3600))
    stopped.clock = StoppedClock(clock)
    let writer = try store.journal(stopped)
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

  /// Lets something happen before the journal is read for the first time.
  private final class ReadHookFileSystem: ForwardingFileSystem, @unchecked Sendable {
    // Sendable: used by one thread.
    var beforeFirstRead: (() -> Void)?

    override func willRead(_ path: String) {
      guard path.hasSuffix(".seg"), let action = beforeFirstRead else { return }
      beforeFirstRead = nil
      action()
    }
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

  /// Its batches may wait there, and a repeat of one that was executed must be known.
  @Test func aWriterWithASegmentIsRememberedForLonger() throws {
    let writer = try store.journal()
    try writer.flush([insert(1).encoded()])
    try store.drain()
    clock.advance(by: .seconds(8 * 24 * 3600))
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

  private func isKnown(_ writer: WriterID?) throws -> Bool {
    try !rows("SELECT 1 FROM _sluice_writers", of: #require(writer)).isEmpty
  }

  private func rows(_ select: String, of writer: WriterID) throws -> [[SQLValue]] {
    try store.query("\(select) WHERE hex(writer) = upper(replace('\(writer)', '-', ''))")
  }
}
