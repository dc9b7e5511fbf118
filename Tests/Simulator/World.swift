import Logging
import SluiceFakes
import SluiceJournal
package import SluiceShared

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
package final class World: @unchecked Sendable {
  // Sendable: touched by the strand that has the scheduler's baton only, and before and after the
  // run by its caller.
  static let layout = StoreLayout("/store")

  package let plan: SimulationPlan
  let weather: Weather
  let scheduler: EventScheduler
  let oracle: Oracle
  let poison = Poison()
  /// Workers that ended in a batch, and batches that took too long.
  var workerEnds: [BatchID: Int] = [:]
  var overran: Set<BatchID> = []
  /// So many, and the batch is rejected.
  static let mostWorkerEnds = 3
  let disk: MemoryDisk
  /// What elects the applier in some runs.
  let lockTable: SimulatedLockTable
  let hints: SimulatedHints
  private let template: StoreTemplate
  let observer: Observer
  let omitted: Set<SafetyCheck>
  private(set) var machines: [Machine] = []
  private(set) var processes: [SimulatedProcess] = []
  private var lastProcess: UInt64 = 0
  private static let lastNumber = Monitor<Int32>(0)
  /// File operations so far.
  var operations = 0
  /// The storm is over: nothing goes wrong any more.
  var isCalm = false
  /// And all who play a part are to come to an end.
  private(set) var isEnding = false
  /// No writer submits anything.
  var allRest = false
  /// File operations are done as they should be.
  var isStill: Bool { isCalm || allRest }
  /// When those who follow make their file operations, by their process's number.
  var looks: [UInt64: FollowerLooks] = [:]
  /// The file server is away: operations wait.
  var serverIsAway = false
  /// Of the simulated time, what passed in whole days.
  var passed_ns: UInt64 = 0
  /// Until then the disk says that it is full.
  var scarceUntil_ns: UInt64?
  static let scarceTime_ns: UInt64 = 60_000_000_000
  /// A beacon was written, and the observer has not looked since.
  var mustLook = false
  package private(set) var statistics = Statistics()
  private let tracer: ((String) -> Void)?
  let random: SeededRandom
  /// Journal segments that each writer has made, by the writer's part of their names.
  var segmentsMade: [Substring: Int] = [:]
  /// Files that a stranger has made under writers' ids.
  var forged: Set<String> = []
  /// Writers of files that keep to nothing, and the last batch of theirs that can be believed.
  var intruders: [WriterID: SequenceNumber] = [:]
  /// Names that a process has put, or tried to put, into quarantine, by its number.
  var quarantined: [UInt64: Set<String>] = [:]
  /// Checkpoints that retention removed, by their files' names.
  var removedCheckpoints: Set<String> = []
  /// When a log segment lost its name in `log/`, by its name in `log/old/`.
  var retiredAt_ns: [String: UInt64] = [:]
  /// Appliers that hold the lease, as they believe.
  var inOffice: [SimulatedProcess] = []

  /// When each process last began to claim, by its number.
  var claimsBegan: [UInt64: UInt64] = [:]
  /// When the claim did with which an assistant last began a term.
  var lastAssistance_ns: UInt64?

  /// `trace` gets a line for everything that happens.
  package init(
    _ plan: SimulationPlan, from template: StoreTemplate, omitting omitted: Set<SafetyCheck> = [],
    trace: ((String) -> Void)? = nil
  ) {
    self.plan = plan
    self.omitted = omitted
    tracer = trace
    scheduler = EventScheduler(seed: plan.seed)
    lockTable = SimulatedLockTable(scheduler)
    hints = SimulatedHints(scheduler, seed: plan.seed ^ 0x41A7)
    var random = SeededRandom(seed: plan.seed ^ 0x3EA7)
    var weather = Weather.drawn(&random)
    if plan.transacts, plan.seed % 2 == 0 { weather = weather.soothed }
    if plan.hasShortSegments {
      // Listings are to miss some of them, and their writers to live.
      weather.tornListing = 0.3
      weather.death = min(weather.death, 0.001)
      weather.freeze = min(weather.freeze, 0.001)
    }
    self.weather = weather
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
    hints.forge = { [unowned self] in forgedHint($0) }
  }

  /// Runs it; returns the first violation, or nil.
  package func run() -> Violation? {
    scheduler.start(nil) { [self] in conduct() }
    scheduler.run()
    statistics[.operations] = operations
    statistics[.milliseconds] = Int(
      (scheduler.now_ns - passed_ns) / 1_000_000)
    for machine in machines { count(machine.host.counts) }
    count(hints.counts)
    statistics[.lockRequests] = lockTable.counts.requests
    statistics[.lostAnswers] = lockTable.counts.lost
    statistics[.lateRequests] = lockTable.counts.late
    statistics[.doubledRequests] = lockTable.counts.doubled
    statistics[.throttled] = lockTable.counts.refusedByServer
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
    for i in 0..<plan.followers {
      supervisors.append(supervise("RF\(i + 1)", i) { try self.follower($0) })
    }
    while operations < plan.operations / 2, !scheduler.isOver { conductEvents() }
    let operationsAtRest = plan.rests ? restAll() : 0
    while operations < plan.operations + operationsAtRest, !scheduler.isOver { conductEvents() }
    calmDown()
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

  /// From now on nothing goes wrong, and what is away is back.
  func calmDown() {
    isCalm = true
    lockTable.isCalm = true
    hints.isCalm = true
    serverIsAway = false
    for machine in machines {
      machine.isCutOff = false
      machine.clock.goOn()
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
    if plan.hasLargeCommits { environment.commitSizes = .small }
    environment.hints = hintNetwork(process, machine)
    return environment
  }

  /// A life ended by an error: what the weather did to it is no violation, anything else is; and a life
  /// that began in the calm has no excuse.
  func judge(_ error: any Error, _ process: SimulatedProcess, isCalm: Bool = false) {
    guard !process.isGone else { return }
    note("\(process.name) ends: \(error)")
    if !isCalm, let error = error as? StoreError, isWeather(error, process) { return }
    oracle.violate(Violation(endedBy: error, "\(process.name) ended with \(error)"))
  }

  private func isWeather(_ error: StoreError, _ process: SimulatedProcess) -> Bool {
    let hasLostOpens = (process.machine as? Machine)?.hasLostOpens == true
    let isApplier = process.name.hasPrefix("A")
    switch error.code {
    case .notLeading, .wrongClock: return isApplier
    case .snapshotExpired where hasLostOpens || plan.retention != nil: return true
    // A beacon was torn, and who would cover it is slow: the file server has none that can be believed.
    case .damaged where error.offset == Block.beacons.0 && observer.present == nil:
      count(.tornBeacons)
      return true
    default: break
    }
    return isFault(error) || error.isLostOpen && hasLostOpens
  }

  /// An operation was made to fail.
  func isFault(_ error: StoreError) -> Bool {
    error.errno == ProcessFaults.inputOutputError || error.errno == ProcessFaults.fullDisk
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
