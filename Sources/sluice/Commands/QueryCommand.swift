import ArgumentParser
import SluiceQuery
import SluiceReader
import SluiceSQLite
import SluiceShared

struct QueryCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "query",
    abstract: "Query a consistent snapshot, without locks and without writing anything.",
    discussion: """
      Needs only the right to read the store's directory. Rows are printed as they come.

        sluice query STORE "SELECT * FROM item WHERE price > ?" 0.2
        sluice query STORE "SELECT * FROM item" --json
        sluice query STORE "SELECT count(*) FROM item" --at-least 12
        sluice query STORE "SELECT count(*) FROM item" --at 2026-11-22T10:00:00Z

      5, -5 and 2.5e3 are numbers, everything else is text, also 007; CAST(? AS TEXT) makes a text \
      of a number. Put -- in front of texts that begin with a dash.

      The table shows NULL as nothing and escapes control characters. --json prints an object a \
      row, keyed by column name (a repeated name becomes name:1), blobs as {"base64": "…"}. --csv is \
      RFC 4180 with a header; NULL is an empty field, an empty text is "".

      A store's extensions (`init --extension`) are loaded where their files belong to this user or \
      to root; other users' code runs in this process only with --trust-extensions.
      """)

  @OptionGroup var place: StoreArgument

  @Argument(help: "One statement that only reads.")
  var sql: String

  @Argument(help: "The statement's parameters.")
  var parameters: [Parameter] = []

  @Flag(help: "Print a JSON object for each row.")
  var json = false

  @Flag(help: "Print comma-separated values.")
  var csv = false

  @OptionGroup var options: FreshnessOptions

  @OptionGroup var extensions: ExtensionOptions

  func validate() throws {
    if json, csv { throw ValidationError("--json and --csv exclude each other") }
  }

  func run() throws {
    var output = OutputFile()
    let (loaded, left) = try extensions.read(place.store)
    let database = try Database(path: place.store, extensions: loaded)
    try ExtensionOptions.telling(left) { try query(database, &output) }
  }

  private func query(_ database: Database, _ output: inout OutputFile) throws {
    try database.read(options.freshness) { transaction in
      options.past.tell(transaction.txid)
      try transaction.withStatement(sql, parameters.map(\.value)) { statement in
        guard statement.isReadOnly else {
          throw StoreError(
            .invalid, "a query cannot write; use `sluice submit \(place.store) SQL`")
        }
        if json {
          try print(statement, as: JSONLinesFormat.self, to: &output)
        } else if csv {
          try print(statement, as: CSVFormat.self, to: &output)
        } else {
          try print(statement, as: TableFormat.self, to: &output)
        }
      }
    }
  }

  private func print(
    _ statement: Statement, as format: (some RowFormat).Type, to output: inout OutputFile
  ) throws {
    var hasRow = try statement.step()
    // After the first step, which may compile the statement anew for a changed schema.
    var format = format.init(columns: (0..<statement.columnCount).map(statement.columnName))
    try format.begin(&output)
    do {
      while hasRow, output.hasReader {
        try statement.checkTexts()
        try format.write(statement.row, to: &output)
        hasRow = try statement.step()
      }
    } catch {
      // The rows before the error were read and are right; the exit code says that some are missing.
      try? format.end(&output)
      try? output.flush()
      throw error
    }
    try format.end(&output)
    try output.flush()
  }
}

extension Statement {
  /// A text may have any bytes; what is printed is UTF-8, and nothing is changed without a word.
  func checkTexts() throws(StoreError) {
    for column in 0..<columnCount where columnType(column) == .text {
      guard let bytes = columnTextBytes(column), String(validating: bytes, as: UTF8.self) == nil
      else { continue }
      let name = columnName(column)
      throw StoreError(
        .invalid,
        "a text in column \(name) is no UTF-8 and cannot be printed as it is; select hex(\(name)) or CAST(\(name) AS BLOB)"
      )
    }
  }
}
