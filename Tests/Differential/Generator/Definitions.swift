import SluiceShared

/// Statements that define tables, indexes, views and triggers, and change them.
struct Definitions {
  static let conflicts = ["ABORT", "FAIL", "IGNORE", "REPLACE", "ROLLBACK"]

  static func any(_ schema: inout SchemaView, _ choose: inout Chooser) -> String {
    if schema.ordinary.count < 3 { return table(&schema, &choose) }
    return choose.weighted([
      (3, table), (6, trigger), (5, index), (2, view), (2, fullText), (1, tree), (4, alter),
      (2, drop), (1, reindex),
    ])(&schema, &choose)
  }

  // MARK: tables

  static func table(_ schema: inout SchemaView, _ choose: inout Chooser) -> String {
    let name = schema.name("t")
    let isStrict = choose.chance(0.2)
    let isWithoutRowID = choose.chance(0.2)
    var columns = [key(isWithoutRowID, &choose)]
    let names = ["b", "c", "d", "e"].prefix(choose.from(1...4))
    for column in names { columns.append(self.column(column, isStrict, &choose)) }
    if choose.chance(0.3) {
      var expressions = Expressions(scope: names + ["a"], parameters: nil)
      let type = isStrict ? " ANY" : ""
      columns.append(
        "g\(type) GENERATED ALWAYS AS (\(expressions.any(&choose, 1))) \(choose.one(["VIRTUAL", "STORED"]))"
      )
    }
    if choose.chance(0.2) {
      columns.append("UNIQUE (\(names.joined(separator: ", ")))" + onConflict(&choose))
    }
    if choose.chance(0.3), let parent = schema.ordinary.randomOne(&choose) {
      columns.append(foreignKey(choose.one(Array(names)), to: parent, &choose))
    } else if choose.chance(0.1) {
      columns.append("FOREIGN KEY (b) REFERENCES \(quote(name))(a) ON DELETE CASCADE")
    }
    let options = [isWithoutRowID ? "WITHOUT ROWID" : "", isStrict ? "STRICT" : ""]
      .filter { !$0.isEmpty }
    return
      "CREATE TABLE \(choose.chance(0.1) ? "IF NOT EXISTS " : "")\(quote(name))(\(columns.joined(separator: ", "))) \(options.joined(separator: ", "))"
  }

  private static func key(_ isWithoutRowID: Bool, _ choose: inout Chooser) -> String {
    if isWithoutRowID {
      return "a \(choose.one(["TEXT", "INTEGER", "BLOB"])) PRIMARY KEY" + onConflict(&choose)
    }
    return choose.weighted([
      (5, "a INTEGER PRIMARY KEY"), (2, "a INTEGER PRIMARY KEY AUTOINCREMENT"),
      (1, "a INTEGER PRIMARY KEY DESC"), (1, "a INTEGER"),
      (1, "a INTEGER PRIMARY KEY ON CONFLICT REPLACE"),
    ])
  }

  private static func column(_ name: String, _ isStrict: Bool, _ choose: inout Chooser) -> String {
    var sql = name + " "
    sql += choose.one(
      isStrict
        ? ["INT", "TEXT", "REAL", "BLOB", "ANY"]
        : ["", "TEXT", "INT", "REAL", "NUMERIC", "BLOB", "VARCHAR(3)"])
    if choose.chance(0.15) { sql += " NOT NULL" + onConflict(&choose) }
    if choose.chance(0.15) { sql += " UNIQUE" + onConflict(&choose) }
    if choose.chance(0.15) { sql += " COLLATE \(choose.one(["NOCASE", "RTRIM"]))" }
    if choose.chance(0.2) {
      var expressions = Expressions(parameters: nil)
      sql += " DEFAULT (\(expressions.any(&choose, 1)))"
    }
    if choose.chance(0.15) {
      var expressions = Expressions(scope: [name], parameters: nil)
      sql += " CHECK (\(choose.one(["coalesce", "ifnull"]))(\(expressions.any(&choose, 1)), 1))"
    }
    return sql
  }

