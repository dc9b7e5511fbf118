import ArgumentParser
import SluiceJournal
import SluiceReader
import SluiceShared

struct ResubmitCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "resubmit",
    abstract: "Submit a rejected batch again, as it was, under a new key.",
    discussion: """
      What made it fail is to be mended first: a missing table, a row that was in the way. The batch \
      goes in as a new one, behind all that was applied since, with its statements, parameters and \
      guards as they were. Run again with the same key it is applied once in 24 hours.

        sluice resubmit STORE 12 --id order-4711-again

      It is then off the list of `sluice rejected`; if it is rejected again, the new one is on it. \
      Prints what `sluice submit` prints, with the same exit codes.
      """)

  @OptionGroup var place: StoreArgument

  @Argument(help: ArgumentHelp("The rejected batch.", valueName: "TXID"))
  var txid: UInt64

  @Option(help: ArgumentHelp("The new key.", valueName: "KEY"))
  var id: String

  @Option(help: "Wait until it is applied, or only until it is durable.")
  var wait = SubmitCommand.Wait.applied

  @Option(help: ArgumentHelp("How long to wait for the outcome, in seconds.", valueName: "S"))
  var timeout = Seconds(30)

  @Flag(help: "Print a JSON object.")
  var json = false

  func run() throws {
    let txid = TxID(txid)
    let layout = StoreLayout(place.store)
    let handled = HandledBatches(layout, PosixFileSystem())
    if let deed = try handled.deed(txid) { try expect(deed, txid) }
    var batch = try Self.rejected(txid, in: place.store)
    guard batch.key != id else {
      throw StoreError(
        .invalid, "the rejection has used up the key \(id); give the batch a new one")
    }
    batch.key = id
    let submission = Submission(
      store: place.store, waitsForOutcome: wait == .applied, timeout: timeout)
    // Before it is submitted: cut off behind that, it would be submitted under any key again.
    if let deed = try recorded(handled, txid) { try expect(deed, txid) }
    var printer = ReportPrinter(json: json)
    try submission.submitOnce(
      InputBatch(batch: batch, input: "batch \(txid)", line: 1, isFromFile: false), &printer)
    if printer.sawRejection { throw ExitCode.batchRejected }
  }

  /// What holds of it then; nil where that cannot be recorded.
  private func recorded(_ handled: HandledBatches, _ txid: TxID) throws(StoreError)
    -> HandledBatches.Deed?
  {
    do throws(StoreError) {
      return try handled.record(.resubmitted(id), of: txid, nonce: Environment.posix().random())
    } catch {
      guard error.code != .damaged else { throw error }
      Sluice.warn("\(error); it stays on the list of `sluice rejected`")
      return nil
    }
  }

  /// Throws where it was resubmitted under another key: before, or by somebody else just now.
  private func expect(_ deed: HandledBatches.Deed, _ txid: TxID) throws(StoreError) {
    guard case .resubmitted(let key) = deed, key != id else { return }
    throw StoreError(
      .invalid,
      "batch \(txid) was resubmitted before, under the key \(key); see `sluice outcome \(place.store.quotedForShell) --id \(key.quotedForShell)`"
    )
  }

  private struct Found: Error {}

  /// A rejected batch as it was submitted, from the log.
  private static func rejected(_ txid: TxID, in store: String) throws -> Batch {
    let feed = try ChangeFeed(path: store, from: txid, environment: .posix())
    var entry: ChangeFeed.Entry?
    do {
      try feed.advance(onGap: { _ in
        throw StoreError(
          .snapshotExpired,
          "batch \(txid) is not kept any more, so nobody knows what it was to do; submit it as a new one",
          path: store)
      }) {
        entry = $0
        throw Found()
      }
    } catch is Found {}
    guard let entry, entry.txid == txid else {
      throw StoreError(.noSuchStore, "there is no batch \(txid)", path: store)
    }
    guard case .rejected = entry.outcome.outcome else {
      throw StoreError(
        .invalid,
        "batch \(txid) was not rejected; see `sluice outcome \(store.quotedForShell) --txid \(txid)`"
      )
    }
    guard let batch = entry.batch else {
      throw StoreError(.invalid, "batch \(txid) cannot be decoded, which is why it was rejected")
    }
    return batch
  }
}
