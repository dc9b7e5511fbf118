import ArgumentParser
import SluiceApplier
import SluiceJournal
import SluiceQuery
import SluiceReader
import SluiceShared

struct DiscardCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "discard",
    abstract:
      "Take a rejected batch, or a quarantined segment, off the list of what is to be seen to.",
    discussion: """
      Of a rejected batch nothing is removed: its writer was told, and the rejection stays in the \
      database and the log. It is only left out of `sluice rejected`.

      A quarantined segment is moved to STORE/repaired/TIME, after all that is in it and was not \
      executed is printed. It is refused while its writer has files in the journal: their batches are \
      taken although some before them may be missing because it is there.

        sluice discard STORE 12
        sluice discard STORE 01a2231d-1b92-735c-8ca9-275b15ae92c4.00000003.seg

      Needs the right to write the store, as an applier has.
      """)

  @OptionGroup var place: StoreArgument

  @Argument(help: ArgumentHelp("What to discard.", valueName: "TXID|SEGMENT"))
  var what: String

  func run() throws {
    let layout = StoreLayout(place.store)
    let name = what.split(separator: "/").last.map { "\($0)" } ?? what
    if let number = UInt64(what) {
      try discard(TxID(number), layout)
    } else if let id = StoreLayout.journalSegment(name) {
      try discard(id, layout)
    } else {
      throw ValidationError(
        "\(what) is neither a TxID nor the name of a file in journal/quarantine")
    }
  }

  private func discard(_ txid: TxID, _ layout: StoreLayout) throws {
    let rows = try Database(path: place.store).read(.latest) {
      try RejectedBatch.all(in: $0, of: txid)
    }
    guard let batch = rows.first else {
      throw StoreError(
        .noSuchStore, "no batch \(txid) was rejected; see `sluice rejected`", path: layout.root)
    }
    _ = try HandledBatches(layout, PosixFileSystem())
      .record(.discarded, of: txid, nonce: Environment.posix().random())
    var output = OutputFile()
    try output.write("discarded \(batch.text)\n")
    try output.flush()
  }

  private func discard(_ id: JournalSegmentID, _ layout: StoreLayout) throws {
    let fileSystem = PosixFileSystem()
    guard try fileSystem.list(layout.quarantine).contains(StoreLayout.journalName(id)) else {
      throw StoreError(
        .noSuchStore, "there is no such segment in quarantine; see `sluice rejected`",
        path: layout.quarantine)
    }
    let report = try Database(path: place.store).read(.latest) {
      try QuarantineReport(id, layout, $0)
    }
    guard !report.hasSuccessors else {
      throw StoreError(
        .busy,
        "its writer has files in the journal, and what is in them is taken only while this is here; try again when they are applied and gone",
        path: report.segment.path)
    }
    var output = OutputFile()
    // Told before it is done.
    for line in report.lines { try output.write(line + "\n") }
    try output.flush()
    let directory = try DiscardedSegment.move(report.segment.path, layout)
    try output.write("moved to \(directory)\n")
    try output.flush()
  }
}
