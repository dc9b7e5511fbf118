import SluiceApplier
import SluiceFakes
import SluiceJournal
import SluiceReader
import SluiceShared
import SluiceWriter
import Testing

/// What writers do that may be forgotten, and what becomes of their order when they take a new id.
extension HorizonTests {
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
    // Nobody looks beside it, by a clock that is moved.
    store.environment.executor = InlineExecutor(startsThreads: false)
    let writer = try store.writer()
    var ids: [WriterID] = []
    for n in 1...4 {
      ids.append(try writer.submitBlocking(insert(Int64(n))).batch.writer)
      try store.drain()
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
}
