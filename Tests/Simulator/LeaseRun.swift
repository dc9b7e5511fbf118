import SluiceFakes
import SluiceLease
import SluiceShared

/// One run of the lease in a table alone: three processes, their real lease, a table whose answers are lost,
/// late and doubled, and of the log no more than who claimed its newest segment. In every second run they wait for no
/// answer, as a process with many stores does. In two of three each process may repeat little that fails, or nothing
/// (`RetryBudget`).
///
/// What is checked is the lease's own account, for no promise rests on it: nobody leads when the item has
/// been another's for a while, nobody keeps the item who stands by, and with nothing in the way the store
/// has an applier again within the lease time and a moment.
final class LeaseRun: @unchecked Sendable {
  // Sendable: touched by the strand that has the scheduler's baton only.
  private let scheduler: EventScheduler
  private let table: SimulatedLockTable
  private let omitted: Set<SafetyCheck>
  private let trace: ((String) -> Void)?
  private let lease: Duration
  private let retries: Int
  /// Nobody waits for the table (`TableLease`, `onAnswer`).
  let isBeside: Bool
  private var violation: Violation?
  private var isCalm = false
  private(set) var terms = 0
  private(set) var refused = 0
  private(set) var releases = 0
  private(set) var lostClaims = 0

  // The log, as a standby sees it.
  private var segment: UInt64 = 1
  private var counter: UInt64 = 0
  private var isReleased = true
  /// Somebody led at that time.
  private var lastLed_ns: UInt64 = 0
  private var cut: Set<UInt64> = []
  private var processes: [SimulatedProcess] = []

  init(seed: UInt64, omitting omitted: Set<SafetyCheck>, trace: ((String) -> Void)?) {
    scheduler = EventScheduler(seed: seed)
    table = SimulatedLockTable(scheduler)
    self.omitted = omitted
    self.trace = trace
    isBeside = Simulation.waitsForNoAnswer(seed)
    retries = [Limits.retryCapacity, 2 * Limits.lateRetryCost, 0][Int(seed / 2 % 3)]
    lease = .milliseconds([1000, 3000, 10_000][scheduler.random.below(3)])
  }

  var requests: SimulatedLockTable.Counts { table.counts }

  func run() -> Violation? {
    scheduler.start(nil) { [self] in conduct() }
    scheduler.run()
    return violation
  }

  private func conduct() {
    let strands = (1...3).map { supervise($0) }
    let lease_ns = lease.inNanoseconds
    scheduler.sleep(lease_ns * UInt64(20 + scheduler.random.below(20)))
    isCalm = true
    table.isCalm = true
    cut = []
    for process in processes where !process.isDead { process.thaw() }
    let calm_ns = scheduler.now_ns
    scheduler.sleep(lease_ns * 2)
    if violation == nil, lastLed_ns < calm_ns {
      violate(.nobodyLed, "with nothing in the way, nobody led for two lease times")
    }
    scheduler.finish()
    for strand in strands { scheduler.join(strand) }
  }

  /// One process after another, on one machine.
  private func supervise(_ place: Int) -> EventScheduler.Strand {
    let clock = SimulatedClock(
      scheduler, drift_ppm: Int64(scheduler.random.below(401)) - 200,
      boot_ns: UInt64(1 + scheduler.random.below(1000)) * 1_000_000_000)
    return scheduler.start(nil) { [self] in
      var life = 0
      while !scheduler.isOver {
        life += 1
        let process = SimulatedProcess(
          "A\(place).\(life)", number: UInt64(place * 1000 + life), scheduler)
        processes.append(process)
        let strand = scheduler.start(process) { [self] in live(process, clock) }
        scheduler.join(strand)
        process.die()
        scheduler.sleep(UInt64(scheduler.random.below(Int(lease.inNanoseconds))))
      }
    }
  }

  // MARK: One process

  private func live(_ process: SimulatedProcess, _ clock: SimulatedClock) {
    var environment = Environment(
      fileSystem: MemoryFileSystem(MemoryDisk(), clock: clock), clock: clock,
      executor: SimulatedExecutor(process), random: { process.random.next() })
    environment.omittedChecks = omitted
    let way = SimulatedLockTable.Way(table: table, process: process) { [self] in
      cut.contains(process.number)
    }
    // The next turn takes it.
    let answered: @Sendable () -> Void = {}
    let lease = TableLease(
      way, duration: lease, name: process.name, environment: environment,
      budget: RetryBudget(capacity: retries), onAnswer: isBeside ? answered : nil
    ) { [self] in note("\(process.name): \($0.message)") }
    let poll = min(self.lease / 10, .milliseconds(200))
    do throws(StoreError) {
      while !process.isGone {
        let seen = LeaseObservation(segment: segment, counter: counter, isReleased: isReleased)
        if try isTaken(lease, seen, process, clock) {
          try attempt(seen, lease, process, clock)
        }
        clock.sleep(poll + .milliseconds(Int64(scheduler.random.below(20))))
        misfortune(process)
      }
    } catch {
      violate(Violation(endedBy: error, "\(process.name) ended with \(error)"))
    }
  }

