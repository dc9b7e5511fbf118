import SluiceFakes
import SluiceShared
import Testing

@testable import SluiceJournal

/// What somebody wrote with right checksums, by accident or on purpose: found by the fuzzers.
@Suite("Numbers that cannot be meant are refused, and end no process")
struct UnsoundNumberTests {
  private func decode(_ kind: FrameKind, first: UInt64, count: UInt32) -> FrameHeader? {
    let (bytes, _) = FrameHeader.encode(
      kind: kind, offset: 8192, nonce: 1, previous: 2, first: first, count: count, sections: [])
    return bytes.withUnsafeBytes { FrameHeader.decode($0, at: 8192, nonce: 1) }
  }

  @Test func framesThatCannotBeCountedOn() {
    for kind in [FrameKind.batches, .commit] {
      #expect(decode(kind, first: 1, count: 2)?.count == 2)
      #expect(decode(kind, first: UInt64(Int64.max) - 3, count: 2)?.count == 2)
      #expect(decode(kind, first: UInt64(Int64.max) - 2, count: 2) == nil)
      #expect(decode(kind, first: .max, count: 2) == nil)
    }
    #expect(decode(.batches, first: 1, count: 0) != nil)
    #expect(decode(.commit, first: 1, count: 0) == nil)
    #expect(decode(.commit, first: 0, count: 1) == nil)
  }

  @Test func journalHeader() {
    func reads(_ first: UInt64) -> Bool {
      let header = JournalSegmentHeader(
        store: Samples.store, id: JournalSegmentID(writer: Samples.writer, number: 1), nonce: 1,
        firstSequence: SequenceNumber(first), predecessor: nil, created_ms: 1)
      if case .header = header.encoded().withUnsafeBytes({ JournalSegmentHeader.decode($0) }) {
        return true
      }
      return false
    }
    #expect(reads(1) && reads(UInt64(Int64.max) - 1))
    #expect(!reads(0) && !reads(UInt64(Int64.max)) && !reads(.max))
  }

