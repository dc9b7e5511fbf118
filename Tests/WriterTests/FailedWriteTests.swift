import Glibc
import SluiceJournal
import SluiceShared
import Testing

@testable import SluiceWriter

@Suite(
  "After a failed write a segment is never written again, and a name never used for another content"
)
struct FailedWriteTests {
  let store: TestStore
  init() throws { store = try TestStore() }

  /// The writes to the first segment after one of them, or its sync, failed.
  private func writesAfterFailure(_ operation: Operation, omitting omitted: Set<SafetyCheck> = [])
    throws -> Int
  {
    let journal = store.journal(omitting: omitted)
    try journal.flush([content(1)])
    store.files.fail(operation, EIO)
    store.files.forget()
    let second = try journal.flush([content(2)])
    try journal.flush([content(3)])
    #expect(second.sequence == SequenceNumber(2))
    return store.files.events.count { $0.operation == .write && $0.name.contains(".00000001.") } - 1
  }

  @Test(arguments: [Operation.write, .sync, .read])
  func theSameBatchesGoIntoANewSegment(operation: Operation) throws {
    #expect(try writesAfterFailure(operation) == 0)
    // The failed write arrives after all: the batch is there twice, under the same name.
    try store.files.landFailedWrites()
    let segments = try store.segments()
    #expect(segments[0].batches == [1: content(1), 2: content(2)])
    #expect(segments[1].batches == [2: content(2), 3: content(3)])
    #expect(segments[1].header?.predecessor == .init(number: 1, end: segments[0].frames[0].end))
  }

  #if DEBUG
    @Test func withoutTheCheckTheOldSegmentIsWrittenAgain() throws {
      #expect(try writesAfterFailure(.sync, omitting: [.newJournalSegmentAfterError]) > 0)
    }
  #endif

  @Test func aSegmentWhoseNameIsNotDurableAcknowledgesNothing() throws {
    store.files.fail(.syncDirectory, EIO)
    let journal = store.journal()
    try journal.flush([content(1)])
    let segments = try store.segments()
    #expect(segments.count == 2)
    #expect(segments[1].batches == [1: content(1)])
    #expect(segments[1].header?.predecessor == nil)
  }

  #if DEBUG
    @Test func withoutTheCheckTheDirectoryIsNotSynced() throws {
      try store.journal(omitting: [.syncJournalDirectory]).flush([content(1)])
      #expect(store.files.count(.syncDirectory) == 0)
    }
  #endif

  @Test(arguments: [Operation.create, .resize])
  func whereNoWriteBeganNothingIsSubmitted(operation: Operation) throws {
    let journal = store.journal()
    store.files.failAlways(operation, ENOSPC)
    let error = try #require(throws: StoreError.self) { try journal.flush([content(1)]) }
    #expect(error.code == .notSubmitted)
    #expect(error.errno == ENOSPC)
    #expect(store.files.count(.write) == 0)
    #expect(try store.segments().isEmpty)

    store.files.failAlways(operation, nil)
    #expect(try journal.flush([content(2)]).sequence == SequenceNumber(1))
  }

  @Test func whatNoRetryHelpsIsTriedOnce() throws {
    store.files.failAlways(.create, EACCES)
    #expect(throws: StoreError.self) { try store.journal().flush([content(1)]) }
    #expect(store.files.count(.create) == 1)
  }

  @Test func whereAWriteBeganTheOutcomeIsUnknownUntilItIsWrittenAgain() throws {
    let journal = store.journal()
    try journal.flush([content(1)])
    store.files.failAlways(.write, EIO)
    let error = try #require(throws: StoreError.self) {
      try journal.flush([content(2), content(3)])
    }
    #expect(error.code == .outcomeUnknown)
    let writer = try #require(journal.writer)
    #expect(error.batch == BatchID(writer: writer, sequence: SequenceNumber(2)))

    // Nothing else may come first, so nothing else is begun.
    let later = try #require(throws: StoreError.self) { try journal.flush([content(4)]) }
    #expect(later.code == .notSubmitted)

    store.files.failAlways(.write, nil)
    let fourth = try journal.flush([content(5)])
    #expect(fourth == BatchID(writer: writer, sequence: SequenceNumber(4)))
    try store.files.landFailedWrites()
    // Whatever landed where: each name stands for one content.
    var all: [UInt64: [UInt8]] = [:]
    for segment in try store.segments() {
      for (sequence, batch) in segment.batches {
        #expect(all[sequence] == nil || all[sequence] == batch)
        all[sequence] = batch
      }
    }
    #expect(all == [1: content(1), 2: content(2), 3: content(3), 4: content(5)])
    let last = try #require(try store.segments().last)
    #expect(last.frames.map(\.first) == [2, 4])
    #expect(last.header?.predecessor?.number == 1)
  }

  @Test func aBatchInDoubtForADayIsNeverSentAgain() throws {
    let clock = ManualClock()
    let journal = store.journal(clock: clock)
    let first = try journal.flush([content(1)])
    store.files.failAlways(.write, EIO)
    #expect(throws: StoreError.self) { try journal.flush([content(2)]) }
    store.files.failAlways(.write, nil)
    clock.advance(.seconds(25 * 3600))
    // The first one waits, and a new id could pass it.
    let error = #expect(throws: StoreError.self) { try journal.flush([content(3)]) }
    #expect(error?.code == .notSubmitted)
    #expect(error?.message.contains("see that an applier runs") == true)
    try store.removeSegments()
    let next = try journal.flush([content(3)])
    #expect(next.writer != first.writer)
    #expect(next.sequence == SequenceNumber(1))
    #expect(try store.segments().allSatisfy { $0.batches[2] == nil })
  }

  /// Its file stays, and nothing that was acknowledged waits in it.
  @Test func aFirstBatchInDoubtHoldsNothingUp() throws {
    let clock = ManualClock()
    let journal = store.journal(clock: clock)
    let first = journal.nextBatch()
    store.files.failAlways(.write, EIO)
    #expect(throws: StoreError.self) { try journal.flush([content(1)]) }
    store.files.failAlways(.write, nil)
    clock.advance(.seconds(25 * 3600))
    #expect(try journal.flush([content(2)]).writer != first.writer)
  }

  @Test func aTakenNameIsPassedOver() throws {
    let journal = store.journal()
    let first = journal.nextBatch()
    let taken = StoreLayout.journalName(JournalSegmentID(writer: first.writer, number: 1))
    _ = try PosixFileSystem().create("\(store.layout.journal)/\(taken)", mode: 0o600)
    try journal.flush([content(1)], as: first)
    #expect(try store.segments().map { $0.batches } == [[:], [1: content(1)]])
  }
}
