import SluiceApplier
import SluiceFakes
import SluiceJournal
import SluiceReader
import SluiceShared
import SluiceWriter
import Testing

@Suite("Keys are remembered for a day, silent writers for a week")
struct HorizonTests {
  static let day = Duration.seconds(24 * 3600)

  let store: TestStore
  /// Of the file server, and of all hosts where nothing else is said.
  let clock = ShiftedClock()
  let files: DatingFileSystem

  init() throws {
    store = try TestStore()
    files = DatingFileSystem(store.environment.fileSystem, clock)
    store.environment.clock = clock
    store.environment.fileSystem = files
    try store.apply("CREATE TABLE t(a)")
  }

  /// On a machine that can be suspended.
  func suspendable() -> (environment: Environment, clock: SuspendedClock) {
    var environment = store.environment
    let clock = SuspendedClock(clock)
    environment.clock = clock
    return (environment, clock)
  }

  func insert(_ n: Int64, key: String? = nil) -> Batch {
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
  func retireAll() throws {
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
    store.options.retireAfter = .seconds(9 * 24 * 3600)
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
    store.options.retireAfter = .seconds(9 * 24 * 3600)
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
      try Checkpoint(of: pages.handle).make(of: pages.published(.latest))
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

  func lastState() throws -> Beacon.State {
    try Log(of: store.handle).present().beacon.state
  }

  func isKnown(_ writer: WriterID?) throws -> Bool {
    try !rows("SELECT 1 FROM _sluice_writers", of: #require(writer)).isEmpty
  }

  func rows(_ select: String, of writer: WriterID) throws -> [[SQLValue]] {
    try store.query("\(select) WHERE hex(writer) = upper(replace('\(writer)', '-', ''))")
  }
}
