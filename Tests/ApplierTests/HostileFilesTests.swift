import Foundation
import SluiceFakes
import SluiceJournal
import SluiceShared
import SluiceWriter
import Testing

@testable import SluiceApplier

/// Files in the journal whose owners mean no good, or whose device fails just there.
@Suite("What a file in the journal does is its writer's problem")
struct HostileFilesTests {
  private let store: TestStore

  init() throws {
    store = try TestStore()
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY)")
  }

  private func insert(_ n: Int64) -> Batch {
    Batch([Batch.Statement("INSERT INTO t VALUES(?)", [.integer(n)])])
  }

  private func path(_ writer: WriterID, _ number: UInt64) -> String {
    "\(store.layout.journal)/\(StoreLayout.journalName(.init(writer: writer, number: number)))"
  }

  private func count() throws -> Int64 {
    guard case .integer(let count)? = try store.query("SELECT count(*) FROM t").first?.first else {
      return -1
    }
    return count
  }

  /// Runs an applier until `done`; nothing that it meets may end its term.
  private func run(_ environment: Environment? = nil, until done: @escaping () throws -> Bool)
    throws
  {
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

  // MARK: Open files

  /// More writers wait than files can be open, whether the applier knows how many can be or finds out.
  @Test(arguments: [4, 8, 1000])
  func moreWritersWaitThanFilesCanBeOpen(_ openSegments: Int) throws {
    for n in 1...120 {
      try store.journal().flush([insert(Int64(n)).encoded()], ends: n % 2 == 0)
    }
    let files = NarrowFileSystem(store.environment.fileSystem, limit: 12)
    store.environment.fileSystem = files
    store.options.openSegments = openSegments
    try store.drain()
    #expect(try count() == 120)
    let state = files.state.withLock { $0 }
    #expect(state.refused == 0 || openSegments > 12, "\(state)")
    #expect(state.most <= 12)
    #expect(state.open == 0)
  }

  /// A writer goes on in a segment that was closed here and is opened anew.
  @Test func aSegmentThatWasClosedIsReadOn() throws {
    store.options.openSegments = 1
    var journals: [JournalWriter] = []
    for n in 0..<20 {
      let journal = try store.journal()
      try journal.flush([insert(Int64(n)).encoded()])
      journals.append(journal)
    }
    var hasWritten = false
    try run(until: {
      if !hasWritten, try count() == 20 {
        for (n, journal) in journals.enumerated() {
          try journal.flush([insert(Int64(n) + 100).encoded()])
        }
        hasWritten = true
      }
      return try count() == 40
    })
  }

  // MARK: Every error

  /// Each file fails in one kind of call with one error, for ever, and there is one for each pair.
  @Test func anyErrorOfAnyCallOnAFileStopsNobodyElse() throws {
    let files = SpitefulFileSystem(store.environment.fileSystem)
    // Fewer where each takes long.
    let errnos = Array(stride(from: Int32(1), through: 133, by: TestStore.patience))
    var n: Int64 = 0
    for call in FileCall.allCases {
      for errno in errnos {
        n += 1
        let journal = try store.journal()
        try journal.flush([insert(n).encoded()])
        let path = path(try #require(journal.writer), 1)
        files.plan[path] = (call, errno)
        // Something torn, for which it goes to quarantine.
        let writable = try store.environment.fileSystem.open(path, .write)
        if call == .link || call == .nextData { try writable.write([7], at: 40_000) }
      }
    }
    var environment = store.environment
    environment.fileSystem = files
    store.options.retireAfter = .milliseconds(20)
    var isSecond = false
    let last = Monitor<Receipt?>(nil)
    let writer = try store.writer()
    try run(
      environment,
      until: {
        if !isSecond, files.met.withLock({ $0.count }) == files.plan.count {
          last.withLock { $0 = try? writer.submitBlocking(insert(10_000)) }
          isSecond = true
        }
        return isSecond ? try store.query("SELECT 1 FROM t WHERE a = 10000") == [[1]] : false
      })
    // What could be read of them is applied, also where the file can then not be closed or removed.
    let readable =
      FileCall.allCases.filter { ![.open, .status, .read].contains($0) }.count
      * errnos.count
    #expect(try count() >= readable + 1)
  }

  /// The name is another kind of thing's when the segment is to be closed, moved or removed.
  @Test(arguments: ["directory", "fifo", "link", "nothing", "other"])
  func aNameThatIsSwappedEndsNoTerm(_ kind: String) throws {
    let journal = try store.journal()
    try journal.flush([insert(1).encoded()])
    let path = path(try #require(journal.writer), 1)
    let files = store.environment.fileSystem
    store.options.retireAfter = .milliseconds(300)
    var isSwapped = false
    var submitted = false
    try run(until: {
      if !isSwapped, try count() == 1 {
        try files.unlink(path)
        switch kind {
        case "directory": try files.makeDirectory(path, mode: 0o755)
        case "fifo": makeFIFO(path)
        case "link": try files.replaceSymbolicLink(path, target: "/etc/passwd")
        case "other": try files.create(path, mode: 0o600).resize(to: 65536)
        default: break
        }
        isSwapped = true
      }
      guard isSwapped else { return false }
      SystemClock().sleep(.milliseconds(5))
      if !submitted {
        SystemClock().sleep(.milliseconds(600))
        _ = try store.writer().submitBlocking(insert(2))
        submitted = true
      }
      return try count() == 2
    })
  }

  // MARK: Large files

  /// It is read as far as a segment can go, and kept aside; the rest of it by nobody.
  @Test func aSegmentOfATerabyteTakesNoTime() throws {
    let journal = try store.journal()
    try journal.flush([insert(1).encoded()])
    let path = path(try #require(journal.writer), 1)
    try store.environment.fileSystem.open(path, .write).resize(to: 1 << 40)
    let files = MeteringFileSystem(store.environment.fileSystem)
    var environment = store.environment
    environment.fileSystem = files
    store.options.retireAfter = .milliseconds(20)
    try run(environment, until: { try store.names(store.layout.journal) == ["quarantine"] })
    #expect(try store.names(store.layout.quarantine).count == 1)
    #expect(try store.query("SELECT a FROM t") == [[1]])
    #expect(files.bytes.withLock { $0 } < 4 << 20)
  }

  /// What was never written is not read.
  @Test func holesAreSkipped() throws {
    let journal = try store.journal()
    try journal.flush([insert(1).encoded()])
    let path = path(try #require(journal.writer), 1)
    try store.environment.fileSystem.open(path, .write).resize(to: 64 << 20)
    let files = MeteringFileSystem(store.environment.fileSystem)
    var environment = store.environment
    environment.fileSystem = files
    store.options.retireAfter = .milliseconds(20)
    try run(environment, until: { try store.names(store.layout.journal) == ["quarantine"] })
    #expect(try store.names(store.layout.quarantine) == [])
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
  /// read, and it is kept aside.
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

  // MARK: Another writer's name

  /// A batch under another's next number, a far number, and in a file of which nothing can be read. The
  /// check taken out: the true batch is a silent repeat.
  @Test(arguments: [true, false])
  func anotherUsersFileUnderAWritersIdIsIgnored(_ isChecked: Bool) throws {
    let files = OwningFileSystem(store.environment.fileSystem)
    store.environment.fileSystem = files
    if !isChecked { store.environment.omittedChecks = [.ownWriter] }
    let journal = try store.journal()
    try journal.flush([insert(1).encoded()], ends: true)
    try store.drain()
    let writer = try #require(journal.writer)
    let forged = path(writer, 90)
    files.owners.withLock { $0[forged] = 4242 }
    let description = try StoreDescription.read(store.layout, files)
    let header = JournalSegmentHeader(
      store: description.id, id: .init(writer: writer, number: 90), nonce: 5,
      firstSequence: SequenceNumber(2), predecessor: nil, created_ms: 1)
    let block = header.encoded()
    let batch = try insert(666).encoded()
    let frame = EncodedFrame(
      kind: .batches, offset: 8192, nonce: 5,
      previous: JournalSegmentHeader.checksum(of: block), first: 2, count: 1,
      sections: [
        SectionContent(
          .batches,
          raw: withUnsafeBytes(of: UInt32(batch.count).littleEndian) { Array($0) } + batch)
      ])
    let file = try files.create(forged, mode: 0o660)
    try file.write([UInt8](repeating: 0, count: 4096) + block + frame.bytes, at: 0)
    try file.resize(to: 65536)
    try store.drain()
    try journal.flush([insert(2).encoded()], ends: true)
    try store.drain()
    #expect(try store.query("SELECT a FROM t") == (isChecked ? [[1], [2]] : [[1], [666]]))
    guard isChecked else { return }
    // It is closed for who writes it, told in the status, and in nobody's way.
    #expect(try Mark.isClosed(file))
    let log = Log(layout: store.layout, store: description.id, environment: store.environment)
    #expect(try log.present().beacon.status.ignored == 1)
    #expect(
      try store.query("SELECT DISTINCT owner FROM _sluice_writers") == [[.integer(Int64(getuid()))]]
    )
  }

  /// A process that has become another user's goes on under another id.
  @Test func aWriterThatBecomesAnotherUserTakesANewId() throws {
    let files = OwningFileSystem(store.environment.fileSystem)
    store.environment.fileSystem = files
    let writer = try store.writer()
    let first = try writer.submitBlocking(insert(1))
    for number in UInt64(2)...9 {
      files.owners.withLock { $0[path(first.batch.writer, number)] = 4242 }
    }
    // It goes on in its open segment; in the next one it would be a stranger.
    func large(_ n: Int64) -> Batch {
      Batch([
        Batch.Statement(
          "INSERT INTO t VALUES(?) -- \(UUID()) \((0..<3000).map { _ in "\(UInt64.random(in: 0 ... .max))" }.joined())",
          [.integer(n)])
      ])
    }
    let error = #expect(throws: StoreError.self) {
      for n in Int64(2)...9 { _ = try writer.submitBlocking(large(n)) }
    }
    #expect(error?.code == .notSubmitted)
    try store.drain()
    // What was submitted before is applied and gone.
    store.options.retireAfter = .milliseconds(20)
    try run(until: { try store.names(store.layout.journal) == ["quarantine"] })
    let second = try writer.submitBlocking(insert(100))
    #expect(second.batch.writer != first.batch.writer)
    try store.drain()
    #expect(try store.query("SELECT count(*) FROM t WHERE a = 100") == [[1]])
  }

  // MARK: What is missing

  @Test func missingBatchesAreCounted() throws {
    let journal = try store.journal()
    try journal.flush([insert(1).encoded()], ends: true)
    try store.drain()
    for n in Int64(2)...4 { try journal.flush([insert(n).encoded()], ends: true) }
    let writer = try #require(journal.writer)
    for number in UInt64(2)...3 { try store.environment.fileSystem.unlink(path(writer, number)) }
    for _ in 0..<2 { try store.drain() }
    let description = try StoreDescription.read(store.layout, store.environment.fileSystem)
    let log = Log(layout: store.layout, store: description.id, environment: store.environment)
    #expect(try log.present().beacon.status.missing == 2)
    #expect(
      try store.query("SELECT message FROM _sluice_rejected")
        == [["not executed: batches 2 to 3 of its writer are missing"]])
  }

  // MARK: Silence

  /// Nobody ended it, and its date says for how long it was silent.
  @Test func aDrainTakesAwaySegmentsThatAreSilentByTheirDate() throws {
    let clock = ShiftedClock()
    let files = DatingFileSystem(store.environment.fileSystem, clock)
    store.environment.fileSystem = files
    store.environment.clock = clock
    let old = try store.journal()
    try old.flush([insert(1).encoded()])
    clock.advance(by: .seconds(61))
    let young = try store.journal()
    try young.flush([insert(2).encoded()])
    try store.drain()
    #expect(try store.query("SELECT a FROM t") == [[1], [2]])
    let name = StoreLayout.journalName(.init(writer: try #require(young.writer), number: 1))
    #expect(try Set(store.names(store.layout.journal)) == ["quarantine", name])
    // Its writer finds it closed, and goes on.
    try old.flush([insert(3).encoded()], ends: true)
    try store.drain()
    #expect(try store.query("SELECT a FROM t") == [[1], [2], [3]])
  }

  /// Its writer was told that it is durable, and submits nothing more.
  @Test func aBatchThatIsLostInQuarantineHasAResult() throws {
    let clock = ShiftedClock()
    let files = DatingFileSystem(store.environment.fileSystem, clock)
    store.environment.fileSystem = files
    store.environment.clock = clock
    let writer = try store.writer()
    _ = try writer.submitBlocking(insert(1))
    let lost = try writer.submitBlocking(insert(2))
    let path = path(lost.batch.writer, 1)
    try store.environment.fileSystem.open(path, .write).write([1, 2, 3], at: 12288 + 90)
    clock.advance(by: .seconds(61))
    try store.drain()
    #expect(try store.query("SELECT a FROM t") == [[1]])
    #expect(try store.names(store.layout.quarantine).count == 1)
    clock.advance(by: .seconds(16))
    let error = #expect(throws: StoreError.self) {
      try writer.outcomeBlocking(of: lost, timeout: .seconds(60))
    }
    #expect(error?.code == .damaged)
    #expect(error?.batch == lost.batch)
    #expect(error?.message.contains("is lost and was not executed") == true)
  }

  /// One that waits for an applier is not lost, however long.
  @Test func aBatchThatWaitsIsNotLost() throws {
    let clock = ShiftedClock()
    store.environment.clock = clock
    let writer = try store.writer()
    let receipt = try writer.submitBlocking(insert(1))
    clock.advance(by: .seconds(16))
    let error = #expect(throws: StoreError.self) {
      try writer.outcomeBlocking(of: receipt, timeout: .milliseconds(50))
    }
    #expect(error?.code == .timeout)
    try store.drain()
    #expect(try writer.outcomeBlocking(of: receipt, timeout: .seconds(60)).outcome.isApplied)
  }
}
