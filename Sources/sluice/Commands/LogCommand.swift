import ArgumentParser
import SluiceApplier
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
        sluice log STORE --rows --json

      --rows adds to each object, as "changed", the rows that the batch inserted, updated (before and \
      after) and deleted, in their order, by triggers too: {"op": "update", "table": "item", "rowid": 1, \
      "old": {…}, "new": {…}}. For that the batches are executed again, in this process and with this \
      user's rights. Of an interactive transaction the states before and behind it are compared: each row \
      is told once, by tables and rowids. Of virtual tables, and of DROP TABLE, no rows are told. \
      "changed" is null where rows cannot be told, and "untold" says why: the state before the batch is \
      not kept any more; there are too many rows ("leftOut" says how many); a transaction's pages are not \
      as SQLite makes them; this SQLite does not say for certain what a value is; or the commit, executed \
      again, comes to something else than the record. The feed goes on behind it.

      Batches that are older than what is kept are named on standard error, and with --json by an object \
      {"gone": {"from": 1, "to": 99}, "time": "…"} in their place; then comes what is there.

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

  @Flag(help: "With --json: add the rows that each batch changed.")
  var rows = false

  func validate() throws {
    guard json || !rows else {
      throw ValidationError("--rows goes with --json: what a row was is told as an object")
    }
  }

  func run() throws {
    let environment = Environment.posix()
    let first = TxID(from ?? 1)
    let printer = Printer(json: json)
    if rows {
      let feed = try RowFeed(path: place.store, from: first, environment: environment)
      try run(printer, environment, at: { feed.txid }) {
        try feed.advance(onGap: printer.tell) { try printer.print(LogLine($0.batch, changes: $0)) }
      }
    } else {
      let feed = try ChangeFeed(path: place.store, from: first, environment: environment)
      try run(printer, environment, at: { feed.txid }) {
        try feed.advance(onGap: printer.tell) { try printer.print(LogLine($0)) }
      }
    }
  }

  /// Prints what `advance` passes, and goes on with what comes if that is wished.
  private func run(
    _ printer: Printer, _ environment: Environment, at txid: () -> TxID,
    _ advance: () throws -> Void
  ) throws {
    let news = follow ? try NewsWait(path: place.store, environment: environment) : nil
    repeat {
      do { try advance() } catch is Gone { return }
      try printer.flush()
      news?.wait(behind: txid(), shouldStop: { !printer.hasReader })
    } while follow && printer.hasReader
  }

  /// Nobody reads what is printed any more.
  private struct Gone: Error {}

  private final class Printer {
    private let json: Bool
    private var output = OutputFile()
    var hasReader: Bool { output.hasReader }

    init(json: Bool) { self.json = json }

    func print(_ line: LogLine) throws {
      try output.write((json ? line.json : line.text) + "\n")
      guard output.hasReader else { throw Gone() }
    }

    func tell(_ gap: ChangeFeed.Gap) throws {
      // A consumer of objects must know that some are missing; who reads a terminal, too.
      if json { try output.write(gap.json + "\n") }
      try output.flush()
      Sluice.warn(gap.text)
    }

    func flush() throws { try output.flush() }
  }
}

extension ChangeFeed.Gap {
  fileprivate var text: String {
    "batches \(batches.lowerBound) to \(batches.upperBound), the last of \(timestamp(time_ms)), are not kept any more"
  }

  fileprivate var json: String {
    var gone = JSONObject()
    gone.add("from", batches.lowerBound.rawValue)
    gone.add("to", batches.upperBound.rawValue)
    var line = JSONObject()
    line.add("gone", gone)
    line.add("time", timestamp(time_ms))
    return line.text
  }
}
