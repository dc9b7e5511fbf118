import ArgumentParser
import SluiceApplier
import SluiceJournal
import SluiceShared

struct ReplayCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "replay",
    abstract: "Execute the recorded batches again, and compare.",
    discussion: """
      From a checkpoint on, every batch of the history is executed again into a plain SQLite file, as \
      it was the first time: in the same commits, with the recorded time and random numbers. Each \
      outcome must be the recorded one. The database must have the recorded checksum after each \
      commit; where SQLite made other pages, the content of all tables is compared, at each checkpoint \
      and at the end. It stops at the first difference and names it. The file gets its name when all \
      was equal, and nothing is overwritten.

        sluice replay STORE --into again.sqlite
        sluice replay STORE --into again.sqlite --from 1200 --txid 1500
        sluice replay --log ARCHIVE --into again.sqlite

      --log takes log segments that were copied elsewhere, in place of a store: from a checkpoint beside \
      them (its .sqlite and its .pages), or from the first segment of a store that began empty. A copy of \
      store.json beside them says whether foreign keys are enforced.

      Batches are executed in this process and with this user's rights. It prints the last batch, and \
      the file. Needs the right to read the store.
      """)

  @Argument(help: "The store's directory.", completion: .directory)
  var store: String?

  @Option(
    help: ArgumentHelp("A directory with log segments, in place of a store.", valueName: "DIR"),
    completion: .directory)
  var log: String?

  @Option(help: ArgumentHelp("The file to make.", valueName: "FILE"), completion: .file())
  var into: String

  @Option(
    help: ArgumentHelp(
      "The checkpoint to begin with; without it, the oldest.", valueName: "TXID"))
  var from: UInt64?

  @OptionGroup var point: PointOptions

  @Flag(help: "With --log and no store.json beside it: foreign keys were not enforced.")
  var noForeignKeys = false

  func validate() throws {
    guard (store == nil) != (log == nil) else {
      throw ValidationError("give a store, or --log with a directory of log segments")
    }
    guard log != nil || !noForeignKeys else {
      throw ValidationError("--no-foreign-keys goes with --log; of a store, store.json says it")
    }
    try Path.check(store, "the store's directory")
    try Path.check(log, "the directory of the log segments")
    try Path.check(into, "the file to make")
  }

  func run() throws {
    let environment = Environment.posix()
    var progress = ProgressLine("replaying", total: 0, environment.clock)
    let first = from.map { TxID($0) }
    func note(_ text: String) { Sluice.warn(text) }
    func show(_ done: Int64, of total: Int64) { progress.show(done, of: total) }
    let summary =
      if let log {
        try Replay.run(
          RecordedHistory(archive: log, foreignKeys: !noForeignKeys, environment), into: into,
          from: first, to: point.point, note: note, onProgress: show)
      } else {
        try Replay.run(
          store: store ?? "", into: into, from: first, to: point.point, environment, note: note,
          onProgress: show)
      }
    progress.end()
    point.tell(summary.last)
    if summary.takenPages > 0 {
      Sluice.warn(
        "the pages of \(summary.takenPages) interactive transactions were taken as recorded; what made them is not known"
      )
    }
    if summary.samePages < summary.commits {
      Sluice.warn(
        "\(summary.commits - summary.samePages) of \(summary.commits) commits made other pages than recorded; the content of all tables was compared \(summary.comparedContents.count) times and is the same"
      )
    }
    var output = OutputFile()
    try output.write("\(summary.last) \(into)\n")
    try output.flush()
  }
}
