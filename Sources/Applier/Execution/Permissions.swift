internal import CSQLite
internal import SluiceSQLite
internal import SluiceShared

/// What a batch may do: everything that stays within its own transaction and can be repeated.
///
/// One authorizer for the connection's whole life (setting one recompiles every statement); `mode`
/// tells whether the applier itself or a batch is preparing.
final class Permissions {
  enum Mode {
    /// The applier's own statements.
    case applier
    case batch
    /// What ends a batch's writing: the savepoint with which virtual tables write what they keep. With a
    /// batch's rights and in its time.
    case flush
    /// The applier's SAVEPOINT, RELEASE and COMMIT. What a virtual table does in them is done with the
    /// rights of a batch.
    case boundary
    /// SQLite's own statements within VACUUM: they write every table, and run nothing of a schema's.
    case compaction

    /// What the applier itself looks for because of a batch, in that batch's time.
    case check

    /// Its steps are the batch's.
    var isOfBatch: Bool { self == .batch || self == .flush || self == .compaction }
    /// It is a batch's time.
    var isInBatchTime: Bool { isOfBatch || self == .check }
  }

  var mode = Mode.applier
  private let deniesTemporary: Bool
  private let limitsLate: Bool

  init(_ environment: Environment) {
    // The check of the connection would find what is not denied.
    deniesTemporary =
      environment.makes(.temporaryDenied) && environment.makes(.connectionAsBefore)
    limitsLate = environment.makes(.lateRights)
  }

  /// Why the last statement was denied.
  private(set) var denial: String?
  /// The last statement prepared was ANALYZE, which has to be alone in its commit.
  private(set) var sawAnalyze = false
  /// The last statement prepared is ALTER TABLE.
  private var sawAlter = false
  /// What the last statement prepared changes of the schema; nil: nothing.
  private(set) var schemaChange: SchemaChange?
  /// The last statement prepared turns the deferring of all foreign keys on or off.
  private(set) var sawDeferral = false

  /// The last statement prepared has rows in an order that another connection may not have.
  private(set) var sawUnordered = false
  /// What has no order is refused.
  var asksForOrder = true

  /// The tables that the last statement prepared writes to, its triggers' included, in lower case.
  private(set) var written: Set<String> = []

  /// Decisions asked for since the batch's statement began to be prepared; nil while it runs.
  private var asked: Int?

  func beginBatch() { denial = nil }

  /// The text of a batch's statement is about to be prepared.
  func beginStatement(_ sql: UnsafeRawBufferPointer) {
    asked = 0
    denial = nil
    // Of one table it says so only after it has written.
    sawAnalyze = Permissions.isAnalyze(sql)
    sawAlter = false
    schemaChange = nil
    written = []
    sawDeferral = false
    sawUnordered = false
  }

  func endStatement() { asked = nil }

  /// Whether the text's first word is ANALYZE.
  private static func isAnalyze(_ sql: UnsafeRawBufferPointer) -> Bool {
    var tokens = LeadingTokens(String(decoding: sql.prefix(4096), as: UTF8.self))
    return tokens.keyword() == "analyze"
  }

  func decide(_ request: borrowing Authorization) -> AuthorizationDecision {
    // What a virtual table prepares for itself is not the first question about a text.
    let isNested = asked != 0
    asked = asked.map { $0 + 1 }
    // A trigger is a batch's, whosever statement has it run: Sluice's own tables have none.
    let writes = [SQLITE_INSERT, SQLITE_UPDATE, SQLITE_DELETE].contains(request.action)
    if limitsLate, writes, request.accessor != nil, let reason = reserved(request.first) {
      if denial == nil { denial = reason }
      return .deny
    }
    guard mode != .applier, mode != .check, mode != .compaction, limitsLate || mode != .boundary,
      request.action != SQLITE_SELECT,
      request.action != SQLITE_RECURSIVE
    else {
      return .allow
    }
    guard let reason = objection(request, isNested) else { return .allow }
    if denial == nil { denial = reason }
    return .deny
  }

