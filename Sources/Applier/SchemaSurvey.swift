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

  private func complaint(about name: String, holdsRows: Bool) throws(SQLiteError) -> String? {
    let table = "main.\(quoted(name))"
    var texts = ["SELECT * FROM \(table)"]
    if holdsRows {
      // Every CHECK, default, generated column, index and trigger is in one of these.
      texts += ["INSERT INTO \(table) DEFAULT VALUES", "DELETE FROM \(table)"]
      let columns = try database.query(
        "SELECT name FROM pragma_table_xinfo(?) WHERE hidden = 0", [.text(name)])
      let settings = columns.compactMap { row -> String? in
        guard case .text(let column)? = row.first else { return nil }
        return "\(quoted(column)) = \(quoted(column))"
      }
      if !settings.isEmpty { texts.append("UPDATE \(table) SET \(settings.joined(separator: ", "))") }
    }
    for text in texts {
      do throws(SQLiteError) { _ = try database.prepare(text) } catch {
        guard error.primary == SQLITE_ERROR else { throw error }
        return error.message + SchemaSurvey.advice(error.message)
      }
    }
    return nil
  }

  /// Ends the sentence with what to do.
  private static func advice(_ message: String) -> String {
    let isMissing = ["no such function: ", "unknown function: ", "no such collation ", "no such module: "]
      .contains(where: message.hasPrefix)
    return isMissing
      ? "; batches that need it are rejected, unless `init --extension` brings it"
      : "; batches that use it are rejected, as by plain SQLite"
  }
}
