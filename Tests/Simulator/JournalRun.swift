import SluiceFakes
import SluiceJournal
package import SluiceShared
import SluiceWriter

/// One run of the journal's handshake: two writers, whose code is the real one, and two appliers, one
/// of which leads while the other only believes so.
///
/// The appliers are stand-ins that read, mark, read again and remove in the order that the
/// handshake prescribes; of a real applier's work only that matters here.
package final class JournalRun: @unchecked Sendable {
  // Sendable: everything is touched by the thread that has the scheduler's baton only.
  private static let layout = StoreLayout("/s")
  private static let store = StoreID(high: 1, low: 2)

  let scheduler: Scheduler
  let omitted: Set<SafetyCheck>
  private let disk = MemoryDisk()
  private let clock = ManualClock()
  private let isNetwork: Bool
  private var lastClient: UInt64 = 0
  private let witness: JournalWitness
  package var acknowledged: [BatchID: UInt64] { witness.acknowledged }
  package var published: [BatchID: UInt64] { witness.published }
  package var removals: Int { witness.removals }
  private(set) var violation: Violation?

  private let trace: ((String) -> Void)?

  package init(
    seed: UInt64, steps: Int = 500, omitting omitted: Set<SafetyCheck>,
    trace: ((String) -> Void)? = nil
  ) {
    self.trace = trace
    scheduler = Scheduler(seed: seed, steps: steps)
    self.omitted = omitted
    isNetwork = scheduler.random.chance(0.5)
    witness = JournalWitness(disk, layout: JournalRun.layout)
    witness.violated = { [unowned self] in violate($0) }
  }

  /// The first violation, or nil.
  package func run() -> Violation? {
    MemoryFileSystem(disk, clock: clock).makeDirectories([JournalRun.layout.journal])
    let drift = [0.02, 0.2][scheduler.random.below(2)]
    scheduler.onStep = { [self] in
      if scheduler.random.chance(drift) { disk.drift(&scheduler.random) }
    }
    let writers = (1...2).map { i in Scheduler.Role("W\(i)") { self.live($0, as: self.writer) } }
    scheduler.run(
      writers + [
        Scheduler.Role("leader") { self.live($0, as: self.leader) },
        Scheduler.Role("zombie") { self.live($0, as: self.zombie) },
      ])
    scheduler.onStep = nil
    witness.checkNothingIsLost("the end")
    return violation
  }

  private func live(
    _ process: Scheduler.Process, as role: (Environment) throws(StoreError) -> Void
  ) {
    lastClient += 1
    let client = lastClient
    let faults = HandshakeFaults(
      scheduler, process, disk, client: client, mayDie: true, trace: trace)
    let fileSystem = MemoryFileSystem(disk, clock: clock, client: client, isNetwork: isNetwork) {
      faults.fate($0)
    }
    var environment = Environment(
      fileSystem: fileSystem, clock: clock, executor: InlineExecutor(),
      random: { self.scheduler.random.next() })
    environment.omittedChecks = omitted
    do throws(StoreError) { try role(environment) } catch {
      let isExpected =
        error.errno == HandshakeFaults.injected || error.isStaleHandle || error.isNoSuchFile
        || error.code == .outcomeUnknown || error.code == .notSubmitted
      if !isExpected { violate(Violation(endedBy: error, "\(process.name): \(error)")) }
    }
    disk.abandon(client: client)
  }

  // MARK: The writer

  private func writer(_ environment: Environment) throws(StoreError) {
    let writer = JournalWriter(
      to: StoreHandle(
        layout: JournalRun.layout, id: JournalRun.store, environment: environment))
    // Batches whose fate a flush left unknown; the writer settles them before the next one.
    for _ in 0..<(1 + scheduler.random.below(12)) {
      let count = 1 + scheduler.random.below(3)
      let contents = (0..<count).map { _ in witness.nextContent() }
      let first = writer.nextBatch()
      do throws(StoreError) {
        try writer.flush(
          contents.map { JournalWitness.bytes($0, padding: scheduler.random.below(3000)) },
          as: first, ends: scheduler.random.chance(0.1))
      } catch {
        guard error.code == .outcomeUnknown || error.code == .notSubmitted else { throw error }
        continue
      }
      witness.acknowledge(contents, as: first)
      if scheduler.random.chance(0.1) { writer.close() }
    }
  }

  // MARK: The applier

  private func leader(_ environment: Environment) throws(StoreError) {
    try applier(environment, leads: true)
  }

  private func zombie(_ environment: Environment) throws(StoreError) {
    try applier(environment, leads: false)
  }

  private func applier(_ environment: Environment, leads: Bool) throws(StoreError) {
    let fileSystem = environment.fileSystem
    while true {
      for name in try fileSystem.list(JournalRun.layout.journal) {
        let path = "\(JournalRun.layout.journal)/\(name)"
        do throws(StoreError) {
          try visit(path, environment, leads: leads)
        } catch {
          guard error.isNoSuchFile || error.isStaleHandle else { throw error }
        }
      }
    }
  }

  private func visit(_ path: String, _ environment: Environment, leads: Bool) throws(StoreError) {
    let visit = try JournalVisit(path, environment, witness, leads: leads)
    guard scheduler.random.chance(0.3) else { return }
    // Silent, says this applier: it is retired.
    try visit.retire()
  }

  private func violate(_ found: Violation) {
    guard violation == nil else { return }
    violation = Violation(found.kind, "\(found.what) (step \(scheduler.steps))")
    scheduler.stop()
  }
}
