import ArgumentParser
import SluiceApplier
import SluiceJournal
import SluiceReader
import SluiceShared

struct ConfigCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "config",
    abstract:
      "Say what a store is, or change how its applier is elected, and who may commit transactions.",
    discussion: """
      Without an option it prints what store.json says, and the page size as it is now. --lease changes \
      who elects the applier: the store's own files (file), or an item in a table of DynamoDB \
      (dynamodb:TABLE). Stop all appliers first: it is refused while one leads. An applier that stands by \
      meanwhile goes on in the new way. --transactions changes who may commit interactive transactions, \
      whose pages are not SQL and can hold anything.

        sluice config STORE
        sluice config STORE --lease dynamodb:locks
        sluice config STORE --lease file
        sluice config STORE --transactions uid:500,501

      Needs the right to write the store, as an applier has.
      """)

  @OptionGroup var place: StoreArgument

  @Option(
    help: ArgumentHelp("Elect the applier like this.", valueName: "file|dynamodb:TABLE"),
    transform: LeaseArgument.kind)
  var lease: StoreDescription.LeaseKind?

  @Option(
    help: ArgumentHelp(
      "Who may commit interactive transactions: all who may write to the journal, nobody, or whose journal files belong to one of these users or groups.",
      valueName: "all|none|uid:N,…|gid:N,…"),
    transform: TransactionsArgument.right)
  var transactions: TransactionRight?

  func run() throws {
    let environment = Environment.posix()
    var output = OutputFile()
    if lease != nil || transactions != nil {
      let change = LeaseChange(
        store: place.store, name: "config \(ApplyCommand.hostAndProcess)", environment: environment)
      let before = try change.make(lease, transactions: transactions)
      if let lease { try output.write("lease \(lease), before \(before.lease)\n") }
      if let transactions {
        try output.write("transactions \(transactions), before \(before.transactions)\n")
      }
    } else {
      let layout = StoreLayout(place.store)
      let description = try StoreDescription.read(layout, environment.fileSystem)
      let pageSize = try? PageStore(path: place.store, environment: environment)
        .snapshot(.latest).pageSize
      try output.write(
        description.text(at: layout.root.printable, pageSize ?? description.pageSize))
    }
    try output.flush()
  }
}

extension StoreDescription {
  fileprivate func text(at path: String, _ pageSize: Int) -> String {
    let loaded = extensions.map(\.name).joined(separator: ", ").printable
    return """
      store         \(path)
      id            \(id)
      lease         \(lease)
      page size     \(pageSize)
      foreign keys  \(foreignKeys ? "checked" : "not checked")
      extensions    \(loaded.isEmpty ? "none" : loaded)
      transactions  \(transactions)

      """
  }
}
