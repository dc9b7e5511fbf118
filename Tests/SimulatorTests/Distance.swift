import Logging
import SluiceApplier
import SluiceFakes
import SluiceJournal
import SluiceShared
import SluiceSimulator
import SluiceWriter

/// Machines, mostly two, and a file server in simulated time, where each file operation takes one round trip and each
/// batch some time to execute; nothing else takes any. So what is measured is the same on every machine, and
/// is what its users would wait for.
final class Distance: @unchecked Sendable {
  // Sendable: touched by the strand that has the scheduler's baton only, and by its caller afterwards.
  let scheduler: EventScheduler
  static let lease = Duration.seconds(3)
  /// Of its appliers.
  var lease = Distance.lease
  /// Where its appliers take hints: of all machines.
  var hintAddress = HintAddress(high: 0, port: 0)
  private let roundTrip: Duration
  private let execution: Duration
  private let costs: Costs
  /// nil: there are none.
  private let hints: SimulatedHints?
  private let disk: MemoryDisk
  private let hosts: [MemoryHost]
  private var processes: UInt64 = 0
  private static let lastProcessID = Monitor<Int32>(1_000_000)
  /// What the strands threw.
  private(set) var failures: [String] = []
  /// Appliers are to stop.
  private var isOver = false

  /// What an operation costs.
  enum Costs {
    /// Each one round trip.
    case each
    /// What was measured on NFS: a write waits in the page cache for its sync, a checkpoint's pages are in there,
    /// and two reads that are made together are one round trip.
    case asOnNFS

    func isFree(_ operation: FileOperation) -> Bool {
      guard case .asOnNFS = self else { return false }
      if operation.isBeside { return true }
      switch operation.action {
      case .write, .scratchFile, .syncDirectory: return true
      case .read: return operation.path.contains("/checkpoints/")
      default: return false
      }
    }
  }

  /// A file operation, as it began.
  struct Noted: CustomStringConvertible {
    let at_ns: UInt64
    let process: String
    let operation: FileOperation

    var description: String {
      "\(process) \(operation.action) \(operation.path) \(operation.offset)+\(operation.count)"
    }
  }

  /// What cost something.
  private(set) var noted: [Noted] = []
  /// How often each was asked for, whatever it cost.
  var asked: [FileOperation.Action: Int] = [:]
  /// What the file server is asked on NFS.
  private(set) var requests = RequestTally()

  init(
    _ template: StoreTemplate, roundTrip: Duration, execution: Duration, costs: Costs = .each,
    hasHints: Bool = false, wakesReceivers: Bool = false, machines: UInt64 = 2,
    seed: UInt64 = 1
  ) {
    self.roundTrip = roundTrip
    self.execution = execution
    self.costs = costs
    let scheduler = EventScheduler(seed: seed)
    self.scheduler = scheduler
    hints = hasHints ? SimulatedHints(scheduler, seed: seed) : nil
    hints?.isCalm = true
    hints?.longestStep_ns = 50_000
    hints?.wakesReceivers = wakesReceivers
    let disk = template.disk.copy(clock: SimulatedClock(scheduler))
    self.disk = disk
    hosts = (0..<machines).map {
      MemoryHost(
        disk, clock: SimulatedClock(scheduler), random: SeededRandom(seed: seed * 2 + $0),
        kind: .network)
    }
  }

  /// A process on one of the machines.
  struct Process {
    let process: SimulatedProcess
    let environment: Environment
  }

