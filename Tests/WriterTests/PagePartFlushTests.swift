import Glibc
import SluiceJournal
import SluiceShared
import Testing

@testable import SluiceWriter

@Suite("The parts of a transaction's pages lie before its batch, in one segment")
struct PagePartFlushTests {
  let store: TestStore
  init() throws { store = try TestStore() }

  /// Three pages, each a part.
  private func pages() throws -> PageBatch {
    var encoder = PageBatchEncoder(
      base: TxID(1), turn: nil, pageSize: 4096, pageCount: 3, scratch: PosixFileSystem(),
      partBytes: 4096)
    for number in 1...3 {
      let page = (0..<4096).map { _ in UInt8.random(in: .min ... .max) }
      try page.withUnsafeBytes { page in
        try Result { () throws(StoreError) in try encoder.add(UInt32(number), page, over: nil) }
          .get()
      }
    }
    return try encoder.finish()
  }

  private func flush(_ pages: PageBatch, to journal: JournalWriter) throws -> BatchID {
    let name = journal.nextBatch()
    try journal.flush(
      listed: [try Batch(.commit(pages)).listed()], parts: pages.parts, as: name, ends: false)
    return name
  }

  /// Frames of a segment: false for a part, true for what has a batch.
  private func frames(_ segment: SegmentImage) -> [Bool] {
    segment.frames.map { !$0.batches.isEmpty }
  }

  @Test func behindOtherBatches() throws {
    let journal = store.journal()
    try journal.flush([content(1)])
    let name = try flush(try pages(), to: journal)
    try journal.flush([content(3)])
    #expect(name.sequence == SequenceNumber(2))
    let segments = try store.segments()
    #expect(segments.map(frames) == [[true, false, false, false, true, true]])
    #expect(segments[0].batches.keys.sorted() == [1, 2, 3])
  }

  @Test("A part that fails leaves nothing that could be taken for the batch", arguments: [1, 2, 3])
  func partFails(_ part: Int) throws {
    let journal = store.journal()
    try journal.flush([content(1)])
    let successes = [Int32?](repeating: nil, count: part - 1)
    for code in successes + [EIO] { store.files.fail(.sync, code) }
    _ = try flush(try pages(), to: journal)
    let segments = try store.segments()
    #expect(frames(segments[1]) == [false, false, false, true])
    #expect(segments[0].batches.keys.sorted() == [1] && segments[1].batches.keys.sorted() == [2])
    #expect(segments[1].header?.predecessor == .init(number: 1, end: segments[0].frames[0].end))
  }

  @Test("Where no part can be written the batch is certainly not there")
  func neverWritten() throws {
    let journal = store.journal()
    try journal.flush([content(1)])
    store.files.failAlways(.sync, EIO)
    let error = #expect(throws: FlushFailure.self) { try flush(try pages(), to: journal) }
    guard case .notWritten? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    store.files.failAlways(.sync, nil)
    #expect(try journal.flush([content(2)]).sequence == SequenceNumber(2))
  }

  @Test("A segment that an applier closes among the parts is begun anew with all of them")
  func closed() throws {
    let journal = store.journal()
    let first = try journal.flush([content(1)])
    let store = store
    store.files.beforeSync {
      store.files.beforeSync(nil)
      try? store.close(JournalSegmentID(writer: first.writer, number: 1))
    }
    _ = try flush(try pages(), to: journal)
    let segments = try store.segments()
    #expect(segments.map(frames) == [[true, false], [false, false, false, true]])
  }

  @Test("What is in doubt is sent again with its parts")
  func doubt() throws {
    let journal = store.journal()
    try journal.flush([content(1)])
    let pages = try pages()
    // All parts are written, and the batch's own frame is not, however often.
    for _ in 0..<Limits.flushTries {
      for code in [nil, nil, nil, EIO] { store.files.fail(.sync, code) }
    }
    let error = #expect(throws: FlushFailure.self) { try flush(pages, to: journal) }
    guard case .inDoubt? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(try journal.flush([content(3)]).sequence == SequenceNumber(3))
    let last = try #require(try store.segments().last)
    #expect(frames(last) == [false, false, false, true, true])
    #expect(last.batches.keys.sorted() == [2, 3])
  }
}
