import Logging
import SluiceFakes
import SluiceJournal
public import SluiceShared

/// One simulated machine.
final class Machine: @unchecked Sendable {
  // Sendable: touched by the strand that has the scheduler's baton only.

  let name: String
  let host: MemoryHost
  let clock: SimulatedClock
  var isNetwork: Bool { host.kind == .network }
  /// Its network is cut: file operations wait.
  var isCutOff = false
  /// It was away for too long at least once.
  var hasLostOpens = false

  init(_ name: String, _ host: MemoryHost, _ clock: SimulatedClock) {
    self.name = name
    self.host = host
    self.clock = clock
  }
}

/// One run: machines, their processes, what goes wrong with them, and what is checked.
///
/// The writers, appliers, readers and the lease are the real code; only the file system, the clocks
/// and the executor beneath them are simulated.
public final class World: @unchecked Sendable {
  // Sendable: touched by the strand that has the scheduler's baton only, and before and after the
  // run by its caller.
  static let layout = StoreLayout("/store")

  public let plan: SimulationPlan
  let weather: Weather
  let scheduler: EventScheduler
  let oracle: Oracle
  let poison = Poison()
  let disk: MemoryDisk
  private let template: StoreTemplate
  let observer: Observer
  let omitted: Set<SafetyCheck>
  private(set) var machines: [Machine] = []
  private var processes: [SimulatedProcess] = []
  private var lastProcess: UInt64 = 0
  private static let lastNumber = Monitor<Int32>(0)
  /// File operations so far.
  var operations = 0
  /// The storm is over: nothing goes wrong any more.
  private(set) var isCalm = false
  /// And all who play a part are to come to an end.
  private(set) var isEnding = false
  /// The file server is away: operations wait.
  private(set) var serverIsAway = false
  /// Of the simulated time, what passed in whole days.
  private var passed_ns: UInt64 = 0
  /// A beacon was written, and the observer has not looked since.
  var mustLook = false
  public private(set) var statistics = Statistics()
  private let tracer: ((String) -> Void)?
  let random: SeededRandom
  /// Journal segments that each writer has made, by the writer's part of their names.
  var segmentsMade: [Substring: Int] = [:]
  /// Names that a process has put, or tried to put, into quarantine, by its number.
  var aside: [UInt64: Set<String>] = [:]
  /// Appliers that hold the lease, as they believe.
  var inOffice: [SimulatedProcess] = []

  /// `trace` gets a line for everything that happens.
  public init(
    _ plan: SimulationPlan, from template: StoreTemplate, omitting omitted: Set<SafetyCheck> = [],
    trace: ((String) -> Void)? = nil
  ) {
    self.plan = plan
    self.omitted = omitted
    tracer = trace
    scheduler = EventScheduler(seed: plan.seed)
    var random = SeededRandom(seed: plan.seed ^ 0x3EA7)
    weather = Weather.drawn(&random)
    oracle = Oracle(scheduler)
    self.template = template
    disk = template.disk.copy(clock: SimulatedClock(scheduler))
    observer = Observer(disk, template.store, SimulatedClock(scheduler))
    for i in 0..<max(1, plan.machines) {
      let clock = SimulatedClock(
        scheduler, drift_ppm: Int64(random.below(401)) - 200,
        boot_ns: UInt64(1 + random.below(1000)) * 1_000_000_000)
      clock.offset_ms = Int64(random.below(4000)) - 2000
      let host = MemoryHost(
        disk, clock: SimulatedClock(scheduler), random: SeededRandom(seed: random.next()),
        kind: plan.isNetwork ? .network : .local)
      machines.append(Machine("m\(i + 1)", host, clock))
    }
    self.random = random
  }

  /// Runs it; returns the first violation, or nil.
  public func run() -> String? {
    scheduler.start(nil) { [self] in conduct() }
    scheduler.run()
    statistics[.operations] = operations
    statistics[.milliseconds] = Int(
      (scheduler.now_ns - passed_ns) / 1_000_000)
    for machine in machines { count(machine.host.counts) }
    return oracle.violation
  }

  // MARK: Conducting

