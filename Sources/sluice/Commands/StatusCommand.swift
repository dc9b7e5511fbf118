import ArgumentParser
import SluiceShared

struct StatusCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status",
    abstract: "Say how a store is doing.",
    discussion: """
        sluice status STORE
        sluice status STORE --json

      applier: active (it made a beat within 10 seconds), silent (it did not, and did not say good-bye \
      either), released (it stopped in order) or none (there never was one). backlog: batches that are \
      durable and not applied yet, as the applier says or, where none is active, counted in the \
      journal. quarantined: journal segments with damage in STORE/journal/quarantine.

      --json prints one object, on one line:

        {"store": "…", "txid": 12,
         "applier": {"holder": "…", "term": 3, "state": "active",
                     "beatAge_ms": 140},
         "backlog": {"batches": 0, "bytes": 0, "oldest_ms": 0},
         "checkpoint": {"txid": 10, "bytes": 40960, "age_s": 5},
         "log": {"segments": 2, "bytes": 8388608, "oldestTxid": 1},
         "writers": 8, "rejected": 0, "quarantined": 0}
      """)

  @OptionGroup var place: StoreArgument

  @Flag(help: "Print a JSON object.")
  var json = false

  func run() throws {
    let status = try StoreStatus.read(place.store, .posix())
    var output = OutputFile()
    try output.write(json ? status.json + "\n" : status.text)
    try output.flush()
  }
}
