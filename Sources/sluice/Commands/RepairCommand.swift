import ArgumentParser
import SluiceApplier
import SluiceJournal
import SluiceReader
import SluiceShared

struct RepairCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "repair",
    abstract: "Make a store usable again of which something is lost or damaged.",
    discussion: """
      Reads all that is left, as `sluice verify` does, and says what is damaged, which batches are lost \
      with it, and what would be done. With --yes it does that. All appliers must be stopped first.

        sluice repair STORE
        sluice repair STORE --yes

      What can be had is made anew: checkpoints, current.sqlite, store.json, pages by executing their \
      batches again. Where something published cannot be had, the history goes on from the last whole \
      state, in a new line whose TxIDs begin with a multiple of 1,000,000,000,000. Nothing is deleted: \
      what is in the way is moved to STORE/repaired/TIME, which `sluice replay --log` can read.

      Exit codes: 0 all is whole, or it was repaired; 75 an applier leads; 76 there is something to \
      repair, or nothing can be had any more.
      """)

  @OptionGroup var place: StoreArgument

  @Flag(help: "Do what would be done.")
  var yes = false

  @Option(
    help: ArgumentHelp(
      "How the applier is elected, where nothing says it any more.",
      valueName: "file|dynamodb:TABLE"),
    transform: LeaseArgument.kind)
  var lease: StoreDescription.LeaseKind?

  @Option(
    help: ArgumentHelp(
      "Whether foreign keys are checked, where nothing says it any more.", valueName: "on|off"))
  var foreignKeys: Switch?

  @Option(
    help: ArgumentHelp(
      "Who may commit interactive transactions, where store.json is lost: nobody unless given, for the copy in a checkpoint may be older than what `sluice config` said last.",
      valueName: "all|none|uid:N,…|gid:N,…"),
    transform: TransactionsArgument.right)
  var transactions: TransactionRight?

  enum Switch: String, CaseIterable, ExpressibleByArgument { case on, off }

  @Option(
    help: ArgumentHelp("For how long an applier may be silent, as `apply --ttl`.", valueName: "S"))
  var ttl = Seconds(10)

  func run() throws {
    let environment = Environment.posix()
    var output = OutputFile()
    var repair = Repair(
      store: place.store, name: "repair \(ApplyCommand.hostAndProcess)", environment: environment)
    repair.silence = ttl.duration
    repair.note = { Sluice.warn($0) }
    repair.describe(
      lease: lease, foreignKeys: foreignKeys.map { $0 == .on }, transactions: transactions)
    var progress = ProgressLine("reading", total: 0, environment.clock)
    let plan = try repair.plan { done, total in progress.show(done, of: total) }
    progress.end()
    try tell(plan, &output)
    guard yes, !plan.steps.isEmpty else {
      try output.flush()
      // What is damaged and needs no step is history that nobody reads on the way to the present.
      if !plan.steps.isEmpty { throw ExitCode.damaged }
      return
    }
    try output.flush()
    try repair.perform(plan)
    try output.write("done; see it with `sluice verify \(place.store.quotedForShell)`\n")
    try output.flush()
  }

  private func tell(_ plan: Repair.Plan, _ output: inout OutputFile) throws {
    for damage in plan.damages { try output.write("damaged: \(damage.text.printable)\n") }
    if let salvage = plan.salvage {
      try salvage.tell(of: plan.lost) { remains in
        try output.write("\(remains.text(replaced: plan.replaces))\n")
      }
    }
    if plan.losesUnknown {
      try output.write(
        "lost: whatever was published behind batch \(plan.salvage?.latest.txid ?? .zero); nothing is left that shows it\n"
      )
    }
    if let right = plan.withheldRight {
      try output.write(
        "nobody may commit interactive transactions any more: they were allowed to `\(right)` once, and nothing shows whether `sluice config` has changed that since; say it with \(yes ? "`sluice config --transactions`" : "--transactions")\n"
      )
    }
    for text in plan.stepTexts {
      try output.write("\(yes ? "doing" : "to do"): \(text.printable)\n")
    }
    if plan.damages.isEmpty { try output.write("all is whole; there is nothing to repair\n") }
    if plan.damages.isEmpty { return }
    if plan.steps.isEmpty {
      try output.write(
        "nothing to do: readers and appliers do without what is damaged, or it can only be put back; what is damaged of the past goes when it is older than what is kept\n"
      )
    } else if !yes {
      try output.write("nothing was changed; stop all appliers, then --yes does it\n")
    }
  }
}

extension Repair.Plan {
  /// A line begins, so that what is lost is not in the database any more.
  fileprivate var replaces: Bool { steps.contains { if case .line = $0 { true } else { false } } }

  /// Where many files are moved away, they are counted.
  fileprivate var stepTexts: [String] {
    let moved = steps.filter { if case .putApart = $0 { true } else { false } }
    guard moved.count > Limits.filesNamedByRepair else { return steps.map(\.text) }
    var texts = steps.filter { !moved.contains($0) }.map(\.text)
    texts.insert(
      "\(moved.count) files of the log and the checkpoints are moved to repaired/", at: 0)
    return texts
  }
}

extension Salvage.Remains {
  fileprivate func text(replaced: Bool) -> String {
    switch self {
    case .batch(let entry):
      var line = "\(replaced ? "lost" : "damaged"): batch \(LogLine(entry).text)"
      line += "; writer \(entry.outcome.batch)"
      if let key = entry.outcome.key { line += ", key \(key.printable)" }
      return line
    case .nothing(let range):
      let batches =
        range.lowerBound == range.upperBound
        ? "batch \(range.lowerBound)" : "batches \(range.lowerBound) to \(range.upperBound)"
      return "\(replaced ? "lost" : "damaged"): \(batches); nothing of what was done can be read"
    }
  }
}

extension Repair.Step {
  fileprivate var text: String {
    switch self {
    case .description(let json): "store.json is written anew: \(json.dropLast())"
    case .directory(let path): "\(path) is made anew, empty"
    case .putApart(let path): "\(path) is moved to repaired/"
    case .segment: "the log goes on in a new segment"
    case .checkpoint(let txid): "a checkpoint of batch \(txid) is made"
    case .line(let state, let line):
      "the state as of batch \(state) becomes batch \(line), with which a new line of the history begins"
    case .current: "current.sqlite leads to the newest checkpoint"
    }
  }
}
