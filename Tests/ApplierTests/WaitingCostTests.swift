import SluiceFakes
import SluiceHints
import SluiceJournal
import SluiceShared
import SluiceWriter
import Testing

@testable import SluiceApplier

/// A writer and a leader in one thread. Waiting moves the clock, and the leader has its turns meanwhile.
@Suite(
  "Who waits long for an outcome looks seldom where hints arrive, and as without where they are lost"
)
struct WaitingCostTests {
  private let store: TestStore
  private let clock = ManualClock(wall_ms: SystemClock().wallTime_ms())
  private static let time = Duration.seconds(60)

  init() throws {
    store = try TestStore()
    try store.apply("CREATE TABLE t(a)")
  }

  private enum Hints { case none, arriving, lost }

  private struct Cost {
    let files: CountingFileSystem
    /// Times that whoever waits was woken, and questions of its that the leader heard.
    let (wakes, questions): (Int, Int)
  }

  /// What a writer asks of the file server in a minute in which it waits for an outcome that does not come.
  private func cost(_ hints: Hints, at address: HintAddress = .loopback) throws -> Cost {
    let way = ThreadlessHints()
    let (applier, leader) = try leader(
      hints == .none ? NoHints() : way.network(arrives: {}), address)
    defer { withExtendedLifetime(applier) {} }
    let turns = Turns(clock, leader)
    var waits = 0
    let files = CountingFileSystem(store.environment.fileSystem)
    var environment = store.environment
    environment.fileSystem = files
    environment.clock = WorkingClock(turns: turns)
    environment.executor = InlineExecutor(startsThreads: false)
    environment.hints =
      hints == .none
      ? NoHints()
      : way.network(
        arrives: {},
        wait: {
          waits += 1
          turns.pass($0, until: $1)
        })
    let writer = try Writer(store: store.path, environment: environment)
    for _ in 0..<3 * Limits.leastHintProof {
      let receipt = try writer.submitBlocking(Batch([Batch.Statement("INSERT INTO t VALUES (1)")]))
      _ = try writer.outcomeBlocking(of: receipt, timeout: .seconds(60))
      clock.sleep(.seconds(1))
    }
    // The leader stands still. It has answered that it has heard, or nothing arrives any more.
    turns.isExecuting = false
    if hints == .lost { way.isLost = { _ in true } }
    let receipt = try writer.submitBlocking(Batch([Batch.Statement("INSERT INTO t VALUES (2)")]))
    // Whether answers come is known then.
    #expect(throws: StoreError.self) {
      try writer.outcomeBlocking(of: receipt, timeout: .seconds(1))
    }
    files.reset()
    waits = 0
    let heard = leader.desk?.counts.received ?? 0
    let began = clock.elapsed()
    #expect(throws: StoreError.self) {
      try writer.outcomeBlocking(of: receipt, timeout: Self.time)
    }
    #expect(clock.elapsed() - began >= Self.time)
    if let failure = turns.failure { throw failure }
    let questions = Int((leader.desk?.counts.received ?? 0) - heard)
    _ = try leader.release()
    return Cost(files: files, wakes: waits, questions: questions)
  }

  @Test func inAMinuteBetweenHosts() throws {
    let with = try cost(.arriving, at: HintAddress(high: 10 << 56 | 1 << 32, port: 0)).files
    let (without, lost) = (try cost(.none).files.total, try cost(.lost).files.total)
    print("a minute of waiting: \(with.total) requests, without hints \(without), all lost \(lost)")
    // Longer pauses up to one each 5 s, and a listing each 15 s, whether the segment is there still.
    #expect(with.total <= 42)
    #expect(with.count(.read) >= 8)
    #expect(without >= 1000)
    #expect(abs(lost - without) * 20 <= without)
  }

  /// What is said of it in OPERATIONS.
  @Test func inAMinuteOnTheLeadersHost() throws {
    let with = try cost(.arriving)
    print(
      "a minute on one host: \(with.files.total) requests, woken \(with.wakes) times, \(with.questions) questions"
    )
    // Looks that are twice as far apart each time, up to 30 s, each of two reads, and a listing each 15 s at most.
    #expect(with.files.total <= 24)
    #expect(with.files.count(.read) >= 1)
    // A question in 8 s: it is woken to ask, and by the answer that it is heard, and for each look.
    #expect(with.questions <= 9 && with.questions >= 6)
    #expect(with.wakes <= 30)
  }

  /// The answer is lost: it is there with the answer to the next question.
  @Test func anAnswerThatIsLostCostsOneMoreQuestion() throws {
    let way = ThreadlessHints()
    let (applier, leader) = try leader(way.network(arrives: {}), .loopback)
    defer { withExtendedLifetime(applier) {} }
    let turns = Turns(clock, leader)
    var environment = store.environment
    environment.clock = WorkingClock(turns: turns)
    environment.executor = InlineExecutor(startsThreads: false)
    environment.hints = way.network(arrives: {}, wait: { turns.pass($0, until: $1) })
    let writer = try Writer(store: store.path, environment: environment)
    let batch = Batch([Batch.Statement("INSERT INTO t VALUES (1)")])
    for _ in 0..<3 * Limits.leastHintProof {
      _ = try writer.outcomeBlocking(of: try writer.submitBlocking(batch), timeout: .seconds(60))
      clock.sleep(.seconds(1))
    }
    turns.isExecuting = false
    let receipt = try writer.submitBlocking(batch)
    #expect(throws: StoreError.self) {
      try writer.outcomeBlocking(of: receipt, timeout: .seconds(20))
    }
    // It is executed and published, and what the leader says of that is lost.
    let port = leader.desk?.endpoint.address.port
    way.isLost = { $0 == port }
    turns.isExecuting = true
    turns.pass(.seconds(1))
    way.isLost = { _ in false }
    let began = clock.elapsed()
    _ = try writer.outcomeBlocking(of: receipt, timeout: .seconds(60))
    #expect(clock.elapsed() - began <= Limits.hintQuestionRenewalOnHost + .milliseconds(100))
    if let failure = turns.failure { throw failure }
    _ = try leader.release()
  }

  private func leader(_ hints: any HintNetwork, _ address: HintAddress) throws -> (Applier, Leader)
  {
    var (options, environment) = (store.options, store.environment)
    options.hints = address
    options.leaseTime = .seconds(1000)
    options.clockTolerance = nil
    environment.clock = clock
    environment.executor = InlineExecutor()
    environment.hints = hints
    let applier = try Applier(path: store.path, options: options, environment: environment)
    guard case .leads(let leader) = try applier.look() else {
      throw StoreError(.notLeading, "nobody leads")
    }
    leader.begin { false }
    return (applier, leader)
  }

  /// The leader's turns, in the time that somebody waits.
  private final class Turns: @unchecked Sendable {
    // Sendable: a test has one thread.
    let clock: ManualClock
    private let leader: Leader
    /// Else it answers hints only.
    var isExecuting = true
    var failure: (any Error)?

    init(_ clock: ManualClock, _ leader: Leader) { (self.clock, self.leader) = (clock, leader) }

    func pass(_ time: Duration, until isEnough: () -> Bool = { false }) {
      let end = clock.elapsed() + time
      while !isEnough(), clock.elapsed() < end {
        // Nobody is answered in no time.
        clock.sleep(min(.milliseconds(1), end - clock.elapsed()) + .nanoseconds(1))
        turn()
      }
    }

    private func turn() {
      guard failure == nil else { return }
      leader.desk?.take()
      guard isExecuting else { return }
      do {
        while case .goesOn = try leader.step() {}
      } catch { failure = error }
    }
  }

  private struct WorkingClock: Clock {
    let turns: Turns
    func wallTime_ms() -> Int64 { turns.clock.wallTime_ms() }
    func bootTime_ns() -> UInt64 { turns.clock.bootTime_ns() }
    func sleep(_ duration: Duration) { turns.pass(duration) }
    func wait<Value, R>(
      on monitor: Monitor<Value>, atMost limit: Duration, _ take: (inout Value) -> R?
    ) -> R? {
      if let taken = monitor.withLock({ take(&$0) }) { return taken }
      turns.pass(limit)
      return monitor.withLock { take(&$0) }
    }
  }
}
