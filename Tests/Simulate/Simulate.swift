import ArgumentParser
import Foundation
import Glibc
import SluiceShared
import SluiceSimulator

/// Runs seeds through the simulator, several processes at once.
@main
struct Simulate: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sluice-simulate",
    abstract: "Runs the real writer, applier, reader and lease over a simulated NFS, seed by seed.",
    subcommands: [Sweep.self, Mutations.self, List.self, Replay.self, Play.self, Worker.self],
    defaultSubcommand: Sweep.self)
}

struct Sweep: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Runs many seeds; fails where a promise breaks in one.")

  @Option(help: "How many seeds.") var seeds: UInt64 = 20_000
  @Option(help: "The first one.") var first: UInt64 = 1
  @Option(help: "Processes at once.") var jobs = ProcessInfo.processInfo.activeProcessorCount

  func run() throws {
    var isClean = true
    for kind in Simulation.Kind.allCases {
      let started = Date()
      // The handshakes alone are small: fewer seeds go through all that can happen in them.
      let count = kind == .system ? seeds : seeds / 4 + 1
      let result = try Workers(jobs: jobs).run(first: first, count: count, kind: kind)
      let seconds = Date().timeIntervalSince(started)
      say(
        String(format: "\(kind.rawValue): %llu seeds in %.0f s: ", result.seeds, seconds)
          + "\(result.statistics)")
      for found in result.violations.sorted(by: { $0.seed < $1.seed }).prefix(20) {
        say("seed \(found.seed): \(found.violation)")
        say("  make simulate SEED=\(found.seed)\(kind.argument)")
      }
      if result.seeds != count { say("\(count - result.seeds) seeds were not run") }
      isClean = isClean && result.violations.isEmpty && result.seeds == count
      // What never happens is not tried. The rarest (a beacon torn for good) comes once in a thousand seeds.
      let absent = seeds < 4000 ? [] : result.statistics.absent(in: kind)
      if !absent.isEmpty {
        say("never happened: \(absent.map(\.rawValue).joined(separator: ", "))")
      }
      isClean = isClean && absent.isEmpty
    }
    guard isClean else { throw ExitCode.failure }
    say("no promise was broken")
  }
}

struct Mutations: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Leaves out one safety check after the other; fails where that is not found.")

  @Option(help: "Processes at once.") var jobs = ProcessInfo.processInfo.activeProcessorCount
  @Option(help: "Only this check.") var only: String?
  @Option(help: "No more seeds than these for each; what needs more is told, and fails nothing.")
  var most = UInt64.max

  func run() throws {
    let mutations = Mutation.all.filter { only == nil || only == $0.check.rawValue }
    guard !mutations.isEmpty else {
      throw ValidationError("no mutation leaves out '\(only ?? "")'")
    }
    var missed = 0
    for mutation in mutations {
      let started = Date()
      let found = try seed(finding: mutation)
      let seconds = String(format: "%.1f s", Date().timeIntervalSince(started))
      let name = mutation.what.padding(toLength: 58, withPad: " ", startingAt: 0)
      if let found {
        say(
          "\(name) seed \(found.seed) (\(seconds)): \(found.violation.description.prefix(150))")
        say(
          "  make simulate SEED=\(found.seed) WITHOUT=\(mutation.check.rawValue)\(mutation.kind.argument)"
        )
      } else if most < mutation.seeds {
        say("\(name) not in \(most) seeds; may take \(mutation.seeds) (\(seconds))")
      } else {
        say("\(name) NOT FOUND in \(mutation.seeds) seeds (\(seconds))")
        missed += mutation.isDemanded ? 1 : 0
      }
    }
    guard missed == 0 else {
      say("\(missed) were not found: the simulator is blind there")
      throw ExitCode.failure
    }
  }
}

extension Mutations {
  /// Looks in ever larger portions, since most are found by a few seeds.
  private func seed(finding mutation: Mutation) throws -> (seed: UInt64, violation: Violation)? {
    var first: UInt64 = 1
    var count: UInt64 = 20
    let seeds = min(mutation.seeds, most)
    while first <= seeds {
      let portion = min(count, seeds - first + 1)
      let result = try Workers(jobs: jobs).run(
        first: first, count: portion, omitting: mutation.check, kind: mutation.kind)
      let shown = result.violations.filter { mutation.isShown(by: $0.violation) }
      if let found = shown.min(by: { $0.seed < $1.seed }) {
        // It must be the check that makes the difference.
        let whole = try Workers(jobs: 1).run(first: found.seed, count: 1, kind: mutation.kind)
        if let other = whole.violations.first?.violation {
          throw StoreError(.invalid, "seed \(found.seed) fails with no check left out: \(other)")
        }
        return found
      }
      first += portion
      count *= 3
    }
    return nil
  }
}

