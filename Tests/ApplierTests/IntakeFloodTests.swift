import Glibc
import SluiceJournal
import SluiceShared
import SluiceWriter
import Testing

@testable import SluiceApplier
@testable import SluiceFakes

@Suite("However much one user puts into the journal, the others are looked at")
struct IntakeFloodTests: HostileStore {
  let store: TestStore
  private let clock = ManualClock()
  private let files: SlowlyReadFiles
  private static let stranger: UInt32 = 4242

  init() throws {
    store = try Self.makeStore()
    files = SlowlyReadFiles(store.environment.fileSystem, clock)
  }

  private func intake(_ log: NotedLog = NotedLog()) throws -> JournalIntake {
    var environment = store.environment
    environment.fileSystem = files
    environment.clock = clock
    return try JournalIntake(
      of: StoreHandle(at: store.layout, environment), name: "test", openFiles: 1000, log: log.logger
    )
  }

  /// Empty files with the lowest ids.
  private func makeFiles(_ numbers: ClosedRange<UInt64>, owner: UInt32? = nil) throws {
    for n in numbers {
      let path = path(WriterID(high: 1, low: n), 1)
      files.owners.withLock { $0[path] = owner }
      _ = try store.environment.fileSystem.create(path, mode: 0o660)
    }
  }

  private func submit(_ count: Int, _ writer: Writer, owner: UInt32? = nil) throws -> WriterID {
    let batches = (0..<count).map { _ in Batch([Batch.Statement("SELECT 1")]) }
    let receipts = try writer.submitBlocking(batches).map { try $0.get() }
    let id = try #require(receipts.first).batch.writer
    for n in 1...3 as ClosedRange<UInt64> {
      files.owners.withLock { [path = path(id, n)] in $0[path] = owner }
    }
    return id
  }

  // MARK: Many files

  /// More come with each look than it has time for, and their ids come before all others.
  @Test func filesAreLookedAtInTheOrderInWhichTheyCame() throws {
    let intake = try intake()
    for n in 0..<3 as Range<UInt64> {
      try makeFiles(n * 40 + 1...n * 40 + 40)
      _ = try intake.poll()
    }
    let honest = try submit(1, try store.writer())
    var looks: UInt64 = 0
    while !intake.waiting.has(honest), looks < 30 {
      try makeFiles(1000 + looks * 40...1039 + looks * 40)
      clock.advance(by: .milliseconds(1))
      _ = try intake.poll()
      looks += 1
    }
    #expect((2...20).contains(looks), "\(looks)")
  }

  @Test func usersAreLookedAtInRounds() throws {
    let intake = try intake()
    let writer = try store.writer()
    let honest = try submit(1, writer)
    try makeFiles(1...300, owner: Self.stranger)
    for _ in 0..<60 { _ = try intake.poll() }
    #expect(intake.writers.all.allSatisfy { $0.owner != nil })
    intake.take(intake.waiting.count, in: TxID(1))
    for n in 1...5 as ClosedRange<UInt64> {
      // All are due.
      clock.advance(by: .seconds(2))
      _ = try submit(1, writer)
      _ = try intake.poll()
      let isRead = intake.waiting.has(honest)
      #expect(isRead, "\(n)")
      intake.take(intake.waiting.count, in: TxID(1 + n))
    }
  }

