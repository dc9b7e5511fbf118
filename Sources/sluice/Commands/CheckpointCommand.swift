import ArgumentParser
import SluiceApplier
import SluiceJournal
import SluiceReader
import SluiceShared

struct CheckpointCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "checkpoint",
    abstract: "Make a plain SQLite file of the database as it is now.",
    discussion: """
      Appliers make checkpoints by themselves; this makes one at once, in this process, beside \
      everything else. It prints the TxID and the file, and STORE/current.sqlite then leads to it \
      for any SQLite tool, opened as immutable:

        sluice checkpoint STORE
        sqlite3 'file:STORE/current.sqlite?mode=ro&immutable=1' .schema

      Needs the right to write the store, as an applier has.
      """)

  @OptionGroup var place: StoreArgument

  func run() throws {
    let environment = Environment.posix()
    let store = try PageStore(path: place.store, environment: environment)
    let snapshot = try store.published(.latest)
    try Checkpoint(of: store.handle).make(of: snapshot)
    var output = OutputFile()
    try output.write(
      "\(snapshot.txid) \(store.layout.database(of: snapshot.txid))\n")
    try output.flush()
  }
}
