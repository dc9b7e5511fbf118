import Foundation
import SluiceFakes
import SluiceJournal
import SluiceShared
import SluiceWriter
import Testing

@testable import SluiceApplier

@Suite("How large a file in the journal says that it is costs nobody but its writer")
struct HostileSizesTests: HostileStore {
  let store: TestStore

  init() throws { store = try Self.makeStore() }

  // MARK: Large files

  /// Of a terabyte as much is read as a segment can have, and it goes to quarantine; the rest is read by
  /// nobody. In a segment of the largest size what was never written is not read.
  @Test(arguments: [(bytes: 1 << 40, quarantined: 1), (bytes: 64 << 20, quarantined: 0)])
  func holesTakeNoTime(bytes: Int64, quarantined: Int) throws {
    let journal = try store.journal()
    try journal.flush([insert(1).encoded()])
    let path = path(try #require(journal.writer), 1)
    try store.environment.fileSystem.open(path, .write).resize(to: bytes)
    let files = MeteringFileSystem(store.environment.fileSystem)
    var environment = store.environment
    environment.fileSystem = files
    store.options.retireAfter = .milliseconds(20)
    try run(environment, until: { try store.names(store.layout.journal) == ["quarantine"] })
    #expect(try store.names(store.layout.quarantine).count == quarantined)
    #expect(try store.query("SELECT a FROM t") == [[1]])
    #expect(files.bytes.withLock { $0 } < 4 << 20)
  }

  /// Where the file system cannot tell holes, a look for remains reads a part, and the next goes on.
  @Test func aLookForRemainsIsBounded() throws {
    let disk = MemoryFileSystem()
    disk.makeDirectories(["/j"])
    let clock = ManualClock()
    var environment = Environment.posix()
    environment.clock = clock
    let id = JournalSegmentID(writer: WriterID(high: 1, low: 2), number: 1)
    try disk.create("/j/s", mode: 0o600).resize(to: 50 << 20)
    let files = MeteringFileSystem(BlindFileSystem(disk))
    environment.fileSystem = files
    let segment = JournalSegmentReader(id, path: "/j/s", names: 1, environment: environment)
    var looks = 0
    while case .unknown = try segment.remains() { looks += 1 }
    #expect(looks == 3)
    environment.omittedChecks = [.boundedLooks]
    let unbounded = JournalSegmentReader(id, path: "/j/s", names: 1, environment: environment)
    guard case .none = try unbounded.remains() else {
      Issue.record("a look without bound left something")
      return
    }
    guard case .none = try segment.remains() else {
      Issue.record("something in an empty file")
      return
    }
  }

  /// Of so many writers, each long and never written. Returns the store's id.
  private func makeEmptySegments(_ count: Int, bytes: Int64 = 64 << 20) throws -> StoreID {
    for n in 1...count {
      let file = try store.environment.fileSystem.create(
        path(WriterID(high: 1, low: UInt64(n)), 1), mode: 0o660)
      try file.resize(to: bytes)
    }
    return try StoreDescription.read(store.layout, store.environment.fileSystem).id
  }

  /// One that takes a writer for silent soon.
  private func hastyIntake(_ id: StoreID, _ environment: Environment) throws -> JournalIntake {
    let intake = try JournalIntake(
      of: StoreHandle(layout: store.layout, id: id, environment: environment), name: "test",
      openFiles: 1000, log: store.options.logger)
    intake.silence = .milliseconds(20)
    return intake
  }

  /// However many such files there are: a look takes its time, and who waits longest comes first in the next.
  @Test func looksForRemainsLeaveTimeForOthers() throws {
    let clock = ManualClock()
    let id = try makeEmptySegments(40)
    let files = BlindFileSystem(TimedReads(store.environment.fileSystem, clock))
    var environment = store.environment
    environment.fileSystem = files
    environment.clock = clock
    let intake = try hastyIntake(id, environment)
    for _ in 0..<5 {
      clock.advance(by: .milliseconds(30))
      _ = try intake.poll()
    }
    let writer = try store.writer()
    for n in 1...3 {
      let receipt = try writer.submitBlocking(insert(Int64(n)))
      var looks = 0
      while !intake.waiting.has(receipt.batch.writer), looks < 20 {
        let began = clock.elapsed()
        _ = try intake.poll()
        #expect(clock.elapsed() - began < .milliseconds(300))
        looks += 1
      }
      #expect(looks <= 4)
      intake.take(intake.waiting.count, in: TxID(UInt64(n)))
    }
    // They are gone in the end.
    for _ in 0..<2000 {
      clock.advance(by: .milliseconds(5))
      _ = try intake.poll()
      intake.remove(published: try planted(TxID(100)))
    }
    #expect(try store.names(store.layout.journal).filter { $0.hasPrefix("00000000") } == [])
  }

  /// Each is scanned at once, in 8 ms; all of them in one look would be more than a second.
  @Test(arguments: [[], [SafetyCheck.boundedLooks]])
  func manyShortScansAreNoLongLook(_ omitted: [SafetyCheck]) throws {
    let clock = ManualClock()
    let id = try makeEmptySegments(150, bytes: 8 << 20)
    var environment = store.environment
    environment.fileSystem = BlindFileSystem(TimedReads(store.environment.fileSystem, clock))
    environment.clock = clock
    environment.omittedChecks = Set(omitted)
    let intake = try hastyIntake(id, environment)
    var longest = Duration.zero
    for _ in 0..<400 {
      clock.advance(by: .milliseconds(25))
      let began = clock.elapsed()
      _ = try intake.poll()
      intake.remove(published: try planted(TxID(100)))
      longest = max(longest, clock.elapsed() - began)
    }
    #expect((longest < .milliseconds(300)) == omitted.isEmpty, "\(longest)")
    #expect(try store.names(store.layout.journal).filter { $0.hasPrefix("00000000") } == [])
  }

  /// What a term has scanned is lost with it. However short terms are, each ends with some segments what it began.
  @Test func shortTermsGetAnywhere() throws {
    let clock = ManualClock()
    let id = try makeEmptySegments(30)
    var environment = store.environment
    environment.fileSystem = BlindFileSystem(TimedReads(store.environment.fileSystem, clock))
    environment.clock = clock
    for term in 1...8 {
      let intake = try hastyIntake(id, environment)
      for _ in 0..<14 {
        clock.advance(by: .milliseconds(25))
        _ = try intake.poll()
        intake.remove(published: try planted(TxID(100)))
      }
      let left = try store.names(store.layout.journal).filter { $0.hasPrefix("00000000") }
      #expect(left.count <= 30 - term, "\(term)")
    }
  }

  /// It is tried again later, and the next one is scanned meanwhile.
  @Test func aScanThatFailsIsInNobodysWay() throws {
    let clock = ManualClock()
    let id = try makeEmptySegments(2)
    let broken = WriterID(high: 1, low: 1)
    let files = SpitefulFileSystem(store.environment.fileSystem)
    files.plan[path(broken, 1)] = (.nextData, EIO)
    var environment = store.environment
    environment.fileSystem = files
    environment.clock = clock
    let intake = try hastyIntake(id, environment)
    for _ in 0..<20 {
      clock.advance(by: .milliseconds(30))
      _ = try intake.poll()
      intake.remove(published: try planted(TxID(100)))
    }
    #expect(files.met.withLock { $0.count } == 1)
    let left = try store.names(store.layout.journal).filter { $0.hasPrefix("00000000") }
    #expect(left == [StoreLayout.journalName(.init(writer: broken, number: 1))])
  }

  /// A frame that is not whole is summed once, and then more and more seldom.
  @Test(arguments: [true, false])
  func aLargeFrameThatIsNotWholeIsNotSummedAtEachLook(_ isBounded: Bool) throws {
    let description = try StoreDescription.read(store.layout, store.environment.fileSystem)
    let header = JournalSegmentHeader(
      store: description.id, id: .init(writer: WriterID(high: 1, low: 2), number: 1), nonce: 5,
      firstSequence: SequenceNumber(1), predecessor: nil, created_ms: 1)
    let block = header.encoded()
    var section = SectionContent(.batches, raw: [UInt8](repeating: 1, count: 8 << 20))
    section.stored[5000] = 2
    let frame = EncodedFrame(
      kind: .batches, offset: 8192, nonce: 5,
      previous: JournalSegmentHeader.checksum(of: block), first: 1, count: 1, sections: [section])
    let path = path(header.id.writer, 1)
    let file = try store.environment.fileSystem.create(path, mode: 0o600)
    try file.write(block, at: 4096)
    // The header alone: what it claims is a hole.
    try file.write(Array(frame.bytes.prefix(4096)), at: 8192)
    try file.resize(to: 32 << 20)
    let clock = ManualClock()
    let files = MeteringFileSystem(store.environment.fileSystem)
    var environment = store.environment
    environment.fileSystem = files
    environment.clock = clock
    if !isBounded { environment.omittedChecks = [.boundedLooks] }
    let segment = JournalSegmentReader(header.id, path: path, names: 1, environment: environment)
    guard isBounded else {
      for _ in 0..<5 {
        _ = try segment.poll(store: description.id, atMost: 1 << 20, now: clock.elapsed())
      }
      #expect(files.bytes.withLock { $0 } >= 5 * 8 << 20)
      return
    }
    for _ in 0..<100 {
      let news = try segment.poll(store: description.id, atMost: 1 << 20, now: clock.elapsed())
      #expect(news.frames.isEmpty)
    }
    #expect(files.bytes.withLock { $0 } < 16 << 20)
    // A minute of looks.
    for _ in 0..<6000 {
      clock.advance(by: .milliseconds(10))
      _ = try segment.poll(store: description.id, atMost: 1 << 20, now: clock.elapsed())
    }
    let sums = files.bytes.withLock { $0 } / (8 << 20)
    #expect(sums < 60, "\(sums)")
    // It is whole in the end.
    try file.write(frame.bytes, at: 8192)
    clock.advance(by: .seconds(31))
    #expect(try segment.poll(store: description.id, atMost: 1 << 20, now: .zero).frames.count == 1)
  }

  // MARK: Counts

  private func segment(
    _ writer: WriterID, _ frames: [(first: UInt64, count: UInt32, section: SectionContent)]
  ) throws {
    let description = try StoreDescription.read(store.layout, store.environment.fileSystem)
    let header = JournalSegmentHeader(
      store: description.id, id: .init(writer: writer, number: 1), nonce: 5,
      firstSequence: SequenceNumber(1), predecessor: nil, created_ms: 1)
    let block = header.encoded()
    var bytes = [UInt8](repeating: 0, count: 4096) + block
    var previous = JournalSegmentHeader.checksum(of: block)
    for (first, count, section) in frames {
      let frame = EncodedFrame(
        kind: .batches, offset: Int64(bytes.count), nonce: 5, previous: previous, first: first,
        count: count, sections: [section])
      bytes += frame.bytes
      previous = frame.header.checksum
    }
    let file = try store.environment.fileSystem.create(path(writer, 1), mode: 0o660)
    try file.write(bytes, at: 0)
    try file.resize(to: max(65536, Int64(bytes.count)))
  }

  private static let liar = WriterID(high: 0x0190_0000_0001_7333, low: 0x8000_0000_0000_0444)

  /// A count that its bytes cannot hold, or did not pay for, is not believed: nothing of the frame is
  /// read, and it goes to quarantine.
  @Test func aCountIsHeldAgainstTheBytes() throws {
    let zeros = SectionContent(
      .batches, [UInt8](repeating: 0, count: 4 * 60_000), compressor: Compressor())
    #expect(zeros.codec == .zstd && zeros.stored.count < 4096)
    var million = zeros
    million.rawBytes = 131_000_000 * 4
    var large = zeros
    large.rawBytes = 64 << 20
    let liars: [(UInt32, SectionContent)] = [
      (60_000, zeros), (131_000_000, million), (1, large),
      (1000, SectionContent(.batches, raw: [UInt8](repeating: 0, count: 3999))),
    ]
    for (n, (count, section)) in liars.enumerated() {
      try segment(
        WriterID(high: 0x0190_0000_0001_7333, low: UInt64(n) | 1 << 63), [(1, count, section)])
    }
    store.options.retireAfter = .milliseconds(20)
    let receipt = try store.writer().submitBlocking(insert(1))
    try run(until: { try store.names(store.layout.quarantine).count == liars.count })
    #expect(try store.query("SELECT a FROM t") == [[1]])
    #expect(try store.query("SELECT txid FROM _sluice_state") == [[2]], "\(receipt)")
  }

  /// The check taken out: nothing stops what a few bytes claim.
  @Test func withoutTheCheckACountIsBelieved() throws {
    let zeros = SectionContent(
      .batches, [UInt8](repeating: 0, count: 4 * 60_000), compressor: Compressor())
    try segment(Self.liar, [(1, 60_000, zeros)])
    store.environment.omittedChecks = [.countsAgainstBytes]
    try store.drain()
    #expect(try store.query("SELECT txid FROM _sluice_state") == [[60_001]])
  }

  /// What is wrong is named: the store, or the name.
  @Test func aFileInAnotherPlaceIsToldWhatItIs() throws {
    let description = try StoreDescription.read(store.layout, store.environment.fileSystem)
    let journal = try store.journal()
    try journal.flush([insert(1).encoded()])
    let writer = try #require(journal.writer)
    try store.environment.fileSystem.link(path(writer, 1), to: path(writer, 7))
    func message(_ id: StoreID, _ number: UInt64) -> String {
      let segment = JournalSegmentReader(
        JournalSegmentID(writer: writer, number: number), path: path(writer, number), names: 2,
        environment: store.environment)
      let error = #expect(throws: StoreError.self) {
        try segment.poll(store: id, atMost: 1 << 20, now: .zero)
      }
      return error?.message ?? ""
    }
    let renamed = message(description.id, 7)
    #expect(renamed.contains("has another file's name: it says it is \(writer).00000001.seg"))
    #expect(!renamed.contains("store.json"))
    #expect(message(StoreID(high: 1, low: 2), 1).contains("it is of store \(description.id)"))
  }