  @Test(arguments: [(UInt64.max, UInt64(1)), (1, .max)])
  func logHeader(number: UInt64, term: UInt64) {
    let header = LogSegmentHeader(
      store: Samples.store, number: number, nonce: 1, term: term, created_ms: 1, holder: "h")
    let error = #expect(throws: StoreError.self) {
      try header.encoded().withUnsafeBytes {
        try LogSegmentHeader.decode($0, path: "x", store: Samples.store).header
      }
    }
    #expect(error?.code == .damaged)
  }

  private static let position = LogPosition(
    segment: 1, nonce: 2, end: 20480, lastFrame: 16384, checksum: 3, startFrame: 16384)
  private static let extent = LogExtent(txid: TxID(1), commits: 1, time_ms: 1)

  private func decode(_ beacon: Beacon) -> Beacon? {
    beacon.encoded().withUnsafeBytes { Beacon.decode($0, segment: 1, nonce: 2) }
  }

  @Test func beacon() {
    var good = Beacon(state: .active, position: Self.position, extent: Self.extent, time_ms: 1)
    good.counter = 7
    #expect(decode(good) == good)
    let changes: [(inout Beacon) -> Void] = [
      { $0.counter = .max }, { $0.extent.txid = TxID(.max) }, { $0.extent.commits = .max },
      { $0.extent.time_ms = .min }, { $0.position.end = .max },
      {
        $0.position.end = .max
        $0.position.lastFrame = .max - 1
        $0.position.startFrame = .max - 1
      },
    ]
    for change in changes {
      var beacon = good
      change(&beacon)
      #expect(decode(beacon) == nil)
    }
  }

  @Test func aBeaconWithMoreAttemptsThanItMayHoldIsNone() {
    let block = Beacon(
      state: .active, position: Self.position, extent: Self.extent, time_ms: 1
    ).encoded()
    for (count, isRead) in [(UInt8(64), true), (65, false), (255, false)] {
      var content = ByteWriter()
      content.append(raw: Array(block[..<148]))
      content.append(count)
      content.append(raw: [UInt8](repeating: 1, count: 4092 - 149))
      let sealed = SealedBlock.seal(content, seed: 2)
      let beacon = sealed.withUnsafeBytes { Beacon.decode($0, segment: 1, nonce: 2) }
      #expect((beacon != nil) == isRead, "\(count)")
    }
  }

  @Test func startRecord() {
    func reads(_ parent: LogPosition, _ extent: LogExtent) -> Bool {
      let record = StartRecord(
        parent: parent, inherited: extent, carried: extent,
        engine: .init(sourceID: "", compileOptions: "", architecture: ""))
      return (try? StartRecord(decoding: record.encoded())) == record
    }
    #expect(reads(Self.position, Self.extent))
    var position = Self.position
    position.startFrame = .max - 1
    #expect(!reads(position, Self.extent))
    position = Self.position
    position.segment = .max
    #expect(!reads(position, Self.extent))
    var extent = Self.extent
    extent.txid = TxID(.max)
    #expect(!reads(Self.position, extent))
  }

  @Test func commitMeta() {
    for (commit, time) in [(UInt64.max, Int64(1)), (1, .max), (1, .min)] {
      var meta = Samples.meta
      meta.commit = commit
      meta.time_ms = time
      #expect(throws: DecodingError.self) { try CommitMeta(decoding: meta.encoded()) }
    }
  }

  // MARK: sizes

  /// No memory is taken for what cannot be there.
  @Test func aDecompressedSizeThatCannotBe() {
    var compressed: [UInt8] = []
    let content = [UInt8](repeating: 7, count: 50_000)
    #expect(content.withUnsafeBytes { Compressor().append($0, level: 1, to: &compressed) })
    compressed.withUnsafeBytes { bytes in
      let decompressor = Decompressor()
      #expect(decompressor.decompress(bytes, count: 50_000) == content)
      for count in [0, 49_999, 50_001, 1 << 40, 1 << 60] {
        #expect(decompressor.decompress(bytes, count: count) == nil)
      }
    }
    // A zstd frame that does not say its size, and one that says more than its bytes can hold.
    for head: [UInt8] in [
      [0x28, 0xB5, 0x2F, 0xFD, 0x00, 0x58],
      [0x28, 0xB5, 0x2F, 0xFD, 0xE0, 0, 0, 0, 0, 0, 1, 0, 0],
    ] {
      head.withUnsafeBytes { #expect(Decompressor().decompress($0, count: 1 << 40) == nil) }
    }
  }

  @Test func aSectionLongerThanItsFile() throws {
    let section = FrameSection(
      id: SectionID.batches.rawValue, codec: .raw, crc: 0, storedBytes: 1 << 60,
      rawBytes: 1 << 60, offset: 76)
    let (bytes, _) = FrameHeader.encode(
      kind: .batches, offset: 0, nonce: 1, previous: 2, first: 1, count: 1, sections: [section])
    var scanner = FrameScanner(try Samples.file(bytes), nonce: 1)
    let header = try #require(try scanner.header(at: 0))
    #expect(try scanner.stored(section, of: header) == nil)
    #expect(try scanner.section(.batches, of: header, limit: .max) == nil)
  }

  /// A statement of one value, a guard, and flags, each with a byte behind what it says it has.
  @Test(
    arguments: [
      [7, 0, 9, 5, 0, 1, 1, 0, 0], [7, 0, 11, 5, 0, 1, 1, 0, 0], [7, 0, 9, 4, 0, 0, 1, 9],
      [5, 2, 1, 0],
    ] as [[UInt8]])
  func whatLiesBehindTheLastValueIsRefused(bytes: [UInt8]) {
    #expect(throws: DecodingError.self) {
      try bytes.withUnsafeBytes { try Batch(decoding: $0) }
    }
  }
}
