import SluiceFakes
import SluiceShared
import Testing

@testable import SluiceLease

@Suite("What fails is sent again before it is due only as far as its process may spend it")
struct RetryBudgetTests {
  static let time = Duration.seconds(10)

  @Test("What is not answered in time costs more, an answer brings back what it cost, or a little")
  func sizes() {
    let budget = RetryBudget(capacity: 30)
    #expect(budget.draw(isLate: true) == .granted(10) && budget.draw(isLate: false) == .granted(5))
    #expect(budget.draw(isLate: true) == .granted(10) && budget.isSpent)
    #expect(budget.draw(isLate: true) == .refused(isNews: true))
    #expect(budget.draw(isLate: false) == .granted(5))
    // Told once, until half of it is there again.
    #expect(budget.draw(isLate: false) == .refused(isNews: false))
    for _ in 0..<14 { budget.answered(drawn: 0) }
    for _ in 0..<2 { #expect(budget.draw(isLate: false) == .granted(5)) }
    #expect(budget.draw(isLate: false) == .refused(isNews: false))
    budget.answered(drawn: 10)
    #expect(!budget.isSpent)
    budget.answered(drawn: 10)
    for _ in 0..<4 { #expect(budget.draw(isLate: false) == .granted(5)) }
    #expect(budget.draw(isLate: false) == .refused(isNews: true))
    // There is never more than in the beginning.
    for _ in 0..<1000 { budget.answered(drawn: 10) }
    for _ in 0..<6 { #expect(budget.draw(isLate: false) == .granted(5)) }
    #expect(budget.draw(isLate: false) == .refused(isNews: true))
  }

  private let table = ScriptedTable()
  private var clock: ManualClock { table.clock }
  private let active = LeaseObservation(segment: 1, counter: 1, isReleased: false)

  private func lease(
    _ budget: RetryBudget, told: @escaping @Sendable (String) -> Void = { _ in }
  ) -> TableLease {
    // No pause behind what may be repeated.
    let environment = Environment(
      fileSystem: MemoryFileSystem(MemoryDisk(), clock: clock), clock: clock,
      executor: InlineExecutor(), random: { 0 })
    return TableLease(
      table, duration: Self.time, name: "a", environment: environment, budget: budget
    ) { told($0.message) }
  }

  private func fail(_ failure: LockFailure = LockFailure(isPassing: true, "throttled")) {
    table.state.withLock { $0.faults = Array(repeating: .refused(failure), count: 10_000) }
  }

  @Test("A holder whose budget is spent renews when it is due, and is not refused that")
  func renewals() throws {
    for isAtRest in [false, true] {
      let table = RetryBudgetTests()
      let lease = table.lease(RetryBudget(capacity: 0))
      #expect(try lease.mayClaim(active) && lease.acquire())
      table.fail()
      let (before, started) = (table.table.requests, table.clock.elapsed())
      while table.clock.elapsed() - started < Self.time {
        #expect(
          try isAtRest
            ? lease.keep() : lease.renew(beatStarted: table.clock.elapsed(), nextBeat: .zero))
        table.clock.sleep(.milliseconds(10))
      }
      // At 2, 4, 6 and 8 s; at rest at 5, 7 and 9.
      #expect(table.table.requests - before == (isAtRest ? 3 : 4))
    }
  }

  @Test("What is left is spent on what failed, and then the process says so, once")
  func spent() throws {
    let told = Monitor<[String]>([])
    let budget = RetryBudget(capacity: 20)
    let leases = (0..<3).map { _ in
      lease(budget) { message in told.withLock { $0.append(message) } }
    }
    fail()
    for lease in leases { #expect(try !lease.mayClaim(active)) }
    // Three first tries, of which each draws for its next one.
    #expect(table.requests == 3)
    for lease in leases { #expect(try !lease.mayClaim(active)) }
    let words = told.withLock { $0 }
    #expect(
      words.count {
        $0 == "requests to the lock table that fail are not repeated before they are due"
      } == 0, "\(words)")
    for _ in 0..<60 {
      clock.sleep(.seconds(1))
      for lease in leases { #expect(try !lease.mayClaim(active)) }
    }
    #expect(
      told.withLock { $0 }.count {
        $0 == "requests to the lock table that fail are not repeated before they are due"
      } == 1)
    table.next()
    clock.sleep(.seconds(1))
    #expect(try leases[0].mayClaim(active) && leases[0].acquire())
  }

  @Test("What is given back is given up where it fails and nothing may be repeated")
  func release() throws {
    for capacity in [0, 500] {
      let test = RetryBudgetTests()
      let lease = test.lease(RetryBudget(capacity: capacity))
      #expect(try lease.mayClaim(active) && lease.acquire())
      let busy = LockFailure(isPassing: true, "throttled")
      test.table.next(.refused(busy), .refused(busy))
      let before = test.table.requests
      try lease.release()
      #expect(test.table.requests - before == (capacity == 0 ? 1 : 3))
      #expect(test.table.item?.state == (capacity == 0 ? .active : .released))
    }
  }
}
