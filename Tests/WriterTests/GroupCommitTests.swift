import SluiceJournal
import SluiceShared
import Testing

@testable import SluiceWriter

@Suite("Concurrent submits share flushes, and a lone one waits for nothing")
struct GroupCommitTests {
  let store: TestStore
  init() throws {
    store = try TestStore()
    _ = try store.applier()
  }

  @Test func submitsMadeDuringAFlushGoTogether() async throws {
    let writer = try store.writer()
    _ = try await writer.submit(insert(0))
    let gate = Monitor(false)
    store.files.beforeSync { gate.wait { $0 ? () : nil } }
    store.files.forget()
    let receipts = try await withThrowingTaskGroup(of: Receipt.self) { group in
      for i in 1...100 { group.addTask { try await writer.submit(insert(i)) } }
      // The first is in its sync; the others have been let in when nothing more comes.
      group.addTask {
        try await Task.sleep(for: .milliseconds(1000))
        gate.withLock { $0 = true }
        gate.wakeAll()
        return try await writer.submit(insert(101))
      }
      return try await group.reduce(into: Set<Receipt>()) { $0.insert($1) }
    }
    store.files.beforeSync(nil)
    #expect(receipts.count == 101)
    // Those that a busy machine lets in later go together, too.
    #expect(store.files.count(.sync) <= 10)
    let all = try store.segments().map(\.batches).reduce(into: [:]) { $0.merge($1) { a, _ in a } }
    #expect(all.count == 102)
  }

  @Test func everyReceiptNamesItsOwnBatch() async throws {
    let writer = try store.writer()
    let named = try await withThrowingTaskGroup(of: (Int, Receipt).self) { group in
      for i in 1...200 {
        group.addTask {
          (
            i,
            i % 2 == 0 ? try await writer.submit(insert(i)) : try writer.submitBlocking(insert(i))
          )
        }
      }
      return try await group.reduce(into: [UInt64: Int]()) {
        $0[$1.1.batch.sequence.rawValue] = $1.0
      }
    }
    #expect(named.count == 200)
    let segments = try store.segments()
    for (sequence, number) in named {
      let found = segments.compactMap { $0.batches[sequence] }
      #expect(found == [try insert(number).encoded()])
    }
  }

  @Test func blockingSubmitsFromManyThreadsEachGetTheirOwnNumber() throws {
    let writer = try store.writer()
    let executor = ThreadExecutor(threadLimit: 8)
    let sequences = Monitor<Set<UInt64>>([])
    executor.concurrently(400) { i in
      guard let receipt = try? writer.submitBlocking(insert(i)) else { return }
      _ = sequences.withLock { $0.insert(receipt.batch.sequence.rawValue) }
    }
    #expect(sequences.withLock { $0 } == Set(1...400))
  }

  @Test func aFailureReachesEachOfTheGroup() async throws {
    let writer = try store.writer()
    _ = try await writer.submit(insert(0))
    store.files.failAlways(.sync, 5)
    let results = await writer.submit([insert(1), insert(2)])
    let errors = results.compactMap { result -> StoreError? in
      if case .failure(let error) = result { error } else { nil }
    }
    #expect(errors.map(\.code) == [.outcomeUnknown, .outcomeUnknown])
    #expect(errors.map { $0.batch?.sequence.rawValue } == [2, 3])
    store.files.failAlways(.sync, nil)
    #expect(try await writer.submit(insert(3)).batch.sequence.rawValue == 4)
  }

  @Test func aBatchThatIsNotValidStopsThoseBehindIt() async throws {
    let writer = try store.writer()
    let results = await writer.submit([insert(1), Batch([], key: ""), insert(2)])
    let codes = results.map { result -> StoreError.Code? in
      if case .failure(let error) = result { error.code } else { nil }
    }
    #expect(codes == [nil, .limit, .notSubmitted])
  }

  @Test func afterCloseNothingIsSubmitted() async throws {
    let writer = try store.writer()
    _ = try await writer.submit(insert(1))
    await writer.close()
    let error = await #expect(throws: StoreError.self) { try await writer.submit(insert(2)) }
    #expect(error?.code == .notSubmitted)
    #expect(try store.segments()[0].frames.map(\.endsSegment) == [false, true])
    #expect(writer.unappliedBytes > 0)
  }

  @Test func aWriterThatIsDroppedEndsItsThread() async throws {
    weak var group: GroupCommit?
    do {
      let writer = try store.writer()
      store.files.beforeSync { SystemClock().sleep(.milliseconds(1)) }
      for i in 1...3 { _ = try await writer.submit(insert(i)) }
      group = writer.group
    }
    for _ in 0..<6000 where group != nil { try await Task.sleep(for: .milliseconds(5)) }
    #expect(group == nil)
  }
}
