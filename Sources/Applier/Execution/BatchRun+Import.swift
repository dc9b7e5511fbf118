internal import SluiceJournal
internal import SluiceSQLite
internal import SluiceShared

/// What in an imported schema would be in the way of every batch, and how it is taken out.
extension BatchRun {
  /// Throws what a batch with DDL that left this schema would be rejected for.
  ///
  /// `schemaBytesBefore`: of the schema in whose place it comes; nil: it is the first.
  func proveSchema(schemaBytesBefore: Int? = nil) throws(StoreError) {
    do throws(Stop) {
      forgetVirtualTables()
      if let row = try unreadableRow() { throw .rejected(unusable(row)) }
      let hanging = try hangingOnShadowTables()
      guard hanging.isEmpty else { throw .rejected(waysOut(of: hanging)) }
      let keys = try foreignKeysToShadowTables()
      guard keys.isEmpty else {
        throw .rejected(
          Outcome.Rejection(
            code: Outcome.Rejection.Code.denied,
            message:
              "\(keys.joined(separator: ", ")): no foreign key to a table that a virtual table keeps its content in; take a copy of the database, make the table anew without it there, then `sluice init --from` the copy"
          ))
      }
      try checkSchema(SchemaChange(isWide: true))
      try checkShadowNames(virtualTables())
      try checkSchemaBytes(before: schemaBytesBefore)
    } catch {
      switch error {
      case .rejected(let rejection):
        let isTooLarge = rejection.code == Outcome.Rejection.Code.resources
        throw StoreError(isTooLarge ? .limit : .invalid, rejection.message)
      case .sqlite(let error): throw StoreError(.io, "the schema cannot be looked at: \(error)")
      case .fatal(let error): throw error
      case .needsOwnCommit: preconditionFailure("nothing was executed")
      }
    }
  }

  private func unusable(_ row: String) -> Outcome.Rejection {
    Outcome.Rejection(code: Outcome.Rejection.Code.denied, message: row)
  }

  /// A trigger or an index on a table in which a virtual table keeps its content.
  private struct Hanging {
    var type: String
    var name: String
    var table: String
  }

  private func hangingOnShadowTables() throws(Stop) -> [Hanging] {
    let virtual = try virtualTables()
    guard !virtual.isEmpty else { return [] }
    let rows = try ownQuery(
      "SELECT type, name, tbl_name FROM main.sqlite_schema WHERE type IN ('trigger', 'index') AND sql IS NOT NULL ORDER BY rowid"
    )
    var hanging: [Hanging] = []
    for row in rows {
      guard row.count == 3, case .text(let type) = row[0], case .text(let name) = row[1],
        case .text(let table) = row[2], try isShadow(table, of: virtual)
      else { continue }
      hanging.append(Hanging(type: type, name: name, table: table))
    }
    return hanging
  }

  private func foreignKeysToShadowTables() throws(Stop) -> [String] {
    let virtual = try virtualTables()
    guard !virtual.isEmpty else { return [] }
    var keys: [String] = []
    for table in try tables() {
      for parent in Set(try parents(of: table)).sorted() where try isShadow(parent, of: virtual) {
        keys.append("the foreign key of table \(table) to \(parent)")
      }
    }
    return keys
  }

  private func waysOut(of hanging: [Hanging]) -> Outcome.Rejection {
    let most = 20
    let named = hanging.prefix(most).map { "\($0.type) \($0.name) on \($0.table)" }
    let more = hanging.count > most ? " and \(hanging.count - most) more" : ""
    let drops = hanging.prefix(most).map { "DROP \($0.type.uppercased()) \(quoted($0.name));" }
    return Outcome.Rejection(
      code: Outcome.Rejection.Code.denied,
      message:
        "\(named.joined(separator: ", "))\(more): no trigger or index on the tables that a virtual table keeps its content in, since SQLite may not live through a write there; take a copy of the database, have the sqlite3 shell execute `\(drops.joined(separator: " "))`\(hanging.count > most ? " and the like for the others" : "") in it, then `sluice init --from` the copy"
    )
  }
}