  private func conduct() {
    var supervisors: [EventScheduler.Strand] = []
    for i in 0..<plan.appliers {
      supervisors.append(supervise("A\(i + 1)", i) { try self.applier($0) })
    }
    for i in 0..<plan.writers {
      supervisors.append(supervise("W\(i + 1)", i) { try self.writer($0) })
    }
    for i in 0..<plan.readers {
      supervisors.append(supervise("R\(i + 1)", i + 1) { try self.reader($0) })
    }
    while operations < plan.operations, !scheduler.isOver { conductEvents() }
    isCalm = true
    serverIsAway = false
    for machine in machines {
      machine.isCutOff = false
      machine.clock.goOn()
    }
    let verification = Verification(self)
    if scheduler.random.chance(0.3) { standStill(verification) }
    isEnding = true
    for process in processes { process.die() }
    for strand in supervisors { scheduler.join(strand) }
    guard !scheduler.isOver else { return }
    if !plan.isNetwork || scheduler.random.chance(0.3) { losePower() }
    note("calm")
    verification.run()
    scheduler.finish()
  }

  /// Some processes stand still in the middle of what they do, while all that there is is applied and
  /// removed from the journal, and then go on: they write, claim, lead and read as before.
  private func standStill(_ verification: Verification) {
    for process in processes where !process.isDead && scheduler.random.chance(0.5) { process.die() }
    freezeAll()
    verification.drain()
    if scheduler.random.chance(0.3) {
      if scheduler.random.chance(0.7) {
        letPass(days: 8, verification)
      } else {
        // A writer is heard of in between, or seems to be.
        letPass(days: 5.9, verification)
        goOn()
        freezeAll()
        verification.drain()
        letPass(days: 1.2, verification)
      }
    }
    goOn()
  }

  private func freezeAll() {
    for process in processes where !process.isDead {
      process.freeze(100 * World.day_ns)
      note("\(process.name) stands still")
    }
  }

  /// Into the storm once more.
  private func goOn() {
    guard !scheduler.isOver else { return }
    isCalm = false
    for process in processes where !process.isDead {
      process.thaw()
      note("\(process.name) goes on")
      count(.outlasted)
    }
    scheduler.sleep(UInt64(scheduler.random.below(10_000_000_000)))
    isCalm = true
  }

  private static let day_ns: UInt64 = 24 * 3600 * 1_000_000_000

  /// After more than a week keys, and writers who have no file, are forgotten by the next commit.
  private func letPass(days: Double, _ verification: Verification) {
    guard !scheduler.isOver else { return }
    note("\(days) days pass")
    let stopped = machines.filter { _ in scheduler.random.chance(0.4) }
    for machine in stopped {
      note("\(machine.name)'s clocks stand still with it")
      machine.clock.stop()
    }
    let duration_ns = UInt64(days * Double(World.day_ns))
    scheduler.sleep(duration_ns)
    guard !scheduler.isOver else { return }
    passed_ns += duration_ns
    count(.silences)
    for machine in machines {
      machine.clock.goOn()
      // As they are kept right all the time, within a second or so; but not all of those that stood still.
      if stopped.contains(where: { $0 === machine }), scheduler.random.chance(0.5) { continue }
      let ahead_ms = machine.clock.wallTime_ms() - SimulatedClock(scheduler).wallTime_ms()
      if abs(ahead_ms) > 20_000 { machine.clock.offset_ms -= ahead_ms }
    }
    submitSome()
    verification.drain()
  }

