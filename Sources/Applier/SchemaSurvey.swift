internal import CSQLite
internal import SluiceSQLite
internal import SluiceShared

/// What in a schema cannot be used here, though the database can be opened: a table that needs a
/// function, a collation or a module that is not there, a trigger or a view that names a missing
/// table.
///
/// SQLite finds such things only when they are used. So the statements that would use them are
/// compiled, and none is run.
struct SchemaSurvey {
  private let database: Connection
  private static let mostFindings = 20

  init(_ database: Connection) { self.database = database }

  /// A sentence for each; the last one says how many were left out.
  func findings() throws(SQLiteError) -> [String] {
    let objects = try database.query(
      """
      SELECT type, name, rootpage FROM sqlite_schema
      WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
        AND name NOT LIKE '\\_sluice\\_%' ESCAPE '\\' ORDER BY rowid
      """)
    var findings: [String] = []
    for object in objects {
      guard object.count == 3, case .text(let type) = object[0], case .text(let name) = object[1]
      else { continue }
      // A virtual table has no page of its own, and a view none at all.
      let holdsRows = object[2] != .integer(0) && object[2] != .null && type == "table"
      guard let reason = try complaint(about: name, holdsRows: holdsRows) else { continue }
      findings.append("\(type) \(name) cannot be used here: \(reason)")
    }
    guard findings.count > SchemaSurvey.mostFindings else { return findings }
    let left = findings.count - SchemaSurvey.mostFindings
    return findings.prefix(SchemaSurvey.mostFindings) + ["the same holds for \(left) more"]
  }

  /// nil where everything about it can be used.
  private func complaint(about name: String, holdsRows: Bool) throws(SQLiteError) -> String? {
    var reasons: [String] = []
    for text in try uses(of: name, holdsRows: holdsRows) {
      do throws(SQLiteError) { _ = try database.prepare(text) } catch {
        guard error.primary == SQLITE_ERROR else { throw error }
        if !reasons.contains(error.message) { reasons.append(error.message) }
      }
    }
    guard let first = reasons.first else { return nil }
    return reasons.joined(separator: ", ") + SchemaSurvey.advice(first)
  }

  /// Statements in which every collation, CHECK, default, generated column, index and trigger of a
  /// table is used.
  private func uses(of name: String, holdsRows: Bool) throws(SQLiteError) -> [String] {
    let table = "main.\(quoted(name))"
    guard holdsRows else { return ["SELECT * FROM \(table)"] }
    let columns = try database.query(
      "SELECT name, hidden FROM pragma_table_xinfo(?) WHERE hidden <> 1", [.text(name)])
    var order: [String] = []
    var settings: [String] = []
    for column in columns {
      guard case .text(let name)? = column.first else { continue }
      order.append(quoted(name))
      // Of the others SQLite computes the value.
      if column.last == .integer(0) { settings.append("\(quoted(name)) = \(quoted(name))") }
    }
    var uses = ["INSERT INTO \(table) DEFAULT VALUES", "DELETE FROM \(table)"]
    if !order.isEmpty {
      uses.insert("SELECT * FROM \(table) ORDER BY \(order.joined(separator: ", "))", at: 0)
    }
    if !settings.isEmpty {
      uses.append("UPDATE \(table) SET \(settings.joined(separator: ", "))")
    }
    return uses
  }

  /// Ends the sentence with what to do.
  private static func advice(_ message: String) -> String {
    let isMissing = [
      "no such function: ", "unknown function: ", "no such collation ", "no such module: ",
    ]
    .contains(where: message.hasPrefix)
    return isMissing
      ? "; batches that need it are rejected, unless `init --extension` brings it"
      : "; batches that use it are rejected, as by plain SQLite"
  }
}
