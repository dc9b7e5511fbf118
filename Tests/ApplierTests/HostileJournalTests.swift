import SluiceJournal
import SluiceShared
import SluiceWriter
import Testing

@testable import SluiceApplier

/// Journal files are somebody else's. These have right checksums; the fuzzers made their like.
@Suite("A journal that lies ends no applier and holds up nobody else")
struct HostileJournalTests {
  private static let writer = WriterID(high: 0x0190_0000_0001_7333, low: 0x8000_0000_0000_0444)

  /// A segment with these frames: first sequence number, count, and what it says of its raw bytes.
  private func segment(_ store: TestStore, _ frames: [(UInt64, UInt32, Int64?)]) throws {
    let description = try StoreDescription.read(store.layout, store.environment.fileSystem)
    let header = JournalSegmentHeader(
      store: description.id, id: JournalSegmentID(writer: Self.writer, number: 1), nonce: 5,
      firstSequence: SequenceNumber(1), predecessor: nil, created_ms: 1)
    let block = header.encoded()
    var bytes = [UInt8](repeating: 0, count: 4096) + block
    var previous = JournalSegmentHeader.checksum(of: block)
    for (first, count, rawBytes) in frames {
      var section = SectionContent(.batches, raw: [UInt8](repeating: 7, count: 40))
      if let rawBytes {
        section.codec = .zstd
        section.rawBytes = rawBytes
      }
      let frame = EncodedFrame(
        kind: .batches, offset: Int64(bytes.count), nonce: 5, previous: previous, first: first,
        count: count, sections: [section])
      bytes += frame.bytes
      previous = frame.header.checksum
    }
    let path = "\(store.layout.journal)/\(StoreLayout.journalName(header.id))"
    let file = try store.environment.fileSystem.create(path, mode: 0o640)
    try file.write(bytes, at: 0)
  }

  @Test(
    arguments: [
      [(1 << 63, 1, nil)], [(.max, 2, nil)], [(UInt64(Int64.max), 1, nil)],
      [(1, 1, nil), (1, 1, .max)], [(1, 1, .max), (2, 1, .max), (3, 1, .max)], [(0, 1, nil)],
    ] as [[(UInt64, UInt32, Int64?)]])
  func numbersThatCannotBe(frames: [(UInt64, UInt32, Int64?)]) throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a)")
    try segment(store, frames)
    #expect(try store.apply("INSERT INTO t VALUES (1)").isApplied)
    #expect(try store.query("SELECT a FROM t") == [[1]])
  }

  @Test func bytesBehindTheLastValueAreNotLeftOut() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a)")
    let journal = try store.journal()
    func batch(_ tail: [UInt8]) -> [UInt8] {
      let sql = Array("INSERT INTO t VALUES (?)".utf8)
      let values: [UInt8] = [0, 1, 1, 1, 14] + tail
      return [7, UInt8(sql.count)] + sql + [9, UInt8(values.count)] + values
    }
    try journal.flush([batch([0]), batch([])])
    try store.drain()
    #expect(try store.query("SELECT a FROM t") == [[7]])
    #expect(
      try store.query("SELECT code FROM _sluice_rejected")
        == [[.text(Outcome.Rejection.Code.malformed)]])
  }

  @Test func whatABeaconSaysOfAttemptsEndsNoTerm() {
    let batch = BatchID(writer: Self.writer, sequence: SequenceNumber(1))
    var beacon = Beacon(
      state: .active,
      position: LogPosition(
        segment: 1, nonce: 2, end: 20480, lastFrame: 16384, checksum: 3, startFrame: 16384),
      extent: .empty, time_ms: 1)
    beacon.status.uncleanTerms = .max
    beacon.status.attempts = [
      Attempt(batch: batch, length: .max, ends: .max, isExecuting: true),
      Attempt(batch: batch, ends: 0, isExecuting: false),
    ]
    var status = ApplierStatus(after: beacon, survived: [], .posix())
    #expect(status.uncleanTerms == .max)
    #expect(
      status.attempts == [Attempt(batch: batch, length: .max, ends: .max, isExecuting: false)])
    status.begin([batch, BatchID(writer: Self.writer, sequence: SequenceNumber(1 << 62))], ends: 0)
    #expect(status.attempts.map(\.length) == [.max])
    status.finish([batch])
    #expect(status.attempts.map(\.batch.sequence) == [SequenceNumber(2)])
  }
}
