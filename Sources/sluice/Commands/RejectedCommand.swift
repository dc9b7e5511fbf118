import ArgumentParser
import SluiceJournal
import SluiceQuery
import SluiceReader
import SluiceShared

struct RejectedCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rejected",
    abstract: "List rejected batches and quarantined segments that nobody has seen to.",
    discussion: """
      A line for each batch that was rejected: its TxID, the time, why, and its key; then one for each \
      file in journal/quarantine, with what is in it and was not executed. What was resubmitted or \
      discarded is left out, unless --all is given.

        sluice rejected STORE
        sluice log STORE --from 12 --json | head -1     (what batch 12 was to do)
        sluice resubmit STORE 12 --id order-4711-again
        sluice discard STORE 12
        sluice resubmit STORE SEGMENT                   (what of one can be read, and was not executed)

      Reading a quarantined segment needs the applier's rights.
      """)

  @OptionGroup var place: StoreArgument

  @Flag(help: "Also those that were resubmitted or discarded.")
  var all = false

  @Flag(help: "Print a JSON object for each.")
  var json = false

  func run() throws {
    let layout = StoreLayout(place.store)
    let fileSystem = PosixFileSystem()
    var output = OutputFile()
    let handled = try all ? [] : HandledBatches(layout, fileSystem).all()
    try Database(path: place.store).read(.latest) { transaction in
      for batch in try RejectedBatch.all(in: transaction) where !handled.contains(batch.txid) {
        try output.write((json ? batch.json : batch.text) + "\n")
      }
      for id in try fileSystem.list(layout.quarantine).compactMap(StoreLayout.journalSegment)
        .sorted()
      {
        let report: QuarantineReport
        do { report = try QuarantineReport(id, layout, transaction) } catch let error as StoreError
          where error.errno == 13
        {
          Sluice.warn("\(error)")
          continue
        }
        for line in json ? [report.json] : report.lines { try output.write(line + "\n") }
      }
    }
    try output.flush()
  }
}
