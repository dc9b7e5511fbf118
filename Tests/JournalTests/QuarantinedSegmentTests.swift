import SluiceFakes
import SluiceShared
import Testing

@testable import SluiceJournal

/// Any writer may make such a file, and whoever looks at it with `sluice rejected` has other things to do.
@Suite("What a segment in quarantine claims costs who looks at it a bounded amount")
struct QuarantinedSegmentTests {
  private let memory = MemoryFileSystem()
  private let layout = StoreLayout("/store")
  private let id = JournalSegmentID(writer: WriterID(high: 1, low: 2), number: 1)

  /// A segment with these bytes behind its header.
  private func segment(_ fileSystem: any FileSystem, _ frames: [(offset: Int64, bytes: [UInt8])])
    throws -> QuarantinedSegment
  {
    memory.makeDirectories(["/store", layout.journal, layout.quarantine])
    let header = JournalSegmentHeader(
      store: StoreID(time_ms: 1, random: { 1 }), id: id, nonce: 5,
      firstSequence: SequenceNumber(1), predecessor: nil, created_ms: 1)
    let file = try memory.create(
      "\(layout.quarantine)/\(StoreLayout.journalName(id))", mode: 0o600)
    try file.resize(to: Limits.mostJournalSegmentBytes)
    try file.write(header.encoded(), at: Block.header)
    for frame in frames { try file.write(frame.bytes, at: frame.offset) }
    return try QuarantinedSegment(id, layout, fileSystem)
  }

  private func frame(at offset: Int64, count: UInt32, _ section: SectionContent) -> [UInt8] {
    EncodedFrame(
      kind: .batches, offset: offset, nonce: 5, previous: 0, first: 1, count: count,
      sections: [section]
    ).bytes
  }

  @Test("A count that its bytes cannot hold is no frame")
  func count() throws {
    let zeros = SectionContent(.batches, raw: [UInt8](repeating: 0, count: 4 << 20))
    let offset = Block.firstJournalFrame
    let segment = try segment(memory, [(offset, frame(at: offset, count: 1 << 20, zeros))])
    var found = 0
    #expect(try segment.read { _ in found += 1 } == .end)
    #expect(found == 0)
  }

  @Test("Of frames that are not whole some are summed, and the rest is left")
  func sums() throws {
    let bytes = Int64(70 << 20)
    // A header of its own in each block, and nothing behind it.
    let claims = (0..<100).map { i -> (Int64, [UInt8]) in
      let offset = Block.firstJournalFrame + Int64(i) * Int64(Block.size)
      let header = FrameHeader.encode(
        kind: .batches, offset: offset, nonce: 5, previous: 0, first: 1, count: 1,
        sections: [
          FrameSection(
            id: SectionID.batches.rawValue, codec: .raw, crc: 1, storedBytes: bytes,
            rawBytes: bytes, offset: 0)
        ])
      return (offset, header.bytes)
    }
    let files = CountingFileSystem(memory)
    let segment = try segment(files, claims)
    var found = 0
    let reach = try segment.read { _ in found += 1 }
    guard case .offset(let offset) = reach else {
      Issue.record("all was read: \(reach)")
      return
    }
    #expect(found == 0 && offset < Block.firstJournalFrame + 10 * Int64(Block.size))
    let read = files.bytesRead.values.reduce(0, +)
    #expect(read <= Limits.bytesSummedInVain + 2 * bytes, "\(read)")
  }

  @Test("Whole frames are found before it and behind a damage")
  func whole() throws {
    let batch = try Batch([Batch.Statement("SELECT 1")]).encoded()
    var writer = ByteWriter()
    writer.append(UInt32(batch.count))
    writer.append(raw: batch)
    let section = SectionContent(.batches, raw: writer.bytes)
    let offsets = [Block.firstJournalFrame, Block.firstJournalFrame + 5 * Int64(Block.size)]
    let segment = try segment(
      memory, offsets.map { ($0, frame(at: $0, count: 1, section)) })
    var found: [Int64] = []
    let reach = try segment.read {
      found.append($0.offset)
      #expect($0.content?.statements.first?.sql == "SELECT 1" && $0.bytes == batch.count)
    }
    #expect(reach == .end)
    #expect(found == offsets)
  }
}
