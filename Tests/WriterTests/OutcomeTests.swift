import Foundation
import SluiceJournal
import SluiceShared
import Testing

@testable import SluiceWriter

@Suite("Every durable batch's outcome can be asked for, by any number who wait at once")
struct OutcomeTests {
  let store: TestStore
  let applier: TestApplier
  init() throws {
    store = try TestStore()
    applier = try store.applier()
  }

  @Test func outcomesComeWithTheirTxIDs() async throws {
    let writer = try store.writer()
    var receipts: [Receipt] = []
    for i in 1...3 { receipts.append(try await writer.submit(insert(i))) }
    let stranger = BatchID(
      writer: WriterID(high: 1, low: 1), sequence: SequenceNumber(1))
    try applier.apply([stranger, receipts[0].batch])
    try applier.commit([
      (receipts[1].batch, .rejected(.init(code: "denied", message: "no"))),
      (receipts[2].batch, .duplicate(of: TxID(1), original: .changes(9))),
    ])
    #expect(
      try await writer.outcome(of: receipts[0])
        == AppliedOutcome(txid: TxID(2), outcome: .changes(1)))
    #expect(
      try writer.outcomeBlocking(of: receipts[1])
        == AppliedOutcome(
          txid: TxID(3), outcome: .rejected(.init(code: "denied", message: "no"))))
    #expect(try await writer.outcome(of: receipts[2]).txid == TxID(4))
    // It can be asked for again as long as the receipt is kept.
    #expect(try await writer.outcome(of: receipts[0]).txid == TxID(2))
    #expect(writer.unappliedBytes == 0)
  }

  /// Nobody looks out for the old name any more, and what waits counts for the backlog as before.
  @Test func whatGetsAnotherNameIsExpectedUnderThat() {
    let (old, new) = (WriterID(high: 1, low: 1), WriterID(high: 1, low: 2))
    let backlog = Backlog(limit: 100)
    let earlier = Ticket(bytes: 10, backlog: backlog)
    let tickets = (0..<2).map { _ in Ticket(bytes: 10, backlog: backlog) }
    backlog.bytes = 30
    var ledger = Ledger()
    ledger.expect(BatchID(writer: old, sequence: SequenceNumber(6)), [earlier])
    ledger.expect(BatchID(writer: old, sequence: SequenceNumber(7)), tickets)
    ledger.rename(
      BatchID(writer: old, sequence: SequenceNumber(7)),
      to: BatchID(writer: new, sequence: SequenceNumber(1)))
    #expect(ledger.writers == [old, new])
    #expect(backlog.bytes == 30)
    for (batch, ticket) in [
      (BatchID(writer: new, sequence: SequenceNumber(1)), tickets[0]),
      (BatchID(writer: old, sequence: SequenceNumber(6)), earlier),
      (BatchID(writer: new, sequence: SequenceNumber(2)), tickets[1]),
    ] {
      let settled = ledger.settle(
        AppliedBatch(
          batch: batch, outcome: AppliedOutcome(txid: TxID(1), outcome: .changes(1))))
      #expect(settled.map { $0 === ticket } == [true])
    }
    #expect(ledger.isEmpty)
    #expect(backlog.bytes == 0)
  }

  /// Batches whose outcomes cannot be found may wait, until a later one of their writer is executed.
  @Test func whatIsLostWaitsUntilALaterOneIsThrough() {
    let writer = WriterID(high: 1, low: 1)
    let backlog = Backlog(limit: 100)
    var ledger = Ledger()
    func expect(_ sequence: UInt64) {
      ledger.expect(
        BatchID(writer: writer, sequence: SequenceNumber(sequence)),
        [Ticket(bytes: 0, backlog: backlog)])
    }
    expect(1)
    _ = ledger.fail(StoreError(.snapshotExpired, "gone"))
    #expect(ledger.has(writer) && ledger.isEmpty)
    // Also under the name that it gets then.
    let other = WriterID(high: 1, low: 2)
    ledger.rename(
      BatchID(writer: writer, sequence: SequenceNumber(1)),
      to: BatchID(writer: other, sequence: SequenceNumber(1)))
    #expect(ledger.has(other) && ledger.isEmpty)
    expect(2)
    _ = ledger.settle(
      AppliedBatch(
        batch: BatchID(writer: writer, sequence: SequenceNumber(2)),
        outcome: AppliedOutcome(txid: TxID(2), outcome: .changes(1))))
    #expect(!ledger.has(writer))
  }

  /// Looking goes on for as long as somebody waits, and must not take a thread from work that ends.
  @Test func whoWaitsKeepsNoThreadFromOthers() async throws {
    var environment = store.environment()
    environment.executor = ThreadExecutor(threadLimit: 1)
    let writer = try Writer(store: store.layout.root, environment: environment)
    let receipt = try await writer.submit(insert(1))
    async let outcome = writer.outcome(of: receipt, timeout: .seconds(60))
    try await Task.sleep(for: .milliseconds(50))
    let work = environment.executor.start {}
    let patience = ContinuousClock.now + .seconds(60)
    while !work.isDone, ContinuousClock.now < patience {
      try await Task.sleep(for: .milliseconds(1))
    }
    #expect(work.isDone)
    try applier.apply([receipt.batch])
    #expect(try await outcome.txid == TxID(1))
  }

  @Test func whoWaitsIsTold() async throws {
    let writer = try store.writer()
    let receipts = try await writer.submit((1...500).map(insert)).map { try $0.get() }
    try await withThrowingTaskGroup(of: UInt64.self) { group in
      for receipt in receipts {
        group.addTask { try await writer.outcome(of: receipt).txid.rawValue }
      }
      group.addTask { [applier] in
        try await Task.sleep(for: .milliseconds(20))
        try applier.apply(receipts.map(\.batch))
        return 0
      }
      var txids: Set<UInt64> = []
      for try await txid in group { txids.insert(txid) }
      #expect(txids == Set(0...500))
    }
  }

  @Test func threadsAndTasksWaitTogether() async throws {
    let writer = try store.writer()
    let receipts = try await writer.submit((1...40).map(insert)).map { try $0.get() }
    startThread { [applier] in
      for receipt in receipts {
        SystemClock().sleep(.milliseconds(1))
        try? applier.apply([receipt.batch])
      }
    }
    let done = Monitor(0)
    for receipt in receipts where receipt.batch.sequence.rawValue % 4 == 0 {
      startThread {
        let outcome = try? writer.outcomeBlocking(of: receipt, timeout: .seconds(60))
        done.withLock { $0 += outcome?.txid.rawValue == receipt.batch.sequence.rawValue ? 1 : 0 }
        done.wakeAll()
      }
    }
    try await withThrowingTaskGroup(of: Void.self) { group in
      for receipt in receipts where receipt.batch.sequence.rawValue % 4 != 0 {
        group.addTask {
          let outcome = try await writer.outcome(of: receipt, timeout: .seconds(60))
          #expect(outcome.txid.rawValue == receipt.batch.sequence.rawValue)
        }
      }
      try await group.waitForAll()
    }
    #expect(done.wait(atMost: .seconds(60)) { $0 == 10 ? true : nil } == true)
  }

  @Test func writersOfOneStoreShareOnePoller() throws {
    let a = try store.writer()
    let b = try store.writer()
    #expect(a.poller === b.poller)
    let first = try a.submitBlocking(insert(1))
    let second = try b.submitBlocking(insert(2))
    try applier.apply([second.batch, first.batch])
    #expect(try b.outcomeBlocking(of: first).txid == TxID(2))
    #expect(try a.outcomeBlocking(of: second).txid == TxID(1))
  }

  /// It has the same id, and a history of its own.
  @Test func aCopyOfAStoreHasAPollerOfItsOwn() throws {
    let a = try store.writer()
    let copy = store.layout.root + "-copy"
    try FileManager.default.copyItem(atPath: store.layout.root, toPath: copy)
    defer { try? FileManager.default.removeItem(atPath: copy) }
    let b = try Writer(store: copy, environment: store.environment())
    #expect(a.poller !== b.poller)
  }

  @Test func aTimeoutAndACancellationLeaveTheBatch() async throws {
    let writer = try store.writer()
    let receipt = try await writer.submit(insert(1))
    let error = await #expect(throws: StoreError.self) {
      try await writer.outcome(of: receipt, timeout: .milliseconds(20))
    }
    #expect(error?.code == .timeout)
    #expect(error?.batch == receipt.batch)
    #expect(throws: StoreError.self) {
      try writer.outcomeBlocking(of: receipt, timeout: .milliseconds(20))
    }
    let waiting = Task { try await writer.outcome(of: receipt) }
    try await Task.sleep(for: .milliseconds(10))
    waiting.cancel()
    await #expect(throws: CancellationError.self) { try await waiting.value }
    try applier.apply([receipt.batch])
    #expect(try await writer.outcome(of: receipt).txid == TxID(1))
  }

  @Test func aDoubtfulBatchHasAnOutcomeWhenItLanded() async throws {
    let writer = try store.writer()
    store.files.failAlways(.read, 5)
    let error = try #require(
      await #expect(throws: StoreError.self) {
        try await writer.submit(insert(1))
      })
    let batch = try #require(error.batch)
    #expect(error.code == .outcomeUnknown)
    // It may never be applied, so it holds nobody up.
    #expect(writer.unappliedBytes == 0)
    try applier.apply([batch])
    #expect(try await writer.outcome(ofDoubtful: batch, timeout: .seconds(60)).txid == TxID(1))
  }

  @Test func aBatchThatWasPassedOverIsNamedAsDamaged() throws {
    let writer = try store.writer()
    let first = try writer.submitBlocking(insert(1))
    let second = try writer.submitBlocking(insert(2))
    try applier.apply([second.batch])
    #expect(try writer.outcomeBlocking(of: second).txid == TxID(1))
    let error = #expect(throws: StoreError.self) { try writer.outcomeBlocking(of: first) }
    #expect(error?.code == .damaged)
    #expect(error?.batch == first.batch)
  }

  @Test func outcomesAreFoundAcrossSegmentsOfTheLog() throws {
    let writer = try store.writer()
    let first = try writer.submitBlocking(insert(1))
    let second = try writer.submitBlocking(insert(2))
    try applier.apply([first.batch])
    let next = TestApplier(holder: try store.claim(successorOf: 2))
    try next.apply([second.batch])
    #expect(try writer.outcomeBlocking(of: first).txid == TxID(1))
    #expect(try writer.outcomeBlocking(of: second).txid == TxID(2))
  }

  @Test func anOutcomeIsForgottenWithItsReceipt() throws {
    let writer = try store.writer()
    weak var ticket: Ticket?
    do {
      let receipt = try writer.submitBlocking(insert(1))
      ticket = receipt.ticket
      try applier.apply([receipt.batch])
      _ = try writer.outcomeBlocking(of: receipt)
    }
    #expect(ticket == nil)
  }

  /// A writer in somebody else's process: it keeps up with the log itself.
  @Test func whereThereAreNoThreadsWhoSubmitsLooks() throws {
    let clock = ManualClock()
    let executor = NoThreads()
    var environment = store.environment(clock: clock)
    environment.executor = executor
    let writer = try Writer(store: store.layout.root, environment: environment)
    let first = try writer.submitBlocking(insert(1))
    try applier.apply([first.batch])
    clock.advance(.seconds(2))
    // The first one's outcome was not known when this submit began.
    let second = try writer.submitBlocking(insert(2))
    try #require(executor.detached.withLock { $0 } == 0)
    #expect(writer.unappliedBytes > 0)
    try applier.apply([second.batch])
    #expect(try writer.outcomeBlocking(of: second).txid == TxID(2))
    #expect(try writer.outcomeBlocking(of: first).txid == TxID(1))
    writer.closeBlocking()
    #expect(executor.detached.withLock { $0 } == 0)
  }

  @Test func withoutFollowingTheLogIsNotRead() throws {
    let bare = try TestStore()
    var options = Writer.Options()
    options.followsOutcomes = false
    let writer = try Writer(
      store: bare.layout.root, options: options, environment: bare.environment())
    let receipt = try writer.submitBlocking(insert(1))
    #expect(throws: StoreError.self) { try writer.outcomeBlocking(of: receipt) }
  }
}

private final class NoThreads: Executor {
  let detached = Monitor(0)
  let inner = InlineExecutor(startsThreads: false)
  var startsThreads: Bool { false }

  func start(_ work: @escaping @Sendable () -> Void) -> any StartedWork { inner.start(work) }
  func detach(_ work: @escaping @Sendable () -> Void) { detached.withLock { $0 += 1 } }
  func concurrently(_ count: Int, _ body: @Sendable (Int) -> Void) {
    inner.concurrently(count, body)
  }
}
