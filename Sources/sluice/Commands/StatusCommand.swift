import ArgumentParser
import SluiceShared

struct StatusCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status",
    abstract: "Say how a store is doing.",
    discussion: """
        sluice status STORE
        sluice status STORE --json
        sluice status STORE --wait-until led --timeout 60

      applier: active (it made a beat within 10 seconds, or within two and a half times \
      the pause that it announced), silent (it did not, and did not say good-bye \
      either), released (it stopped in order) or none (there never was one). backlog: batches that are \
      durable and not applied yet, as the applier says or, where none is active, counted in the \
      journal. kept: the oldest state that can be read, what it all takes, how much the applier keeps, \
      and, as next, when it will begin later. quarantined: journal segments with damage in STORE/journal/quarantine. \
      lease: who elects the applier.

      EXIT CODE  For a health check: 0 where nothing is wrong, also where nobody leads and nothing waits; 69 \
      where the applier is silent, or nobody leads and batches wait; 75 where one leads and a batch waits \
      for more than a minute; 76 where segments are in quarantine or ignored. A line on standard error says \
      which.

      --wait-until led waits until an applier leads, --wait-until applied until everything is applied that \
      was in the journal when the command began (it reads the journal, as the applier's user can); where \
      that is not so within --timeout it ends with 69.

      --json prints one object, on one line:

        {"store": "…", "lease": "file", "txid": 12,
         "applier": {"holder": "…", "term": 3, "state": "active",
                     "beatAge_ms": 140},
         "backlog": {"batches": 0, "bytes": 0, "oldest_ms": 0,
                     "isEstimate": false},
         "checkpoint": {"txid": 10, "bytes": 40960, "age_s": 5},
         "log": {"segments": 2, "bytes": 8388608, "oldestTxid": 1},
         "kept": {"txid": 0, "time": "…", "bytes": 8429568,
                  "checkpoints": 2, "keep": "7d", "keepCheckpoints": 8},
         "writers": 8, "rejected": 0, "quarantined": 0,
         "ignored": 0, "missing": 0,
         "hints": {"address": "127.0.0.1:38214", "received": 9,
                   "useful": 3, "sent": 12}}
      """)

  @OptionGroup var place: StoreArgument

  @Flag(help: "Print a JSON object.")
  var json = false

  @Option(help: ArgumentHelp("Wait before.", valueName: "applied|led"))
  var waitUntil: StatusWait?

  @Option(
    help: ArgumentHelp("With --wait-until: how long to wait, in seconds; 30.", valueName: "S"))
  var timeout: Seconds?

  func validate() throws {
    if timeout != nil, waitUntil == nil {
      throw ValidationError("--timeout goes with --wait-until")
    }
  }

  func run() throws {
    let environment = Environment.posix()
    try waitUntil?.wait(
      place.store, atMost: timeout?.duration ?? .seconds(30), environment)
    let status = try StoreStatus.read(place.store, environment)
    var output = OutputFile()
    try output.write(json ? status.json + "\n" : status.text)
    try output.flush()
    if status.backlog.isEstimate, status.backlog.denied > 0 {
      Sluice.warn(
        "note: \(status.backlog.denied) files in the journal cannot be read by this user, and what waits in them is not counted; run this as the store's user"
      )
    }
    if let wrong = Health(status) {
      Sluice.warn(wrong.message)
      throw wrong.code
    }
  }
}
