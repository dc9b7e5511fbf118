internal import CSQLite
internal import SluiceSQLite
internal import SluiceShared

/// What in a schema cannot be used here, though the database can be opened: a table that needs a
/// function, a collation or a module that is not there, a view that names a missing table, a trigger
/// that does what no batch may.
///
/// SQLite finds such things only when they are used. So the statements that would use them are
/// compiled with a batch's rights, and none is run. Views come first, and stand for themselves as their
/// columns with NULL in each when tables are looked at (`ViewSurvey`).
///
/// It changes the schema while it looks, so it wants a transaction that is rolled back afterwards.
struct SchemaSurvey {
  let database: Connection
  private let permissions: Permissions
  private static let mostFindings = 20

  init(_ database: Connection, _ permissions: Permissions) {
    self.database = database
    self.permissions = permissions
  }

  /// A sentence for each; the last one says how many were left out.
  func look() throws(SQLiteError) -> [String] {
    var views = ViewSurvey(self)
    try views.look()
    var findings = views.findings
    let tables = try database.query(
      """
      SELECT name, rootpage <> 0 FROM main.sqlite_schema
      WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
        AND name NOT LIKE '\\_sluice\\_%' ESCAPE '\\' ORDER BY rowid
      """)
    for table in tables {
      guard table.count == 2, case .text(let name) = table[0] else { continue }
      // A virtual table has no page of its own, and no trigger.
      let uses =
        table[1] == .integer(1) ? try self.uses(of: name) : ["SELECT * FROM main.\(quoted(name))"]
      findings += try self.findings("table", name, uses, views, findings.count)
    }
    for view in try triggeredViews() {
      findings += try self.findings("view", view, try changes(of: view), views, findings.count)
    }
    guard findings.count > SchemaSurvey.mostFindings else { return findings }
    let left = findings.count - SchemaSurvey.mostFindings
    return findings.prefix(SchemaSurvey.mostFindings) + ["the same holds for \(left) more"]
  }

  /// Why a statement cannot be compiled in a batch; nil where it can.
  func complaint(_ sql: String) throws(SQLiteError) -> String? {
    permissions.mode = .batch
    permissions.beginBatch()
    Array(sql.utf8).withUnsafeBytes { permissions.beginStatement($0) }
    defer {
      permissions.endStatement()
      permissions.mode = .applier
    }
    do throws(SQLiteError) { _ = try database.prepare(sql) } catch {
      if let denial = permissions.denial { return denial }
      guard error.primary == SQLITE_ERROR else { throw error }
      return error.message
    }
    return nil
  }

  /// Lets the schema be written by hand, and has it read anew.
  func editing(_ body: () throws(SQLiteError) -> Void) throws(SQLiteError) {
    try database.setConfig(SQLITE_DBCONFIG_DEFENSIVE, false)
    try database.execute("PRAGMA writable_schema = ON")
    try body()
    try database.execute("PRAGMA writable_schema = RESET")
    try database.setConfig(SQLITE_DBCONFIG_DEFENSIVE, true)
    // Now, and not in a statement that has a batch's steps: of a large schema that takes more.
    _ = try database.scalar("SELECT count(*) FROM main.sqlite_schema")
  }

  // MARK: tables

  private func findings(
    _ kind: String, _ name: String, _ uses: [String], _ views: ViewSurvey, _ before: Int
  ) throws(SQLiteError) -> [String] {
    let view = kind == "view" ? name : nil
    var reasons = try complaints(uses, views, of: view)
    // It is where a virtual table keeps its content, which is no affair of a batch's.
    reasons.removeAll { $0.lowercased() == "table \(name.lowercased()) may not be modified" }
    guard let first = reasons.first else { return [] }
    let what = reasons.joined(separator: ", ") + SchemaSurvey.advice(first)
    let table = "\(kind) \(name) cannot be used here: \(what)"
    guard before < SchemaSurvey.mostFindings, try alone(with: nil, uses, views, view).isEmpty
    else {
      return [table]
    }
    let culprits = try culprits(of: name, uses, views, view)
    return culprits.isEmpty
      ? ["\(kind) \(name) fires triggers of other tables that cannot run here: \(what)"] : culprits
  }

