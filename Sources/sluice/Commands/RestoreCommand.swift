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
        sluice restore STORE --into warm.sqlite --follow

      --follow keeps the file as the database is, until SIGTERM or SIGINT: each state is made beside the \
      file, proven, and renamed over it. Open it anew (mode=ro, immutable=1) to see the next one. A mark \
      beside it, FILE.copy, says whose copy it is: with that the same command goes on with the file that \
      is there.

      It prints the last batch in the file, and the file. A store is made of it by `sluice init \
      STORE --from FILE`.
      """)

  @OptionGroup var place: StoreArgument

  @Option(help: ArgumentHelp("The file to make.", valueName: "FILE"), completion: .file())
  var into: String

  @OptionGroup var point: PointOptions

  @Flag(help: "Keep the file up to date, until this is stopped.")
  var follow = false

  private static let pause = Duration.milliseconds(50)

  func validate() throws {
    guard !follow || point.point == nil else {
      throw ValidationError("--follow goes with the present, and not with --txid or --at")
    }
  }

  func run() throws {
    let environment = Environment.posix()
    guard !follow else { return try keepUp(environment) }
    StopSignal.unblock()
    let store = try PageStore(path: place.store, environment: environment)
    var progress = ProgressLine("restoring", total: 0, environment.clock)
    var total: Int64 = 0
    let snapshot = try Restoration.write(
      point.point.map { .asOf($0) } ?? .latest, of: store, to: into, environment,
      note: { Sluice.warn("\($0); the file is made from an older checkpoint") },
      begins: { total = 2 * $0.byteCount }
    ) { written, proven in
      progress.show(written + proven, of: total)
    }
    progress.end()
    point.tell(snapshot.txid)
    var output = OutputFile()
    try output.write("\(snapshot.txid) \(into)\n")
    try output.flush()
  }
  private func keepUp(_ environment: Environment) throws {
    StopSignal.install()
    let copy = try WarmCopy(of: place.store, at: into, environment)
    let news = try NewsWait(path: place.store, environment: environment)
    var newest = TxID.zero
    var output = OutputFile()
    while !StopSignal.wasReceived {
      var progress = ProgressLine("restoring", total: 0, environment.clock)
      let began = environment.clock.elapsed()
      let made = try copy.update(
        shouldStop: { StopSignal.wasReceived },
        onProgress: { done, total in progress.show(done, of: total) })
      progress.end()
      if let made {
        newest = made
        try output.write("\(made) \(into)\n")
        try output.flush()
      }
      // Half of the time at most goes into copying.
      rest(environment.clock.elapsed() - began, environment.clock)
      news.wait(behind: newest, shouldStop: { StopSignal.wasReceived })
    }
  }

  private func rest(_ time: Duration, _ clock: any Clock) {
    let end = clock.elapsed() + time
    while !StopSignal.wasReceived, clock.elapsed() < end {
      clock.sleep(min(Self.pause, end - clock.elapsed()))
    }
  }
}
