internal import SluiceJournal
internal import SluiceSQLite
internal import SluiceShared

/// What the statements of a batch did to the schema, as far as the authorizer was told when they were
/// compiled.
struct SchemaChange {
  /// The tables that were made, or that an index or a trigger was made on.
  var tables: [String] = []
  /// A virtual table was made or renamed: what that concerns is not said, so all is looked at.
  var isWide = false
  /// A table was altered; it may have another name now.
  var isAltered = false

  mutating func add(_ other: SchemaChange) {
    tables += other.tables
    isWide = isWide || other.isWide
    isAltered = isAltered || other.isAltered
  }
}

/// What DDL must leave as it is, also where the authorizer does not see the names.
///
/// Only what a statement changed is looked at, so that it costs the same however large the schema is.
/// (`pragma_table_list` would tell of shadow tables, too; but it compiles each view, and a view over
/// views takes time without bound.)
extension BatchRun {
  /// Nothing of its own may hang on the tables in which a virtual table keeps its content.
  ///
  /// Measured on 3.40.1: with a trigger or an index on one, or a foreign key to one, SQLite's own
  /// write to it begins a savepoint, with which FTS5 writes what it has in memory, which begins a
  /// savepoint …, until the stack ends, and the process with it.
  func checkShadowTables(_ change: SchemaChange) throws(Stop) {
    if change.isWide { forgetVirtualTables() }
    let virtual = try virtualTables()
    guard !virtual.isEmpty else { return }
    if change.isWide { try checkShadowNames(virtual) }
    let tables = change.isWide ? try tablesWithSomethingOnThem() : change.tables
    for table in tables where try isShadow(table, of: virtual) {
      throw .rejected(hanging(table))
    }
    let keys = try foreignKeys(of: change)
    for parent in keys where try isShadow(parent, of: virtual) {
      throw .rejected(hanging(parent))
    }
  }

  /// FTS makes its table of statistics late, and takes whatever has that name already: writing it would run
  /// the triggers of a view or the CHECKs of a table, in a savepoint or in the commit. Its other tables, and
  /// those of FTS5 and R-tree, are made with the virtual table, which fails where there is such a name; and
  /// SQLite lets nobody take one afterwards.
  func checkShadowNames(_ virtual: [String]) throws(Stop) {
    guard environment.makes(.shadowNames) else { return }
    let suffix = "_stat"
    let rows = try ownQuery(
      "SELECT name, type = 'table', sql FROM main.sqlite_schema WHERE type IN ('table', 'view') AND name LIKE '%\\_stat' ESCAPE '\\'"
    )
    for row in rows {
      let isTable = row.count == 3 && row[1] == .integer(1)
      guard row.count == 3, case .text(let name) = row[0], case .text(let sql) = row[2],
        virtual.contains(name.lowercased().dropLast(suffix.utf8.count).description),
        !(isTable && isStatistics(sql)), try isReserved(name)
      else { continue }
      let wayOut =
        isTable ? "ALTER TABLE \(quoted(name)) RENAME TO …" : "DROP VIEW \(quoted(name))"
      throw .rejected(
        Outcome.Rejection(
          code: Outcome.Rejection.Code.denied,
          message:
            "\(name): a full-text table keeps its statistics under this name, and what has it is another thing; first `\(wayOut)`"
        ))
    }
  }

  /// Whether it is what FTS3 and FTS4 make.
  private func isStatistics(_ sql: String) -> Bool {
    guard let columns = sql.utf8.firstIndex(of: UInt8(ascii: "(")) else { return false }
    return sql[columns...].filter { !$0.isWhitespace }.lowercased()
      == "(idintegerprimarykey,valueblob)"
  }

  /// Whether SQLite keeps the name for a virtual table that there is.
  private func isReserved(_ name: String) throws(Stop) -> Bool {
    do throws(SQLiteError) { _ = try prepareOwn("CREATE TABLE main.\(quoted(name))(a)") } catch {
      return error.message.contains("reserved for internal use")
    }
    return false
  }

  private func hanging(_ table: String) -> Outcome.Rejection {
    Outcome.Rejection(
      code: Outcome.Rejection.Code.denied,
      message:
        "\(table): no trigger, index or foreign key on the tables that a virtual table keeps its content in"
    )
  }

  func virtualTables() throws(Stop) -> [String] {
    if let known = knownVirtualTables { return known }
    let names = texts(
      try ownQuery("SELECT name FROM main.sqlite_schema WHERE type = 'table' AND rootpage = 0"))
    knownVirtualTables = names.map { $0.lowercased() }
    return knownVirtualTables ?? []
  }

