import ArgumentParser
import SluiceJournal
import SluiceShared
import SluiceWriter

struct OutcomeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "outcome",
    abstract: "Say what became of a batch.",
    discussion: """
      By the key that it was submitted with, for 24 hours, or by its place in the order of all \
      batches, as long as the log reaches back. Prints what `sluice submit` prints, and ends with 65 \
      if the batch was rejected, with 66 if there is none: not applied yet, or forgotten.

        sluice outcome STORE --id order-4711
        sluice outcome STORE --txid 12 --json
      """)

  @OptionGroup var place: StoreArgument

  @Option(help: ArgumentHelp("The batch's idempotency key.", valueName: "KEY"))
  var id: String?

  @Option(help: ArgumentHelp("The batch's place in the order.", valueName: "N"))
  var txid: UInt64?

  @Flag(help: "Print a JSON object.")
  var json = false

  func validate() throws {
    guard (id == nil) != (txid == nil) else { throw ValidationError("give --id KEY or --txid N") }
    if txid == 0 { throw ValidationError("the first batch is --txid 1") }
  }

  func run() throws {
    var printer = ReportPrinter(json: json)
    if let id {
      try printer.print(try report(key: id))
    } else if let txid {
      try printer.print(try report(TxID(txid)))
    }
    if printer.sawRejection { throw ExitCode.batchRejected }
  }

  private func report(key: String) throws -> BatchReport {
    guard let known = try recordedOutcome(ofKey: key, store: place.store) else {
      throw StoreError(
        .noSuchStore,
        "no batch with key \(key) was applied or rejected within 24 hours; see `sluice status \(place.store)` for batches that wait",
        path: place.store)
    }
    return BatchReport(key: key, known)
  }

  private func report(_ txid: TxID) throws(StoreError) -> BatchReport {
    let environment = Environment.posix()
    let layout = StoreLayout(place.store)
    let description = try StoreDescription.read(layout, environment.fileSystem)
    let log = Log(
      of: StoreHandle(layout: layout, id: description.id, environment: environment))
    if let lost = description.lost(with: txid) {
      throw StoreError(
        .damaged,
        "batch \(txid) is lost: nothing of batches \(lost.lowerBound) and later was left when the store was repaired, and the history goes on behind batch \(lost.upperBound)",
        path: layout.root)
    }
    let present = try log.present()
    guard txid <= present.extent.txid else {
      throw StoreError(
        .noSuchStore, "there is no batch \(txid) yet, the last is \(present.extent.txid)",
        path: layout.root)
    }
    for span in try log.history(after: TxID(txid.rawValue - 1), upTo: present) {
      var cursor = LogCursor(span.segment, to: span.end, environment: environment)
      while let header = try cursor.next() {
        guard header.kind == .commit else { continue }
        let first = TxID(header.first)
        guard first <= txid, txid.rawValue - first.rawValue < UInt64(header.count) else { continue }
        let found = try cursor.outcomes(of: header)[Int(txid.rawValue - first.rawValue)]
        return BatchReport(
          key: found.key, AppliedOutcome(txid: txid, outcome: found.outcome))
      }
    }
    throw StoreError(
      .noSuchStore, "the log does not reach back to batch \(txid)", path: layout.log)
  }
}
