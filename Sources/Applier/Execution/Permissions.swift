internal import CSQLite
internal import SluiceSQLite

/// What a batch may do: everything that stays within its own transaction and can be repeated.
///
/// One authorizer for the connection's whole life (setting one recompiles every statement); `mode`
/// tells whether the applier itself or a batch is preparing.
final class Permissions {
  enum Mode {
    /// The applier's own statements.
    case applier
    case batch
  }

  var mode = Mode.applier
  /// Why the last statement was denied.
  private(set) var denial: String?
  /// The last statement prepared was ANALYZE, which has to be alone in its commit.
  private(set) var sawAnalyze = false
  /// The last statement prepared is ALTER TABLE.
  private var sawAlter = false
  /// The last statement prepared changes the schema.
  private(set) var sawSchemaChange = false
  /// The last statement prepared turns the deferring of all foreign keys on or off.
  private(set) var sawDeferral = false

  /// Decisions asked for since the batch's statement began to be prepared; nil while it runs.
  private var asked: Int?

  func beginBatch() { denial = nil }

  /// The text of a batch's statement is about to be prepared.
  func beginStatement() {
    asked = 0
    denial = nil
    sawAnalyze = false
    sawAlter = false
    sawSchemaChange = false
    sawDeferral = false
  }

  func endStatement() { asked = nil }

  func decide(_ request: borrowing Authorization) -> AuthorizationDecision {
    // What a virtual table prepares for itself is not the first question about a text.
    let isNested = asked != 0
    asked = asked.map { $0 + 1 }
    guard mode == .batch, request.action != SQLITE_SELECT, request.action != SQLITE_RECURSIVE else {
      return .allow
    }
    guard let reason = objection(request, isNested) else { return .allow }
    if denial == nil { denial = reason }
    return .deny
  }

  private func objection(_ request: borrowing Authorization, _ isNested: Bool) -> String? {
    switch request.action {
    case SQLITE_READ:
      return reading(request.first?.lowercased() ?? "")
    case SQLITE_INSERT, SQLITE_UPDATE, SQLITE_DELETE:
      return writing(to: request.first ?? "")
    case SQLITE_TRANSACTION, SQLITE_SAVEPOINT:
      return "transaction control is not allowed: a batch is one transaction by itself"
    case SQLITE_ATTACH, SQLITE_DETACH:
      return "ATTACH, DETACH and VACUUM are not allowed in a batch"
    case SQLITE_CREATE_TEMP_INDEX, SQLITE_CREATE_TEMP_TABLE, SQLITE_CREATE_TEMP_TRIGGER,
      SQLITE_CREATE_TEMP_VIEW, SQLITE_DROP_TEMP_INDEX, SQLITE_DROP_TEMP_TABLE,
      SQLITE_DROP_TEMP_TRIGGER, SQLITE_DROP_TEMP_VIEW:
      return "TEMP objects are not allowed: they would outlive the batch"
    case SQLITE_CREATE_TABLE, SQLITE_DROP_TABLE, SQLITE_CREATE_VIEW, SQLITE_DROP_VIEW,
      SQLITE_CREATE_VTABLE, SQLITE_DROP_VTABLE:
      sawSchemaChange = true
      return reserved(request.first)
    case SQLITE_CREATE_INDEX, SQLITE_DROP_INDEX, SQLITE_CREATE_TRIGGER, SQLITE_DROP_TRIGGER,
      SQLITE_ALTER_TABLE:
      sawSchemaChange = true
      if request.action == SQLITE_ALTER_TABLE { sawAlter = true }
      return reserved(request.first) ?? reserved(request.second)
    case SQLITE_ANALYZE:
      sawAnalyze = true
      return nil
    case SQLITE_FUNCTION:
      return request.second == "load_extension" ? "load_extension is not allowed" : nil
    case SQLITE_PRAGMA:
      return pragma(request.first?.lowercased() ?? "", request.second, isNested)
    default: return nil
    }
  }

  private static let hiddenTables: Set<String> = [
    "sqlite_stmt", "dbstat", "sqlite_dbpage", "bytecode", "tables_used",
  ]

  private static let pragmas: Set<String> = [
    "table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo",
    "foreign_key_list", "foreign_key_check", "user_version", "application_id",
  ]

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
    if let reason = reserved(table) { return reason }
    if table.lowercased().hasPrefix("sqlite_stat"), !sawAnalyze, !sawSchemaChange {
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
    case _ where Permissions.pragmas.contains(name): return nil
    // Asked for by `pragma_quick_check` only, and so by ADD COLUMN.
    case "quick_check" where isNested: return nil
    // FTS5 and R-tree read these for themselves.
    case "data_version", "page_size":
      return isNested && value == nil ? nil : "PRAGMA \(name) is not allowed in a batch"
    case "defer_foreign_keys":
      sawDeferral = true
      return nil
    case "foreign_keys", "legacy_alter_table":
      return
        "PRAGMA \(name) does nothing within a batch; a script turns it between its statements (`sluice submit --sql`)"
    default:
      return
        "PRAGMA \(name) is not allowed in a batch; allowed are \(Permissions.pragmas.sorted().joined(separator: ", ")) and defer_foreign_keys"
    }
  }
}
