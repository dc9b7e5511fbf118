import Logging
import SluiceFakes
import SluiceHints
import SluiceJournal
import SluiceLease
import SluiceShared
import SluiceWriter
import Testing

@testable import SluiceApplier

/// The leader and the standby of a store as two `sluice apply STORE` are, in one thread and in no time: while the standby
/// waits, on its clock or for a hint, the leader has the turns that are due.
final class IdlePair {
  let clock = ManualClock(wall_ms: SystemClock().wallTime_ms())
  let files: [CountingFileSystem]
  let table: CountedTable?
  let leader: Leader
  let standby: Applier
  private let store: TestStore
  private let first: Applier
  private let turns: Turns
  private let hints = ThreadlessHints()

  /// Where the leader takes hints.
  enum Reach: CaseIterable {
    case nowhere
    /// On its host only, as without `--hints ADDRESS`.
    case host
    case network

    var address: HintAddress? {
      switch self {
      case .nowhere: nil
      case .host: .loopback
      case .network: HintAddress(high: 10 << 56 | 1 << 32, port: 0)
      }
    }
  }

  /// When the leader is due, and its turn.
  private final class Turns: @unchecked Sendable {
    // Sendable: a test has one thread.
    let clock: ManualClock
    var leader: Leader?
    var due = Duration.zero
    var death = Duration.seconds(1 << 40)
    /// What a writer does, each `pause`.
    var writing = Turns.nobody
    var failure: (any Error)?
    static var nobody: (due: Duration, pause: Duration, write: () throws -> Void) {
      (.seconds(1 << 40), .zero, {})
    }

    init(_ clock: ManualClock) { self.clock = clock }

    /// Time passes, until `isEnough` or for so long.
    func pass(_ time: Duration, until isEnough: () -> Bool = { false }) {
      let end = clock.elapsed() + time
      while !isEnough() {
        let now = clock.elapsed()
        if writing.due <= now {
          writing.due = now + writing.pause
          do { try writing.write() } catch { failure = error }
        } else if due <= now {
          turn()
        } else {
          guard now < end else { return }
          // Rounded up: who waits for less than a nanosecond must not find that no time has passed.
          clock.sleep(min(due, writing.due, end) - now + .nanoseconds(1))
        }
      }
    }

    private func turn() {
      let isAlive = failure == nil && clock.elapsed() < death
      guard let leader, isAlive else { return due = .seconds(1 << 40) }
      do {
        switch try leader.step() {
        case .goesOn, .waitsToExecute: due = clock.elapsed()
        // In no time at all nothing would ever be due.
        case .rests(let pause): due = clock.elapsed() + max(.milliseconds(1), pause)
        case .ended: throw StoreError(.notLeading, "the term ended")
        }
      } catch { failure = error }
      // As a rest ends that a beacon interrupts.
      if leader.desk?.takeInterrupt() == true {
        leader.wasInterrupted = true
        due = clock.elapsed()
      }
    }
  }

  private struct StandbyClock: Clock {
    let turns: Turns
    func wallTime_ms() -> Int64 { turns.clock.wallTime_ms() }
    func bootTime_ns() -> UInt64 { turns.clock.bootTime_ns() }
    func sleep(_ duration: Duration) { turns.pass(duration) }
  }

