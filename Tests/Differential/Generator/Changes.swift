import SluiceJournal
import SluiceShared

/// Statements that change rows, and queries.
struct Changes {
  static func any(_ schema: SchemaView, _ choose: inout Chooser) -> Batch.Statement {
    guard let table = schema.tables.randomOne(&choose), !table.columns.isEmpty else {
      return .init("SELECT 1")
    }
    if table.rows > 200 {
      return .init("DELETE FROM \(table.quoted) WHERE rowid % \(choose.from(2...4)) = 0")
    }
    switch table.kind {
    case .fullText where choose.chance(0.5): return fullText(table, &choose)
    case .view where choose.chance(0.85): return query(schema, table, &choose)
    default:
      return choose.weighted([
        (4, insertMany), (4, insert), (2, insertSelect), (4, update), (2, delete), (2, query),
        (1, upsert),
      ])(schema, table, &choose)
    }
  }

  private typealias Make = (SchemaView, SchemaView.Table, inout Chooser) -> Batch.Statement

  private static func orConflict(_ choose: inout Chooser) -> String {
    choose.chance(0.3) ? "OR \(choose.one(Definitions.conflicts)) " : ""
  }

  private static func expressions(_ schema: SchemaView, _ table: SchemaView.Table?) -> Expressions {
    Expressions(
      scope: table?.columns.map { quote($0.name) } ?? [],
      tables: schema.tables.filter { $0.kind == .ordinary })
  }

  private static func returning(_ table: SchemaView.Table, _ choose: inout Chooser) -> String {
    guard choose.chance(0.25), table.kind == .ordinary else { return "" }
    return choose.chance(0.5)
      ? " RETURNING *" : " RETURNING \(quote(choose.one(table.columns).name)), last_insert_rowid()"
  }

  private static func columns(_ table: SchemaView.Table, _ choose: inout Chooser)
    -> [SchemaView.Column]
  {
    let writable = table.writable
    guard writable.count > 1, choose.chance(0.4) else { return writable }
    return writable.filter { _ in choose.chance(0.7) }
  }

  private static func list(_ columns: [SchemaView.Column]) -> String {
    columns.map { quote($0.name) }.joined(separator: ", ")
  }

  private static func marks(_ count: Int) -> String {
    [String](repeating: "?", count: count).joined(separator: ", ")
  }

  // MARK: INSERT

  /// One text, many rows.
  private static func insertMany(
    _ schema: SchemaView, _ table: SchemaView.Table, _ choose: inout Chooser
  ) -> Batch.Statement {
    let columns = columns(table, &choose)
    guard !columns.isEmpty else { return .init("INSERT INTO \(table.quoted) DEFAULT VALUES") }
    let sql =
      "INSERT \(orConflict(&choose))INTO \(table.quoted)(\(list(columns))) VALUES (\(marks(columns.count)))"
      + returning(table, &choose)
    let rows = (0..<choose.weighted([(6, 1), (3, 3), (1, 12), (1, 0)])).map { _ in
      columns.map { value(for: $0, &choose) }
    }
    return .init(sql, rows: rows)
  }

  /// Keys are mostly few, so that they meet, and often left to SQLite.
  private static func value(for column: SchemaView.Column, _ choose: inout Chooser) -> SQLValue {
    guard column.isInPrimaryKey else { return Values.any(&choose) }
    if choose.chance(0.3) { return .null }
    return choose.chance(0.8) ? .integer(Int64(choose.below(40))) : Values.any(&choose)
  }

  private static func insert(
    _ schema: SchemaView, _ table: SchemaView.Table, _ choose: inout Chooser
  ) -> Batch.Statement {
    let columns = columns(table, &choose)
    guard !columns.isEmpty else { return .init("INSERT INTO \(table.quoted) DEFAULT VALUES") }
    var expressions = expressions(schema, nil)
    let rows = (0..<choose.from(1...3)).map { _ in
      "(" + columns.map { _ in expressions.any(&choose, 1) }.joined(separator: ", ") + ")"
    }
    let sql =
      "\(choose.chance(0.1) ? "REPLACE" : "INSERT \(orConflict(&choose))") INTO \(table.quoted)(\(list(columns))) VALUES "
      + rows.joined(separator: ", ") + returning(table, &choose)
    return .init(sql, expressions.parameters ?? [])
  }

