import SluiceShared

/// Expressions over the columns in scope. What is not the same twice (`random()`, 'now') only appears
/// where its value cannot be told.
struct Expressions {
  /// Names that can be used, as SQL writes them.
  var scope: [String] = []
  /// Tables that a subquery may read.
  var tables: [SchemaView.Table] = []
  /// nil: a parameter cannot stand here, as in the definition of a table.
  var parameters: [SQLValue]? = []

  mutating func any(_ choose: inout Chooser, _ depth: Int = 2) -> String {
    if depth <= 0 || choose.chance(0.3) { return leaf(&choose) }
    let a = any(&choose, depth - 1)
    switch choose.below(16) {
    case 0...3:
      let operation = choose.one([
        "+", "-", "*", "/", "%", "||", "&", "|", "<<", ">>", "=", "<", ">=", "<>", "IS", "IS NOT",
        "AND", "OR", "LIKE", "GLOB",
      ])
      return "(\(a) \(operation) \(any(&choose, depth - 1)))"
    case 4: return "(\(choose.one(["-", "+", "NOT ", "~"]))\(a))"
    case 5: return "CAST(\(a) AS \(choose.one(["TEXT", "INTEGER", "REAL", "BLOB", "NUMERIC"])))"
    case 6: return "CASE WHEN \(a) THEN \(any(&choose, 1)) ELSE \(any(&choose, 0)) END"
    case 7: return "(\(a) BETWEEN \(leaf(&choose)) AND \(leaf(&choose)))"
    case 8: return "(\(a) IN (\(leaf(&choose)), \(leaf(&choose))))"
    case 9: return "(\(a) COLLATE \(choose.one(["NOCASE", "RTRIM", "BINARY"])))"
    case 10...12: return function(a, &choose)
    case 13: return unrepeatable(&choose)
    case 14: return subquery(a, &choose) ?? a
    default: return "(\(a) IS NULL)"
    }
  }

  mutating func leaf(_ choose: inout Chooser) -> String {
    if !scope.isEmpty, choose.chance(0.5) { return choose.one(scope) }
    let value = Values.any(&choose)
    if parameters != nil, choose.chance(0.35) {
      parameters?.append(value)
      return "?"
    }
    return Values.literal(value)
  }

  private mutating func function(_ a: String, _ choose: inout Chooser) -> String {
    switch choose.below(14) {
    case 0: "abs(\(a))"
    case 1: "typeof(\(a))"
    case 2: "length(\(a))"
    case 3: "upper(\(a))"
    case 4: "substr(\(a), \(choose.from(-3...3)), \(choose.from(-2...4)))"
    case 5: "coalesce(\(a), \(leaf(&choose)))"
    case 6: "hex(\(a))"
    case 7: "quote(\(a))"
    case 8: "replace(\(a), 'a', 'bb')"
    case 9: "max(\(a), \(leaf(&choose)))"
    case 10: "printf('%s|%d|%.3f', \(a), 2, 0.5)"
    case 11: "json_quote(CAST(\(a) AS TEXT))"
    case 12: "round(\(a), 2)"
    default: "instr(\(a), \(leaf(&choose)))"
    }
  }

  private func unrepeatable(_ choose: inout Chooser) -> String {
    choose.one([
      "typeof(random())", "length(randomblob(5))", "(random() IS NULL)",
      "length(datetime('now'))", "typeof(julianday('now'))", "length(CURRENT_TIMESTAMP)",
      "(CURRENT_DATE > '2000-01-01')", "typeof(strftime('%s','now'))",
      "changes()", "total_changes()", "last_insert_rowid()", "sqlite_version()",
    ])
  }

  private mutating func subquery(_ a: String, _ choose: inout Chooser) -> String? {
    guard !tables.isEmpty else { return nil }
    let table = choose.one(tables)
    guard let column = table.columns.first.map({ quote($0.name) }) else { return nil }
    let from = "FROM (SELECT * FROM \(table.quoted) LIMIT 30)"
    return switch choose.below(5) {
    case 0: "(SELECT count(*) \(from) WHERE \(column) = \(a))"
    case 1: "EXISTS (SELECT 1 \(from) WHERE \(column) > \(a))"
    case 2: "(\(a) IN (SELECT \(column) \(from)))"
    case 3: "(SELECT max(\(column)) \(from))"
    default: "(SELECT group_concat(typeof(\(column)), ',') \(from))"
    }
  }
}
