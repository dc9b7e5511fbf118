import SluiceJournal
import SluiceShared
import Testing

@testable import SluiceWriter

@Suite("A writer waits, or fails, when too much of its own is not applied")
struct BacklogTests {
  let store: TestStore
  let applier: TestApplier
  init() throws {
    store = try TestStore()
    applier = try store.applier()
  }

  @Test func itFailsWhenToldTo() async throws {
    let writer = try store.writer {
      $0.backlogBytes = 1
      $0.whenBacklogFull = .fail
    }
    let first = try await writer.submit(insert(1))
    let error = await #expect(throws: StoreError.self) { try await writer.submit(insert(2)) }
    #expect(error?.code == .backlogFull)
    #expect(throws: StoreError.self) { try writer.submitBlocking(insert(2)) }
    try applier.apply([first.batch])
    _ = try await writer.outcome(of: first)
    #expect(try await writer.submit(insert(2)).batch.sequence.rawValue == 2)
  }

  @Test func itFailsAfterItsLimit() async throws {
    let writer = try store.writer {
      $0.backlogBytes = 1
      $0.whenBacklogFull = .wait(atMost: .milliseconds(30))
    }
    _ = try await writer.submit(insert(1))
    let error = await #expect(throws: StoreError.self) { try await writer.submit(insert(2)) }
    #expect(error?.code == .backlogFull)
    let blocked = #expect(throws: StoreError.self) { try writer.submitBlocking(insert(2)) }
    #expect(blocked?.code == .backlogFull)
  }

  @Test func itGoesOnWhenEnoughIsApplied() async throws {
    let writer = try store.writer { $0.backlogBytes = 1 }
    let first = try await writer.submit(insert(1))
    async let second = writer.submit(insert(2))
    try await Task.sleep(for: .milliseconds(30))
    #expect(try store.segments()[0].batches.count == 1)
    try applier.apply([first.batch])
    #expect(try await second.batch.sequence.rawValue == 2)
  }

  @Test func aCancelledTaskThatWaitsForRoomSubmitsNothing() async throws {
    let writer = try store.writer { $0.backlogBytes = 1 }
    _ = try await writer.submit(insert(1))
    let waiting = Task { try await writer.submit(insert(2)) }
    try await Task.sleep(for: .milliseconds(10))
    waiting.cancel()
    let error = await #expect(throws: StoreError.self) { try await waiting.value }
    #expect(error?.code == .notSubmitted)
    #expect(try store.segments()[0].batches.count == 1)
  }

  @Test func whatWasNotSubmittedDoesNotCount() async throws {
    let writer = try store.writer()
    store.files.failAlways(.create, 28)
    let error = await #expect(throws: StoreError.self) { try await writer.submit(insert(1)) }
    #expect(error?.code == .notSubmitted)
    #expect(writer.unappliedBytes == 0)
    await writer.close()
    await #expect(throws: StoreError.self) { try await writer.submit(insert(1)) }
    #expect(writer.unappliedBytes == 0)
  }
}
