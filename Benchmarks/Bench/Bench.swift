import ArgumentParser
import BenchmarkSupport
import Glibc
import SluiceShared

/// What `make bench` runs: one table of ratios, each of two things measured side by side.
@main
struct Bench: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sluice-bench",
    abstract: "Speed, as ratios to bare files and plain SQLite on the same disk, in the same run.",
    subcommands: [
      Measure.self, ApplierRole.self, ExecuteRole.self, SubmittingRole.self, PlainWritingRole.self,
      BareWritingRole.self, EchoRole.self, SideRole.self,
    ],
    defaultSubcommand: Measure.self)
}

struct Measure: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "measure", abstract: "Measures and prints the table (the default).")

  @Option(help: "Measure this row only; may be given several times.")
  var only: [Int] = []
  @Option(help: "Rounds of each row; the table has their median.")
  var rounds = 5
  @Option(help: "Where files are made (default: where the executable is). Not in memory.")
  var directory: String?

  func validate() throws {
    guard rounds >= 1, only.allSatisfy({ (1...allRows.count).contains($0) }) else {
      throw ValidationError("at least one round, and rows from 1 to \(allRows.count)")
    }
  }

  func run() async throws {
    let executable = try ownExecutable()
    let parent = directory ?? BenchmarkSupport.directory(of: executable)
    let type = try fileSystemType(of: parent)
    guard type != "tmpfs", type != "ramfs" else {
      throw RunError("\(parent) is in memory (\(type)); give --directory on a disk")
    }
    let chosen = allRows.filter { only.isEmpty || only.contains($0.number) }
    say("Median of \(rounds) rounds, in which both sides take turns; files on \(type).\n")
    say(Table.head)
    for row in chosen {
      var measured: [Round] = []
      do {
        for _ in 0..<(row.isLong ? 1 : rounds) {
          let work = try WorkDirectory(in: parent, prefix: "sluice-bench")
          measured.append(try await row.measure(work))
        }
        say(Table.line(row, Result(measured)))
      } catch let skipped as Skipped {
        say(Table.line(row, skipped))
      }
    }
  }
}
