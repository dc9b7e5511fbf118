import ArgumentParser
import Glibc
import SluiceApplier

/// What `apply` starts as a child of its own, to execute batches in.
struct ExecuteCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "execute", abstract: "Execute batches for an applier; started by `apply` only.",
    shouldDisplay: false)

  @Argument(parsing: .allUnrecognized) var arguments: [String] = []

  func run() throws {
    throw ExitCode(WorkerServer.run(arguments))
  }
}