struct List: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Prints each check that is left out, in what kind of run, and what must be found.")

  func run() {
    for mutation in Mutation.all {
      let name = mutation.check.rawValue.padding(toLength: 28, withPad: " ", startingAt: 0)
      let kind = mutation.kind.rawValue.padding(toLength: 8, withPad: " ", startingAt: 0)
      say("\(name)\(kind)\(mutation.signs.map(\.rawValue).sorted().joined(separator: ", "))")
    }
  }
}

struct Replay: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Runs one seed and prints what happens in it.")

  @Argument var seed: UInt64
  @Option(help: "A check to leave out.") var without: String?
  @Option(help: "system, log or journal.", transform: Simulation.Kind.named)
  var kind = Simulation.Kind.system

  func run() throws {
    try Determinism.ensure()
    let simulation = try Simulation(omitting: without)
    let violation = simulation.run(kind, seed: seed) { print($0) }.violation
    print(violation.map { "seed \(seed): \($0)" } ?? "seed \(seed): no promise was broken")
    if violation != nil { throw ExitCode.failure }
  }
}

struct Play: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Plays a scenario and prints what happens in it.")

  @Argument(help: "A file of Tests/SimulatorTests/Scenarios.") var file: String
  @Option(help: "A check to leave out.", transform: SafetyCheck.named) var without: SafetyCheck?

  func run() throws {
    let scenario = try Scenario(String(contentsOfFile: file, encoding: .utf8), name: file)
    let run = ScenarioRun(scenario, omitting: Set([without].compactMap { $0 })) { print($0) }
    let violation = run.run()
    if without == nil { run.deviations.forEach { print($0) } }
    print(violation.map(\.description) ?? "no promise was broken")
    if violation != nil || without == nil && !run.deviations.isEmpty { throw ExitCode.failure }
  }
}

/// What `Workers` starts: every `step`th seed from `first` on, a line for each violation.
struct Worker: ParsableCommand {
  static let configuration = CommandConfiguration(shouldDisplay: false)

  @Option var first: UInt64
  @Option var step: UInt64
  @Option var last: UInt64
  @Option var without: String?
  @Option(transform: Simulation.Kind.named) var kind = Simulation.Kind.system

  /// Of one seed; usual are hundredths.
  private static let mostSeconds: UInt32 = 600

  func run() throws {
    try Determinism.ensure()
    let simulation = try Simulation(omitting: without)
    var total = World.Statistics()
    var count = 0
    for seed in stride(from: first, through: last, by: Int(step)) {
      // Known where this process ends by itself, or is ended because it hangs.
      say("run \(seed)")
      alarm(Worker.mostSeconds)
      let (violation, statistics) = simulation.run(kind, seed: seed)
      total = total + statistics
      count += 1
      if let violation {
        let line = violation.what.replacingOccurrences(of: "\n", with: " / ")
        FileHandle.standardOutput.write(
          Data("violation \(seed) \(violation.kind.rawValue) \(line)\n".utf8))
      }
    }
    FileHandle.standardOutput.write(
      Data(
        "done \(count) \(total.numbers.map(String.init).joined(separator: " "))\n"
          .utf8))
  }
}

extension Simulation.Kind {
  /// Of `make simulate`.
  var argument: String { self == .system ? "" : " KIND=\(rawValue)" }

  static func named(_ name: String) throws -> Simulation.Kind {
    guard let kind = Simulation.Kind(rawValue: name) else {
      throw ValidationError("there is no kind \(name): system, log and journal")
    }
    return kind
  }
}

extension SafetyCheck {
  fileprivate static func named(_ name: String) throws -> SafetyCheck {
    guard let check = SafetyCheck(rawValue: name) else {
      throw ValidationError("there is no check '\(name)'")
    }
    return check
  }
}

/// A line of output, at once.
func say(_ text: String) { FileHandle.standardOutput.write(Data((text + "\n").utf8)) }