  /// A name may be 255 bytes long, and there may be a million of them.
  @Test func namesThatAreNoSegmentsAreNotKept() throws {
    let names = [
      "notes.txt", String(repeating: "x", count: 240), String(repeating: "x", count: 49),
    ]
    for name in names {
      _ = try store.environment.fileSystem.create("\(store.layout.journal)/\(name)", mode: 0o600)
    }
    let honest = try submit(1, try store.writer())
    let intake = try intake()
    _ = try intake.poll()
    #expect(intake.names.listed.contains(StoreLayout.journalName(.init(writer: honest, number: 1))))
    #expect(intake.names.listed.allSatisfy { $0.hasSuffix(".seg") })
    #expect(
      try PosixFileSystem().list(store.layout.journal, where: { $0.count > 200 }) == [names[1]])
  }

  /// Anybody may make files that are no journal's, and take them away.
  @Test func filesThatAreIgnoredFillNoLog() throws {
    let log = NotedLog()
    let intake = try intake(log)
    for n in 1...200 as ClosedRange<UInt64> {
      try files.makeDirectory(path(WriterID(high: 1, low: n), 1), mode: 0o700)
    }
    for _ in 0..<20 { _ = try intake.poll() }
    #expect(intake.ignoredCount == 200)
    func told(_ what: String) -> Int {
      log.text.split(separator: "\n").count { $0.hasPrefix(what) }
    }
    #expect(told("journal file ignored") == Limits.fileComplaintsPerMinute)
    clock.advance(by: .seconds(61))
    _ = try intake.poll()
    #expect(log.text.contains(" count=\(200 - Limits.fileComplaintsPerMinute)"))
    #expect(told("more of the same") == 1)
    try files.makeDirectory(path(WriterID(high: 2, low: 1), 1), mode: 0o700)
    _ = try intake.poll()
    #expect(told("journal file ignored") == Limits.fileComplaintsPerMinute + 1)
  }

  /// The numbers are what its writer says.
  @Test func whatIsMissingIsNotCountedAsAForgerySays() throws {
    let id = JournalSegmentID(writer: WriterID(high: 1, low: 2), number: 1)
    let header = JournalSegmentHeader(
      store: try StoreDescription.read(store.layout, files).id, id: id, nonce: 5,
      firstSequence: SequenceNumber(1), predecessor: nil, created_ms: 1)
    let block = header.encoded()
    var bytes = [UInt8](repeating: 0, count: 4096) + block
    var previous = JournalSegmentHeader.checksum(of: block)
    let batch = SectionContent(.batches, raw: [4, 0, 0, 0, 7, 7, 7, 7])
    for first in [1 << 62, (1 << 63) - 10] as [UInt64] {
      let frame = EncodedFrame(
        kind: .batches, offset: Int64(bytes.count), nonce: 5, previous: previous, first: first,
        count: 1, sections: [batch])
      bytes += frame.bytes
      previous = frame.header.checksum
    }
    let file = try store.environment.fileSystem.create(path(id.writer, 1), mode: 0o660)
    try file.write(bytes, at: 0)
    try file.resize(to: 65536)
    let log = NotedLog()
    let intake = try intake(log)
    while try intake.poll() {}
    #expect(intake.waiting.has(id.writer))
    #expect(intake.missing == 2 * Limits.missingAtOnce)
    #expect(log.text.contains("last=\(UInt64(1 << 62) - 1)"))
  }

  // MARK: Much memory

  /// One frame may take more than all the memory that there is for what waits, and hours to be executed.
  @Test func whatOneUserHasWaitingKeepsNobodyElseFromBeingRead() throws {
    let intake = try intake()
    let zeros = [UInt8](repeating: 0, count: 54 << 20)
    let heavy = try store.writer().submitBlocking(
      Batch([Batch.Statement("SELECT ?", [.blob(zeros)])])
    ).batch.writer
    files.owners.withLock { [path = path(heavy, 1)] in $0[path] = Self.stranger }
    while try intake.poll() {}
    #expect(intake.waiting.weight > Limits.waitingBytes * 3 / 2)
    // Of the same user nothing more is read, of others as much as each has of its own.
    let another = try submit(1, try store.writer(), owner: Self.stranger)
    let (honest, second) = (try store.writer(), try store.writer())
    let ids = try (submit(1, honest), submit(1, second))
    _ = try submit(2, honest)
    for _ in 0..<3 {
      clock.advance(by: .seconds(2))
      _ = try intake.poll()
    }
    #expect(intake.waiting.has(ids.0) && intake.waiting.has(ids.1))
    #expect(!intake.waiting.has(another))
    // And of one with something waiting.
    let before = intake.waiting.count
    _ = try submit(2, honest)
    clock.advance(by: .seconds(2))
    _ = try intake.poll()
    #expect(intake.waiting.count == before + 2)
    let large = [UInt8](repeating: 0, count: Limits.waitingBytesOfUser)
    _ = try honest.submitBlocking(Batch([Batch.Statement("SELECT ?", [.blob(large)])]))
    _ = try submit(2, honest)
    for _ in 0..<3 {
      clock.advance(by: .seconds(2))
      _ = try intake.poll()
    }
    #expect(intake.waiting.weight(of: getuid()) > Limits.waitingBytesOfUser)
    _ = try submit(2, second)
    let full = intake.waiting.count
    clock.advance(by: .seconds(2))
    _ = try intake.poll()
    #expect(intake.waiting.count == full)
    // All of it is given back.
    intake.take(full, in: TxID(1))
    #expect(intake.waiting.weight == 0 && intake.waiting.weight(of: Self.stranger) == 0)
    clock.advance(by: .seconds(2))
    while try intake.poll() {}
    #expect(intake.waiting.has(another))
  }
}

/// Of a file each read takes 20 ms, and some are told to be others'.
private final class SlowlyReadFiles: HookedFileSystem, @unchecked Sendable {
  // Sendable: the owners are under a lock, all else is constant.
  let owners = Monitor([String: UInt32]())
  private let clock: ManualClock

  init(_ base: any FileSystem, _ clock: ManualClock) {
    self.clock = clock
    super.init(base)
  }

  override func did(_ operation: FileOperation) {
    if operation.action == .read { clock.advance(by: .milliseconds(20)) }
  }

  override func told(_ status: FileStatus, of path: String) -> FileStatus {
    var status = status
    if let owner = owners.withLock({ $0[path] }) { status.owner = owner }
    return status
  }
}