  private func objection(_ request: borrowing Authorization, _ isNested: Bool) -> String? {
    if deniesTemporary, request.database == "temp", !isAlterOfTemporary(request) {
      return Permissions.temporary
    }
    switch request.action {
    case SQLITE_READ:
      return reading(request.first?.lowercased() ?? "")
    case SQLITE_INSERT, SQLITE_UPDATE, SQLITE_DELETE:
      return writing(to: request.first ?? "")
    case SQLITE_TRANSACTION, SQLITE_SAVEPOINT:
      if mode != .batch { return nil }
      return "transaction control is not allowed: a batch is one transaction by itself"
    case SQLITE_ATTACH, SQLITE_DETACH:
      return "ATTACH, DETACH and VACUUM INTO are not allowed in a batch"
    case SQLITE_CREATE_TEMP_INDEX, SQLITE_CREATE_TEMP_TABLE, SQLITE_CREATE_TEMP_TRIGGER,
      SQLITE_CREATE_TEMP_VIEW, SQLITE_DROP_TEMP_INDEX, SQLITE_DROP_TEMP_TABLE,
      SQLITE_DROP_TEMP_TRIGGER, SQLITE_DROP_TEMP_VIEW:
      return deniesTemporary ? Permissions.temporary : nil
    case SQLITE_CREATE_VTABLE
    where Permissions.hiddenTables.contains(request.second?.lowercased() ?? ""):
      return
        "a virtual table of \(request.second ?? "") is not allowed: it shows what cannot be repeated"
    case SQLITE_CREATE_TABLE, SQLITE_DROP_TABLE, SQLITE_CREATE_VIEW, SQLITE_DROP_VIEW,
      SQLITE_CREATE_VTABLE, SQLITE_DROP_VTABLE:
      // Without its statistics the connection plans as one that is opened anew would.
      if request.action == SQLITE_DROP_TABLE, (request.first ?? "").hasPrefix("sqlite_stat") {
        sawAnalyze = true
      }
      note(
        request.action == SQLITE_CREATE_TABLE ? request.first : nil,
        isWide: request.action == SQLITE_CREATE_VTABLE || request.action == SQLITE_DROP_VTABLE)
      return reserved(request.first)
    case SQLITE_CREATE_INDEX, SQLITE_DROP_INDEX, SQLITE_CREATE_TRIGGER, SQLITE_DROP_TRIGGER,
      SQLITE_ALTER_TABLE:
      if request.action == SQLITE_ALTER_TABLE { sawAlter = true }
      note(request.second, isWide: false, isAltered: request.action == SQLITE_ALTER_TABLE)
      return reserved(request.first) ?? reserved(request.second)
    case SQLITE_ANALYZE:
      sawAnalyze = true
      return nil
    case SQLITE_FUNCTION:
      return request.second.flatMap { Permissions.functions[$0] }
    case SQLITE_PRAGMA:
      return pragma(request.first?.lowercased() ?? "", request.second, isNested)
    default: return nil
    }
  }

  static let temporary = "TEMP objects are not allowed: they would outlive the batch"

  /// ALTER TABLE looks whether anything in the TEMP schema speaks of the table. (There is nothing, and
  /// DEFENSIVE mode keeps a batch from writing there itself.)
  private func isAlterOfTemporary(_ request: borrowing Authorization) -> Bool {
    guard sawAlter else { return false }
    switch request.action {
    case SQLITE_READ, SQLITE_UPDATE:
      return request.first == "sqlite_temp_master" || request.first == "sqlite_temp_schema"
    default: return false
    }
  }

