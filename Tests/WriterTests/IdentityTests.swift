import SluiceJournal
import SluiceShared
import Testing

@testable import SluiceWriter

@Suite("A writer id belongs to the process that made it, and to one day")
struct IdentityTests {
  let store: TestStore
  init() throws { store = try TestStore() }

  @Test func aForkedChildMakesItsOwn() throws {
    let process = Monitor<Int32>(100)
    var environment = store.environment()
    environment.processID = { process.withLock { $0 } }
    let journal = JournalWriter(to: store.handle(environment))
    let parents = try journal.flush([content(1)])
    let promised = journal.nextBatch()
    process.withLock { $0 = 101 }
    store.files.forget()

    #expect(throws: StoreError.self) { try journal.flush([content(2)], as: promised) }
    #expect(store.files.events.isEmpty)
    let childs = try journal.flush([content(2)])
    #expect(childs.writer != parents.writer)
    #expect(childs.sequence == SequenceNumber(1))
    // Nothing was written to the parent's segment, which the child has open too.
    #expect(store.files.events.allSatisfy { !$0.name.contains(parents.writer.description) })
  }

  @Test func aChildDoesNotEndItsParentsSegment() throws {
    let process = Monitor<Int32>(100)
    var environment = store.environment()
    environment.processID = { process.withLock { $0 } }
    let journal = JournalWriter(to: store.handle(environment))
    try journal.flush([content(1)])
    process.withLock { $0 = 101 }
    journal.close()
    #expect(try store.segments()[0].frames.count == 1)
  }

  @Test func anOldWriterIsRenewedForNewBatches() throws {
    let clock = ManualClock()
    let journal = store.journal(clock: clock)
    let first = try journal.flush([content(1)])
    #expect(!journal.isOld)
    clock.advance(.seconds(25 * 3600))
    #expect(journal.isOld)
    journal.renew()
    let second = try journal.flush([content(2)])
    #expect(second.writer > first.writer)
    #expect(second.sequence == SequenceNumber(1))
    #expect(try store.segments()[0].frames.last?.endsSegment == true)
  }
}
