import ArgumentParser
import SluiceJournal
import SluiceReader
import SluiceShared

struct ResubmitCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "resubmit",
    abstract: "Submit a rejected batch, or what a quarantined segment holds, again as it was.",
    discussion: """
      What made a batch fail is to be mended first: a missing table, a row that was in the way. It \
      goes in as a new one, behind all that was applied since, with its statements, parameters and \
      guards as they were. Run again with the same key it is applied once in 24 hours.

        sluice resubmit STORE 12 --id order-4711-again
        sluice resubmit STORE 01a2231d-1b92-735c-8ca9-275b15ae92c4.00000003.seg

      A rejected batch is then off the list of `sluice rejected`; if it is rejected again, the new one is on \
      it. Prints what `sluice submit` prints, with the same exit codes.

      Of a quarantined segment all batches that can be read and have no outcome are submitted, in their order, \
      each under its own key, or under one that is made of its name: the command may be run again. What is \
      damaged is named (its place and numbers) and left, and so are interactive transactions. The log must go back \
      to a day before the segment was written. A batch without a key that may still come from its writer, which \
      writes the last frame again for up to a day, waits for that (exit code 75), unless --writer-ended says that the \
      process lives no more. The segment stays where it is until `sluice discard`. With --json the first object has \
      "segment", "executed", "submittedAgain" and "toSubmit"; each other one "sequence", and what is not submitted \
      "status" ("damaged", "undecodable", "transaction" or "mayCome"), "path", "offset" and, of several, "through" \
      (null: nobody knows).
      """)

  @OptionGroup var place: StoreArgument

  @Argument(
    help: ArgumentHelp(
      "The rejected batch, or a file in journal/quarantine.", valueName: "TXID|SEGMENT"))
  var what: String

  @Option(help: ArgumentHelp("The new key of a rejected batch.", valueName: "KEY"))
  var id: String?

  @Flag(help: "Of a segment: the process that wrote it has ended.")
  var writerEnded = false

  @Option(help: "Wait until it is applied, or only until it is durable.")
  var wait = SubmitCommand.Wait.applied

  @Option(help: ArgumentHelp("How long to wait for the outcome, in seconds.", valueName: "S"))
  var timeout = Seconds(30)

  @Flag(help: "Print a JSON object.")
  var json = false

  func run() throws {
    let name = what.split(separator: "/").last.map { "\($0)" } ?? what
    if let number = UInt64(what) {
      guard let id else { throw ValidationError("a batch needs a new key: --id KEY") }
      guard !writerEnded else { throw ValidationError("--writer-ended goes with a segment") }
      try resubmit(TxID(number), as: id)
    } else if let segment = StoreLayout.journalSegment(name) {
      guard id == nil else {
        throw ValidationError("the batches of a segment have keys of their own; leave out --id")
      }
      try resubmit(segment)
    } else {
      throw ValidationError(
        "\(what) is neither a TxID nor the name of a file in journal/quarantine")
    }
  }

  private var submission: Submission {
    Submission(store: place.store, waitsForOutcome: wait == .applied, timeout: timeout)
  }

  // MARK: a segment

  private func resubmit(_ id: JournalSegmentID) throws {
    let layout = StoreLayout(place.store)
    guard try PosixFileSystem().list(layout.quarantine).contains(StoreLayout.journalName(id))
    else {
      throw StoreError(
        .noSuchStore, "there is no such segment in quarantine; see `sluice rejected`",
        path: layout.quarantine)
    }
    let plan = try SegmentResubmission(id, layout, writerEnded: writerEnded)
    var printer = ReportPrinter(json: json)
    // Told before anything is done.
    try printer.tell(plan.text, plan.json)
    for left in plan.left {
      try printer.tell(left.text(in: plan.segment.path), left.json(in: plan.segment.path))
    }
    if plan.toSubmit > 0, let batches = try plan.batches() {
      try submission.submitAll(batches, &printer)
    }
    if let awaited = plan.awaited {
      throw StoreError(
        .busy,
        "batch \(awaited) and those behind it were not submitted: their writer, where it lives, may write them again until \(timestamp(plan.mayComeUntil_ms)); run this again then, or with --writer-ended where its process has ended",
        path: plan.segment.path)
    }
    if printer.sawRejection { throw ExitCode.batchRejected }
  }

  // MARK: a rejected batch

  private func resubmit(_ txid: TxID, as id: String) throws {
    let layout = StoreLayout(place.store)
    let handled = HandledBatches(layout, PosixFileSystem())
    if let deed = try handled.deed(txid) { try expect(deed, txid, id) }
    var batch = try Self.rejected(txid, in: place.store)
    guard batch.key != id else {
      throw StoreError(
        .invalid, "the rejection has used up the key \(id); give the batch a new one")
    }
    batch.key = id
    // Before it is submitted: cut off behind that, it would be submitted under any key again.
    if let deed = try recorded(handled, txid, id) { try expect(deed, txid, id) }
    var printer = ReportPrinter(json: json)
    try submission.submitOnce(
      InputBatch(batch: batch, input: "batch \(txid)", line: 1, isFromFile: false), &printer)
    if printer.sawRejection { throw ExitCode.batchRejected }
  }

  /// What holds of it then; nil where that cannot be recorded.
  private func recorded(
    _ handled: HandledBatches, _ txid: TxID, _ id: String
  ) throws(StoreError) -> HandledBatches.Deed? {
    do throws(StoreError) {
      return try handled.record(.resubmitted(id), of: txid, nonce: Environment.posix().random())
    } catch {
      guard error.code != .damaged else { throw error }
      Sluice.warn("\(error); it stays on the list of `sluice rejected`")
      return nil
    }
  }

  /// Throws where it was resubmitted under another key: before, or by somebody else just now.
  private func expect(_ deed: HandledBatches.Deed, _ txid: TxID, _ id: String) throws(StoreError) {
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
