import Foundation
import SluiceFakes
import SluiceShared
import Testing

@testable import SluiceJournal

/// The files in `Golden`, which are described in docs/FORMAT.md, are what this version writes, and
/// what every later one must read. `SLUICE_WRITE_GOLDEN=1` writes them anew.
///
/// zstd's output may differ between its versions: of a frame with compressed sections the content is
/// compared instead of the bytes (here only the second frame of `journal.bin`).
@Suite("The formats on disk stay as they are")
struct GoldenTests {
  private func golden(_ name: String) throws -> [UInt8] {
    let directory = try #require(Bundle.module.resourcePath)
    return Array(try Data(contentsOf: URL(filePath: "\(directory)/Golden/\(name).bin")))
  }

  @Test(.enabled(if: ProcessInfo.processInfo.environment["SLUICE_WRITE_GOLDEN"] != nil))
  func writeAnew() throws {
    let directory = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Golden")
    for (name, bytes) in try GoldenFiles.make() {
      try Data(bytes).write(to: directory.appending(path: "\(name).bin"))
    }
  }

  @Test(arguments: GoldenFiles.names)
  func isWrittenByteForByte(name: String) throws {
    var expected = try golden(name)
    var made = try #require(try GoldenFiles.make()[name])
    if name == "journal" {
      let frames = try (journal(expected), journal(made))
      #expect(frames.0.map(\.batches) == frames.1.map(\.batches))
      #expect(frames.1[1].frame.sections[0].codec == .zstd)
      let end = Int(frames.0[0].frame.end)
      expected = Array(expected[..<end])
      made = Array(made[..<end])
    }
    #expect(made.count == expected.count)
    let difference = zip(made, expected).enumerated().first { $0.element.0 != $0.element.1 }
    #expect(difference == nil, "first difference at byte \(difference?.offset ?? 0)")
  }

  // MARK: Reading them

  private func journal(_ bytes: [UInt8]) throws -> [(frame: FrameHeader, batches: [Batch])] {
    let file = try Samples.file(bytes)
    let segment = try #require(try JournalSegmentHeader.read(file))
    let header = segment.header
    var chain = segment.frames
    #expect(header.store == Samples.store && header.id.number == 1)
    #expect(header.firstSequence == SequenceNumber(1) && header.predecessor == nil)
    #expect(try !Mark.isClosed(file))
    var frames: [(FrameHeader, [Batch])] = []
    while let frame = try chain.ahead() {
      let content = try #require(try chain.scanner.section(.batches, of: frame, limit: 1 << 20))
      let batches = try BatchList.ranges(content, count: Int(frame.count)).map { range in
        try content[range].withUnsafeBytes { try Batch(decoding: $0) }
      }
      frames.append((frame, batches))
      chain.pass(frame)
    }
    return frames
  }

  @Test func aJournalSegment() throws {
    let frames = try journal(golden("journal"))
    #expect(frames.count == 2)
    #expect(frames[0].batches == [Samples.batch, Batch([.init("DELETE FROM t")])])
    #expect(frames[0].frame.first == 1 && frames[0].frame.sections[0].codec == .raw)
    #expect(frames[1].batches == [GoldenFiles.many])
    #expect(frames[1].frame.first == 3 && frames[1].frame.sections[0].codec == .zstd)
    #expect(!frames[1].frame.endsSegment)
  }

  @Test func aOneShotSegment() throws {
    let frames = try journal(golden("journal-one-shot"))
    #expect(frames.map(\.batches) == [[Samples.batch]])
    #expect(frames[0].frame.endsSegment)
  }

