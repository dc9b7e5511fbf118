import ArgumentParser
import SluiceJournal
import SluiceReader
import SluiceShared

struct CompactCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "compact",
    abstract: "Rewrite the database so that it has no free pages (VACUUM).",
    discussion: """
      Submits VACUUM as a batch by itself, waits until it is applied, and prints how large the database \
      was before and is now. Nothing else is applied meanwhile, and like any batch it has to be done \
      within the applier's --batch-time, and has at most 4 GiB and 1,048,576 pages; readers go on. It needs scratch space for twice the database. \
      What it frees is given back when a checkpoint is made of it and older ones are retired; until \
      then the store is larger by the whole database, once more.

        sluice compact STORE
        sluice compact STORE --auto-vacuum incremental
        sluice compact STORE --page-size 8192

      --auto-vacuum changes how the database gives free pages back, as PRAGMA auto_vacuum does: full \
      with each commit, incremental when a batch says PRAGMA incremental_vacuum, none never.

      --page-size changes the size of the database's pages: a power of two from 512 to 65536. Readers take \
      it up with their next transaction; an interactive transaction that began before is refused as \
      SQLITE_BUSY_SNAPSHOT. Every process that has the store open must be of a version that has this option.

      Statistics for SQLite's planner are made by a batch, too: sluice submit STORE ANALYZE.
      """)

  enum AutoVacuum: String, CaseIterable, ExpressibleByArgument { case none, full, incremental }

  @OptionGroup var place: StoreArgument

  @Option(help: "Change it to that as well.")
  var autoVacuum: AutoVacuum?

  @Option(
    help: ArgumentHelp("Change the page size to so many bytes as well.", valueName: "N"))
  var pageSize: Int?

  @Option(
    help: ArgumentHelp(
      "The batch's idempotency key; it is done once in 24 hours, however often it is submitted.",
      valueName: "KEY"))
  var id: String?

  @Option(
    help: ArgumentHelp("How long to wait until it is applied, in seconds.", valueName: "S"))
  var timeout = Seconds(300)

  @Flag(help: "Print a JSON object.")
  var json = false

  func validate() throws {
    guard let pageSize, !PageBatch.pageSizes.contains(pageSize) else { return }
    throw ValidationError(
      "a page size is a power of two from 512 to 65536, not \(pageSize)")
  }

  func run() throws {
    let pages = try PageStore(path: place.store, environment: .posix())
    let before = try pages.snapshot(.latest)
    var statements: [Batch.Statement] = []
    if let autoVacuum { statements.append(.init("PRAGMA auto_vacuum = \(autoVacuum.rawValue)")) }
    if let pageSize { statements.append(.init("PRAGMA page_size = \(pageSize)")) }
    let batch = Batch(statements + [Batch.Statement("VACUUM")], key: id)
    let submission = Submission(store: place.store, waitsForOutcome: true, timeout: timeout)
    let report = try submission.outcome(of: batch)
    var output = OutputFile()
    guard !report.isRejected, let txid = report.txid else {
      try output.write((json ? report.json() : report.text()) + "\n")
      try output.flush()
      throw ExitCode.batchRejected
    }
    let after = try pages.snapshot(.atLeast(txid, timeout: timeout.duration))
    try output.write(text(txid, before: before, after: after, report) + "\n")
    try output.flush()
  }

  private func text(
    _ txid: TxID, before: Snapshot, after: Snapshot, _ report: BatchReport
  ) -> String {
    let (before, after) = (bytes(before), bytes(after))
    guard !json else {
      var line = JSONObject()
      line.add("status", report.isDuplicate ? "duplicate" : "applied")
      line.add("txid", txid.rawValue)
      line.add("bytesBefore", before)
      line.add("bytes", after)
      return line.text
    }
    return report.isDuplicate
      ? "compacted before, as batch \(txid): the database has \(after) bytes"
      : "compacted as batch \(txid): \(before) bytes before, \(after) now"
  }

  private func bytes(_ snapshot: Snapshot) -> UInt64 {
    UInt64(snapshot.pageCount) * UInt64(snapshot.pageSize)
  }
}
