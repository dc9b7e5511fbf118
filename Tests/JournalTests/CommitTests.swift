import SluiceFakes
import SluiceShared
import Testing

@testable import SluiceJournal

@Suite("A commit's sections are decoded as they were encoded, or refused")
struct CommitTests {
  @Test(arguments: Samples.outcomes)
  func outcome(outcome: Outcome) throws {
    #expect(try Outcome(decoding: outcome.encoded) == outcome)
    for count in 0..<outcome.encoded.count {
      #expect(throws: DecodingError.self) {
        try Outcome(decoding: Array(outcome.encoded[..<count]))
      }
    }
    corruptions(of: outcome.encoded, in: 0..<outcome.encoded.count, masks: Array(1...255)) {
      bytes, _ in _ = try? Outcome(decoding: bytes)
    }
  }

  @Test func aDuplicateOfADuplicateIsRefused() {
    let nested = Outcome.duplicate(
      of: TxID(1), original: .duplicate(of: TxID(2), original: Samples.outcomes[0]))
    #expect(throws: DecodingError.self) { try Outcome(decoding: nested.encoded) }
  }

  @Test func outcomes() throws {
    let list = Samples.outcomes.enumerated().map { i, outcome in
      BatchOutcome(
        batch: BatchID(
          writer: i % 2 == 0 ? Samples.writer : Samples.otherWriter,
          sequence: SequenceNumber(UInt64(i + 1))),
        key: i == 2 ? "key" : nil, attempts: UInt32(i), outcome: outcome)
    }
    let bytes = BatchOutcome.encode(list)
    #expect(try BatchOutcome.decode(bytes, count: UInt32(list.count)) == list)
    for count in 0..<bytes.count {
      #expect(throws: DecodingError.self) {
        try BatchOutcome.decode(Array(bytes[..<count]), count: UInt32(list.count))
      }
    }
    #expect(throws: DecodingError.self) { try BatchOutcome.decode(bytes, count: .max) }
    #expect(throws: DecodingError.self) {
      try BatchOutcome.decode([0xFF, 0xFF, 0xFF, 0xFF, 0x0F], count: 1)
    }
  }

  @Test func meta() throws {
    let bytes = Samples.meta.encoded()
    #expect(bytes.count == CommitMeta.bytes)
    #expect(try CommitMeta(decoding: bytes) == Samples.meta)
    #expect(throws: DecodingError.self) { try CommitMeta(decoding: Array(bytes[..<55])) }
  }

  @Test func pageIndex() throws {
    let entries = [
      PageEntry(page: 1, storedBytes: 512, crc: 7, offset: 0),
      PageEntry(page: 9, storedBytes: 100, crc: 8, offset: 512),
    ]
    let bytes = PageEntry.encode(entries)
    var placed = entries
    for i in placed.indices { placed[i].offset += 4096 }
    #expect(try PageEntry.decode(bytes, base: 4096) == placed)
    #expect(try PageEntry.decode([], base: 0) == [])
    #expect(throws: DecodingError.self) { try PageEntry.decode(Array(bytes[..<39]), base: 0) }
    #expect(throws: DecodingError.self) {
      try PageEntry.decode(PageEntry.encode(entries.reversed()), base: 0)
    }
    #expect(throws: DecodingError.self) {
      try PageEntry.decode(PageEntry.encode([entries[0], entries[0]]), base: 0)
    }
    var far = entries
    far[1].offset = .max
    #expect(throws: DecodingError.self) { try PageEntry.decode(PageEntry.encode(far), base: 1) }
  }

  @Test func consumed() throws {
    let list = [
      ConsumedThrough(
        segment: JournalSegmentID(writer: Samples.writer, number: 3), offset: 12288)
    ]
    let bytes = ConsumedThrough.encode(list)
    #expect(bytes.count == 33)
    #expect(try ConsumedThrough.decode(bytes) == list)
    #expect(throws: DecodingError.self) { try ConsumedThrough.decode(Array(bytes[..<32])) }
    #expect(throws: DecodingError.self) { try ConsumedThrough.decode([200, 1]) }
  }

  @Test func startRecord() throws {
    let engine = StartRecord.Engine(sourceID: "s", compileOptions: "A\nB", architecture: "x86_64")
    let parent = LogPosition(
      segment: 3, nonce: 4, end: 20480, lastFrame: 16384, checksum: 5, startFrame: 16384)
    let extent = LogExtent(txid: TxID(8), commits: 6, time_ms: 7)
    for parent in [nil, parent] {
      let record = StartRecord(parent: parent, inherited: .empty, carried: extent, engine: engine)
      #expect(try StartRecord(decoding: record.encoded()) == record)
      for count in 0..<record.encoded().count {
        #expect(throws: DecodingError.self) {
          try StartRecord(decoding: Array(record.encoded()[..<count]))
        }
      }
    }
  }

  /// A commit too large for memory is written in pieces, and is the same frame.
  @Test func aStreamedCommitIsTheSameFrame() throws {
    let fileSystem = MemoryFileSystem()
    let pages = Samples.noise(3 << 20)
    var content = CommitContent(
      first: TxID(1), count: 2, meta: Samples.meta,
      entries: [PageEntry(page: 1, storedBytes: 512, crc: 0, offset: 0)], outcomes: [],
      consumed: [], pages: .memory(pages),
      batches: SectionContent(.batches, raw: Samples.list([[1], [2]])))
    content.pruned = [Samples.writer]
    let place = FramePlace(offset: 16384, nonce: 3, previous: 4)
    let whole = try fileSystem.create("/whole", mode: 0o600)
    var mayBeWhole = false
    var sizes = CommitSizes()
    let header = try content.write(to: whole, at: place, sizes, mayBeWhole: &mayBeWhole)
    #expect(mayBeWhole)

    let scratch = try fileSystem.scratchFile()
    try scratch.write(pages, at: 0)
    content.pages = .scratch(scratch, bytes: Int64(pages.count))
    for piece in [1 << 20, 4096, 100_000] {
      sizes.pieceBytes = piece
      let streamed = try fileSystem.create("/streamed\(piece)", mode: 0o600)
      let second = try content.write(to: streamed, at: place, sizes, mayBeWhole: &mayBeWhole)
      try streamed.resize(to: header.end)
      #expect(header.checksum == second.checksum && header.sections == second.sections)
      #expect(fileSystem.disk.content("/whole") == fileSystem.disk.content("/streamed\(piece)"))
    }
    #expect(header.length <= content.mostBytes)
  }
}
