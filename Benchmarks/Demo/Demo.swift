import ArgumentParser
import BenchmarkSupport
import Glibc
import SluiceShared

/// What `make run` runs: the whole path with real processes, one of them killed, and a verdict.
@main
struct Demo: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sluice-demo",
    abstract:
      "Workers write, two appliers apply, readers read; one applier is killed; all is verified.",
    subcommands: [Run.self, Worker.self, Observer.self], defaultSubcommand: Run.self)
}

struct Run: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run", abstract: "Runs everything and reports (the default).")

  @Option(help: "For how long the workers submit.")
  var seconds = 10.0
  @Option(help: "Worker processes.")
  var workers = 8
  @Option(help: "Reader processes.")
  var readers = 2
  @Option(help: "The mean pause of a worker between two batches, in milliseconds.")
  var pause = 4.0
  @Option(help: "Where the store's directory is made (default: $TMPDIR, else /tmp).")
  var directory: String?
  @Flag(help: "Keep the directory.")
  var keep = false
  @Option(
    help: ArgumentHelp(
      "Break something, to see that it is noticed.",
      valueName: Sabotage.allCases.map(\.rawValue).joined(separator: "|")))
  var sabotage: Sabotage?

  func validate() throws {
    guard seconds >= 3, workers >= 1, readers >= 1, pause >= 0 else {
      throw ValidationError("at least 3 seconds, a worker and a reader, and no negative pause")
    }
  }

  func run() throws {
    let work = try WorkDirectory(in: directory ?? WorkDirectory.temporary, prefix: "sluice-demo")
    work.isKept = keep
    say(
      "\(workers) workers write for \(fixed(seconds, 0)) s, \(readers) readers read, 2 appliers; the store is in \(work.path)\n"
    )
    let report: Report
    do {
      report = try Stage(self, work).play()
    } catch {
      work.isKept = true
      say("FAILED: \(error)\nWhat the processes said is in \(work.path).")
      throw ExitCode.failure
    }
    say(report.text)
    guard report.violations.isEmpty else {
      work.isKept = true
      say("The store and what the processes said is in \(work.path).")
      throw ExitCode.failure
    }
  }
}

/// Ways to break a promise: each must end in a failure.
enum Sabotage: String, CaseIterable, ExpressibleByArgument {
  /// One applied transfer is taken out of the database that is verified.
  case lost
  /// One event is put into it a second time.
  case twice
  /// A batch makes money from nothing while the readers look.
  case money
}
