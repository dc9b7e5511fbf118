import Glibc
import SluiceJournal
import SluiceShared
import SluiceWriter
import Testing

@testable import SluiceApplier

@Suite("Nobody waits for all that another one has submitted")
struct IntakeFairnessTests {
  let store: TestStore
  init() throws {
    store = try TestStore()
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
  }

  private func submit(_ numbers: Range<Int>, _ writer: Writer) throws {
    let batches = numbers.map {
      Batch([Batch.Statement("INSERT INTO t VALUES (?, 'x')", [.integer(Int64($0))])])
    }
    for result in writer.submitBlocking(batches) { _ = try result.get() }
  }

  private func intake(_ environment: Environment) throws -> JournalIntake {
    try JournalIntake(
      of: StoreHandle(at: store.layout, environment), name: "test", openFiles: 1000,
      log: store.options.logger)
  }

  /// A new term reads what thousands of batches of one writer are, and one of another.
  @Test(arguments: [false, true]) func aWriterWithOneBatchWaitsForOneTurn(isLater: Bool) throws {
    let busy = try [store.writer(), store.writer()]
    for (i, writer) in busy.enumerated() { try submit(i * 10_000..<i * 10_000 + 3000, writer) }
    let other = try store.writer()
    if !isLater { try submit(90_000..<90_003, other) }
    let intake = try intake(store.environment)
    _ = try intake.poll()
    if isLater {
      try submit(90_000..<90_003, other)
      _ = try intake.poll()
    }
    let order = intake.next(.max, bytes: .max).map(\.id)
    #expect(order.count == 6004)
    let ids = Dictionary(grouping: order.indices, by: { order[$0].writer })
    let small = try #require(ids.values.first { $0.count == 3 })
    #expect((small.last ?? .max) < 4 * 4 + 3, "\(small)")
    // Each writer's order is as it was.
    for places in ids.values {
      #expect(places.map { order[$0].sequence.rawValue } == (1...UInt64(places.count)).map { $0 })
    }
  }

  /// Not only its first few: a queue that is never empty is served in its turn.
  @Test func whoAlwaysHasSomethingWaitingGetsItsShare() throws {
    let busy = try [store.writer(), store.writer()]
    for (i, writer) in busy.enumerated() { try submit(i * 10_000..<i * 10_000 + 3000, writer) }
    let steady = try store.writer()
    let intake = try intake(store.environment)
    var first = 90_000
    var total = 0
    for _ in 0..<5 {
      // It adds as many as it gets executed.
      try submit(first..<first + 40, steady)
      first += 40
      while try intake.poll() {}
      let next = intake.next(120, bytes: .max)
      let mine = next.filter { $0.index < 40 && $0.frame.frame.count == 40 }.count
      #expect(mine >= 36, "\(mine)")
      total += next.count
      intake.take(next.count, in: TxID(UInt64(total)))
    }
  }

  /// What was asked for once comes before all that is found later: a beacon may name it.
  @Test func whatIsPlannedStaysInFront() throws {
    try submit(0..<100, try store.writer())
    let intake = try intake(store.environment)
    while try intake.poll() {}
    let planned = intake.next(64, bytes: .max).map(\.id)
    try submit(90_000..<90_003, try store.writer())
    while try intake.poll() {}
    #expect(intake.next(64, bytes: .max).map(\.id) == planned)
    intake.take(64, in: TxID(64))
    let next = intake.next(100, bytes: .max).map(\.id)
    #expect(next.count == 40 && next.prefix(8).contains { $0.writer != planned[63].writer })
  }

  /// Where beacons name what is planned, also behind a group that had less of it executed.
  @Test(arguments: [true, false]) func whatABeaconNamesStaysInFront(isNamed: Bool) throws {
    try submit(0..<100, try store.writer())
    let intake = try intake(store.environment)
    intake.waiting.isPlanNamed = isNamed
    while try intake.poll() {}
    let planned = intake.next(64, bytes: .max).map(\.id)
    try submit(90_000..<90_003, try store.writer())
    while try intake.poll() {}
    intake.take(10, in: TxID(10))
    intake.charge(isNamed ? intake.next(1, bytes: .max).first : nil, .seconds(1))
    let rest = intake.next(54, bytes: .max).map(\.id)
    #expect((rest == Array(planned[10...])) == isNamed)
    let place = rest.firstIndex { !planned.contains($0) && $0.sequence.rawValue <= 3 }
    #expect(isNamed ? place == nil : (place ?? .max) <= 8)
  }

