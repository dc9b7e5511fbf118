import SluiceSQLite

/// What a statement of a script means for the batches made of it.
///
/// Scripts are written for the sqlite3 shell, which keeps a connection from statement to statement.
/// A batch has none: it is a transaction by itself, and the applier denies what would outlive it.
enum ScriptDirective: Equatable {
  /// A statement of the batch.
  case execute
  case begin
  case commit
  case foreignKeys(on: Bool)
  case legacyAlterTable(on: Bool)
  /// A statement of the batch as well.
  case deferForeignKeys(on: Bool)
  /// Says how a connection works or asks something, and does nothing.
  case ignore
  /// Query-planner statistics, which the applier makes itself.
  case statistics
  /// About a table in which an applier keeps its own records, from a dump of a store's checkpoint.
  case bookkeeping
  /// A virtual table, as a dump writes it into sqlite_schema.
  case virtualTable
  /// Cannot be done here; the sentence says what to do instead.
  case refuse(String)

  /// Looks at no more of `statement` than its first tokens.
  init(_ statement: String) {
    var tokens = LeadingTokens(statement)
    switch tokens.keyword() {
    case "begin": self = .begin
    case "commit", "end": self = .commit
    case "pragma": self = ScriptDirective.pragma(&tokens)
    case "insert": self = ScriptDirective.insert(&tokens)
    case "create": self = ScriptDirective.create(&tokens)
    case "update", "delete": self = ScriptDirective.change(&tokens)
    case "rollback":
      self = .refuse(
        "ROLLBACK: a script is done as a whole; take out what it undoes (sqlite3 ends a dump with it "
          + "after an error: dump again)")
    case "savepoint", "release":
      self = .refuse("a batch is all or nothing by itself; take out SAVEPOINT and RELEASE")
    case "attach", "detach":
      self = .refuse("a store is one database; take out ATTACH and DETACH")
    case "vacuum":
      self = .refuse("take out VACUUM, and run `sluice compact` when the script is applied")
    case "analyze" where ["sqlite_schema", "sqlite_master"].contains(tokens.next()):
      self = .statistics
    case ".":
      let command = statement.prefix { !$0.isWhitespace }
      self = .refuse("\(command) is a command of the sqlite3 shell and no SQL; take it out")
    default: self = .execute
    }
  }

  /// After the word INSERT, as a dump goes on: INTO, and the table.
  private static func insert(_ tokens: inout LeadingTokens) -> ScriptDirective {
    guard tokens.next() == "into", let table = tokens.next() else { return .execute }
    if table.hasPrefix("sqlite_stat") { return .statistics }
    if schemaTables.contains(table) { return .virtualTable }
    return isBookkeeping(table) ? .bookkeeping : .execute
  }

  private static let schemaTables: Set<String> = ["sqlite_schema", "sqlite_master"]

  /// After the word UPDATE or DELETE.
  private static func change(_ tokens: inout LeadingTokens) -> ScriptDirective {
    var table = tokens.next()
    if table == "from" { table = tokens.next() }
    return schemaTables.contains(table ?? "") ? .refuse(writesSchema) : .execute
  }

  static let writesSchema =
    "this writes sqlite_schema directly, and is not what a dump writes of an FTS or R-tree table that can be "
    + "filled by a script; make the store from the database itself with `sluice init --from`. Where there is "
    + "only the dump, `sqlite3 NEW.sqlite < DUMP.sql` makes the database. For a store that is there already, "
    + "make another one of it, and submit what `sluice dump OTHER` writes"

  /// After the word CREATE, as a dump goes on: TABLE or INDEX, perhaps IF NOT EXISTS, and the name.
  private static func create(_ tokens: inout LeadingTokens) -> ScriptDirective {
    guard ["table", "index"].contains(tokens.keyword()) else { return .execute }
    var name = tokens.next()
    if name == "if" {
      _ = (tokens.next(), tokens.next())
      name = tokens.next()
    }
    return isBookkeeping(name ?? "") ? .bookkeeping : .execute
  }

  /// The names that the applier keeps for itself.
  private static func isBookkeeping(_ name: String) -> Bool { name.hasPrefix("_sluice_") }

  /// After the word PRAGMA: `[schema.]name`, then nothing, `= value` or `(value)`.
  private static func pragma(_ tokens: inout LeadingTokens) -> ScriptDirective {
    var name = tokens.next()
    var sign = tokens.next()
    if sign == "." {
      name = tokens.next()
      sign = tokens.next()
    }
    let value = sign == nil ? nil : tokens.next()
    switch name {
    case "foreign_keys":
      guard let value else { return .ignore }
      return .foreignKeys(on: isTrue(value, &tokens))
    case "legacy_alter_table":
      guard let value else { return .ignore }
      return .legacyAlterTable(on: isTrue(value, &tokens))
    case "defer_foreign_keys":
      guard let value else { return .ignore }
      return .deferForeignKeys(on: isTrue(value, &tokens))
    // What is written there is looked at by itself; `RESET` has the schema read again.
    case "writable_schema": return .ignore
    // Without a value it is asked only, and nobody sees the answer.
    case let name? where effectivePragmas.contains(name): return value == nil ? .ignore : .execute
    // Speed, caches, locks, file layout and reports, and what SQLite itself does not know and ignores.
    default: return .ignore
    }
  }

  /// What SQLite takes for true: a number whose last byte is not 0, or one of three words.
  private static func isTrue(_ value: String, _ tokens: inout LeadingTokens) -> Bool {
    let value = value == "+" ? tokens.next() ?? "" : value
    guard value.utf8.first.map({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) == true
    else { return ["on", "yes", "true"].contains(value) }
    let digits = value.utf8.prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
    return (UInt32(Substring(digits)) ?? 0) & 0xFF != 0
  }

  /// What is in the database's header, or changes what statements do: the applier knows which of them
  /// it allows.
  private static let effectivePragmas: Set<String> = [
    "application_id", "case_sensitive_like", "ignore_check_constraints", "query_only",
    "recursive_triggers", "reverse_unordered_selects", "schema_version", "user_version",
  ]
}