  private func conductEvents() {
    let pause = weather.events == 0 ? 0.5 : min(0.5, 0.5 / weather.events)
    scheduler.sleep(UInt64(pause * 1e9))
    guard scheduler.random.chance(weather.events * pause) else { return }
    let machine = machines[scheduler.random.below(machines.count)]
    let living = processes.filter { !$0.isDead }
    switch scheduler.random.below(10) {
    case 0..<3 where !living.isEmpty: kill(living[scheduler.random.below(living.count)])
    case 3..<5 where !living.isEmpty:
      let process = living[scheduler.random.below(living.count)]
      let duration_ns = UInt64(scheduler.random.below(60_000_000_000))
      if scheduler.random.chance(0.3) { return suspend(machine, duration_ns) }
      note("\(process.name) stands still")
      process.freeze(duration_ns)
      count(.froze)
    case 5..<7: stop(machine)
    case 7: losePower()
    case 8:
      // Beyond a minute an applier there refuses to lead.
      let most = scheduler.random.chance(0.2) ? 300_000 : 20_000
      machine.clock.offset_ms = Int64(scheduler.random.below(2 * most)) - Int64(most)
      note("\(machine.name)'s wall clock is set to \(machine.clock.offset_ms) ms")
      count(.clockJumps)
    default:
      guard machine.isNetwork else { return }
      note("\(machine.name) is cut off")
      machine.isCutOff = true
      count(.cuts)
      let duration = UInt64(scheduler.random.below(20_000_000_000))
      scheduler.start(nil) { [self] in
        scheduler.sleep(duration)
        machine.isCutOff = false
        if scheduler.random.chance(0.5) {
          machine.host.loseOpens(&scheduler.random)
          machine.hasLostOpens = true
        }
        note("\(machine.name) is back")
      }
    }
  }

  /// A virtual machine stands still, and its clocks with it. Its wall clock is set right when it goes on,
  /// or not.
  private func suspend(_ machine: Machine, _ duration_ns: UInt64) {
    note("\(machine.name) is suspended")
    count(.suspended)
    for process in processes where !process.isDead && process.machine === machine {
      // Its clocks go on first.
      process.freeze(duration_ns + 1000)
    }
    machine.clock.stop()
    let isSetRight = scheduler.random.chance(0.5)
    scheduler.start(nil) { [self] in
      scheduler.sleep(duration_ns)
      guard !isCalm else { return }
      machine.clock.goOn()
      if isSetRight { machine.clock.offset_ms += Int64(duration_ns / 1_000_000) }
      note("\(machine.name) goes on")
    }
  }

  private func kill(_ process: SimulatedProcess) {
    note("\(process.name) is killed")
    count(.killed)
    process.die()
  }

  /// A machine loses power. A local one is the file server too.
  private func stop(_ machine: Machine) {
    guard machine.isNetwork else { return losePower() }
    note("\(machine.name) stops")
    count(.machineStops)
    for process in processes where !process.isDead && process.machine === machine { process.die() }
    machine.host.die()
  }

  private func losePower() {
    note("the file server restarts")
    count(.powerLosses)
    if !plan.isNetwork {
      for process in processes where !process.isDead { process.die() }
      for process in processes { disk.abandon(client: process.number) }
      for machine in machines { machine.host.die() }
    }
    _ = observer.look()
    let before = observer.extent.txid
    disk.losePower(&scheduler.random)
    oracle.serverLostPower(before: before) { [unowned self] in observer.published }
    oracle.acknowledged.forEach(checkDurable)
    guard plan.isNetwork, !isCalm, !serverIsAway, scheduler.random.chance(0.7) else { return }
    serverIsAway = true
    let duration = UInt64(scheduler.random.below(20_000_000_000))
    scheduler.start(nil) { [self] in
      scheduler.sleep(duration)
      serverIsAway = false
      note("the file server is back")
    }
  }

  /// Keeps a role played: life after life, until the storm is over.
  private func supervise(
    _ name: String, _ place: Int, _ role: @escaping @Sendable (Life) throws -> Void
  )
    -> EventScheduler.Strand
  {
    let machine = machines[place % machines.count]
    return scheduler.start(nil) { [self] in
      var life = 0
      while !isCalm, !scheduler.isOver {
        guard !machine.clock.isStopped else {
          scheduler.sleep(50_000_000)
          continue
        }
        life += 1
        live("\(name).\(life)", on: machine, isReader: name.hasPrefix("R"), role)
        scheduler.sleep(UInt64([1, 30, 1000][scheduler.random.below(3)]) * 1_000_000)
      }
    }
  }

