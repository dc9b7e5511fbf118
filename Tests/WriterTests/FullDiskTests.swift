import Glibc
import SluiceJournal
import SluiceShared
import Testing

@testable import SluiceWriter

@Suite("On a full disk a flush waits for room, and then says what became of its batches, as ever")
struct FullDiskTests {
  let store: TestStore
  let clock = ManualClock()
  init() throws { store = try TestStore() }

  /// How often it was told that there is no room.
  private let told = Monitor(0)

  /// `clears`: there is room again when this was told so often.
  private func journal(_ patience: Duration = .seconds(10), clears: (Int, Operation)? = nil)
    -> JournalWriter
  {
    let journal = store.journal(clock: clock)
    let (told, files) = (told, store.files)
    journal.room.patience = patience
    journal.room.tell = {
      let count = told.withLock { count in
        count += 1
        return count
      }
      if let (times, operation) = clears, count == times { files.failAlways(operation, nil) }
    }
    return journal
  }

  private func segmentsWritten() -> [String] {
    store.files.events.filter { $0.operation == .write }.map(\.name)
  }

  @Test("Where there is room in time nobody hears of it", arguments: [ENOSPC, EDQUOT])
  func roomInTime(_ code: Int32) throws {
    let journal = journal(clears: (5, .write))
    try journal.flush([content(1)])
    store.files.failAlways(.write, code)
    store.files.forget()
    try journal.flush([content(2)])
    try journal.flush([content(3)])
    #expect(told.withLock { $0 } == 5)
    // Each of the five that failed was written once.
    let written = segmentsWritten()
    #expect(Set(written).count == 6 && written.dropLast(2).count == 5, "\(written)")
    // They arrive after all: the batch is there several times, under the same name.
    try store.files.landFailedWrites()
    for segment in try store.segments() {
      for (sequence, batch) in segment.batches { #expect(batch == content(Int(sequence))) }
    }
    #expect(try store.segments().last?.batches[3] == content(3))
  }

  @Test(
    "Where there is none it says so after a while, and whether the batch may be there",
    arguments: [Operation.create, .resize, .write, .sync])
  func noRoom(_ operation: Operation) throws {
    let journal = journal()
    store.files.failAlways(operation, ENOSPC)
    let began = clock.elapsed()
    let error = try #require(throws: StoreError.self) { try journal.flush([content(1)]) }
    let time = clock.elapsed() - began
    #expect(time >= .seconds(10) && time < .seconds(11), "\(time)")
    #expect(error.isFullDisk)
    let mayBeThere = [.write, .sync].contains(operation)
    #expect(error.code == (mayBeThere ? .outcomeUnknown : .notSubmitted))
    #expect((error.batch != nil) == mayBeThere)
    // Each try leaves a file where a write failed.
    #expect((10...20).contains(store.files.count(.create)))
    store.files.failAlways(operation, nil)
    #expect(
      try journal.flush([content(2)]).sequence == SequenceNumber(mayBeThere ? 2 : 1))
  }

  @Test("Nothing else is waited for, and without patience nothing is")
  func others() throws {
    for (code, patience) in [(EIO, Duration.seconds(10)), (ENOSPC, .zero)] {
      let journal = journal(patience)
      store.files.failAlways(.write, code)
      let began = clock.elapsed()
      #expect(throws: StoreError.self) { try journal.flush([content(1)]) }
      #expect(clock.elapsed() - began < .seconds(1))
      // Who leads is told even so.
      #expect(told.withLock { $0 > 0 } == (code == ENOSPC))
    }
  }

  private final class Noting: Assisting {
    let calls = Monitor<[String]>([])
    func begin() { calls.withLock { $0.append("begin") } }
    func end() { calls.withLock { $0.append("end") } }
    func goOn() { calls.withLock { $0.append("goOn") } }
    func finish(_ waker: Waker<Void>) { waker.answer(()) }
    var trouble: StoreError? { nil }
  }

  @Test("Somebody is asked to lead meanwhile, and no longer", arguments: [true, false])
  func assisted(hasRoom: Bool) throws {
    let journal = journal(.seconds(1), clears: hasRoom ? (3, .write) : nil)
    let noting = Noting()
    journal.room.assistant = noting
    try journal.flush([content(1)])
    #expect(noting.calls.withLock { $0 } == [])
    store.files.failAlways(.write, ENOSPC)
    _ = try? journal.flush([content(2)])
    let calls = noting.calls.withLock { $0 }
    #expect(calls.first == "begin" && calls.last == "end")
    #expect(calls.count { $0 == "begin" } == 1 && calls.count { $0 == "end" } == 1)
    #expect(calls.count { $0 == "goOn" } >= 3)
    store.files.failAlways(.write, nil)
  }
}