  /// Functions that no batch may call, by their names as SQLite has them. The authorizer is asked
  /// where one is called by a statement, trigger or view; SQLite itself refuses them in what a table
  /// holds (DEFAULT, CHECK), where it does not ask.
  private static let functions = [
    "load_extension": "load_extension is not allowed",
    // It takes an address to be called, and tells one.
    "fts3_tokenizer": "fts3_tokenizer is not allowed: it shows an address of the process",
  ]

  private static let hiddenTables: Set<String> = [
    "sqlite_stmt", "dbstat", "sqlite_dbpage", "bytecode", "tables_used",
  ]

  private static let pragmas: Set<String> = [
    "table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo",
    "foreign_key_list", "foreign_key_check", "user_version", "application_id",
  ]

  /// Allowed where they only ask.
  private static let readable: Set<String> = [
    "foreign_keys", "legacy_alter_table", "recursive_triggers", "ignore_check_constraints",
    "reverse_unordered_selects", "query_only", "page_size", "encoding",
  ]

  /// A virtual table makes tables of its own, when the statement is run.
  private func note(_ table: String?, isWide: Bool, isAltered: Bool = false) {
    var change = schemaChange ?? SchemaChange()
    if asked != nil, let table { change.tables.append(table) }
    change.isWide = change.isWide || isWide
    change.isAltered = change.isAltered || isAltered
    schemaChange = change
  }

  private func reading(_ table: String) -> String? {
    // ADD COLUMN reads it for itself, to see whether a CHECK or NOT NULL holds.
    if sawAlter, table == "pragma_quick_check" { return nil }
    let shows =
      table.hasPrefix("pragma_")
      ? !Permissions.pragmas.contains(String(table.dropFirst(7)))
      : Permissions.hiddenTables.contains(table)
    return shows
      ? "reading \(table) is not allowed in a batch: it shows what cannot be repeated" : nil
  }

  /// `sqlite_schema` itself is written by every DDL; DEFENSIVE mode keeps batches from doing so, and
  /// the shadow tables of virtual tables with it.
  private func writing(to table: String) -> String? {
    if asked != nil { written.insert(table.lowercased()) }
    if let reason = reserved(table) { return reason }
    if table.lowercased().hasPrefix("sqlite_stat"), !sawAnalyze, schemaChange == nil {
      return "\(table) is written by ANALYZE only"
    }
    return nil
  }

  private func reserved(_ name: String?) -> String? {
    guard let name, name.lowercased().hasPrefix(Bookkeeping.prefix) else { return nil }
    return "\(name) is Sluice's own; names that begin with \(Bookkeeping.prefix) are reserved"
  }

  /// PRAGMAs that read, or that belong to the database and not to the connection.
  private func pragma(_ name: String, _ value: String?, _ isNested: Bool) -> String? {
    switch name {
    case "table_list" where value == nil:
      sawUnordered = true
      guard asksForOrder else { return nil }
      return
        "PRAGMA table_list without a table is not allowed in a batch: its order cannot be repeated, and it compiles every view; query sqlite_schema"
    case _ where Permissions.pragmas.contains(name): return nil
    // Asked for by `pragma_quick_check` only, and so by ADD COLUMN.
    case "quick_check" where isNested: return nil
    // What it answers is the store's, or the batch's own.
    case _ where value == nil && Permissions.readable.contains(name): return nil
    // FTS5 and R-tree read it for themselves.
    case "data_version":
      return isNested && value == nil ? nil : "PRAGMA \(name) is not allowed in a batch"
    // Moves pages within the transaction.
    case "incremental_vacuum": return nil
    case "defer_foreign_keys":
      sawDeferral = true
      return nil
    case "foreign_keys", "legacy_alter_table":
      return
        "PRAGMA \(name) does nothing within a batch; a script turns it between its statements (`sluice submit --sql`)"
    default:
      return
        "PRAGMA \(name) is not allowed in a batch; allowed are \(Permissions.pragmas.sorted().joined(separator: ", ")), incremental_vacuum and defer_foreign_keys"
    }
  }
}
