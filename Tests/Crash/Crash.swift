import ArgumentParser
import BenchmarkSupport
import Glibc
import SluiceFakes
import SluiceShared

/// What `make crash` runs: rounds of real processes on a real disk in which some die, at named
/// points or any time, and after each round a look at every promise.
@main
struct Crash: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sluice-crash",
    abstract: "Kills writers and appliers, lets power fail, and checks that nothing is lost.",
    subcommands: [
      Run.self, ApplierRole.self, WorkerRole.self, ReaderRole.self, CreatorRole.self,
      BackupRole.self,
    ],
    defaultSubcommand: Run.self)
}

struct Run: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run", abstract: "Plays rounds and reports (the default).")

  @Option(help: "How many rounds.")
  var rounds = 2000
  @Option(help: "Of the first store; each further one has the next. Random unless given.")
  var seed: UInt64?
  @Option(help: "Rounds of one store.")
  var age = 12
  @Option(help: "Whether power fails at the end of a round: both, plain or lossy.")
  var layer = Layer.both
  @Option(help: "Only rounds of this kind.")
  var only: RoundPlan.Kind?
  @Option(help: "Only deaths of a role at a point, such as worker:before-sync:journal-frame.")
  var at: Target?
  @Option(help: "Where the stores are made; on a disk, not in memory.")
  var directory = ".build/crash"
  @Option(help: "Break something, to see that it is found.")
  var sabotage: Sabotage?

  enum Layer: String, ExpressibleByArgument { case both, plain, lossy }

  /// Rounds of every kind, with nothing broken on purpose.
  var isComplete: Bool { only == nil && at == nil && sabotage == nil }

  func validate() throws {
    guard rounds > 0, age > 0 else { throw ValidationError("at least one round") }
  }

  func run() throws {
    let report = try Campaign(self).play()
    for line in report.lines { say(line) }
    guard report.violations.isEmpty else { throw ExitCode.failure }
  }
}