  @Test func pagesOfTransactions() throws {
    let frames = try journal(golden("journal-pages"))
    #expect(frames.map(\.batches) == [try GoldenPages.batches])
    #expect(frames[0].frame.sections[0].codec == .raw)
    #expect(
      try pages(of: frames[0].batches[1]) == [1: GoldenPages.first, 4: GoldenPages.fourth])
    #expect(try pages(of: frames[0].batches[2]) == [1: GoldenPages.changed])
  }

  @Test func pagesInParts() throws {
    let bytes = try golden("journal-parts")
    let frames = try journal(bytes)
    #expect(frames.map(\.batches.count) == [0, 0, 1])
    let sections = try frames.dropLast().map { try #require($0.frame.section(.part)) }
    let parts = zip(frames, sections).map { frame, section in
      let start = Int(frame.frame.offset + section.offset)
      return Array(bytes[start..<start + Int(section.storedBytes)])
    }
    #expect(
      try pages(of: frames[2].batches[0], parts) == [1: GoldenPages.first, 4: GoldenPages.fourth])
  }

  /// Over a base whose page 1 is `GoldenPages.base`.
  private func pages(of batch: Batch, _ parts: [[UInt8]] = []) throws -> [UInt32: [UInt8]] {
    var pages: [UInt32: [UInt8]] = [:]
    try batch.encoded().withUnsafeBytes { bytes in
      guard case .commit(let encoded)? = try EncodedBatch(bytes).step else { return }
      try encoded.forEachPage(part: { parts.indices.contains($0) ? parts[$0] : nil }) {
        (_, page) throws(StoreError) in
        page.copyBytes(from: GoldenPages.base)
      } _: { (number, page) throws(StoreError) in
        pages[number] = Array(page)
      }
    }
    return pages
  }

  /// `log-earlier`: as versions wrote it that said nothing of the segment in its merged index.
  @Test(arguments: ["log", "log-earlier"])
  func theLog(name: String) throws {
    let store = try store(withLog: name)
    let log = Log(of: store)
    let present = try log.present()
    #expect(present.segment.header.holder == "host-3" && present.segment.header.term == 3)
    #expect(present.extent == LogExtent(txid: TxID(9), commits: 4, time_ms: 1_700_000_000_004))
    #expect(present.beacon.status == GoldenFiles.status)
    // Each as it is by its last frame, and as it is by its header.
    let other = Log(of: store)
    let ended = try other.history(after: .zero, upTo: other.present(), byLastFrames: true)
    let spans = try log.history(after: .zero, upTo: present)
    #expect(ended.map(\.segment.header) == spans.map(\.segment.header))
    #expect(ended.map(\.segment.headerChecksum) == spans.map(\.segment.headerChecksum))
    #expect(ended.map(\.start) == spans.map(\.start))
    #expect(ended.map { $0.lastFrameRead != nil } == [name == "log", false, false])
    #expect(spans.map(\.inherited.commits) == [0, 2, 3])
    #expect(spans[2].start.carried.commits == 4 && spans[2].start.engine.compileOptions == "A=1\nB")

    var commits: [Commit] = []
    var follower = LogFollower(after: .empty)
    try follower.advance(log, to: present) { (commit, cursor) throws(StoreError) in
      commits.append(commit)
      try check(commit, &cursor)
    }
    #expect(commits.map(\.first) == [TxID(1), TxID(6), TxID(7), TxID(8)])
    try checkEnd(of: spans[0])
  }

  private func store(withLog name: String) throws -> StoreHandle {
    let layout = StoreLayout("/s")
    let fileSystem = MemoryFileSystem()
    fileSystem.makeDirectories([layout.log, layout.oldLog])
    for number in 1...3 {
      let file = try fileSystem.create(layout.segment(UInt64(number)), mode: 0o644)
      try file.write(try golden("\(name)-\(number)"), at: 0)
    }
    return StoreHandle(
      layout: layout, id: Samples.store, environment: Samples.environment(fileSystem))
  }

  @Test(
    "A segment is opened by its last frame only where that is the very one that its successor names"
  )
  func byItsLastFrame() throws {
    let store = try store(withLog: "log")
    let log = Log(of: store)
    let spans = try log.history(after: .zero, upTo: log.present())
    let named = try #require(spans[1].start.parent)
    let path = store.layout.segment(named.segment)
    func isOpened(_ store: StoreHandle, _ change: (inout LogPosition) -> Void) -> Bool {
      var position = named
      change(&position)
      return LogSegment.finished(path, endingAt: position, of: store) != nil
    }
    #expect(isOpened(store) { _ in })
    let changes: [(String, (inout LogPosition) -> Void)] = [
      ("checksum", { $0.checksum ^= 1 }), ("nonce", { $0.nonce ^= 1 }),
      ("segment", { $0.segment += 1 }), ("end", { $0.end += Int64(Block.size) }),
      ("a shorter end", { $0.end -= Int64(Block.size) }),
      ("lastFrame", { $0.lastFrame = $0.startFrame }),
    ]
    for (what, change) in changes { #expect(!isOpened(store, change), "\(what)") }
    let other = StoreHandle(
      layout: store.layout, id: StoreID(high: store.id.high, low: store.id.low ^ 1),
      environment: store.environment)
    #expect(!isOpened(other) { _ in })
  }

  private func check(_ commit: Commit, _ cursor: inout LogCursor) throws(StoreError) {
    let number = commit.meta.commit
    #expect(commit.meta.entropy == Identifier128(high: 0xE0, low: number))
    #expect(commit.meta.checksum == DatabaseChecksum(0xD000 + number))
    #expect(
      try cursor.outcomes(of: commit.header)
        == Array(GoldenFiles.outcomes[..<Int(commit.header.count)]))
    let consumed = try cursor.section(.consumed, of: commit.header)
    #expect((try? ConsumedThrough.decode(consumed)) == GoldenFiles.consumed)
    #expect((commit.header.section(.pruned) != nil) == (number == 2))
    let pages = try cursor.pages(of: commit.header)
    #expect(pages.map(\.page) == [1, UInt32(number) + 1])
    let file = cursor.segment.file
    #expect(try file.read(512, at: pages[0].offset) == GoldenFiles.otherPage)
    let stored = try file.read(Int(pages[1].storedBytes), at: pages[1].offset)
    let page = stored.withUnsafeBytes { Decompressor().decompress($0, count: 512) }
    #expect(page == GoldenFiles.page && pages[1].crc == crc32c(GoldenFiles.page))
    let batches = try cursor.section(.batches, of: commit.header)
    let ranges = (try? BatchList.ranges(batches, count: Int(commit.header.count))) ?? []
    for range in ranges {
      let batch = batches[range].withUnsafeBytes { try? Batch(decoding: $0) }
      #expect(batch == Samples.batch)
    }
    #expect(ranges.count == Int(commit.header.count))
  }

  /// The first segment ended in order, was released, and then closed by the next holder.
  private func checkEnd(of span: Log.Span) throws {
    let control = try span.segment.control()
    #expect(control.isClosed && !control.hasUnreadableSlot)
    #expect(control.beacon?.state == .released && control.beacon?.counter == 4)
    var scanner = span.segment.scanner()
    let index = try #require(try scanner.header(at: span.lastFrame))
    #expect(index.kind == .index && index.endsSegment && index.end == span.end)
    let entries = try PageEntry.decode(
      try #require(try scanner.section(.index, of: index, limit: 1 << 20)), base: 0)
    #expect(entries.map(\.page) == [1, 2, 3])
    #expect(try span.segment.file.read(512, at: entries[0].offset) == GoldenFiles.otherPage)
    let meta = try #require(try scanner.section(.meta, of: index, limit: 1 << 20))
    #expect(try CommitMeta(decoding: meta).commit == 2)
    #expect(Array(meta[72...]) == [3, 0, 0, 0])
  }

  @Test func aCheckpointSidecar() throws {
    let fileSystem = MemoryFileSystem()
    let file = try fileSystem.create("/x.pages", mode: 0o444)
    try file.write(try golden("checkpoint"), at: 0)
    let sidecar = try CheckpointSidecar(
      path: "/x.pages", store: Samples.store, fileSystem: fileSystem)
    #expect(sidecar.header == GoldenFiles.sidecarHeader)
    for (i, crc) in GoldenFiles.sidecarChecksums.enumerated() {
      #expect(try sidecar.crc(ofPage: UInt32(i + 1)) == crc)
    }
  }

  @Test func theStoreDescription() throws {
    let description = try golden("store").withUnsafeBytes { try StoreDescription(decoding: $0) }
    #expect(
      description
        == StoreDescription(id: Samples.store, pageSize: 512, lease: .file, foreignKeys: true))
  }
}
