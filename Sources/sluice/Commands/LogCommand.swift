import ArgumentParser
import SluiceJournal
import SluiceReader
import SluiceShared

struct LogCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "log",
    abstract: "Show the history, batch by batch.",
    discussion: """
      Every batch in its order, with what became of it. --json prints an object a line, with the \
      statements and their parameters as `submit --ndjson` reads them; without it a line has the \
      TxID, the time, the outcome and the beginning of the SQL. --follow goes on with what comes.

        sluice log STORE
        sluice log STORE --from 1200 --json
        sluice log STORE --follow --json | consumer

      A consumer that remembers the last TxID goes on with --from that and one, and misses nothing. \
      Needs the right to read the store's directory.
      """)

  @OptionGroup var place: StoreArgument

  @Option(
    help: ArgumentHelp(
      "The first batch to show; without it, batch 1.", valueName: "TXID"))
  var from: UInt64?

  @Flag(help: "Go on with what is published later, until this is stopped.")
  var follow = false

  @Flag(help: "Print a JSON object for each batch.")
  var json = false

  private static let pause = Duration.milliseconds(50)

  func run() throws {
    let environment = Environment.posix()
    let feed = try ChangeFeed(
      path: place.store, from: TxID(from ?? 1), environment: environment)
    var output = OutputFile()
    repeat {
      let before = feed.txid
      do {
        try feed.advance { entry in
          let line = LogLine(entry)
          try output.write((json ? line.json : line.text) + "\n")
          guard output.hasReader else { throw Gone() }
        }
      } catch is Gone { return }
      try output.flush()
      if follow, feed.txid == before { environment.clock.sleep(Self.pause) }
    } while follow && output.hasReader
  }

  /// Nobody reads what is printed any more.
  private struct Gone: Error {}
}