  private static func onConflict(_ choose: inout Chooser) -> String {
    choose.chance(0.4) ? " ON CONFLICT \(choose.one(conflicts))" : ""
  }

  private static func foreignKey(
    _ column: String, to parent: SchemaView.Table, _ choose: inout Chooser
  ) -> String {
    let actions = ["CASCADE", "SET NULL", "SET DEFAULT", "RESTRICT", "NO ACTION"]
    var sql = "FOREIGN KEY (\(column)) REFERENCES \(parent.quoted)(a)"
    sql += " ON DELETE \(choose.one(actions)) ON UPDATE \(choose.one(actions))"
    if choose.chance(0.5) { sql += " DEFERRABLE INITIALLY DEFERRED" }
    return sql
  }

  static func fullText(_ schema: inout SchemaView, _ choose: inout Chooser) -> String {
    let name = quote("f\(schema.nextNumber)")
    schema.nextNumber += 1
    if choose.chance(0.3), let table = schema.ordinary.randomOne(&choose), table.columns.count > 1 {
      return
        "CREATE VIRTUAL TABLE \(name) USING fts5(\(quote(table.columns[1].name)), content=\(table.quoted), content_rowid=a)"
    }
    return
      "CREATE VIRTUAL TABLE \(name) USING fts5(b, c\(choose.chance(0.3) ? ", tokenize='trigram'" : "")\(choose.chance(0.2) ? ", content=''" : ""))"
  }

  static func tree(_ schema: inout SchemaView, _ choose: inout Chooser) -> String {
    defer { schema.nextNumber += 1 }
    return "CREATE VIRTUAL TABLE \(quote("r\(schema.nextNumber)")) USING rtree(a, b, c, +d TEXT)"
  }

  // MARK: on tables

  static func index(_ schema: inout SchemaView, _ choose: inout Chooser) -> String {
    guard let table = schema.ordinary.randomOne(&choose), !table.columns.isEmpty else {
      return self.table(&schema, &choose)
    }
    let columns = table.columns.map { quote($0.name) }
    var parts: [String] = []
    for _ in 0..<choose.from(1...3) {
      if choose.chance(0.3) {
        var expressions = Expressions(scope: columns, parameters: nil)
        parts.append("(\(expressions.any(&choose, 1)))")
      } else {
        parts.append(choose.one(columns) + choose.one(["", " DESC", " COLLATE NOCASE"]))
      }
    }
    var sql = "CREATE \(choose.chance(0.3) ? "UNIQUE " : "")INDEX \(quote(schema.name("i"))) ON "
    sql += "\(table.quoted)(\(parts.joined(separator: ", ")))"
    if choose.chance(0.25) {
      var expressions = Expressions(scope: columns, parameters: nil)
      sql += " WHERE \(expressions.any(&choose, 1))"
    }
    return sql
  }

  static func view(_ schema: inout SchemaView, _ choose: inout Chooser) -> String {
    guard let a = schema.ordinary.randomOne(&choose), let b = schema.ordinary.randomOne(&choose),
      let column = a.columns.first
    else { return table(&schema, &choose) }
    let name = quote(schema.name("v"))
    var expressions = Expressions(
      scope: a.columns.map { "x.\(quote($0.name))" }, tables: [b], parameters: nil)
    return
      "CREATE VIEW \(name) AS SELECT x.\(quote(column.name)) AS a, \(expressions.any(&choose)) AS b FROM \(a.quoted) AS x ORDER BY 1, 2 LIMIT 50"
  }

