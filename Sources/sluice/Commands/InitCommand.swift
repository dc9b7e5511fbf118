import ArgumentParser
import SluiceApplier
import SluiceJournal
import SluiceShared

struct InitCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "init",
    abstract: "Make a new store.",
    discussion: """
      Makes the directory, which must be new or empty, with an empty database or a copy of an \
      existing one. The existing database may be in use and in WAL mode; its content, page size, \
      auto_vacuum and text encoding are kept, and it is left as it is. While it is copied, others \
      wait with their writes, unless it is in WAL mode. The transaction of a writer that died is \
      rolled back, as SQLite does whenever the database is opened.

      --extension copies a loadable extension of SQLite (functions, collations, virtual tables) \
      into the store; each applier loads it, and what its functions can do, each writer can do. \
      Replaying the history gives the same only where they always return the same.

        sluice init /mnt/efs/orders
        sluice init /mnt/efs/orders --from orders.sqlite
        sluice init /mnt/efs/small --page-size 1024
        sluice init /mnt/efs/search --extension ./vec0.so
      """)

  @OptionGroup var place: StoreArgument

  @Option(
    help: ArgumentHelp("Begin with the content of this SQLite database.", valueName: "DB.sqlite"),
    completion: .file())
  var from: String?

  @Option(
    help: ArgumentHelp(
      "Bytes of a database page, a power of two from 512 to 65536; 4096 unless given.",
      valueName: "N"))
  var pageSize: Int?

  @Option(
    help: ArgumentHelp(
      "How long a database that others have locked is waited for, in seconds.", valueName: "S"))
  var timeout = Seconds(30)

  @Option(
    name: .customLong("extension"),
    help: ArgumentHelp(
      "Load this extension of SQLite in each applier; repeat it for several.", valueName: "PATH"),
    completion: .file())
  var extensions: [String] = []

  @Option(
    help: ArgumentHelp(
      "How the applier is elected: by the store's own files, or by an item in a table of DynamoDB.",
      valueName: "file|dynamodb:TABLE"),
    transform: LeaseArgument.kind)
  var lease = StoreDescription.LeaseKind.file

  @Option(
    help: ArgumentHelp(
      "Who may commit interactive transactions: all who may write to the journal, nobody, or whose journal files belong to one of these users or groups.",
      valueName: "all|none|uid:N,…|gid:N,…"),
    transform: TransactionsArgument.right)
  var transactions = TransactionRight.all

  @Flag(help: "Leave foreign keys unchecked; they are checked otherwise.")
  var noForeignKeys = false

  func validate() throws {
    for path in extensions { try Path.check(path, "--extension") }
    if from != nil, pageSize != nil {
      throw ValidationError("--page-size is for a new database; --from keeps the one that DB has")
    }
  }

  func run() throws {
    var creation = StoreCreation()
    creation.source = from
    creation.foreignKeys = !noForeignKeys
    creation.timeout = timeout.duration
    creation.extensions = extensions
    creation.lease = lease
    creation.transactions = transactions
    creation.note = { Sluice.warn("note: \($0)") }
    if let pageSize { creation.pageSize = pageSize }
    try creation.make(at: place.store)
    var output = OutputFile()
    try output.write("store made: \(StoreLayout(place.store).root)\n")
    try output.flush()
  }
}
