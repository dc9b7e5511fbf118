import SluiceShared
import Testing

@testable import SluiceJournal

/// Each value of a sample is another one, so that no two fields can be taken for each other.
@Suite("The tables of FORMAT.md are what the code writes")
struct FormatTableTests {
  private func identifier(_ id: Identifier128) -> [UInt8] {
    little(id.high.byteSwapped) + little(id.low.byteSwapped)
  }

  private func zeros(_ count: Int) -> [UInt8] { [UInt8](repeating: 0, count: count) }

  @Test func aFrame() throws {
    let section = SectionContent(.batches, raw: Array(1...7))
    let frame = EncodedFrame(
      kind: .batches, endsSegment: true, offset: 0x3000, nonce: 5, previous: 0x0102_0304, first: 77,
      count: 9, sections: [section])
    let stored = frame.header.sections[0]
    try FormatTable(behind: "### Frames").check(
      frame.bytes,
      [
        ("`SLF1`", Array("SLF1".utf8)), ("kind: 1 batches", [1]), ("flags: 1", [1]),
        ("*h*, bytes of this header: 52 + 24", little(UInt16(76))),
        ("bytes of the frame", little(Int64(76 + 7))),
        ("where the frame begins", little(Int64(0x3000))), ("first sequence", little(UInt64(77))),
        ("how many", little(UInt32(9))),
        ("checksum of the frame before", little(UInt32(0x0102_0304))),
        ("sections", little(UInt16(1))), ("zero", zeros(6)),
        (
          "sections",
          little(UInt16(1)) + [0, 0] + little(stored.crc) + little(Int64(7)) + little(Int64(7))
        ),
      ])
    #expect(Array(frame.bytes[72..<76]) == little(frame.header.checksum))
  }

