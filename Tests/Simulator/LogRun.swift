import SluiceFakes
import SluiceJournal
public import SluiceShared

/// What the run's own appliers may do wrong, where the real code has no way to: what the files alone
/// cannot prevent.
public enum LogMistake: String, CaseIterable, Sendable {
  /// A segment's number is taken by an operation that replaces a file of that name.
  case claimByRename
  /// The beacon is written before the mark is read.
  case publishBeforeCheck
  /// A commit is told to others before its beacon is written.
  case tellBeforePublishing
}

/// One run of the log's handshake: three appliers and two readers over one disk, their real code, in
/// an order that the seed decides.
///
/// Each process may pause before any file operation for any time, die there and be followed by
/// another; writes land in pieces, fail, and land after all.
public final class LogRun: @unchecked Sendable {
  // Sendable: everything is touched by the thread that has the scheduler's baton only.
  static let layout = StoreLayout("/s")
  static let store = StoreID(high: 1, low: 2)
  static let engine = StartRecord.Engine(
    sourceID: "test", compileOptions: "", architecture: "test")

  let scheduler: Scheduler
  let disk: MemoryDisk
  let omitted: Set<SafetyCheck>
  let mistake: LogMistake?
  /// Half of the commits are written in pieces. (What shows that a check is missing are seeds that were found
  /// without.)
  private let hasLargeCommits: Bool
  private let clock = ManualClock()
  private var lastClient: UInt64 = 0
  private var lastCommitID: UInt64 = 0
  /// The longest history that anybody believed: each commit's identity and last TxID.
  public private(set) var believed: [Commit] = []
  private(set) var violation: String?
  /// What happened, to see that a run is worth something.
  public private(set) var claims = 0
  public private(set) var reads = 0
  public private(set) var retired = 0
  private let trace: ((String) -> Void)?

  public struct Commit: Equatable {
    var id: UInt64
    public var last: TxID
  }

  public init(
    seed: UInt64, steps: Int = 800, omitting omitted: Set<SafetyCheck>, mistake: LogMistake?,
    trace: ((String) -> Void)? = nil
  ) {
    scheduler = Scheduler(seed: seed, steps: steps)
    disk = MemoryDisk(linkReplaces: mistake == .claimByRename)
    self.omitted = omitted
    self.mistake = mistake
    hasLargeCommits = seed % 3 == 0 && omitted.isEmpty && mistake == nil
    self.trace = trace
  }

  /// The first violation, or nil.
  public func run() -> String? {
    do throws(StoreError) { try makeStore() } catch { return "no store: \(error)" }
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

  private func makeStore() throws(StoreError) {
    let fileSystem = MemoryFileSystem(disk, clock: clock)
    fileSystem.makeDirectories([LogRun.layout.log, LogRun.layout.oldLog])
    let environment = environment(over: fileSystem)
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

  func claim(_ environment: Environment, _ name: String) -> LogClaim {
    var claim = LogClaim(
      layout: LogRun.layout, store: LogRun.store, environment: environment, holder: name,
      engine: LogRun.engine)
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
        violate("\(name): \(error)")
      }
    }
    disk.abandon(client: client)
  }

  struct Life {
    var name: String
    var process: Scheduler.Process
    var environment: Environment
    var log: Log { Log(layout: LogRun.layout, store: LogRun.store, environment: environment) }
  }

  private func reader(_ life: Life) throws(StoreError) {
    let log = life.log
    var follower = LogFollower(after: .empty)
    for _ in 0..<(1 + scheduler.random.below(30)) {
      let floor = believed.count
      let present = try log.present()
      if present.extent.commits < UInt64(floor) {
        violate("\(life.name): stale, \(present.extent.commits) of \(floor) commits")
      }
      try follow(&follower, log, present, life.name)
      reads += 1
    }
  }