  /// Looks at the item, and takes it where that may be. As `FleetStore` does it where nobody waits: only when there is
  /// an answer, or a look is due.
  private func isTaken(
    _ lease: TableLease, _ seen: LeaseObservation, _ process: SimulatedProcess,
    _ clock: SimulatedClock
  ) throws(StoreError) -> Bool {
    guard isBeside else {
      guard try lease.mayClaim(seen) else { return false }
      return try lease.acquire()
    }
    let before_ns = scheduler.now_ns
    defer {
      if scheduler.now_ns != before_ns {
        violate(.waitedForTable, "\(process.name), which stands by, waits for the table")
      }
    }
    let hasNews = try lease.goOn()
    guard hasNews || clock.elapsed() >= lease.nextLook ?? .zero else { return false }
    guard try lease.mayClaim(seen) else { return false }
    return try lease.acquire()
  }

  /// Gives the item back. Where nobody waits for the table that goes on beside what else is done.
  private func abandon(
    _ lease: TableLease, _ process: SimulatedProcess, _ clock: SimulatedClock
  ) throws(StoreError) {
    lease.abandon()
    while isBeside, lease.isParting, !process.isGone {
      clock.sleep(.milliseconds(10))
      _ = try lease.goOn()
    }
  }

  /// The item is taken: now the log.
  private func attempt(
    _ seen: LeaseObservation, _ lease: TableLease, _ process: SimulatedProcess,
    _ clock: SimulatedClock
  ) throws(StoreError) {
    let started = clock.elapsed()
    clock.sleep(.milliseconds(Int64(5 + scheduler.random.below(40))))
    misfortune(process)
    // Somebody who elects in another way, or a rotation.
    if !isCalm, scheduler.random.chance(0.1) { segment += 1 }
    guard segment == seen.segment, !process.isGone else {
      lostClaims += 1
      guard !process.isGone else { return }
      let failures = table.counts
      try abandon(lease, process, clock)
      guard !process.isGone, isUndisturbed(since: failures), !cut.contains(process.number) else {
        return
      }
      if holds(process), table.item?.state == .active {
        violate(.itemKept, "\(process.name) keeps the item after a claim that it lost")
      }
      return
    }
    segment += 1
    isReleased = false
    counter = 1
    let own = segment
    note("\(process.name) leads")
    do throws(StoreError) { try lease.claimed(at: started) } catch {
      guard error.code == .notLeading else { throw error }
      lease.abandon()
      return
    }
    terms += 1
    try lead(own, lease, process, clock)
    if !process.isGone { lease.abandon() }
  }

  private func lead(
    _ own: UInt64, _ lease: TableLease, _ process: SimulatedProcess, _ clock: SimulatedClock
  ) throws(StoreError) {
    let beat = min(self.lease / 5, .seconds(1))
    while !process.isGone {
      let started = clock.elapsed()
      clock.sleep(.milliseconds(Int64(1 + scheduler.random.below(5))))
      // Closed by a claimant.
      guard own == segment else { return }
      counter += 1
      let before_ns = scheduler.now_ns
      let goesOn = try lease.renew(beatStarted: started, nextBeat: .zero)
      if scheduler.now_ns != before_ns {
        violate(.waitedForTable, "\(process.name)'s loop waits for the table")
      }
      guard goesOn else {
        refused += 1
        note("\(process.name) stands back")
        return
      }
      check(process)
      if !isCalm, scheduler.random.chance(0.01) {
        isReleased = true
        try lease.release()
        releases += 1
        return
      }
      clock.sleep(beat - (clock.elapsed() - started))
      misfortune(process)
    }
  }

  /// It leads, by its own account.
  private func check(_ process: SimulatedProcess) {
    guard !process.isGone else { return }
    lastLed_ns = scheduler.now_ns
    // Clocks drift by 200 ppm against each other and the true time.
    let tolerance_ns = lease.inNanoseconds / 1000
    if !holds(process), scheduler.now_ns > table.heldSince_ns + tolerance_ns {
      violate(
        .twoHolders,
        "two hold the lease: \(process.name) leads, and the item is \(table.item?.holder ?? "nobody")'s"
      )
    }
  }

  private func holds(_ process: SimulatedProcess) -> Bool {
    table.item?.holder.split(separator: " ").first.map(String.init) == process.name
  }

  private func isUndisturbed(since counts: SimulatedLockTable.Counts) -> Bool {
    let now = table.counts
    return now.lost == counts.lost && now.late == counts.late
      && now.refusedByServer == counts.refusedByServer
  }

  /// It dies, stands still, or its network is cut or mended.
  private func misfortune(_ process: SimulatedProcess) {
    guard !isCalm, !process.isGone else { return }
    let lease_ns = Int(lease.inNanoseconds)
    switch scheduler.random.below(400) {
    case 0:
      note("\(process.name) dies")
      process.die()
    case 1:
      note("\(process.name) stands still")
      process.freeze(UInt64(scheduler.random.below(lease_ns * 3)))
      scheduler.yield()
    case 2..<6:
      note("\(process.name) is cut off")
      cut.insert(process.number)
    default:
      // Most cuts last for about a lease time.
      if cut.contains(process.number), scheduler.random.chance(0.1) {
        note("\(process.name) is back")
        cut.remove(process.number)
      }
    }
  }

  private func note(_ text: @autoclosure () -> String) {
    trace?("\(scheduler.now_ns / 1000)  \(text())")
  }

  private func violate(_ kind: Violation.Kind, _ what: String) { violate(Violation(kind, what)) }

  private func violate(_ found: Violation) {
    note("VIOLATION: \(found)")
    if violation == nil { violation = found }
  }
}