  @Test func kindsAndSections() throws {
    let rows = try FormatTable.cells(behind: "### Frames")
    let kinds = try #require(rows.first { $0[2].hasPrefix("kind: ") })[2].dropFirst(6)
    #expect(
      kinds.split(separator: ",").compactMap { UInt8($0.split(separator: " ")[0]) }
        == [FrameKind.batches, .start, .commit, .index].map(\.rawValue))
    #expect(FrameKind(rawValue: 0) == nil && FrameKind(rawValue: 5) == nil)
    let heading = "A section, 24 bytes: "
    let line = try #require(
      FormatTable.text().split(separator: "\n").first { $0.hasPrefix(heading) })
    let ids = try FormatTable.cells(behind: String(line)).compactMap { UInt16($0[0]) }
    #expect(ids == Array(1...UInt16(ids.count)))
    #expect(ids.allSatisfy { SectionID(rawValue: $0) != nil })
    #expect(SectionID(rawValue: UInt16(ids.count) + 1) == nil)
  }

  @Test func aJournalSegment() throws {
    let header = JournalSegmentHeader(
      store: Samples.store, id: JournalSegmentID(writer: Samples.writer, number: 11), nonce: 12,
      firstSequence: SequenceNumber(13), predecessor: .init(number: 10, end: 0x5000),
      created_ms: 1_700_000_000_001)
    try FormatTable(behind: "## Journal segments").check(
      header.encoded(),
      [
        ("`SLJOURNL`", Array("SLJOURNL".utf8)), ("format version, 1", little(UInt16(1))),
        ("zero", zeros(6)), ("store id", identifier(Samples.store)),
        ("writer id", identifier(Samples.writer)), ("segment number", little(UInt64(11))),
        ("nonce", little(UInt64(12))), ("sequence number of the first batch", little(UInt64(13))),
        ("predecessor", little(UInt64(10))), ("where that one ended", little(Int64(0x5000))),
        ("when it was made", little(Int64(1_700_000_000_001))),
      ])
  }

  @Test func aLogSegment() throws {
    let header = LogSegmentHeader(
      store: Samples.store, number: 21, nonce: 22, term: 23, created_ms: 24, holder: "host-1")
    try FormatTable(behind: "## Log segments").check(
      header.encoded(),
      [
        ("`SLUICLOG`", Array("SLUICLOG".utf8)), ("format version, 1", little(UInt16(1))),
        ("zero", zeros(6)), ("store id", identifier(Samples.store)),
        ("segment number", little(UInt64(21))), ("nonce", little(UInt64(22))),
        ("term", little(UInt64(23))), ("when it was made", little(Int64(24))),
        ("counted text: the holder", [6] + Array("host-1".utf8)),
      ])
  }

  @Test func aStartFrame() throws {
    let record = StartRecord(
      parent: LogPosition(
        segment: 31, nonce: 32, end: 33, lastFrame: 34, checksum: 35, startFrame: 36),
      inherited: LogExtent(txid: TxID(37), commits: 38, time_ms: 39),
      carried: LogExtent(txid: TxID(40), commits: 41, time_ms: 42),
      engine: .init(sourceID: "id", compileOptions: "A=1", architecture: "x86_64"))
    let numbers = { (numbers: [UInt64]) in numbers.flatMap { little($0) } }
    try FormatTable(behind: "### Start frames").check(
      record.encoded(),
      [
        (
          "the parent's published position: u64 segment, u64 nonce, i64 behind the last frame, i64 last frame, u32 its checksum",
          numbers([31, 32, 33, 34]) + little(UInt32(35)) + numbers([36])
        ),
        ("the history there: u64 TxID, u64 commit number, i64 time", numbers([37, 38, 39])),
        ("the history with what was carried over", numbers([40, 41, 42])),
        (
          "counted text, three times",
          [2] + Array("id".utf8) + [3] + Array("A=1".utf8) + [6] + Array("x86_64".utf8)
        ),
      ])
  }

  @Test func aBeacon() throws {
    var beacon = Beacon(
      state: .released,
      position: LogPosition(
        segment: 1, nonce: 2, end: 51, lastFrame: 52, checksum: 53, startFrame: 54),
      extent: LogExtent(txid: TxID(55), commits: 56, time_ms: 57), time_ms: 58)
    beacon.counter = 50
    var status = ApplierStatus()
    status.checkpoint = TxID(59)
    (status.backlogBatches, status.backlogBytes, status.oldest_ms) = (60, 61, 62)
    (status.batchesPerSecond, status.rejected) = (63, 64)
    (status.quarantined, status.writers, status.uncleanTerms) = (65, 66, 67)
    let attempt = Attempt(
      batch: BatchID(writer: Samples.writer, sequence: SequenceNumber(68)), length: 69, ends: 70,
      isExecuting: true)
    status.attempts = [attempt]
    status.turn = StatedTurn(number: TxID(71), holder: Samples.otherWriter)
    let token = Identifier128(high: 72, low: 73)
    status.hints.endpoint = HintEndpoint(
      address: HintAddress(high: 0x7F00_0001_0000_0000, port: 74), token: token, loopback: 75)
    (status.hints.received, status.hints.useful, status.hints.sent) = (76, 77, 78)
    status.nextBeat_ms = 79
    status.retention = StatedRetention(keep_ms: 80, bytes: 81, checkpoints: 82)
    (status.ignored, status.missing) = (83, 84)
    beacon.status = status
    try FormatTable(behind: "### Beacons").check(beacon.encoded(), position(beacon) + told(status))
  }

  private typealias Fields = [(field: String, bytes: [UInt8])]

  private func position(_ beacon: Beacon) -> Fields {
    [
      ("`SLBEACON`", Array("SLBEACON".utf8)), ("counter", little(beacon.counter)),
      ("state: 1 active, 2 released", [2]), ("zero", zeros(7)),
      ("**published**: last TxID", little(UInt64(55))), ("commit number", little(UInt64(56))),
      ("offset behind the last frame", little(Int64(51))),
      ("offset of the last frame", little(Int64(52))),
      ("checksum of the last frame", little(UInt32(53))), ("zero", zeros(4)),
      ("offset of the start frame", little(Int64(54))),
      ("time of the last commit", little(Int64(57))), ("time of this beacon", little(Int64(58))),
    ]
  }

  private func told(_ status: ApplierStatus) -> Fields {
    let attempt =
      identifier(Samples.writer) + little(UInt64(68)) + little(UInt32(69)) + little(UInt32(70))
      + [1]
    return [
      ("TxID of the newest checkpoint", little(UInt64(59))),
      ("backlog: batches", little(UInt64(60))), ("backlog: bytes", little(UInt64(61))),
      ("backlog: age", little(UInt64(62))), ("batches applied", little(UInt64(63))),
      ("batches rejected", little(UInt64(64))), ("segments in quarantine", little(UInt32(65))),
      ("writers with live", little(UInt32(66))), ("terms that ended", little(UInt32(67))),
      ("attempts that follow", [1]), ("16 writer id, u64 sequence number", attempt),
      ("the turn that is out", little(UInt64(71))),
      ("the writer that has it", identifier(Samples.otherWriter)),
      ("where the holder takes [hints]", [4]), ("zero", zeros(1)),
      ("the UDP port", little(UInt16(74))), ("the address", [127, 0, 0, 1] + zeros(12)),
      ("the token", identifier(Identifier128(high: 72, low: 73))),
      ("of a loopback address", little(UInt64(75))), ("hints that the", little(UInt64(76))),
      ("looks for their sake", little(UInt64(77))), ("hints that it sent", little(UInt64(78))),
      ("milliseconds within which", little(UInt32(79))), ("zero", zeros(12)),
      ("what is kept of the past", little(UInt64(80))), ("bytes of log", little(UInt64(81))),
      ("checkpoints at most", little(UInt32(82))), ("zero", zeros(12)),
      ("files in `journal/`", little(UInt64(83))), ("batches found missing", little(UInt64(84))),
    ]
  }
}