  /// Reads the history up to `present` and believes it.
  private func follow(
    _ follower: inout LogFollower, _ log: Log, _ present: Log.Present, _ name: String
  ) throws(StoreError) {
    try follower.advance(log, to: present) { (commit, _) throws(StoreError) in
      believe(
        Commit(id: commit.meta.entropy.low, last: commit.last), at: commit.meta.commit, name)
    }
    if follower.extent.commits < present.extent.commits {
      violate("\(name): \(follower.extent.commits) of \(present.extent.commits) commits are there")
    }
  }

  private func applier(_ life: Life) throws(StoreError) {
    let observed = try life.log.listed().first ?? 0
    var rotating = false
    var newest = observed
    while let won = try claim(life.environment, life.name).claim(
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

  /// Believes the history that a new holder published with its first beacon.
  private func inherit(_ holder: LogHolder, _ life: Life) throws(StoreError) {
    let beacon = holder.beacon(.active, ApplierStatus(), time_ms: 0).content
    // Not there: it was superseded and moved before its holder came to look.
    guard let segment = try life.log.open(holder.header.number) else { return }
    var follower = LogFollower(after: .empty)
    try follow(
      &follower, life.log, Log.Present(segment: segment, beacon: beacon, isClosed: false), life.name
    )
    // Without `parentByStart` a claimant stumbles over moved segments before it does worse.
    if scheduler.random.chance(0.1), !omitted.contains(.parentByStart) {
      try moveOldSegments(behind: holder, life)
    }
  }

  private func work(_ holder: LogHolder, _ life: Life) throws(StoreError) {
    var unpublished: [Commit] = []
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

  private func commit(behind holder: LogHolder, _ life: Life) throws(StoreError) -> Commit {
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
    if mistake == .tellBeforePublishing { believe(commit, at: holder.extent.commits, life.name) }
    return commit
  }

  /// Publishes, and believes what the beacon says; the present one unless told otherwise.
  private func publish(
    _ earlier: SealedBeacon?, _ unpublished: inout [Commit], _ holder: LogHolder, _ life: Life
  ) throws(StoreError) {
    let beacon = earlier ?? holder.beacon(.active, ApplierStatus(), time_ms: 0)
    try holder.publish(beacon)
    while let commit = unpublished.first {
      let number = holder.extent.commits - UInt64(unpublished.count) + 1
      guard number <= beacon.content.extent.commits else { break }
      believe(commit, at: number, life.name)
      unpublished.removeFirst()
    }
    if mistake == .publishBeforeCheck { try holder.checkOpen() }
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

  private func content(behind holder: LogHolder) -> (CommitContent, Commit) {
    lastCommitID += 1
    let count = UInt32(1 + scheduler.random.below(3))
    let bytes = [UInt8](
      repeating: UInt8(truncatingIfNeeded: lastCommitID), count: scheduler.random.below(9000))
    let content = CommitContent(
      first: holder.extent.txid.next, count: count,
      meta: CommitMeta(
        commit: holder.extent.commits + 1, time_ms: 0,
        entropy: Identifier128(high: 0, low: lastCommitID), pageSize: 4096, pageCount: 1,
        checksum: DatabaseChecksum(), rejected: 0),
      entries: [], outcomes: [], consumed: [], pages: .memory(bytes),
      batches: SectionContent(.batches, raw: []))
    return (
      content, Commit(id: lastCommitID, last: holder.extent.txid.advanced(by: UInt64(count)))
    )
  }

  // MARK: What must hold

  /// Somebody takes this commit for the history's `number`th.
  private func believe(_ commit: Commit, at number: UInt64, _ name: String) {
    let place = Int(number) - 1
    if place < believed.count {
      if believed[place] != commit {
        violate("\(name): two histories, commit \(number) is \(believed[place]) and \(commit)")
      }
    } else if place == believed.count {
      believed.append(commit)
    } else {
      violate("\(name): commit \(number) after \(believed.count)")
    }
  }

  private func violate(_ what: String) {
    guard violation == nil else { return }
    violation = "\(what) (step \(scheduler.steps))"
    scheduler.stop()
  }
}
