import SluiceFakes
import SluiceShared
import SluiceWriter
import Testing

@testable import SluiceApplier
@testable import SluiceJournal

/// Some KB of a file are enough to claim a frame of 79 MiB, which only its checksum gives the lie.
@Suite("Large frames that are none cost a look one sum, and nobody else's batch")
struct HeavySegmentTests {
  private static let frameBytes = 79 << 20

  let store: TestStore

  init() throws {
    store = try TestStore()
    try store.apply("CREATE TABLE t(a)")
  }

  /// A sparse segment of a writer of its own: a valid header, a valid frame header, and nothing.
  private func claim(_ number: UInt64) throws {
    let description = try StoreDescription.read(store.layout, store.environment.fileSystem)
    // Older than any honest one, and so looked at before it.
    let id = JournalSegmentID(
      writer: WriterID(high: 0x0180_0000_0001_7333 + number << 16, low: 0x8000_0000_0000_0444),
      number: 1)
    let header = JournalSegmentHeader(
      store: description.id, id: id, nonce: 5, firstSequence: SequenceNumber(1), predecessor: nil,
      created_ms: 1)
    let block = header.encoded()
    let bytes = Int64(Self.frameBytes)
    let frame = FrameHeader.encode(
      kind: .batches, offset: Block.firstJournalFrame, nonce: 5,
      previous: JournalSegmentHeader.checksum(of: block), first: 1, count: 1,
      sections: [
        FrameSection(
          id: SectionID.batches.rawValue, codec: .raw, crc: 1, storedBytes: bytes, rawBytes: bytes,
          offset: 0)
      ])
    let file = try store.environment.fileSystem.create(
      "\(store.layout.journal)/\(StoreLayout.journalName(id))", mode: 0o640)
    try file.resize(to: 80 << 20)
    try file.write(block, at: Block.header)
    try file.write(frame.bytes, at: Block.firstJournalFrame)
  }

  private func submit(_ value: Int64) throws {
    let writer = try store.writer()
    _ = try writer.submitBlocking(Batch([Batch.Statement("INSERT INTO t VALUES (\(value))")]))
    writer.closeBlocking()
  }

  private static func isHeavy(_ bytes: Int) -> Bool { bytes > 4 << 20 }

  @Test("Fifty of them beside an honest writer: its batch is there after the first look")
  func looks() throws {
    let fileSystem = CountingFileSystem(store.environment.fileSystem)
    var environment = store.environment
    environment.fileSystem = fileSystem
    // A look ends when its time is over; how much of it this machine needs is not what is judged.
    environment.clock = ManualClock()
    for number in 1...50 { try claim(UInt64(number)) }
    try submit(1)
    let intake = try JournalIntake(
      of: StoreHandle(at: store.layout, environment), name: "test", openFiles: 1000,
      log: store.options.logger)
    var summed: Set<String> = []
    for look in 1...30 {
      fileSystem.reset()
      _ = try intake.poll()
      let read = fileSystem.bytesRead
      let heavy = read.filter { Self.isHeavy($0.value) }
      #expect(heavy.count <= 1, "look \(look): \(heavy)")
      #expect(heavy.values.allSatisfy { $0 <= Self.frameBytes + 1 << 20 }, "look \(look): \(heavy)")
      summed.formUnion(heavy.keys)
      // The rest of them costs a look what it costs to see that they are there.
      let light = read.values.filter { !Self.isHeavy($0) }.reduce(0, +)
      #expect(light <= 51 * 128 << 10, "look \(look): \(light)")
      #expect(intake.waiting.count >= 1, "look \(look)")
      #expect(intake.next(.max, bytes: .max).contains { $0.bytes < 1000 })
    }
    #expect(!summed.isEmpty)
  }

  @Test("A drain ends, with the honest batches applied and the others in quarantine")
  func drain() throws {
    for number in 1...3 { try claim(UInt64(number)) }
    for value in 1...3 { try submit(Int64(value)) }
    store.options.retireAfter = .milliseconds(300)
    // What is younger than that a drain leaves to its writer, however quick it is itself.
    SystemClock().sleep(.milliseconds(500))
    try store.drain()
    #expect(try store.query("SELECT a FROM t ORDER BY a") == [[1], [2], [3]])
    #expect(try store.names(store.layout.quarantine).count == 3)
    #expect(try !store.names(store.layout.journal).contains { $0.hasSuffix(".seg") })
  }
}