  /// A live segment is read from its beginning by each term. What the history has is not queued, and does
  /// not keep the segment from being removed when it is published.
  @Test(arguments: [false, true]) func whatTheHistoryHasDoesNotWait(dropsIt: Bool) throws {
    let writer = try store.writer()
    try submit(0..<3000, writer)
    let id = try writer.submitBlocking(Batch([Batch.Statement("SELECT 1")])).batch.writer
    try submit(3001..<3010, writer)
    var environment = store.environment
    if !dropsIt { environment.omittedChecks = [.deduplicate] }
    for last in [3002, 3010] as [UInt64] {
      let intake = try intake(environment)
      intake.history = { _ in
        KnownWriter(owner: getuid(), sequence: SequenceNumber(last), asOf: TxID(77))
      }
      while try intake.poll() {}
      let order = intake.next(.max, bytes: .max).map(\.id.sequence.rawValue).filter { $0 != 1 }
      #expect(order == ((dropsIt ? last + 1 : 2)..<3011).map { $0 })
      guard last == 3010 else { continue }
      intake.take(intake.waiting.count, in: TxID(70))
      writer.closeBlocking()
      while try intake.poll() {}
      let name = try #require(
        store.names(store.layout.journal).first { $0.contains("\(id)") })
      try intake.remove(published: planted(TxID(76)))
      #expect(try store.names(store.layout.journal).contains(name) == dropsIt)
      try intake.remove(published: planted(TxID(77)))
      #expect(try !store.names(store.layout.journal).contains(name))
    }
  }

  /// The database may be asked for so long that a beat is made meanwhile, which says what waits.
  @Test func aBeatMayCountWhileTheHistoryIsAsked() throws {
    try submit(0..<3, try store.writer())
    let intake = try intake(store.environment)
    var counts: [Int] = []
    intake.history = { [unowned intake] _ in
      counts.append(intake.writerCount + intake.waiting.count + intake.ignoredCount)
      return intake.age_ms < .max ? nil : KnownWriter(owner: 0, sequence: .init(1), asOf: .zero)
    }
    while try intake.poll() {}
    #expect(!counts.isEmpty && counts.allSatisfy { $0 > 0 })
  }

  /// Nothing is executed before the end of a term's first look, and what others left may be hours of work.
  @Test func theFirstLookIsASmallOne() throws {
    let busy = try (0..<5).map { _ in try store.writer() }
    let large = Batch([Batch.Statement("SELECT ?", [.blob([UInt8](repeating: 7, count: 40_000))])])
    for writer in busy {
      for _ in 0..<50 { _ = try writer.submitBlocking(large) }
    }
    try submit(0..<1, try store.writer())
    let intake = try intake(store.environment)
    #expect(try intake.poll())
    #expect(intake.waiting.count <= 5 * 3 + 2)
    #expect(intake.next(.max, bytes: .max).contains { $0.bytes < 1000 })
    var looks = 1
    while try intake.poll() { looks += 1 }
    #expect(looks > 2)
    // And the one that made the table.
    #expect(intake.waiting.count == 5 * 50 + 2)
  }

  /// Even where more waits than is read of one who has something waiting.
  @Test func itIsReadThoughMuchWaits() throws {
    let busy = try (0..<12).map { _ in try store.writer() }
    let large = Batch([Batch.Statement("SELECT ?", [.blob([UInt8](repeating: 7, count: 1 << 20))])])
    for writer in busy {
      for result in writer.submitBlocking([large, large, large, large]) { _ = try result.get() }
    }
    let intake = try intake(store.environment)
    var before = 0
    repeat {
      before = intake.waiting.bytes
      _ = try intake.poll()
    } while intake.waiting.bytes > before
    #expect(before >= 2 * Limits.batchBytesPerCommit)
    let other = try store.writer()
    try submit(0..<1, other)
    _ = try intake.poll()
    _ = try intake.poll()
    #expect(intake.next(.max, bytes: .max).contains { $0.bytes < 1000 })
  }

  /// A turn is counted in batches. Whose batch took half a minute has the next turn when others had as long.
  @Test(arguments: [true, false]) func whoTookLongOwesItToTheOthers(isCharged: Bool) throws {
    let slow = try store.writer()
    try submit(0..<100, slow)
    let quick = try [store.writer(), store.writer()]
    for (i, writer) in quick.enumerated() {
      try submit((i + 1) * 1000..<(i + 1) * 1000 + 100, writer)
    }
    let intake = try intake(store.environment)
    while try intake.poll() {}
    // Everything is planned.
    let all = intake.next(.max, bytes: .max).map(\.id)
    #expect(all.count == 301)
    let counts = Dictionary(grouping: all, by: { $0.writer }).mapValues(\.count)
    let writer = try #require(all.first { counts[$0.writer] == 100 }).writer
    while intake.next(1, bytes: .max).first?.id.writer != writer { intake.take(1, in: TxID(1)) }
    let long = intake.next(1, bytes: .max).first
    intake.take(1, in: TxID(1))
    if isCharged { intake.charge(long, .seconds(30)) }
    // So many others come before its next one, at 100 ms each.
    var others = 0
    while let next = intake.next(1, bytes: .max).first, next.id.writer != writer {
      intake.take(1, in: TxID(1))
      others += 1
      intake.charge(nil, .milliseconds(200))
    }
    #expect((isCharged ? 149...153 : 0...0).contains(others), "\(others)")
    // Each writer's order is as it was, and nothing is lost.
    let rest = intake.next(.max, bytes: .max).map(\.id)
    for (_, ids) in Dictionary(grouping: rest, by: { $0.writer }) {
      #expect(ids.map(\.sequence) == ids.map(\.sequence).sorted())
    }
    #expect(rest.count == intake.waiting.count)
  }

  /// A user may have any number of writers, each of which has had no slow batch yet.
  @Test(arguments: [true, false]) func aUserOwesForAllItsWriters(isAnotherUser: Bool) throws {
    let files = OwningFileSystem(store.environment.fileSystem)
    let slow = try (0..<10).map { _ in try store.writer() }
    for (i, writer) in slow.enumerated() { try submit(i * 10..<i * 10 + 5, writer) }
    if isAnotherUser {
      for name in try store.names(store.layout.journal) {
        files.owners.withLock { $0["\(store.layout.journal)/\(name)"] = 4242 }
      }
    }
    let honest = try store.writer()
    try submit(1000..<1020, honest)
    var environment = store.environment
    environment.fileSystem = files
    let intake = try intake(environment)
    while try intake.poll() {}
    // The table's, which was made first and is executed.
    while let next = intake.next(1, bytes: .max).first, next.frame.frame.count == 1 {
      intake.take(1, in: TxID(1))
    }
    var executed: [Bool] = []
    while let next = intake.next(1, bytes: .max).first {
      let isSlow = next.frame.frame.count == 5
      intake.take(1, in: TxID(1))
      intake.charge(isSlow ? next : nil, isSlow ? .seconds(30) : .seconds(1))
      executed.append(isSlow)
    }
    // Of another user's ten writers one batch comes before the last honest one, and else one of each.
    let slowOnes = executed.prefix((executed.lastIndex(of: false) ?? 0) + 1).count { $0 }
    #expect(isAnotherUser ? slowOnes <= 1 : slowOnes >= 9, "\(executed)")
    #expect(executed.count == 70)
  }

  /// Who worked alone for long owes those who come later no more than one batch may take.
  @Test func aDebtHasABound() throws {
    let slow = try store.writer()
    try submit(0..<40, slow)
    let intake = try intake(store.environment)
    while try intake.poll() {}
    for _ in 0..<31 {
      let next = intake.next(1, bytes: .max).first
      intake.take(1, in: TxID(1))
      intake.charge(next, .seconds(30))
    }
    try submit(1000..<1500, try store.writer())
    while try intake.poll() {}
    var quick = 0
    while let next = intake.next(1, bytes: .max).first, next.frame.frame.count == 500 {
      intake.take(1, in: TxID(1))
      intake.charge(nil, .seconds(1))
      quick += 1
    }
    #expect(quick == 120)
  }

  /// Where nobody else has anything waiting, a debt keeps nobody from being served.
  @Test func aDebtorAloneIsServed() throws {
    try submit(0..<10, try store.writer())
    let intake = try intake(store.environment)
    while try intake.poll() {}
    for _ in 0..<11 {
      let next = try #require(intake.next(1, bytes: .max).first)
      intake.take(1, in: TxID(1))
      intake.charge(next, .seconds(30))
    }
    #expect(intake.isIdle)
  }
}
