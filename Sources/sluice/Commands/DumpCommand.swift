import ArgumentParser
import SluiceQuery
import SluiceReader
import SluiceShared

struct DumpCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "dump",
    abstract: "Write a consistent snapshot as an SQL script, as `.dump` of the sqlite3 shell does.",
    discussion: """
      Needs only the right to read the store's directory. The tables of Sluice's own (_sluice_…) are \
      not in it, so that it can go into another store, or into SQLite itself:

        sluice dump STORE | sluice submit OTHER --sql -
        sluice dump STORE --at-least 12 > store.sql
        sqlite3 copy.sqlite < store.sql

      What differs from .dump: FTS and R-tree tables are made by CREATE VIRTUAL TABLE and filled by \
      INSERT (an index over another table's text is rebuilt, one that keeps no text is made empty, \
      which a note says), and every value is read back as the \
      same, texts with NUL characters and all reals included. What a virtual table of an extension \
      keeps is read through it, as in `query`; without it that table cannot be dumped.
      """)

  @OptionGroup var place: StoreArgument

  @OptionGroup var options: FreshnessOptions

  @OptionGroup var extensions: ExtensionOptions

  func run() throws {
    var output = OutputFile()
    let (loaded, left) = try extensions.read(place.store)
    let database = try Database(path: place.store, extensions: loaded)
    let lost = try ExtensionOptions.telling(left) {
      try database.read(options.freshness) { transaction in
        options.past.tell(transaction.txid)
        return try SQLDump(transaction).write(to: &output)
      }
    }
    try output.flush()
    for table in lost {
      Sluice.warn(
        "note: table \(table) is a full-text index that keeps no text (content=''), so a script cannot fill it, and it is empty in this one; to have it whole take the database itself: `sluice checkpoint`, then `sluice init --from` with current.sqlite"
      )
    }
  }
}
