import SluiceFakes
import SluiceShared

@testable import SluiceLease

/// Processes that serve the same stores by the items of one table, in simulated time: their leases, driven as a fleet
/// drives them, and a table that does one request after the other.
final class Crowd {
  static let lease = Duration.seconds(10)
  private static let step = Duration.milliseconds(20)
  private static let limit = Duration.seconds(1)

  let table: QueueingTable
  let stores: Int
  /// How often an item was taken.
  private(set) var taken = 0
  private var members: [Member] = []
  private var clock: CrowdClock { table.clock }

  init(processes: Int, stores: Int, budget: Int) {
    (self.stores, table) = (stores, QueueingTable())
    let random = Monitor(SeededRandom(seed: 1))
    for process in 0..<processes {
      let budget = RetryBudget(capacity: budget)
      let environment = Environment(
        fileSystem: MemoryFileSystem(MemoryDisk(), clock: clock), clock: clock,
        executor: table, random: { random.withLock { $0.next() } })
      for store in 0..<stores {
        let member = Member(clock.elapsed() + .milliseconds(7 * store % 500))
        member.lease = TableLease(
          Way(table: table, store: store), duration: Self.lease, name: "\(process)",
          environment: environment, budget: budget, onAnswer: { member.hasNews = true },
          report: { _ in })
        members.append(member)
      }
    }
  }

  var led: Int { members.count { $0.leads } }

  /// How many requests are sent in `time`.
  func sent(in time: Duration) throws -> Int {
    let before = table.sent
    try run(for: time)
    return table.sent - before
  }

  func run(for time: Duration) throws {
    let end = clock.elapsed() + time
    while clock.elapsed() < end {
      clock.advance(by: Self.step)
      table.deliver(limit: Self.limit)
      let now = clock.elapsed()
      for member in members where member.hasNews || member.due <= now { try turn(member, now) }
    }
  }

  /// As a fleet's store, or a leader at rest, has it.
  private func turn(_ member: Member, _ now: Duration) throws {
    guard let lease = member.lease else { return }
    member.hasNews = false
    if member.leads {
      if try lease.keep() { return member.due = lease.nextKeep ?? now }
      member.leads = false
      lease.abandon()
      return member.due = now
    }
    let hasNews = try lease.goOn()
    if hasNews || now >= member.due {
      let seen = LeaseObservation(segment: 1, counter: 1, isReleased: false)
      if try lease.mayClaim(seen) && lease.acquire() {
        try lease.claimed(at: now)
        (member.leads, taken) = (true, taken + 1)
        return member.due = lease.nextKeep ?? now
      }
    }
    member.due = lease.nextLook ?? now
  }

  /// One process's lease of one store.
  private final class Member: @unchecked Sendable {
    // Sendable: a test has one thread.
    var lease: TableLease?
    var leads = false
    var hasNews = false
    var due: Duration
    init(_ due: Duration) { self.due = due }
  }

  private struct Way: LockTable {
    let table: QueueingTable
    let store: Int
    func perform(_ request: LockRequest, atMost limit: Duration) -> Result<LockAnswer, LockFailure>
    { table.perform(request, store) }
  }
}

/// Stands still until it is moved; for a request that is played later it shows when that was sent.
final class CrowdClock: Clock, @unchecked Sendable {
  // Sendable: a test has one thread.
  private let base = ManualClock()
  var shown_ns: UInt64?
  func wallTime_ms() -> Int64 { base.wallTime_ms() }
  func bootTime_ns() -> UInt64 { shown_ns ?? base.bootTime_ns() }
  func sleep(_ duration: Duration) { base.sleep(duration) }
  func advance(by duration: Duration) { base.advance(by: duration) }
}

/// A table that carries out one request after the other, each in `service`, also those of which nobody waits any more
/// for the answer; and the way there, for who sends.
final class QueueingTable: LockTable, Executor, @unchecked Sendable {
  // Sendable: a test has one thread.
  let clock = CrowdClock()
  /// nil: it does nothing, and what is sent to it is lost.
  var service: Duration? = .milliseconds(1)
  private(set) var sent = 0
  private var items: [Int: LockItem] = [:]
  private var letters: [Letter] = []
  /// When it will have done all that was sent.
  private var free = Duration.zero
  /// The letter that is played is not answered.
  private var isLost = false

  private final class Letter: StartedWork, @unchecked Sendable {
    // Sendable: a test has one thread.
    let sent: Duration
    /// When its answer is there, nil: never.
    let done: Duration?
    var body: (@Sendable () -> Void)?
    init(_ sent: Duration, _ done: Duration?, _ body: @escaping @Sendable () -> Void) {
      (self.sent, self.done, self.body) = (sent, done, body)
    }
    var isDone: Bool { body == nil }
    func wait() {}
  }

  func start(_ work: @escaping @Sendable () -> Void) -> any StartedWork {
    let now = clock.elapsed()
    sent += 1
    if let service { free = max(free, now) + service }
    let letter = Letter(now, service == nil ? nil : free, work)
    letters.append(letter)
    return letter
  }

  func detach(_ work: @escaping @Sendable () -> Void) { work() }
  func concurrently(_ count: Int, _ body: @Sendable (Int) -> Void) {}

  /// Plays what is answered by now, and what has waited for `limit`.
  func deliver(limit: Duration) {
    let now = clock.elapsed()
    func isOver(_ letter: Letter) -> Bool {
      letter.done.map { $0 <= now } ?? false || now - letter.sent >= limit
    }
    let over = letters.filter(isOver)
    letters.removeAll(where: isOver)
    for letter in over {
      isLost = letter.done.map { $0 - letter.sent > limit } ?? true
      clock.shown_ns = UInt64(max(0, letter.sent.inSeconds * 1e9))
      letter.body?()
      (clock.shown_ns, letter.body) = (nil, nil)
    }
  }

  func perform(_ request: LockRequest, atMost limit: Duration) -> Result<LockAnswer, LockFailure> {
    perform(request, 0)
  }

  func perform(_ request: LockRequest, _ store: Int) -> Result<LockAnswer, LockFailure> {
    clock.shown_ns = nil
    guard !isLost else { return .failure(LockFailure(isPassing: true, isLate: true, "no answer")) }
    switch request {
    case .read: return .success(.item(items[store]))
    case .put(let new, let condition):
      guard condition.holds(of: items[store]) else { return .success(.refused(items[store])) }
      items[store] = new
    case .update(let new, let condition):
      guard condition.holds(of: items[store]) else { return .success(.refused(items[store])) }
      items[store]?.lockID = new.lockID
      items[store]?.state = new.state
    }
    return .success(.written)
  }
}
