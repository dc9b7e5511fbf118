import SluiceJournal
import SluiceShared
import Testing

@testable import SluiceWriter

@Suite("Segments grow with what is written, and end so that the applier can remove them")
struct SegmentTests {
  let store: TestStore
  init() throws { store = try TestStore() }

  /// Bytes that do not compress.
  private func noise(_ count: Int) -> [UInt8] {
    var bytes = ByteWriter(reserving: count)
    while bytes.count < count { bytes.append(UInt64.random(in: .min ... .max)) }
    return bytes.bytes
  }

  /// With its header it would be longer than what an applier reads.
  @Test func aFrameHasRoomForItsHeader() throws {
    let half = [UInt8](repeating: 0, count: Limits.journalFrameBytes / 2 - 4)
    let error = #expect(throws: StoreError.self) { try store.journal().flush([half, half]) }
    #expect(error?.code == .limit)
  }

  @Test func segmentsDouble() throws {
    let journal = store.journal()
    let block = noise(30_000)
    for _ in 1...40 { try journal.flush([block]) }
    let segments = try store.segments()
    #expect(segments.prefix(4).map(\.size) == [64 << 10, 128 << 10, 256 << 10, 512 << 10])
    for (before, after) in zip(segments, segments.dropFirst()) {
      let last = try #require(before.frames.last)
      #expect(after.header?.predecessor == .init(number: before.id.number, end: last.end))
      #expect(after.header?.firstSequence.rawValue == last.first + 1)
      #expect(last.end + 4096 <= before.size)
    }
    #expect(segments.reduce(0) { $0 + $1.batches.count } == 40)
  }

  @Test func aSegmentHoldsALargeFrame() throws {
    let journal = store.journal()
    let large = noise(3 << 20)
    try journal.flush([content(1)])
    try journal.flush([large])
    try journal.flush([content(3)])
    let segments = try store.segments()
    #expect(segments[1].batches[2] == large)
    #expect(segments[1].size >= 3 << 20)
  }

  @Test func aClosedWriterEndsItsSegmentWithAnEmptyFrame() throws {
    let journal = store.journal()
    try journal.flush([content(1)])
    store.files.forget()
    journal.close()
    #expect(store.files.events.map(\.operation) == [.write, .sync])
    let frame = try #require(try store.segments()[0].frames.last)
    #expect(frame.endsSegment && frame.batches.isEmpty && frame.first == 2)
  }

  /// Whoever sees a writer's id may make files under it, and cannot guess which number comes next.
  @Test func namesThatOthersTookAreLeftOut() throws {
    let journal = store.journal()
    try journal.flush([content(1)])
    let writer = try #require(journal.writer)
    for number in 2...300 as ClosedRange<UInt64> {
      let name = StoreLayout.journalName(.init(writer: writer, number: number))
      _ = try PosixFileSystem().create("\(store.layout.journal)/\(name)", mode: 0o600)
    }
    try store.close(.init(writer: writer, number: 1))
    try journal.flush([content(2)])
    let own = try store.segments().filter { $0.header != nil }
    #expect(own.count == 2 && own[1].id.number > 300 && own[1].id.number < 100_000_000)
    #expect(own[1].batches == [2: content(2)])
    // And the next follows that one.
    try store.close(own[1].id)
    try journal.flush([content(3)])
    #expect(journal.acknowledgedSegment == own[1].id.number + 1)
  }

  @Test func aNumberForWhichANameHasNoRoomIsNotTaken() throws {
    let made = Moment(SystemClock())
    var journal = OwnJournal(date_ms: 1, made: made, store.environment())
    #expect(journal.takeNumber(behind: 0) { 0 } == 1)
    #expect(journal.takeNumber(behind: 1) { 0 } == 2)
    #expect(journal.takeNumber(behind: 2) { 254 } == 257)
    while let number = journal.takeNumber(behind: 9, { .max }) {
      #expect(number <= Limits.journalSegmentNumber)
    }
    let last = JournalSegmentID(writer: journal.writer, number: journal.lastNumber)
    #expect(StoreLayout.journalSegment(StoreLayout.journalName(last)) == last)
    #expect(journal.lastNumber + 65_536 > Limits.journalSegmentNumber)
  }

  @Test func theEndFitsAFullSegment() throws {
    let journal = store.journal()
    while try store.segments().count < 2 { try journal.flush([content(1)]) }
    let full = try store.segments()[0]
    let last = try #require(full.frames.last)
    #expect(last.end == full.size - 4096)
  }

  @Test func signsOfLifeGoOnInTheNextSegment() throws {
    let journal = store.journal()
    journal.giveSignOfLife()
    #expect(try store.segments().isEmpty)
    try journal.flush([content(1)])
    for _ in 1...20 { journal.giveSignOfLife() }
    try journal.flush([content(2)])
    let segments = try store.segments()
    #expect(segments.count == 2)
    #expect(segments.reduce(0) { $0 + $1.frames.count } == 22)
    let (full, next) = (segments[0], segments[1])
    #expect(full.size == 64 << 10 && full.frames.last?.end == full.size - 4096)
    // Of the full one only the first frame was acknowledged as batches.
    #expect(next.header?.predecessor == .init(number: full.id.number, end: full.frames[0].end))
    #expect(next.header?.firstSequence.rawValue == 2)
    #expect(next.batches == [2: content(2)])
  }

  @Test func aOneShotIsOneWriteWithHeaderFrameAndEnd() throws {
    _ = try store.applier()
    let (writer, results) = try Writer.submitOnce(
      store: store.layout.root, [insert(1), insert(2)], environment: store.environment())
    #expect(
      store.files.events.map(\.operation) == [
        .create, .resize, .write, .sync, .syncDirectory, .read,
      ])
    let segments = try store.segments()
    #expect(segments.count == 1)
    #expect(segments[0].frames.count == 1)
    #expect(segments[0].frames[0].endsSegment)
    #expect(segments[0].frames[0].batches == [try insert(1).encoded(), try insert(2).encoded()])
    #expect(try results.map { try $0.get().batch.sequence.rawValue } == [1, 2])
    #expect(throws: StoreError.self) { try writer.submitBlocking(insert(3)) }
  }

  @Test func aFlushWithTooMuchIsRefused() throws {
    let journal = store.journal()
    let many = [[UInt8]](repeating: [], count: Limits.batchesPerFrame + 1)
    #expect(throws: StoreError.self) { try journal.flush(many) }
    #expect(throws: StoreError.self) { try journal.flush([]) }
    #expect(try journal.flush([content(1)]).sequence == SequenceNumber(1))
  }
}