  /// Its checksum is right, and its batches are not what it says: one rejection takes all its numbers,
  /// the next frame goes on behind them, and a new term finds nothing to do.
  @Test func aBadFrameIsOneRejection() throws {
    let batch = try insert(7).encoded()
    let good = SectionContent(
      .batches, raw: withUnsafeBytes(of: UInt32(batch.count).littleEndian) { Array($0) } + batch)
    let bad = SectionContent(.batches, raw: [UInt8](repeating: 9, count: 8000))
    try segment(Self.liar, [(1, 1000, bad), (1001, 1, good)])
    for _ in 0..<2 { try store.drain() }
    #expect(try store.query("SELECT a FROM t") == [[7]])
    #expect(
      try store.query("SELECT sequence, code FROM _sluice_rejected")
        == [[1000, .text(Outcome.Rejection.Code.malformed)]])
    #expect(try store.query("SELECT txid FROM _sluice_state") == [[3]])
  }

  /// The numbers of a bad frame that were executed before stay so; the rest are taken.
  @Test func aBadFrameThatBeginsWithRepeatsTakesTheRest() throws {
    let batch = try insert(7).encoded()
    let good = SectionContent(
      .batches, raw: withUnsafeBytes(of: UInt32(batch.count).littleEndian) { Array($0) } + batch)
    let bad = SectionContent(.batches, raw: [UInt8](repeating: 9, count: 800))
    try segment(Self.liar, [(1, 1, good), (1, 100, bad), (50, 51, bad)])
    try store.drain()
    #expect(try store.query("SELECT a FROM t") == [[7]])
    #expect(try store.query("SELECT sequence FROM _sluice_rejected") == [[100]])
  }

  /// An honest writer's batches that compress to next to nothing are padded, and all executed.
  @Test func manyAlikeBatchesAreApplied() throws {
    try store.apply("CREATE TABLE c(n)", "INSERT INTO c VALUES(0)")
    let one = try Batch([Batch.Statement("UPDATE c SET n = n + 1")]).encoded()
    let journal = try store.journal()
    try journal.flush([[UInt8]](repeating: one, count: 20_000), ends: true)
    // And one that is long and empty.
    let long = Batch([
      Batch.Statement("UPDATE c SET n = n + ?", [.integer(1)]),
      Batch.Statement("SELECT ?", [.blob([UInt8](repeating: 0, count: 16 << 20))]),
    ])
    try store.journal().flush([long.encoded()], ends: true)
    try store.drain()
    #expect(try store.query("SELECT n FROM c") == [[20_001]])
  }

  /// What takes two bytes each in a batch takes no more of the applier than a batch may.
  @Test func manyTextsAndStatementsAreRefused() throws {
    for field: [UInt8] in [[7, 0], [7, 0, 9, 3, 0, 0, 0]] {
      var bytes: [UInt8] = [7, 0]
      for _ in 0..<110_000 { bytes += field }
      let failure = bytes.withUnsafeBytes { raw -> DecodingError? in
        do throws(DecodingError) {
          _ = try EncodedBatch(raw)
          return nil
        } catch {
          return error
        }
      }
      #expect(failure != nil)
    }
  }
}