  init(lease: Duration, onTable: Bool, hints reach: Reach = .network) throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a)")
    let (clock, table) = (clock, onTable ? CountedTable() : nil)
    let turns = Turns(clock)
    (self.store, self.turns, self.table) = (store, turns, table)
    let files = (0..<2).map { _ in CountingFileSystem(store.environment.fileSystem) }
    self.files = files
    func applier(_ number: Int, _ clock: any Clock, _ hints: any HintNetwork) throws -> Applier {
      var options = ApplierOptions(holder: "applier \(number)")
      options.logger.logLevel = .critical
      options.leaseTime = lease
      // Its hours are none of the disk's.
      options.clockTolerance = nil
      // As the command has it.
      options.beat = min(options.beat, lease / 5)
      options.hints = reach.address
      var environment = store.environment
      environment.fileSystem = files[number]
      environment.clock = clock
      environment.hints = reach == .nowhere ? NoHints() : hints
      environment.executor = InlineExecutor()
      let item = table.map {
        TableLease(
          $0, duration: lease, name: options.holder, environment: environment
        ) { _ in }
      }
      return try Applier(path: store.path, options: options, lease: item, environment: environment)
    }
    first = try applier(0, clock, hints.network(arrives: { turns.due = .zero }))
    standby = try applier(
      1, StandbyClock(turns: turns),
      hints.network(arrives: {}, wait: { turns.pass($0, until: $1) }))
    var led: Leader?
    // An item is looked at first, then taken.
    for _ in 0..<10 where led == nil {
      if case .leads(let leader) = try first.look() { led = leader }
      clock.sleep(.seconds(1))
    }
    guard let led else { throw StoreError(.notLeading, "nobody leads") }
    leader = led
    led.begin { false }
    turns.leader = led
    standby.beginStanding()
  }

  /// As `Applier.run` has it, for so long.
  func run(_ time: Duration) throws {
    let end = clock.elapsed() + time
    while clock.elapsed() < end {
      guard case .rests(let pause, let beat, let hints) = try standby.look() else {
        throw StoreError(.notLeading, "the standby leads")
      }
      standby.line.aim(at: hints)
      standby.rest(pause, beat) { false }
      if let failure = turns.failure { throw failure }
    }
  }

  /// The leader, while the standby's host sleeps.
  func runAlone(_ time: Duration) throws {
    turns.pass(time)
    if let failure = turns.failure { throw failure }
  }

  /// The leader's host dies in so much time. Returns how long it takes from then until the standby leads.
  func takeOver(in time: Duration) throws -> Duration {
    turns.death = clock.elapsed() + time
    while clock.elapsed() - turns.death < .seconds(600) {
      switch try standby.look() {
      case .leads: return clock.elapsed() - turns.death
      case .rests(let pause, let beat, let hints):
        standby.line.aim(at: hints)
        standby.rest(pause, beat) { false }
      }
    }
    throw StoreError(.timeout, "nobody leads")
  }

  /// Writes batches, and hints at each.
  func write(_ count: Int, each pause: Duration = .seconds(1)) throws {
    var environment = store.environment
    environment.hints = hints.network(arrives: {})
    environment.clock = clock
    environment.executor = InlineExecutor()
    var options = Writer.Options()
    options.followsOutcomes = false
    let writer = try Writer(store: store.path, options: options, environment: environment)
    let line = HintLine(environment)
    line.aim(at: leader.desk?.endpoint)
    var n = 0
    turns.writing = (
      .zero, pause,
      {
        n += 1
        let receipt = try writer.submitBlocking(
          Batch([Batch.Statement("INSERT INTO t VALUES (\(n))")]))
        line.tell(written: receipt.batch)
      }
    )
    defer { turns.writing = Turns.nobody }
    while n < count { try run(pause) }
    writer.closeBlocking()
  }

  /// From now on nothing that the leader sends arrives.
  func loseAnswers() {
    let port = leader.desk?.endpoint.address.port
    hints.isLost = { $0 == port }
  }

  /// How long it takes until a batch that comes now, without a hint, is published.
  func firstOutcome() throws -> Duration {
    var environment = store.environment
    environment.hints = NoHints()
    environment.clock = clock
    environment.executor = InlineExecutor()
    var options = Writer.Options()
    options.followsOutcomes = false
    let writer = try Writer(store: store.path, options: options, environment: environment)
    let before = try beacon().extent.txid
    _ = try writer.submitBlocking(Batch([Batch.Statement("INSERT INTO t VALUES (0)")]))
    let began = clock.elapsed()
    while try beacon().extent.txid == before, clock.elapsed() - began < .seconds(60) {
      turns.pass(.milliseconds(10))
      if let failure = turns.failure { throw failure }
    }
    let took = clock.elapsed() - began
    writer.closeBlocking()
    return took
  }

  func beacon() throws -> Beacon { try store.present().beacon }

  func reset() {
    for files in files { files.reset() }
    table?.reset()
  }

  /// What is asked in so much time.
  func rates(over time: Duration) throws -> IdleRates { try rates { try run(time) } }

  func rates(of body: () throws -> Void) throws -> IdleRates {
    reset()
    let began = clock.elapsed()
    try body()
    return IdleRates(files, table, over: clock.elapsed() - began)
  }
}
