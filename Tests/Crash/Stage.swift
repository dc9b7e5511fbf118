import BenchmarkSupport
import Glibc
import SluiceFakes
import SluiceShared

/// Plays one round: starts the processes, lets happen to them what the plan says, and ends them.
struct Stage {
  let plan: RoundPlan
  let cast: Cast
  /// Power fails at the end: nobody ends in order.
  let isLossy: Bool
  private var random: SeededRandom
  private let clock = SystemClock()
  private var appliers = 0
  private(set) var complaints: [String] = []

  /// Longer than anything in a round takes.
  private static let patience = Duration.seconds(180)

  init(_ plan: RoundPlan, _ cast: Cast, isLossy: Bool) {
    self.plan = plan
    self.cast = cast
    self.isLossy = isLossy
    random = SeededRandom(seed: plan.seed)
  }

  /// `firstWorker` numbers the workers.
  mutating func perform(firstWorker: Int) throws {
    for number in 0..<plan.appliers { try startApplier(planned(.applier, number)) }
    for (i, worker) in plan.workers.enumerated() {
      let number = firstWorker + i
      try cast.start(
        .worker, planned(.worker, i),
        ["\(number)", "\(worker.seed)", worker.habit.rawValue, "\(worker.batches)"],
        worker: number)
    }
    if plan.hasReader { try cast.start(.reader, nil) }
    if plan.hasBackup { try cast.start(.backup, planned(.backup, 0)) }
    switch plan.kind {
    case .undisturbed: break
    case .point: waitForDeath(0)
    case .chain:
      waitForDeath(0)
      if plan.plans.count > 1 {
        try startApplier(plan.plans[1])
        waitForDeath(1)
      }
    case .each:
      let isDone = wait {
        workersAreDone || !cast.indices(of: .applier).contains(where: cast.isRunning)
      }
      demand(isDone, "neither all workers nor all appliers came to an end")
      sleep(microseconds: plan.delay_us)
    case .pause: pause()
    case .quarantine: try moveToQuarantine()
    case .random:
      for _ in 0...random.below(2) {
        sleep(microseconds: random.below(70_000))
        let running = cast.members.indices.filter(cast.isRunning)
        if !running.isEmpty { cast.kill(running[random.below(running.count)]) }
      }
    case .together: sleep(microseconds: random.below(120_000))
    }
    try end()
  }

  /// The fate of the `number`th process of a role that is there from the beginning.
  private func planned(_ role: Role, _ number: Int) -> CrashPlan? {
    if plan.kind == .each, role != .backup {
      let place = number + (role == .worker ? plan.appliers : 0)
      return place < plan.plans.count ? plan.plans[place] : nil
    }
    guard number == 0 else { return nil }
    return role == plan.victim ? plan.plans.first : role == .worker ? plan.torn : nil
  }

  private mutating func startApplier(_ plan: CrashPlan?) throws {
    appliers += 1
    try cast.start(.applier, plan, ["applier \(appliers)"])
  }

  // MARK: what happens

  private var victims: [Int] { cast.indices(of: plan.victim) }

  /// Waits until a process with a plan has died, or nothing more can come of it.
  private mutating func waitForDeath(_ count: Int) {
    // The first successor comes after all that were there from the beginning.
    let index = victims[min(victims.count - 1, count * plan.appliers)]
    demand(
      wait { !cast.isRunning(index) || workersAreDone },
      "neither \(cast.members[index].process.name), which was to die, nor the workers came to an end"
    )
    // A segment that its worker did not end is closed after a silence, and the workers may be done.
    if plan.victim == .applier,
      plan.plans.dropFirst(count).first?.point.place.hasPrefix("journal") == true
    {
      _ = wait(atMost: .milliseconds(200)) { !cast.isRunning(index) }
    }
    sleep(microseconds: plan.delay_us)
  }

  /// Waits until a process has stopped, and continues it when others have gone on without it.
  private mutating func pause() {
    let index = victims[0]
    demand(
      wait { cast.hasNoted(index, "stopped") || !cast.isRunning(index) || workersAreDone },
      "\(cast.members[index].process.name) did not stop, nor did the workers come to an end")
    if !cast.hasNoted(index, "stopped") {
      // It did not come there; then anywhere.
      cast.members[index].process.signal(SIGSTOP)
    }
    let isApplier = plan.victim == .applier
    sleep(
      microseconds: (isApplier ? 280_000 : 100_000) + random.below(isApplier ? 150_000 : 80_000))
    cast.members[index].process.signal(SIGCONT)
  }

  /// Waits until a worker has died in a frame, and one applier after the other in what comes of it.
  private mutating func moveToQuarantine() throws {
    let torn = cast.indices(of: .worker)[0]
    demand(wait { !cast.isRunning(torn) }, "the worker that was to die in a frame did not end")
    for (number, successor) in plan.plans.enumerated() {
      if number > 0 { try startApplier(successor) }
      let index = victims[number]
      // Longer than a lease, the silence and the look at the remains; a whole frame is not moved.
      let hasMetFate = wait(atMost: .seconds(2)) {
        !cast.isRunning(index) || cast.hasNoted(index, "stopped")
      }
      guard hasMetFate else { break }
      if successor.fate == .stop { try outlast(index) }
    }
    sleep(microseconds: plan.delay_us)
  }

  /// Another applier goes on, for longer than the lease, and then the one that stopped as well.
  private mutating func outlast(_ index: Int) throws {
    try startApplier(nil)
    sleep(microseconds: 280_000 + random.below(600_000))
    cast.members[index].process.signal(SIGCONT)
    sleep(microseconds: random.below(40_000))
  }

  // MARK: the end

  private var workersAreDone: Bool { !cast.indices(of: .worker).contains(where: cast.isRunning) }

  private mutating func end() throws {
    guard plan.goesOn, plan.kind != .together else { return try cast.killAll() }
    if !cast.indices(of: .applier).contains(where: cast.isRunning) { try startApplier(nil) }
    let isDone = wait {
      // A process may come to the point where it stops only now.
      if plan.stops { cast.members[victims[0]].process.signal(SIGCONT) }
      return workersAreDone
    }
    demand(isDone, "workers did not come to their end")
    if plan.kind != .undisturbed, isLossy || random.below(3) == 0 {
      return try cast.killAll()
    }
    // A round may be over before a segment that its worker did not end has been silent long enough.
    if plan.kind == .undisturbed { sleep(microseconds: 100_000) }
    for role in [Role.applier, .reader, .backup] { cast.indices(of: role).forEach(cast.terminate) }
    try cast.waitForAll()
  }

  private mutating func demand(_ isDone: Bool, _ what: String) {
    if !isDone { complaints.append("HANGS: \(what) within \(Self.patience)") }
  }

  private func wait(atMost limit: Duration = Self.patience, _ condition: () -> Bool) -> Bool {
    let end = clock.elapsed() + limit
    while !condition() {
      guard clock.elapsed() < end else { return false }
      clock.sleep(.milliseconds(1))
    }
    return true
  }

  private func sleep(microseconds: Int) { clock.sleep(.microseconds(microseconds)) }
}
