import Foundation
import SluiceReader
import SluiceShared
import Testing

@testable import SluiceFakes
@testable import SluiceJournal
@testable import sluice

/// Without an applier `status` counts in files that anybody may have made.
@Suite("status believes no header of what is not there")
struct HostileBacklogTests {
  let place: Workplace

  init() throws {
    place = try Workplace()
    try place.make(applying: false)
    #expect(try place.submit("CREATE TABLE t(a)", "--wait", "durable").code == 0)
  }

  private enum Content { case hole, cut, other, right }

  /// A segment of one frame, dated 1970, whose batches claim to have `bytes`.
  private func claim(_ number: UInt64, _ content: Content, bytes: Int) throws {
    let fileSystem = PosixFileSystem()
    let layout = StoreLayout(place.store)
    let id = JournalSegmentID(
      writer: WriterID(high: 0x0180_0000_0001_7333 + number << 16, low: 0x8000_0000_0000_0444),
      number: 1)
    let block = JournalSegmentHeader(
      store: try StoreDescription.read(layout, fileSystem).id, id: id, nonce: 5,
      firstSequence: SequenceNumber(1), predecessor: nil, created_ms: 1
    ).encoded()
    let stored = [UInt8](repeating: 7, count: bytes)
    let frame = FrameHeader.encode(
      kind: .batches, offset: Block.firstJournalFrame, nonce: 5,
      previous: JournalSegmentHeader.checksum(of: block), first: 1, count: 400,
      sections: [
        FrameSection(
          id: SectionID.batches.rawValue, codec: .raw, crc: crc32c(stored),
          storedBytes: Int64(bytes), rawBytes: Int64(bytes), offset: 0)
      ])
    let file = try fileSystem.create(
      "\(layout.journal)/\(StoreLayout.journalName(id))", mode: 0o660)
    try file.write(block, at: Block.header)
    try file.write(frame.bytes, at: Block.firstJournalFrame)
    if content != .cut { try file.resize(to: 80 << 20) }
    let start = Block.firstJournalFrame + Int64(frame.bytes.count)
    switch content {
    case .hole, .cut: break
    // Its first bytes behind the header's block, and its last ones, are there.
    case .other: try file.write(Array(stored.dropLast()) + [8], at: start)
    case .right: try file.write(stored, at: start)
    }
  }

  private func backlog() throws -> (batches: Int64, bytes: Int64, oldest_ms: Int64, estimate: JSON)
  {
    let backlog = try #require(try place.status()["backlog"])
    return (
      try #require(backlog["batches"]?.integer), try #require(backlog["bytes"]?.integer),
      try #require(backlog["oldest_ms"]?.integer), try #require(backlog["isEstimate"])
    )
  }

  @Test("Frames of a hole, of a file that ends before, of other bytes than were summed")
  func lies() throws {
    let honest = try backlog()
    #expect(honest.batches == 1 && honest.estimate == .bool(false))
    var number: UInt64 = 0
    for content in [Content.hole, .cut, .other] {
      for bytes in [10_000, 79 << 20] {
        number += 1
        try claim(number, content, bytes: bytes)
      }
    }
    let found = try backlog()
    #expect(found.batches == 1 && found.bytes == honest.bytes && found.estimate == .bool(false))
    #expect(found.oldest_ms < 600_000)
  }

  /// Another user's files in another user's store, some of which cannot be opened.
  private final class OthersFiles: HookedFileSystem, @unchecked Sendable {
    // Sendable: what it has is constant.
    private let readable: Set<String>

    init(readable: Set<String>) {
      self.readable = readable
      super.init()
    }

    override func told(_ status: FileStatus, of path: String) -> FileStatus {
      var status = status
      status.owner = 4242
      return status
    }

    override func fate(of operation: FileOperation) throws(StoreError) -> FileFate {
      guard operation.action == .open, operation.path.hasSuffix(".seg"),
        !readable.contains(where: operation.path.hasSuffix)
      else { return .done }
      throw StoreError(.io, "open failed", path: operation.path, errno: EACCES)
    }
  }

  @Test("Who may read none of it is told what the applier said, and who may read some, that")
  func denied() throws {
    try claim(1, .right, bytes: 10_000)
    let names = try PosixFileSystem().list(StoreLayout(place.store).journal)
      .filter { StoreLayout.journalSegment($0) != nil }.sorted()
    try #require(names.count == 2)
    var status = ApplierStatus()
    (status.backlogBatches, status.backlogBytes, status.ignored) = (77, 7777, 3)
    for (readable, batches) in [(0, 77), (1, 400), (2, 401)] as [(Int, UInt64)] {
      var environment = Environment.posix()
      environment.fileSystem = OthersFiles(readable: Set(names.prefix(readable)))
      let backlog = try Backlog(
        counting: names.compactMap(StoreLayout.journalSegment),
        in: PageStore(path: place.store, environment: environment), environment, otherwise: status)
      #expect(backlog.batches == batches && backlog.denied == 2 - readable, "\(backlog)")
      #expect(backlog.isEstimate == (readable < 2), "\(backlog)")
      #expect(backlog.ignored == (readable == 0 ? 3 : 0), "\(backlog)")
    }
  }

  @Test("No batch has waited for longer than the store is there")
  func age() throws {
    try claim(1, .right, bytes: 10_000)
    let found = try backlog()
    #expect(found.batches == 401)
    #expect((0..<600_000).contains(found.oldest_ms), "\(found.oldest_ms)")
  }

  @Test("Of more than can be read it is said that it was not read")
  func estimate() throws {
    for number in 1...3 { try claim(UInt64(number), .other, bytes: 50 << 20) }
    let found = try backlog()
    // Two are read and are none; what the third says is said of it.
    #expect(found.batches == 401 && found.estimate == .bool(true))
    #expect(
      try sluice(["status", place.store]).output.contains("backlog      about 401 batches, "))
  }
}
