import Glibc
import SluiceJournal
import SluiceShared
import Testing

@testable import SluiceWriter

@Suite("A flush is acknowledged only when its segment's mark is empty after it")
struct HandshakeTests {
  let store: TestStore
  init() throws { store = try TestStore() }

  @Test func aWarmFlushIsOneWriteOneSyncOneRead() throws {
    let journal = store.journal()
    try journal.flush([content(1)])
    store.files.forget()
    try journal.flush([content(2), content(3)])
    #expect(store.files.events.map(\.operation) == [.write, .sync, .read])
    #expect(store.files.events[0].offset == Block.firstJournalFrame + 4096)
    #expect(store.files.events[2].offset == Block.mark)
  }

  @Test func aNewSegmentIsOneWriteMoreDurable() throws {
    let journal = store.journal()
    try journal.flush([content(1)])
    #expect(
      store.files.events.map(\.operation) == [
        .create, .resize, .write, .sync, .syncDirectory, .read,
      ])
    #expect(store.files.events[2].offset == Block.header)
    let segment = try #require(try store.segments().first)
    let header = try #require(segment.header)
    #expect(segment.batches == [1: content(1)])
    #expect(segment.size == Limits.smallestJournalSegment)
    #expect(header.store == store.id)
    #expect(header.id == JournalSegmentID(writer: try #require(journal.writer), number: 1))
    #expect(header.firstSequence == SequenceNumber(1))
    #expect(header.predecessor == nil)
  }

  @Test func framesAreChainedAndOnBlocks() throws {
    let journal = store.journal()
    for i in 1...5 { try journal.flush([content(i)]) }
    let frames = try store.segments()[0].frames
    #expect(frames.map(\.first) == [1, 2, 3, 4, 5])
    #expect(frames.allSatisfy { $0.offset % 4096 == 0 && $0.batches.count == 1 })
  }

  @Test func whatCompressesIsCompressed() throws {
    let journal = store.journal()
    let batches = (1...100).map { content($0) }
    try journal.flush(batches)
    let segment = try store.segments()[0]
    #expect(segment.frames[0].batches == batches)
    #expect(segment.frames[0].end - segment.frames[0].offset <= 8192)
  }

  @Test func aClosedSegmentsBatchesGoUnderTheSameNumbersIntoANewOne() throws {
    let journal = store.journal()
    let first = try journal.flush([content(1)])
    try journal.flush([content(2)])
    try store.close(JournalSegmentID(writer: first.writer, number: 1))

    let third = try journal.flush([content(3), content(4)])
    #expect(third == BatchID(writer: first.writer, sequence: SequenceNumber(3)))
    let segments = try store.segments()
    #expect(segments.count == 2)
    // The closed one holds them too: its applier may have read them there.
    #expect(segments[0].batches[3] == content(3))
    #expect(segments[1].batches == [3: content(3), 4: content(4)])
    #expect(segments[1].header?.firstSequence == SequenceNumber(3))
    #expect(
      segments[1].header?.predecessor
        == .init(number: 1, end: segments[0].frames[1].end))
  }

  @Test func aSegmentClosedBeforeItsFirstFrameIsNoPredecessor() throws {
    let journal = store.journal()
    let first = try journal.flush([content(1)])
    try store.close(JournalSegmentID(writer: first.writer, number: 1))
    store.files.beforeSync { [store] in
      store.files.beforeSync { [store] in
        store.files.beforeSync(nil)
        try? store.close(JournalSegmentID(writer: first.writer, number: 2))
      }
    }
    try journal.flush([content(2)])
    let segments = try store.segments()
    #expect(segments.count == 3)
    #expect(segments[2].batches == [2: content(2)])
    #expect(segments[2].header?.predecessor == .init(number: 1, end: segments[0].frames[0].end))
  }

  /// A writer that hardly runs: each segment was silent long enough to be closed before its first
  /// frame was durable.
  @Test(arguments: [10, Limits.closuresPerFlush])
  func segmentsClosedOneAfterTheOtherAreNoFailure(count: Int) throws {
    let journal = store.journal()
    let writer = journal.nextBatch().writer
    let closed = Monitor<UInt64>(0)
    store.files.beforeSync { [store] in
      let number = closed.withLock { closed in
        if closed < count { closed += 1 }
        return closed
      }
      try? store.close(JournalSegmentID(writer: writer, number: number))
    }
    // It holds the store, and the store holds it.
    defer { store.files.beforeSync(nil) }
    guard count < Limits.closuresPerFlush else {
      let error = #expect(throws: StoreError.self) { try journal.flush([content(1)]) }
      #expect(error?.code == .outcomeUnknown)
      return
    }
    try journal.flush([content(1)])
    #expect(try store.segments().map(\.id.number) == (1...UInt64(count + 1)).map { $0 })
    #expect(try store.segments().last?.batches == [1: content(1)])
  }

  @Test(arguments: [ESTALE, EIO])
  func aMarkThatCannotBeReadAcknowledgesNothing(code: Int32) throws {
    let journal = store.journal()
    try journal.flush([content(1)])
    store.files.fail(.read, code)
    try journal.flush([content(2)])
    #expect(try store.segments().map(\.frames.count) == [2, 1])
  }

  /// Whether a batch written behind a mark is acknowledged in the segment that was closed, where no
  /// applier looks any more.
  private func acknowledgesBehindMark(omitting omitted: Set<SafetyCheck>) throws -> Bool {
    let journal = store.journal(omitting: omitted)
    let first = try journal.flush([content(1)])
    try store.close(JournalSegmentID(writer: first.writer, number: 1))
    // The applier reads the frames now and removes the segment.
    try journal.flush([content(2)])
    return try !store.segments().contains { $0.id.number > 1 && $0.batches[2] != nil }
  }

  @Test func nothingIsAcknowledgedBehindAMark() throws {
    #expect(try !acknowledgesBehindMark(omitting: []))
  }

  #if DEBUG
    @Test func withoutReadingTheMarkABatchIsLost() throws {
      #expect(try acknowledgesBehindMark(omitting: [.markAfterFlush]))
    }
  #endif
}
