import SluiceFakes
import SluiceShared
import Testing

@testable import SluiceJournal

@Suite("Headers, beacons and marks: whole, or not there")
struct BlockTests {
  private static let masks: [UInt8] = [1, 0x80, 0xFF]

  private static let journalHeader = JournalSegmentHeader(
    store: Samples.store, id: JournalSegmentID(writer: Samples.writer, number: 3), nonce: 9,
    firstSequence: SequenceNumber(12), predecessor: .init(number: 2, end: 12288), created_ms: 77)

  private static let logHeader = LogSegmentHeader(
    store: Samples.store, number: 4, nonce: 11, term: 2, created_ms: 78, holder: "host-1")

  private static var beacon: Beacon {
    var beacon = Beacon(
      state: .active,
      position: LogPosition(
        segment: 4, nonce: 11, end: 24576, lastFrame: 20480, checksum: 0xCAFE, startFrame: 16384),
      extent: LogExtent(txid: TxID(40), commits: 30, time_ms: 79), time_ms: 80)
    beacon.counter = 6
    beacon.status.attempts = [
      Attempt(
        batch: BatchID(writer: Samples.writer, sequence: SequenceNumber(2)), length: 7, ends: 1,
        isExecuting: true)
    ]
    return beacon
  }

  private func decodeLogHeader(_ block: [UInt8], store: StoreID = Samples.store) throws
    -> LogSegmentHeader
  {
    try block.withUnsafeBytes {
      try LogSegmentHeader.decode($0, path: "x", store: store).header
    }
  }

  private func decodeBeacon(_ block: [UInt8], nonce: UInt64 = 11) -> Beacon? {
    block.withUnsafeBytes { Beacon.decode($0, segment: 4, nonce: nonce) }
  }

  private func decodeJournalHeader(_ block: [UInt8]) -> JournalSegmentHeader? {
    guard case .header(let header, _) = block.withUnsafeBytes({ JournalSegmentHeader.decode($0) })
    else { return nil }
    return header
  }

  @Test func checksumsAreTheKnownOnes() {
    #expect(crc32c(Array("123456789".utf8)) == 0xE306_9283)
    #expect(crc32c(Array("6789".utf8), continuing: crc32c(Array("12345".utf8))) == 0xE306_9283)
    #expect(crc32c([]) == 0)
    var checksum = DatabaseChecksum()
    checksum.toggle(page: 0, crc: 0)
    #expect(checksum.value == 0xE220_A839_7B1D_CDAF)
  }

  @Test func roundTrips() throws {
    #expect(decodeJournalHeader(Self.journalHeader.encoded()) == Self.journalHeader)
    var first = Self.journalHeader
    first.predecessor = nil
    #expect(decodeJournalHeader(first.encoded()) == first)
    #expect(try decodeLogHeader(Self.logHeader.encoded()) == Self.logHeader)
    #expect(decodeBeacon(Self.beacon.encoded()) == Self.beacon)
  }

  @Test func everyByteCounts() throws {
    let header = Self.journalHeader.encoded()
    corruptions(of: header, in: 0..<4096, masks: Self.masks) { block, place in
      #expect(decodeJournalHeader(block) == nil, "byte \(place)")
    }
    corruptions(of: Self.logHeader.encoded(), in: 0..<4096, masks: Self.masks) { block, place in
      #expect(throws: StoreError.self, "byte \(place)") { try decodeLogHeader(block) }
    }
    corruptions(of: Self.beacon.encoded(), in: 0..<4096, masks: Self.masks) { block, place in
      #expect(decodeBeacon(block) == nil, "byte \(place)")
    }
  }

  @Test func theChainBeginsWithTheHeader() throws {
    func checksum(_ header: LogSegmentHeader) throws -> UInt32 {
      try header.encoded().withUnsafeBytes {
        try LogSegmentHeader.decode($0, path: "x", store: Samples.store).checksum
      }
    }
    var other = Self.logHeader
    other.term += 1
    #expect(try checksum(Self.logHeader) != checksum(other))
    var journal = Self.journalHeader
    let first = JournalSegmentHeader.checksum(of: journal.encoded())
    journal.created_ms += 1
    #expect(JournalSegmentHeader.checksum(of: journal.encoded()) != first)
  }

  @Test func shortBlocksAreNone() {
    #expect(decodeJournalHeader(Array(Self.journalHeader.encoded().dropLast())) == nil)
    #expect(decodeBeacon(Array(Self.beacon.encoded().dropLast())) == nil)
    #expect(decodeBeacon([]) == nil)
    #expect(throws: StoreError.self) { try decodeLogHeader([]) }
  }

  @Test func aBeaconBelongsToItsSegment() {
    #expect(decodeBeacon(Self.beacon.encoded(), nonce: 12) == nil)
  }

  @Test func aBeaconHoldsTheLastAttemptsOnly() {
    var beacon = Self.beacon
    beacon.status.attempts = (1...100).map {
      Attempt(
        batch: BatchID(writer: Samples.writer, sequence: SequenceNumber($0)), ends: 1,
        isExecuting: false)
    }
    #expect(decodeBeacon(beacon.encoded())?.status.attempts == beacon.status.attempts.suffix(64))
  }

  /// The header of another version, which may mean anything behind its first 16 bytes.
  @Test func anotherVersionIsRefusedAsThat() throws {
    func next(_ block: [UInt8]) -> [UInt8] {
      var writer = ByteWriter()
      writer.append(raw: Array(block[0..<8]))
      writer.append(formatVersion + 1)
      writer.append(raw: [UInt8](repeating: 0xFF, count: 4082))
      return SealedBlock.seal(writer, seed: 0)
    }
    let journal = next(Self.journalHeader.encoded())
    guard case .unsupported(2) = journal.withUnsafeBytes({ JournalSegmentHeader.decode($0) }) else {
      Issue.record("not refused")
      return
    }
    let error = #expect(throws: StoreError.self) {
      try decodeLogHeader(next(Self.logHeader.encoded()))
    }
    #expect(error?.code == .unsupported)
  }

  @Test func anotherStoresLogIsForeign() {
    let error = #expect(throws: StoreError.self) {
      try decodeLogHeader(Self.logHeader.encoded(), store: StoreID(high: 1, low: 1))
    }
    #expect(error?.code == .foreign)
  }

  @Test func anyByteCloses() throws {
    let empty = [UInt8](repeating: 0, count: 4096)
    #expect(empty.withUnsafeBytes { !Mark.isClosed($0) })
    corruptions(of: empty, in: 0..<4096, masks: [1]) { block, _ in
      #expect(block.withUnsafeBytes { Mark.isClosed($0) })
    }
    #expect([UInt8](repeating: 0, count: 4095).withUnsafeBytes { Mark.isClosed($0) })
  }

  @Test func aMarkTakesAnyName() throws {
    let file = try Samples.file([UInt8](repeating: 0, count: 8192))
    #expect(try !Mark.isClosed(file))
    try Mark.write(to: file, by: String(repeating: "👨‍👩‍👧‍👦", count: 1000), time_ms: 5)
    #expect(try Mark.isClosed(file))
  }

  @Test func aRemovedFileIsClosed() throws {
    let disk = MemoryDisk()
    let mine = MemoryFileSystem(disk, isNetwork: true)
    let file = try mine.create("/file", mode: 0o600)
    try file.resize(to: 8192)
    #expect(try !Mark.isClosed(file))
    try MemoryFileSystem(disk).unlink("/file")
    #expect(try Mark.isClosed(file))
  }
}
