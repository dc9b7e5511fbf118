import SluiceFakes
import SluiceJournal
package import SluiceShared

/// One run of the log's handshake: three appliers and two readers over one disk, their real code, in
/// an order that the seed decides.
///
/// Each process may pause before any file operation for any time, die there and be followed by
/// another; writes land in pieces, fail, and land after all.
package final class LogRun: @unchecked Sendable {
  // Sendable: everything is touched by the thread that has the scheduler's baton only.
  static let layout = StoreLayout("/s")
  static let store = StoreID(high: 1, low: 2)

  static func handle(_ environment: Environment) -> StoreHandle {
    StoreHandle(layout: layout, id: store, environment: environment)
  }
  static let engine = StartRecord.Engine(
    sourceID: "test", compileOptions: "", architecture: "test")

  let scheduler: Scheduler
  let disk: MemoryDisk
  let omitted: Set<SafetyCheck>
  /// Half of the commits are written in pieces. (What shows that a check is missing are seeds that were found
  /// without.)
  private let hasLargeCommits: Bool
  private let clock = ManualClock()
  private var lastClient: UInt64 = 0
  private let witness = LogWitness()
  /// The longest history that anybody believed.
  package var believed: [LogWitness.Commit] { witness.believed }
  private(set) var violation: Violation?
  /// What happened, to see that a run is worth something.
  package private(set) var claims = 0
  package private(set) var reads = 0
  package private(set) var retired = 0
  private let trace: ((String) -> Void)?

  package init(
    seed: UInt64, steps: Int = 800, omitting omitted: Set<SafetyCheck>,
    trace: ((String) -> Void)? = nil
  ) {
    scheduler = Scheduler(seed: seed, steps: steps)
    disk = MemoryDisk()
    self.omitted = omitted
    hasLargeCommits = seed % 3 == 0 && omitted.isEmpty
    self.trace = trace
    witness.violated = { [unowned self] in violate($0) }
  }

  /// The first violation, or nil.
  package func run() -> Violation? {
    do throws(StoreError) {
      try LogRun.makeStore(on: disk, environment(over: MemoryFileSystem(disk, clock: clock)))
    } catch {
      return Violation(.trialFailed, "no store: \(error)")
    }
    let drift = [0.02, 0.2][scheduler.random.below(2)]
    scheduler.onStep = { [self] in
      if scheduler.random.chance(drift) { disk.drift(&scheduler.random) }
    }
    let appliers = (1...3).map { i in
      Scheduler.Role("A\(i)") { self.live($0, as: self.applier) }
    }
    let readers = (1...2).map { i in
      Scheduler.Role("R\(i)", share: 0.2) { self.live($0, as: self.reader) }
    }
    scheduler.run(appliers + readers)
    scheduler.onStep = nil
    return violation
  }

  /// A log of one segment, which nobody holds.
  static func makeStore(on disk: MemoryDisk, _ environment: Environment) throws(StoreError) {
    MemoryFileSystem(disk).makeDirectories([LogRun.layout.log, LogRun.layout.oldLog])
    let won = try claim(environment, "init").claim(successorOf: 0) { holder, _ in
      holder.beacon(.released, ApplierStatus(), time_ms: 0)
    }
    guard won != nil else { throw StoreError(.invalid, "the first segment was not claimed") }
  }

  private func environment(over fileSystem: any FileSystem) -> Environment {
    var environment = Environment(
      fileSystem: fileSystem, clock: clock, executor: InlineExecutor(),
      random: { self.scheduler.random.next() })
    environment.omittedChecks = omitted
    if hasLargeCommits { environment.commitSizes = .small }
    return environment
  }

  static func claim(_ environment: Environment, _ name: String) -> LogClaim {
    var claim = LogClaim(
      of: handle(environment), holder: name, engine: LogRun.engine)
    claim.segmentBytes = 256 << 10
    return claim
  }

  // MARK: Processes

  /// One life of a process: until it dies, gives up, or the run is over.
  private func live(
    _ process: Scheduler.Process, as role: (Life) throws(StoreError) -> Void
  ) {
    lastClient += 1
    let client = lastClient
    let faults = HandshakeFaults(
      scheduler, process, disk, client: client, mayDie: process.name.hasPrefix("A"), trace: trace)
    let fileSystem = MemoryFileSystem(disk, clock: clock, client: client) { faults.fate($0) }
    let name = "\(process.name).\(process.life)"
    do throws(StoreError) {
      try role(Life(name: name, process: process, environment: environment(over: fileSystem)))
    } catch {
      // Injected errors and losing the lead end a life; anything else is damage.
      if error.code != .notLeading, error.errno != HandshakeFaults.injected {
        violate(Violation(endedBy: error, "\(name): \(error)"))
      }
    }
    disk.abandon(client: client)
  }

  struct Life {
    var name: String
    var process: Scheduler.Process
    var environment: Environment
    var log: Log { Log(of: LogRun.handle(environment)) }
  }

  private func reader(_ life: Life) throws(StoreError) {
    let log = life.log
    var follower = LogFollower(after: .empty)
    for _ in 0..<(1 + scheduler.random.below(30)) {
      let present = try witness.present(log, life.name)
      try witness.follow(&follower, log, present, life.name)
      reads += 1
    }
  }

  private func applier(_ life: Life) throws(StoreError) {
    let observed = try life.log.listed().first ?? 0
    var rotating = false
    var newest = observed
    while let won = try LogRun.claim(life.environment, life.name).claim(
      successorOf: newest, rotating: rotating,
      firstBeacon: { holder, _ in holder.beacon(.active, ApplierStatus(), time_ms: 0) })
    {
      claims += 1
      try inherit(won.holder, life)
      try work(won.holder, life)
      guard try goesOn(won.holder) else { return }
      newest = won.holder.header.number
      rotating = true
    }
  }

  private func inherit(_ holder: LogHolder, _ life: Life) throws(StoreError) {
    guard try witness.inherit(holder, { life.log }, life.name) else { return }
    // Without `parentByStart` a claimant stumbles over moved segments before it does worse.
    if scheduler.random.chance(0.1), !omitted.contains(.parentByStart) {
      try moveOldSegments(behind: holder, life)
    }
  }

  private func work(_ holder: LogHolder, _ life: Life) throws(StoreError) {
    var unpublished: [LogWitness.Commit] = []
    for _ in 0..<scheduler.random.below(10) {
      // The beacon of one commit may overlap the work of the next.
      let before = holder.beacon(.active, ApplierStatus(), time_ms: 0)
      let isLate = !unpublished.isEmpty
      unpublished.append(try commit(behind: holder, life))
      if isLate { try publish(before, &unpublished, holder, life) }
      if scheduler.random.chance(0.7) { try publish(nil, &unpublished, holder, life) }
    }
    if !unpublished.isEmpty { try publish(nil, &unpublished, holder, life) }
  }

  private func commit(behind holder: LogHolder, _ life: Life) throws(StoreError)
    -> LogWitness.Commit
  {
    let (content, first) = content(behind: holder)
    var commit = first
    do throws(StoreError) {
      _ = try holder.commit(content)
    } catch {
      guard error.errno == HandshakeFaults.injected, !life.process.isDead else { throw error }
      // What a careless applier would do: the same place again, with something else in it.
      let (content, second) = self.content(behind: holder)
      _ = try holder.commit(content)
      commit = second
    }
    return commit
  }

  /// Publishes, and believes what the beacon says; the present one unless told otherwise.
  private func publish(
    _ earlier: SealedBeacon?, _ unpublished: inout [LogWitness.Commit], _ holder: LogHolder,
    _ life: Life
  ) throws(StoreError) {
    let beacon = earlier ?? holder.beacon(.active, ApplierStatus(), time_ms: 0)
    try holder.publish(beacon)
    while let commit = unpublished.first {
      let number = holder.extent.commits - UInt64(unpublished.count) + 1
      guard number <= beacon.content.extent.commits else { break }
      witness.believe(commit, at: number, life.name)
      unpublished.removeFirst()
    }
  }

  /// Rotation, release, or leaving everything as it is.
  private func goesOn(_ holder: LogHolder) throws(StoreError) -> Bool {
    switch scheduler.random.below(4) {
    case 0:
      try holder.finish()
      try holder.publish(holder.beacon(.active, ApplierStatus(), time_ms: 0))
      return true
    case 1:
      try holder.finish()
      try holder.publish(holder.beacon(.released, ApplierStatus(), time_ms: 0))
      return false
    default: return false
    }
  }

  /// Retention: what is below the newest segment with a beacon moves, lowest first.
  private func moveOldSegments(behind holder: LogHolder, _ life: Life) throws(StoreError) {
    let number = holder.header.number
    retired += try LogRetirement(
      layout: LogRun.layout, environment: life.environment, name: life.name
    ).retire(below: number - UInt64(scheduler.random.below(2)), beneath: number).count
  }

  private func content(behind holder: LogHolder) -> (CommitContent, LogWitness.Commit) {
    let count = UInt32(1 + scheduler.random.below(3))
    return witness.content(behind: holder, count: count, bytes: scheduler.random.below(9000))
  }

  private func violate(_ found: Violation) {
    guard violation == nil else { return }
    violation = Violation(found.kind, "\(found.what) (step \(scheduler.steps))")
    scheduler.stop()
  }
}
