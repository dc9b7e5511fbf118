import ArgumentParser
import BenchmarkSupport
import SluiceJournal
import SluiceShared
import SluiceWriter

/// So many commits: each batch is submitted when the one before it is applied.
struct CommitLoad: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "commits")

  @Argument var store: String
  @Argument var count: Int
  @Option(help: "Writers that keep a segment in the journal and submit nothing meanwhile.")
  var idleWriters = 0
  @Option(help: "Seconds between two of them.") var pause = 0.0
  @Flag(help: "Say of each how many milliseconds it took.") var tells = false
  @Option(help: "Stay so many seconds after the last commit.") var linger = 0.0

  func run() throws {
    let batch = Batch([Batch.Statement("UPDATE accounts SET balance = balance WHERE id = 1")])
    var writers: [Writer] = []
    for _ in 0...idleWriters {
      let writer = try Writer(store: store)
      _ = try writer.outcomeBlocking(of: writer.submitBlocking(batch), timeout: .seconds(30))
      writers.append(writer)
    }
    // Those who count need to know when it begins.
    say("begin")
    for _ in 0..<count {
      let began = SystemClock().elapsed()
      let receipt = try writers[0].submitBlocking(batch)
      _ = try writers[0].outcomeBlocking(of: receipt, timeout: .seconds(30))
      if tells { say("took \((SystemClock().elapsed() - began).wholeMilliseconds)") }
      SystemClock().sleep(.seconds(pause))
    }
    say("done")
    SystemClock().sleep(.seconds(linger))
    for writer in writers { writer.closeBlocking() }
  }
}
