import SluiceFakes
import SluiceJournal
package import SluiceShared

/// Plays a scenario once, over the real code of a handshake and a file server in memory. Nothing is left to
/// chance: the same steps do the same.
package final class ScenarioRun: @unchecked Sendable {
  // Sendable: touched by the script, and by a process while the script waits for it.
  private let scenario: Scenario
  private let omitted: Set<SafetyCheck>
  private let trace: ((String) -> Void)?
  private var disk = MemoryDisk()
  private let clock = ManualClock()
  private var random = SeededRandom(seed: 1)
  private var actors: [String: Actor] = [:]
  private var lastClient: UInt64 = 0
  private let logWitness = LogWitness()
  private let journalWitness: JournalWitness
  private var violation: Violation?
  /// Steps that did not end as the text has it, which it says of a run with all checks.
  package private(set) var deviations: [String] = []

  private struct Actor {
    var process: ScenarioProcess
    var role: any ScenarioRole
  }

  package init(
    _ scenario: Scenario, omitting omitted: Set<SafetyCheck> = [],
    trace: ((String) -> Void)? = nil
  ) {
    self.scenario = scenario
    self.omitted = omitted
    self.trace = trace
    journalWitness = JournalWitness(disk, layout: LogRun.layout)
    logWitness.violated = { [unowned self] in violate($0) }
    journalWitness.violated = { [unowned self] in violate($0) }
  }

  /// The first violation, or nil.
  package func run() -> Violation? {
    do throws(StoreError) { try makeStore() } catch {
      return Violation(.trialFailed, "no store: \(error)")
    }
    for step in scenario.steps where violation == nil { take(step) }
    allDie()
    if violation == nil { lookOnce() }
    return violation
  }

  private func makeStore() throws(StoreError) {
    let fileSystem = MemoryFileSystem(disk, clock: clock)
    fileSystem.makeDirectories([LogRun.layout.journal])
    try LogRun.makeStore(on: disk, environment(over: fileSystem))
    disk.settle()
  }

  private func environment(over fileSystem: any FileSystem) -> Environment {
    var environment = Environment(
      fileSystem: fileSystem, clock: clock, executor: InlineExecutor(),
      random: { [unowned self] in random.next() })
    environment.omittedChecks = omitted
    return environment
  }

  // MARK: Steps

  private func take(_ step: Scenario.Step) {
    trace?("\(step.actor) \(step.action.rawValue)")
    let ending = ending(of: step)
    trace?("\(step.actor)    \(ending)")
    guard ending != step.expected else { return }
    deviations.append(
      "\(scenario.name):\(step.line): \(step.actor) \(step.action.rawValue): \(ending), and not \(step.expected)"
    )
  }

  private func ending(of step: Scenario.Step) -> Scenario.Ending {
    switch step.action {
    case .lands:
      disk.settle()
      return .done
    case .fails:
      allDie()
      disk = disk.copy()
      journalWitness.disk = disk
      return .done
    default: break
    }
    let actor = actors[step.actor] ?? born(step.actor)
    actors[step.actor] = actor
    switch step.action {
    case .resumes: return actor.process.resume(step.halt)
    case .dies:
      actor.process.die()
      actors[step.actor] = nil
      return .done
    default:
      guard !actor.process.hasStopped else { return .idle }
      let role = Unshared(role: actor.role)
      return actor.process.begin(step.halt) { [self] in
        do throws(StoreError) { return try role.role.perform(step.action) } catch {
          return judge(error, step.actor)
        }
      }
    }
  }

  private func allDie() {
    for actor in actors.values { actor.process.die() }
    actors = [:]
  }

  /// Of one process, whose thread alone performs with it.
  private struct Unshared: @unchecked Sendable {
    // Sendable: the script waits while a step of it is performed.
    let role: any ScenarioRole
  }

  private func born(_ name: String) -> Actor {
    lastClient += 1
    let process = ScenarioProcess(name, client: lastClient, disk, trace: trace)
    let environment = environment(
      over: MemoryFileSystem(disk, clock: clock, client: lastClient) { process.fate($0) })
    let role: any ScenarioRole =
      switch scenario.handshake {
      case .log: LogRole(name, environment, logWitness)
      case .journal: JournalRole(environment, journalWitness)
      }
    return Actor(process: process, role: role)
  }

  /// What a fault or a handshake ends a step with is told; anything else must not be.
  private func judge(_ error: StoreError, _ name: String) -> Scenario.Ending {
    trace?("\(name)    \(error)")
    let isMeant =
      [.notLeading, .notSubmitted, .outcomeUnknown].contains(error.code)
      || error.errno == HandshakeFaults.injected
    if !isMeant { violate(Violation(endedBy: error, "\(name): \(error)")) }
    return .failed(error.code)
  }

  /// All is there in the end.
  private func lookOnce() {
    disk.settle()
    switch scenario.handshake {
    case .journal: journalWitness.checkNothingIsLost("the end")
    case .log:
      let reader = LogRole(
        "the end", environment(over: MemoryFileSystem(disk, clock: clock)), logWitness)
      do throws(StoreError) { _ = try reader.perform(.reads) } catch {
        _ = judge(error, "the end")
      }
    }
  }

  private func violate(_ found: Violation) {
    trace?("VIOLATION: \(found)")
    if violation == nil { violation = found }
  }
}