  private static func insertSelect(
    _ schema: SchemaView, _ table: SchemaView.Table, _ choose: inout Chooser
  ) -> Batch.Statement {
    let columns = columns(table, &choose)
    guard !columns.isEmpty, let source = schema.tables.randomOne(&choose) else {
      return .init("INSERT INTO \(table.quoted) DEFAULT VALUES")
    }
    var expressions = expressions(schema, source)
    let values = columns.map { _ in expressions.any(&choose, 1) }.joined(separator: ", ")
    let sql: String
    if choose.chance(0.3) {
      expressions.scope = ["n"]
      let counted = columns.map { _ in expressions.any(&choose, 1) }.joined(separator: ", ")
      expressions.parameters = expressions.parameters.map {
        Array($0.suffix(count("?", in: counted)))
      }
      sql =
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT \(choose.from(1...15))) INSERT \(orConflict(&choose))INTO \(table.quoted)(\(list(columns))) SELECT \(counted) FROM c"
    } else {
      sql =
        "INSERT \(orConflict(&choose))INTO \(table.quoted)(\(list(columns))) SELECT \(values) FROM \(source.quoted) LIMIT \(choose.from(0...8))"
    }
    return .init(sql, expressions.parameters ?? [])
  }

  /// Marks outside of strings: literals hold none (`Values.texts`).
  private static func count(_ character: Character, in sql: String) -> Int {
    sql.count { $0 == character }
  }

  private static func upsert(
    _ schema: SchemaView, _ table: SchemaView.Table, _ choose: inout Chooser
  ) -> Batch.Statement {
    let writable = table.writable
    guard let key = writable.first, let other = writable.last else { return .init("SELECT 1") }
    var expressions = expressions(schema, table)
    expressions.scope += writable.map { "excluded.\(quote($0.name))" }
    let set =
      choose.chance(0.3)
      ? "NOTHING"
      : "UPDATE SET \(quote(other.name)) = \(expressions.any(&choose, 1)) WHERE \(expressions.any(&choose, 1))"
    let sql =
      "INSERT INTO \(table.quoted)(\(list(writable))) VALUES (\(writable.map { Values.literal(value(for: $0, &choose)) }.joined(separator: ", "))) ON CONFLICT \(choose.chance(0.7) ? "(\(quote(key.name)))" : "") DO \(set)"
      + returning(table, &choose)
    return .init(sql, expressions.parameters ?? [])
  }

  // MARK: UPDATE, DELETE

  private static func update(
    _ schema: SchemaView, _ table: SchemaView.Table, _ choose: inout Chooser
  ) -> Batch.Statement {
    var expressions = expressions(schema, table)
    let column = quote(choose.one(table.writable.isEmpty ? table.columns : table.writable).name)
    var sql =
      "UPDATE \(orConflict(&choose))\(table.quoted) SET \(column) = \(expressions.any(&choose))"
    if choose.chance(0.1), let from = schema.ordinary.randomOne(&choose) {
      sql += " FROM (SELECT * FROM \(from.quoted) ORDER BY 1 LIMIT 5) AS y"
      expressions.scope = table.columns.map { "\(table.quoted).\(quote($0.name))" }
    }
    if choose.chance(0.8) { sql += " WHERE \(expressions.any(&choose))" }
    sql += returning(table, &choose)
    return .init(sql, expressions.parameters ?? [])
  }

  private static func delete(
    _ schema: SchemaView, _ table: SchemaView.Table, _ choose: inout Chooser
  ) -> Batch.Statement {
    var expressions = expressions(schema, table)
    guard choose.chance(0.95) else { return .init("DELETE FROM \(table.quoted)") }
    let sql =
      "DELETE FROM \(table.quoted) WHERE \(expressions.any(&choose))" + returning(table, &choose)
    return .init(sql, expressions.parameters ?? [])
  }

  // MARK: the rest

  private static func query(
    _ schema: SchemaView, _ table: SchemaView.Table, _ choose: inout Chooser
  ) -> Batch.Statement {
    var expressions = expressions(schema, table)
    let first = quote(table.columns[0].name)
    switch choose.below(4) {
    case 0:
      return .init(
        "SELECT \(first), row_number() OVER (ORDER BY \(first)), sum(1) OVER (PARTITION BY typeof(\(first)) ORDER BY \(first) ROWS 2 PRECEDING) FROM \(table.quoted) LIMIT 20"
      )
    case 1:
      let sql =
        "WITH x AS (SELECT * FROM \(table.quoted) WHERE \(expressions.any(&choose)) LIMIT 10) SELECT count(*), max(\(first)), group_concat(quote(\(first))) FROM x"
      return .init(sql, expressions.parameters ?? [])
    case 2:
      let sql =
        "SELECT typeof(\(first)), count(*), total(\(first)) FROM \(table.quoted) GROUP BY 1 HAVING \(expressions.any(&choose, 1)) ORDER BY 1"
      return .init(sql, expressions.parameters ?? [])
    default:
      let sql =
        "SELECT *, \(expressions.any(&choose)) FROM \(table.quoted) WHERE \(expressions.any(&choose)) ORDER BY \(first), 1 LIMIT 20"
      return .init(sql, expressions.parameters ?? [])
    }
  }

  private static func fullText(_ table: SchemaView.Table, _ choose: inout Chooser)
    -> Batch.Statement
  {
    let name = table.quoted
    switch choose.below(8) {
    case 0: return .init("INSERT INTO \(name)(\(name)) VALUES ('optimize')")
    case 1: return .init("INSERT INTO \(name)(\(name)) VALUES ('rebuild')")
    case 2: return .init("INSERT INTO \(name)(\(name)) VALUES ('integrity-check')")
    case 3: return .init("INSERT INTO \(name)(\(name), rank) VALUES ('merge', 4)")
    case 4: return .init("INSERT INTO \(name)(\(name)) VALUES ('delete-all')")
    case 5:
      return .init(
        "INSERT INTO \(name)(\(name), rowid, \(quote(table.columns[0].name))) VALUES ('delete', ?, ?)",
        [.integer(Int64(choose.below(20))), .text(Values.text(&choose))])
    default:
      return .init(
        "SELECT rowid FROM \(name) WHERE \(name) MATCH ? ORDER BY rank, rowid LIMIT 10",
        [.text(choose.one(["one", "two three", "\"two\"", "t*", "a OR b", "NEAR(", ""]))])
    }
  }
}
