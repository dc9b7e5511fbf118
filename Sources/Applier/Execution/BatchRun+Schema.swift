internal import SluiceJournal
internal import SluiceShared

/// What DDL must leave as it is, also where the authorizer does not see the names.
extension BatchRun {
  /// Nothing of its own may hang on the tables in which a virtual table keeps its content.
  ///
  /// Measured on 3.40.1: with a trigger or an index on one, or a foreign key to one, SQLite's own
  /// write to it begins a savepoint, with which FTS5 writes what it has in memory, which begins a
  /// savepoint …, until the stack ends, and the applier with it.
  func checkShadowTables() throws(Stop) {
    let virtual = try ownQuery(
      "SELECT 1 FROM main.sqlite_schema WHERE type = 'table' AND rootpage = 0 LIMIT 1")
    guard !virtual.isEmpty else { return }
    let hanging = try ownQuery(
      """
      WITH shadow(name) AS (
        SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'shadow')
      SELECT s.name FROM main.sqlite_schema AS s
      WHERE s.type IN ('trigger', 'index') AND s.sql IS NOT NULL
        AND s.tbl_name COLLATE NOCASE IN shadow
      UNION ALL
      SELECT t.name FROM main.sqlite_schema AS t, pragma_foreign_key_list(t.name) AS k
      WHERE t.type = 'table' AND k."table" COLLATE NOCASE IN shadow
      """)
    if let first = hanging.first?.first {
      throw .rejected(
        Outcome.Rejection(
          code: Outcome.Rejection.Code.denied,
          message:
            "\(first.display): no trigger, index or foreign key on the tables that a virtual table keeps its content in"
        ))
    }
  }

  /// Throws what a batch with DDL that left this schema would be rejected for.
  func proveSchema() throws(StoreError) {
    do throws(Stop) {
      try checkSchema()
      try checkShadowTables()
    } catch {
      switch error {
      case .rejected(let rejection): throw StoreError(.invalid, rejection.message)
      case .sqlite(let error): throw StoreError(.io, "the schema cannot be looked at: \(error)")
      case .fatal(let error): throw error
      case .needsOwnCommit: preconditionFailure("nothing was executed")
      }
    }
  }

  /// What is Sluice's.
  func checkSchema() throws(Stop) {
    let names = try ownQuery(
      "SELECT count(*) FROM main.sqlite_schema WHERE type IN ('table','view') AND name LIKE '\\_sluice\\_%' ESCAPE '\\'"
    )
    guard names.first?.first == .integer(4) else {
      throw .rejected(
        Outcome.Rejection(
          code: Outcome.Rejection.Code.denied,
          message: "names that begin with \(Bookkeeping.prefix) are reserved"))
    }
    let keys = try ownQuery(
      "SELECT t.name FROM main.sqlite_schema AS t, pragma_foreign_key_list(t.name) AS f WHERE t.type = 'table' AND f.\"table\" LIKE '\\_sluice\\_%' ESCAPE '\\'"
    )
    guard keys.isEmpty else {
      throw .rejected(
        Outcome.Rejection(
          code: Outcome.Rejection.Code.denied,
          message: "a foreign key to a table of Sluice's own is not allowed"))
    }
  }
}
