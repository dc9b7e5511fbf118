import ArgumentParser
import BenchmarkSupport
import SluiceJournal
import SluiceQuery
import SluiceReader
import SluiceShared
import SluiceWriter

/// A busy worker: submits hundreds of small batches at a time, and keeps thousands of them waiting, until it
/// is told to end or its host dies.
///
/// Its diary has a line `durable N` when the batches up to number N are; at the very end `end`.
struct FloodRole: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "flood")

  @Argument var store: String
  @Argument(help: "The worker's name in the table of floods.") var name: String
  @Argument var diary: String
  @Option(help: "Batches submitted at once.") var atOnce: Int64 = 400
  @Option(help: "Batches that are to wait.") var waiting: Int64 = 3000

  func run() throws {
    let termination = TerminationRequest()
    let diary = try Diary(diary)
    let writer = try Writer(store: store)
    let database = try Database(path: store)
    var next: Int64 = 1
    while !termination.isPending {
      let applied = try database.read(.maxStaleness(.milliseconds(200))) {
        try $0.scalar("SELECT number FROM floods WHERE worker = ?", [.text(name)])
      }
      if next - 1 - (applied?.integer ?? 0) >= waiting {
        SystemClock().sleep(.milliseconds(20))
        continue
      }
      let batches = (next..<next + atOnce).map { Workload.flood(name, $0) }
      for result in writer.submitBlocking(batches) { _ = try result.get() }
      next += atOnce
      diary.add("durable \(next - 1)", sync: true)
    }
    writer.closeBlocking()
    diary.add("end", sync: true)
  }
}