  static func trigger(_ schema: inout SchemaView, _ choose: inout Chooser) -> String {
    let views = schema.tables.filter { $0.kind == .view }
    let onView = !views.isEmpty && choose.chance(0.2)
    guard let table = (onView ? views : schema.ordinary).randomOne(&choose), !table.columns.isEmpty
    else { return self.table(&schema, &choose) }
    let event = choose.one(["INSERT", "UPDATE", "DELETE"])
    var scope: [String] = []
    if event != "DELETE" { scope += table.columns.map { "new.\(quote($0.name))" } }
    if event != "INSERT" { scope += table.columns.map { "old.\(quote($0.name))" } }
    var expressions = Expressions(scope: scope, parameters: nil)
    var body: [String] = []
    for _ in 0..<choose.from(1...2) {
      body.append(triggered(schema, &expressions, &choose))
    }
    let when = choose.chance(0.4) ? " WHEN \(expressions.any(&choose, 1))" : ""
    let time = onView ? "INSTEAD OF" : choose.one(["BEFORE", "AFTER"])
    return
      "CREATE TRIGGER \(quote(schema.name("g"))) \(time) \(event) ON \(table.quoted) FOR EACH ROW\(when) BEGIN \(body.joined(separator: "; ")); END"
  }

  private static func triggered(
    _ schema: SchemaView, _ expressions: inout Expressions, _ choose: inout Chooser
  ) -> String {
    let target = schema.ordinary.randomOne(&choose)
    switch choose.below(6) {
    case 0, 1:
      let action = choose.one(["ABORT", "FAIL", "ROLLBACK"])
      let raise = choose.chance(0.3) ? "RAISE(IGNORE)" : "RAISE(\(action), 'no \(action)')"
      return "SELECT \(raise) WHERE \(expressions.any(&choose, 1))"
    case 2, 3:
      guard let target, let column = target.writable.randomOne(&choose) else { return "SELECT 1" }
      return
        "INSERT OR \(choose.one(conflicts)) INTO \(target.quoted)(\(quote(column.name))) SELECT \(expressions.any(&choose, 1)) WHERE (SELECT count(*) FROM \(target.quoted)) < 60"
    case 4:
      guard let target, let column = target.writable.randomOne(&choose) else { return "SELECT 1" }
      return
        "UPDATE OR \(choose.one(conflicts)) \(target.quoted) SET \(quote(column.name)) = \(expressions.any(&choose, 1)) WHERE \(quote(column.name)) = \(expressions.leaf(&choose))"
    default:
      guard let target, let column = target.columns.randomOne(&choose) else { return "SELECT 1" }
      return
        "DELETE FROM \(target.quoted) WHERE \(quote(column.name)) = \(expressions.leaf(&choose))"
    }
  }

  // MARK: changes

  static func alter(_ schema: inout SchemaView, _ choose: inout Chooser) -> String {
    guard let table = schema.ordinary.randomOne(&choose),
      let column = table.columns.randomOne(&choose)
    else { return self.table(&schema, &choose) }
    let sql = "ALTER TABLE \(table.quoted) "
    switch choose.below(4) {
    case 0: return sql + "RENAME TO \(quote(schema.name("t")))"
    case 1: return sql + "RENAME COLUMN \(quote(column.name)) TO \(quote(schema.name("c")))"
    case 2: return sql + "DROP COLUMN \(quote(column.name))"
    default:
      return sql + "ADD COLUMN \(self.column(quote(schema.name("c")), false, &choose))"
    }
  }

  static func drop(_ schema: inout SchemaView, _ choose: inout Chooser) -> String {
    let exists = choose.chance(0.3) ? "IF EXISTS " : ""
    let choice = choose.below(4)
    if choice == 0, let index = schema.indexes.randomOne(&choose) {
      return "DROP INDEX \(exists)\(quote(index))"
    }
    if choice <= 2, let trigger = schema.triggers.randomOne(&choose) {
      return "DROP TRIGGER \(exists)\(quote(trigger))"
    }
    // What else names a table is broken without it, and most of what comes then is refused.
    guard schema.tables.count > 9, let table = schema.tables.randomOne(&choose) else {
      return self.table(&schema, &choose)
    }
    return "DROP \(table.kind == .view ? "VIEW" : "TABLE") \(exists)\(table.quoted)"
  }

  static func reindex(_ schema: inout SchemaView, _ choose: inout Chooser) -> String {
    choose.chance(0.5) ? "REINDEX" : "ANALYZE"
  }
}

extension Array {
  func randomOne(_ choose: inout Chooser) -> Element? { isEmpty ? nil : choose.one(self) }
}