  /// One process from its start to its end.
  func live(
    _ name: String, on machine: Machine, isReader: Bool,
    _ role: @escaping @Sendable (Life) throws -> Void
  ) {
    lastProcess += 1
    let process = SimulatedProcess(name, number: lastProcess, scheduler)
    process.machine = machine
    processes.removeAll(where: \.isDead)
    processes.append(process)
    let life = Life(
      process: process, machine: machine,
      environment: environment(process, machine, isReader: isReader))
    let isCalm = isCalm
    let strand = scheduler.start(process) { [self] in
      do { try role(life) } catch { judge(error, process, isCalm: isCalm) }
    }
    scheduler.join(strand)
    // At the storm's end all are ended: that is no fault.
    if process.isDead, !self.isCalm { count(.deaths) }
    process.die()
    disk.abandon(client: process.number)
  }

  private func environment(_ process: SimulatedProcess, _ machine: Machine, isReader: Bool)
    -> Environment
  {
    let faults = ProcessFaults(process, machine, self, isReader: isReader)
    var environment = Environment(
      fileSystem: MemoryFileSystem(
        disk, clock: SimulatedClock(scheduler), client: process.number, host: machine.host,
        isReadOnly: isReader,
        hook: { [self] in
          poison.sees($0, of: process)
          return faults.fate($0)
        }, reply: { faults.wait() }),
      clock: machine.clock, executor: SimulatedExecutor(process),
      random: { process.random.next() })
    // In this real process other runs may be under way or have been; none shares with another.
    let number = World.lastNumber.withLock { last in
      last &+= 1
      return last
    }
    environment.processID = { number }
    environment.omittedChecks = omitted
    return environment
  }

  /// A life ended by an error: what the weather did to it is no violation, anything else is; and a life
  /// that began in the calm has no excuse.
  func judge(_ error: any Error, _ process: SimulatedProcess, isCalm: Bool = false) {
    guard !process.isGone else { return }
    note("\(process.name) ends: \(error)")
    if !isCalm, let error = error as? StoreError, isWeather(error, process) { return }
    oracle.violate("\(process.name) ended with \(error)")
  }

  private func isWeather(_ error: StoreError, _ process: SimulatedProcess) -> Bool {
    let hasLostOpens = (process.machine as? Machine)?.hasLostOpens == true
    let isApplier = process.name.hasPrefix("A")
    switch error.code {
    case .notLeading, .wrongClock: return isApplier
    case .snapshotExpired where hasLostOpens: return true
    default: break
    }
    return error.errno == ProcessFaults.inputOutputError || error.errno == ProcessFaults.fullDisk
      || error.isLostOpen && hasLostOpens
  }

  // MARK: Telling

  func count(_ what: Statistics.Count, _ times: Int = 1) { statistics[what] += times }

  func note(_ text: @autoclosure () -> String) {
    guard let tracer else { return }
    tracer("\(time)  \(text())")
  }

  private var time: String {
    let microseconds = scheduler.now_ns / 1000
    return "\(microseconds / 1_000_000).\(padded(microseconds % 1_000_000, width: 6))"
  }

  func trace(_ process: SimulatedProcess, _ operation: FileOperation, _ fate: FileFate) {
    count(operation, fate)
    observe(process, operation, fate)
    guard tracer != nil else { return }
    note("\(process.name) \(operation.description(fate))")
  }
}

/// One process's life as its role sees it.
struct Life {
  let process: SimulatedProcess
  let machine: Machine
  let environment: Environment
  var name: String { process.name }
  var isGone: Bool { process.isGone }
}

extension FileOperation {
  /// A line of a trace.
  func description(_ fate: FileFate) -> String {
    let place = path.split(separator: "/").dropFirst().joined(separator: "/")
    var text = "\(action) \(place)"
    switch action {
    case .read, .write, .readOn, .writeOn: text += " \(count) at \(offset)"
    case .resize: text += " to \(offset)"
    default: break
    }
    switch fate {
    case .done: break
    case .fails(let error): text += " FAILS: \(error.message)"
    case .doneButFails(let error): text += " DONE, BUT ANSWERED: \(error.message)"
    case .torn: if action == .read || action == .list { text += " in two halves" }
    case .failsTorn(_, let error): text += " in pieces, FAILS: \(error.message)"
    }
    return text
  }
}
