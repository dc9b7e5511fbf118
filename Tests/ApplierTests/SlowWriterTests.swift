import Glibc
import SluiceFakes
import SluiceJournal
import SluiceShared
import SluiceWriter
import Testing

@testable import SluiceApplier

@Suite("Who has taken others' time waits for them")
struct SlowWriterTests {
  /// Two writers with three batches each. The first batch of one takes a while, or as long as others' do.
  private func order(slow: Duration) throws -> [Bool] {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a)")
    let clock = ManualClock(wall_ms: SystemClock().wallTime_ms())
    let (slowWriter, other) = (try store.writer(), try store.writer())
    var mine: [Bool] = []
    func submit(_ writer: Writer) throws -> [Receipt] {
      try (0..<40).map { _ in
        try writer.submitBlocking(Batch([Batch.Statement("INSERT INTO t VALUES (1)")]))
      }
    }
    let first = try submit(slowWriter)
    _ = try submit(other)
    let id = first[0].batch.writer
    let executed = Monitor<[BatchID]>([])
    var (options, environment) = (store.options, store.environment)
    environment.clock = clock
    options.drains = true
    options.beforeBatch = { batch in
      executed.withLock { $0.append(batch) }
      if batch.writer == id, batch.sequence == SequenceNumber(1) { clock.sleep(slow) }
    }
    try Applier(path: store.path, options: options, environment: environment)
      .run(shouldStop: { false })
    mine = executed.withLock { $0.map { $0.writer == id } }
    return mine
  }

  @Test(
    "A batch that takes a second is paid for: all that others have comes before its writer's next")
  func charged() throws {
    let order = try order(slow: .seconds(1))
    let slow = try #require(order.firstIndex(of: true))
    let next = try #require(order[(slow + 1)...].firstIndex(of: true))
    #expect(order[..<next].count { !$0 } == 40, "\(order)")
    #expect(order.count == 80)
  }

  @Test("One that takes no longer than a group may is not")
  func notCharged() throws {
    let order = try order(slow: .milliseconds(200))
    let last = try #require(order.lastIndex(of: false))
    #expect(order[..<last].count { $0 } > 10, "\(order)")
  }

  @Test("So is a turn in which all others waited", arguments: [true, false])
  func chargedTurn(isLong: Bool) throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a)")
    let clock = ManualClock(wall_ms: SystemClock().wallTime_ms())
    let writers = [try store.writer(), try store.writer()]
    func submit() throws -> [WriterID] {
      try writers.map { writer in
        try (0..<8).map { _ in
          try writer.submitBlocking(Batch([Batch.Statement("INSERT INTO t VALUES (1)")]))
        }[0].batch.writer
      }
    }
    let executed = Monitor<[WriterID]>([])
    var (options, environment) = (store.options, store.environment)
    environment.clock = clock
    options.hints = nil
    options.beforeBatch = { batch in executed.withLock { $0.append(batch.writer) } }
    let applier = try Applier(path: store.path, options: options, environment: environment)
    guard case .leads(let leader) = try applier.look() else {
      throw StoreError(.notLeading, "nobody leads")
    }
    leader.begin { false }
    func step(until isDone: () -> Bool) throws {
      for _ in 0..<10_000 where !isDone() {
        if case .rests(let pause) = try leader.step() { clock.sleep(max(.milliseconds(1), pause)) }
      }
      #expect(isDone())
    }
    let holder = try submit()[0]
    try step { executed.withLock { $0.count == 16 } }
    leader.turn = GrantedTurn(
      number: leader.execution.extent.txid, holder: holder, owner: geteuid(),
      granted: clock.elapsed() - (isLong ? Limits.turnTime : .zero))
    if isLong { try step { leader.turn == nil } } else { leader.turn = nil }
    executed.withLock { $0 = [] }
    _ = try submit()
    try step { executed.withLock { $0.count == 16 } }
    let last = try #require(executed.withLock { $0.lastIndex { $0 != holder } })
    let before = executed.withLock { $0[..<last].count { $0 == holder } }
    #expect(isLong ? before == 0 : before > 0, "\(before)")
    for writer in writers { writer.closeBlocking() }
  }
}