  func process(_ name: String, on host: Int) -> Process {
    processes += 1
    let process = SimulatedProcess(name, number: processes, scheduler)
    let nanoseconds = Distance.nanoseconds(roundTrip)
    let fileSystem = MemoryFileSystem(
      disk, clock: SimulatedClock(scheduler), client: processes, host: hosts[host],
      hook: { [self] operation in
        asked[operation.action, default: 0] += 1
        requests.add(operation, of: name)
        if !costs.isFree(operation) {
          noted.append(Noted(at_ns: scheduler.now_ns, process: name, operation: operation))
          scheduler.sleep(nanoseconds)
        }
        return process.isGone ? .fails(.posix(5, "/")) : .done
      })
    var environment = Environment(
      fileSystem: fileSystem, clock: SimulatedClock(scheduler),
      executor: SideBySide(process), random: { process.random.next() })
    // What processes share by their number is not shared with those of another run beside this one.
    let number = Distance.lastProcessID.withLock { last in
      last += 1
      return last
    }
    environment.processID = { number }
    if let hints {
      environment.hints = hints.network(of: process, machine: host + 1) { false }
    }
    return Process(process: process, environment: environment)
  }

  /// Runs an applier until `stop` says so, or the end.
  @discardableResult
  func applier(_ life: Process, until stop: @escaping () -> Bool = { false })
    -> EventScheduler.Strand
  {
    var options = ApplierOptions(
      holder: life.process.name, logger: Logger(label: "") { _ in SwiftLogNoOpLogHandler() })
    options.leaseTime = lease
    if hints != nil { options.hints = hintAddress }
    options.beforeBatch = { [scheduler, execution] _ in
      scheduler.sleep(Distance.nanoseconds(execution))
    }
    return strand(life) { [self] in
      let applier = try Applier(
        path: Distance.store, options: options, environment: life.environment)
      try applier.run { [self] in life.process.isGone || isOver || stop() }
    }
  }

  func writer(_ life: Process) throws -> Writer {
    try Writer(store: Distance.store, environment: life.environment)
  }

  /// What `body` does takes its time, and the run is over when it has returned.
  func run(_ body: @escaping () throws -> Void) {
    nonisolated(unsafe) let body = body
    scheduler.start(nil) { [self] in
      do { try body() } catch { failures.append("\(error)") }
      isOver = true
      scheduler.finish()
    }
    scheduler.run()
  }

  @discardableResult
  func strand(_ life: Process, _ body: @escaping () throws -> Void) -> EventScheduler.Strand {
    nonisolated(unsafe) let body = body
    return scheduler.start(life.process) { [self] in
      do { try body() } catch { if !life.process.isGone { failures.append("\(error)") } }
    }
  }

  func sleep(_ duration: Duration) { scheduler.sleep(Distance.nanoseconds(duration)) }

  /// Simulated time that `body` takes, in round trips.
  func roundTrips(_ body: () throws -> Void) rethrows -> Double {
    try time(body) / roundTrip
  }

  /// What is asked from now on.
  func resetRequests() { requests = RequestTally() }

  /// What was noted while `body` ran.
  func noting(_ body: () throws -> Void) rethrows -> [Noted] {
    noted = []
    try body()
    return noted
  }

  /// Simulated time that `body` takes.
  func time(_ body: () throws -> Void) rethrows -> Duration {
    let began_ns = scheduler.now_ns
    try body()
    return .nanoseconds(Int64(scheduler.now_ns - began_ns))
  }

  static let store = "/store"

  private static func nanoseconds(_ duration: Duration) -> UInt64 {
    let (seconds, attoseconds) = duration.components
    return UInt64(seconds) * 1_000_000_000 + UInt64(attoseconds / 1_000_000_000)
  }
}

/// Runs what can be done at once at once: to a file server those are one round trip.
private struct SideBySide: Executor {
  private let process: SimulatedProcess
  private let others: SimulatedExecutor

  init(_ process: SimulatedProcess) {
    self.process = process
    others = SimulatedExecutor(process)
  }

  func start(_ work: @escaping @Sendable () -> Void) -> any StartedWork { others.start(work) }
  func detach(_ work: @escaping @Sendable () -> Void) { others.detach(work) }

  func concurrently(_ count: Int, _ body: @Sendable (Int) -> Void) {
    withoutActuallyEscaping(body) { body in
      let works = (0..<count).map { i in others.start { body(i) } }
      for work in works { work.wait() }
    }
  }
}
