import ArgumentParser
import BenchmarkSupport
import SluiceShared

/// Holds what the writers were told and the readers saw against what is in the store at the end.
///
/// Prints a line for each broken promise and ends with 1, or one line of counts.
struct VerifyRole: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "verify")

  @Argument(help: "The diaries of all who took part, NAME.submitter, .writer, .asker or .reader.")
  var diaries: [String]
  @Option(help: "The store, to be read with Sluice.") var store: String?
  @Option(help: "What somebody else found in it, as `sqlite3` prints rows.") var rows: String?
  @Option(help: "The beginning of the names of those who did not live to the end.")
  var dead: String?

  func run() throws {
    var verdict = Verdict()
    for path in diaries {
      let file = (path.split(separator: "/").last ?? "").split(separator: ".")
      guard file.count == 2, let part = Verdict.Part(rawValue: String(file[1])) else {
        throw ValidationError("\(path) is no diary")
      }
      let name = String(file[0])
      // Who never began has none, and made nothing durable, or read nothing.
      let lines = (try? readLines(path)) ?? []
      verdict.hear(
        name, part, lines, lived: dead.map { !name.hasPrefix($0) } ?? true)
    }
    verdict.checkReads()
    if let store { verdict.check(try Findings(store: store), by: "the store") }
    if let rows { verdict.check(try Findings(readLines(rows)), by: "plain sqlite3") }
    for violation in verdict.violations.prefix(20) { say("BROKEN \(violation)") }
    if verdict.violations.count > 20 { say("BROKEN … and \(verdict.violations.count - 20) more") }
    say(
      "\(verdict.durable) durable batches, \(verdict.absent) not submitted, \(verdict.unknown) unknown; \(verdict.outcomes) outcomes, \(verdict.seen) queries, \(verdict.reads.count) reads"
    )
    if !verdict.violations.isEmpty { throw ExitCode.failure }
  }

  func validate() throws {
    guard store != nil || rows != nil else { throw ValidationError("--store or --rows is needed") }
  }
}