  private func complaints(_ uses: [String], _ views: ViewSurvey, of view: String?)
    throws(SQLiteError) -> [String]
  {
    // It need not have a trigger for each kind of change.
    let withoutTrigger = view.map { "cannot modify \($0.lowercased()) because it is a view" }
    var reasons: [String] = []
    for text in uses {
      guard let complaint = try complaint(text), complaint.lowercased() != withoutTrigger else {
        continue
      }
      let reason: String? = views.meaning(complaint) ?? complaint
      guard let reason, !reasons.contains(reason) else { continue }
      reasons.append(reason)
    }
    return reasons
  }

  /// A sentence for each trigger of a table with which, and no other in the database, it cannot be used.
  private func culprits(
    of table: String, _ uses: [String], _ views: ViewSurvey, _ view: String?
  ) throws(SQLiteError) -> [String] {
    let triggers = try database.query(
      "SELECT name FROM main.sqlite_schema WHERE type = 'trigger' AND lower(tbl_name) = lower(?) LIMIT \(SchemaSurvey.mostFindings)",
      [.text(table)])
    var culprits: [String] = []
    for case .text(let trigger)? in triggers.map(\.first) {
      let reasons = try alone(with: trigger, uses, views, view)
      guard let first = reasons.first else { continue }
      culprits.append(
        "trigger \(trigger) on \(table) cannot run here: \(reasons.joined(separator: ", "))\(SchemaSurvey.advice(first)); where it is not needed: `DROP TRIGGER \(quoted(trigger))`, in that database before init or in a batch"
      )
    }
    return culprits
  }

  /// What is wrong while the database has only one trigger, or none.
  private func alone(
    with trigger: String?, _ uses: [String], _ views: ViewSurvey, _ view: String?
  ) throws(SQLiteError) -> [String] {
    try database.execute("SAVEPOINT survey")
    try editing { () throws(SQLiteError) in
      _ = try database.query(
        "DELETE FROM main.sqlite_schema WHERE type = 'trigger' AND name IS NOT ?",
        [trigger.map { .text($0) } ?? .null])
    }
    let reasons = try complaints(uses, views, of: view)
    try database.execute("ROLLBACK TO survey; RELEASE survey")
    try editing {}
    return reasons
  }

  /// Statements in which every collation, CHECK, default, generated column, index and trigger of a
  /// table is used.
  private func uses(of name: String) throws(SQLiteError) -> [String] {
    let table = "main.\(quoted(name))"
    let order = try columns(of: name) { $0 != 1 }
    let changes = try changes(of: name)
    guard !order.isEmpty else { return changes }
    return ["SELECT * FROM \(table) ORDER BY \(order.joined(separator: ", "))"] + changes
  }

  /// Their names in quotes; `isMeant` is asked with what kind of hidden column each is.
  private func columns(of name: String, _ isMeant: (Int64) -> Bool) throws(SQLiteError) -> [String]
  {
    try database.query(SchemaPragma.allColumns.text(of: name)).compactMap { row in
      guard case .text(let name) = row[1], case .integer(let hidden) = row[6], isMeant(hidden)
      else { return nil }
      return quoted(name)
    }
  }

  private func changes(of name: String) throws(SQLiteError) -> [String] {
    let table = "main.\(quoted(name))"
    // Of the others SQLite computes the value.
    let settings = try columns(of: name) { $0 == 0 }.map { "\($0) = \($0)" }
    let changes = ["INSERT INTO \(table) DEFAULT VALUES", "DELETE FROM \(table)"]
    guard !settings.isEmpty else { return changes }
    return changes + ["UPDATE \(table) SET \(settings.joined(separator: ", "))"]
  }

  /// Views with INSTEAD OF triggers.
  private func triggeredViews() throws(SQLiteError) -> [String] {
    let rows = try database.query(
      """
      SELECT name FROM main.sqlite_schema WHERE type = 'view' AND name NOT LIKE '\\_sluice\\_%' ESCAPE '\\' AND lower(name) IN (
        SELECT lower(tbl_name) FROM main.sqlite_schema WHERE type = 'trigger') ORDER BY rowid
      """)
    return rows.compactMap { if case .text(let name)? = $0.first { name } else { nil } }
  }

  /// Ends the sentence with what to do.
  static func advice(_ message: String) -> String {
    let isMissing = [
      "no such function: ", "unknown function: ", "no such collation ", "no such module: ",
    ]
    .contains(where: message.hasPrefix)
    if isMissing {
      return "; batches that need it are rejected, unless `init --extension` brings it"
    }
    let isUnknown = message.hasPrefix("no such ") || message.contains(" has no column named ")
    return isUnknown
      ? "; batches that use it are rejected, as by plain SQLite"
      : "; batches that use it are rejected"
  }
}
