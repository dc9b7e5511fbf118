import ArgumentParser
import SluiceJournal
import SluiceReader
import SluiceShared

struct RestoreCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "restore",
    abstract: "Write the database, as it is or as it was, into a plain SQLite file.",
    discussion: """
      Takes pages from a checkpoint and the log behind it, proves the file with the checksum that the \
      log has of the whole database, and only then gives it its name. Nothing is overwritten, and \
      nothing in the store is changed: it needs the right to read there. The file is this user's alone \
      (chmod 644 it for others).

        sluice restore STORE --into copy.sqlite
        sluice restore STORE --into before.sqlite --txid 1199
        sluice restore STORE --into noon.sqlite --at 2026-11-22T12:00:00+01:00

      It prints the last batch in the file, and the file. A store is made of it by `sluice init \
      STORE --from FILE`.
      """)

  @OptionGroup var place: StoreArgument

  @Option(help: ArgumentHelp("The file to make.", valueName: "FILE"), completion: .file())
  var into: String

  @OptionGroup var point: PointOptions

  func run() throws {
    let environment = Environment.posix()
    let store = try PageStore(path: place.store, environment: environment)
    let snapshot = try store.snapshot(point.point.map { .asOf($0) } ?? .latest)
    point.tell(snapshot.txid)
    var progress = ProgressLine("restoring", total: 2 * snapshot.byteCount, environment.clock)
    try Restoration.write(snapshot, to: into, environment) { written, proven in
      progress.show(written + proven)
    }
    progress.end()
    var output = OutputFile()
    try output.write("\(snapshot.txid) \(into)\n")
    try output.flush()
  }
}