  /// Whether SQLite keeps others from writing to the table, which it says when that is compiled.
  func isShadow(_ table: String, of virtual: [String]) throws(Stop) -> Bool {
    Self.isShadow(table, of: virtual) { (sql) throws(SQLiteError) in _ = try prepareOwn(sql) }
  }

  /// The same of any connection in DEFENSIVE mode.
  static func isShadow(
    _ table: String, of virtual: [String], prepare: (String) throws(SQLiteError) -> Void
  ) -> Bool {
    let name = table.lowercased()
    guard virtual.contains(where: { name.hasPrefix($0 + "_") }) else { return false }
    do throws(SQLiteError) { try prepare("DELETE FROM main.\(quoted(table)) WHERE 0") } catch {
      return error.message.contains("may not be modified")
    }
    return false
  }

  private func tablesWithSomethingOnThem() throws(Stop) -> [String] {
    texts(
      try ownQuery(
        "SELECT DISTINCT tbl_name FROM main.sqlite_schema WHERE type IN ('trigger', 'index') AND sql IS NOT NULL"
      ))
  }

  func tables() throws(Stop) -> [String] {
    texts(try ownQuery("SELECT name FROM main.sqlite_schema WHERE type = 'table'"))
  }

  /// The tables that the foreign keys of this one refer to.
  func parents(of table: String) throws(Stop) -> [String] {
    let rows =
      if environment.makes(.shadowedPragmas) {
        try ownQuery(SchemaPragma.foreignKeys.text(of: table))
      } else {
        try ownQuery(
          "SELECT id, seq, \"table\" FROM pragma_foreign_key_list(?, 'main')", [.text(table)])
      }
    return texts(rows, column: 2)
  }

  /// What a statement is about to change. A virtual table that is renamed takes the tables with it in which
  /// it keeps its content; of another table ALTER changes what hangs on it alone.
  func widened(_ change: SchemaChange) throws(Stop) -> SchemaChange {
    guard change.isAltered, !change.isWide else { return change }
    let virtual = try virtualTables()
    var change = change
    change.isWide = change.tables.contains { virtual.contains($0.lowercased()) }
    return change
  }

  /// Those that the foreign keys of what was changed refer to.
  private func foreignKeys(of change: SchemaChange) throws(Stop) -> [String] {
    var found: Set<String> = []
    for table in change.isWide ? try tables() : change.tables {
      found.formUnion(try parents(of: table))
    }
    return found.sorted()
  }

  func texts(_ rows: [[SQLValue]], column: Int = 0) -> [String] {
    rows.compactMap { if case .text(let name) = $0[column] { name } else { nil } }
  }

  func schemaBytes() throws(Stop) -> Int {
    // SQLite reads a schema that it has forgotten when it is next used.
    _ = try ownQuery("SELECT 1 FROM main.sqlite_schema LIMIT 0")
    return connection.schemaBytes
  }

  /// A store whose schema fits into no connection that executes batches would stand still.
  func checkSchemaBytes(before: Int?) throws(Stop) {
    let bytes = try schemaBytes()
    guard bytes > Limits.schemaBytes, bytes >= before ?? 0, environment.makes(.boundedSchema) else {
      return
    }
    throw .rejected(
      Outcome.Rejection(
        code: Outcome.Rejection.Code.resources,
        message:
          "the schema would take \(bytes) bytes of memory, and may take \(Limits.schemaBytes); drop views, triggers or tables, or make their expressions shorter"
      ))
  }

  /// What is Sluice's, at the end of a batch that changed the schema.
  func checkSchema(_ change: SchemaChange) throws(Stop) {
    let names = try ownQuery(
      "SELECT count(*) FROM main.sqlite_schema WHERE type IN ('table','view') AND name LIKE '\\_sluice\\_%' ESCAPE '\\'"
    )
    guard names.first?.first == .integer(4) else {
      throw .rejected(
        Outcome.Rejection(
          code: Outcome.Rejection.Code.denied,
          message: "names that begin with \(Bookkeeping.prefix) are reserved"))
    }
    // What was altered may have another name by now.
    var change = change
    change.isWide = change.isWide || change.isAltered
    let keys = try foreignKeys(of: change)
    guard !keys.contains(where: { $0.lowercased().hasPrefix(Bookkeeping.prefix) }) else {
      throw .rejected(
        Outcome.Rejection(
          code: Outcome.Rejection.Code.denied,
          message: "a foreign key to a table of Sluice's own is not allowed"))
    }
  }
}
