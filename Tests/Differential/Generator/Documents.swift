import CSQLite
import SluiceJournal
import SluiceShared

/// Batches that keep JSON: generated columns over it, indexes on what is in it, and statements that change and
/// take apart documents. Some of them are none.
///
/// The tables are its own, and are worked on by nothing else.
struct Documents {
  private let name: String
  private let hasBinary: Bool
  private var isMade = false

  init(_ number: Int) {
    name = "documents\(number)"
    // `jsonb` came with it.
    hasBinary = sqlite3_libversion_number() >= 3_045_000
  }

  /// Names that only these tables begin with.
  static func isOne(_ name: String) -> Bool { name.hasPrefix("documents") }

  mutating func next(_ choose: inout Chooser) -> GeneratedBatch {
    guard isMade else {
      isMade = true
      return GeneratedBatch(batch: Batch(made(&choose).map { Batch.Statement($0) }))
    }
    let statements = (0..<choose.from(1...4)).map { _ in statement(&choose) }
    return GeneratedBatch(batch: Batch(statements, wantsResults: choose.chance(0.4)))
  }

  // MARK: tables

  private func made(_ choose: inout Chooser) -> [String] {
    let check = choose.one(["", " CHECK (json_valid(d))", " CHECK (json_type(d) = 'object')"])
    let list = choose.one(["json_array_length(d, '$.list')", "d -> '$.list'", "d -> 'list' ->> 0"])
    var sql = [
      "CREATE TABLE \(name)(id INTEGER PRIMARY KEY, d \(choose.one(["", "TEXT", "JSON"]))\(check), n AS (d ->> '$.n') \(stored(&choose)), list AS (\(list)) \(stored(&choose)))",
      "CREATE INDEX \(name)n ON \(name)(d ->> '$.k')",
      "CREATE TABLE \(name)parts(id, key, value, type)",
    ]
    if choose.chance(0.5) {
      sql.append(
        "CREATE INDEX \(name)m ON \(name)(n, json_extract(d, '$.o.k', '$.n')) WHERE json_type(d, '$.n') = 'integer'"
      )
    }
    if choose.chance(0.3) { sql.append("CREATE UNIQUE INDEX \(name)u ON \(name)(d -> '$.u')") }
    if choose.chance(0.5) {
      sql.append(
        "CREATE TRIGGER \(name)g AFTER \(choose.one(["INSERT", "UPDATE"])) ON \(name) BEGIN INSERT INTO \(name)parts SELECT new.id, fullkey, atom, type FROM json_tree(new.d) LIMIT 20; END"
      )
    }
    return sql
  }

  private func stored(_ choose: inout Chooser) -> String { choose.one(["VIRTUAL", "STORED"]) }

  // MARK: statements

  private func statement(_ choose: inout Chooser) -> Batch.Statement {
    switch choose.weighted([
      (5, 0), (2, 1), (5, 2), (3, 3), (2, 4), (1, 5), (3, 6), (hasBinary ? 2 : 0, 7),
    ]) {
    case 0: insert(&choose)
    case 1: collect(&choose)
    case 2: update(&choose)
    case 3: updateByElements(&choose)
    case 4: delete(&choose)
    case 5: patch(&choose)
    case 6: query(&choose)
    default: binary(&choose)
    }
  }

  private func insert(_ choose: inout Chooser) -> Batch.Statement {
    let rows = (0..<choose.from(1...3)).map { _ -> [SQLValue] in
      [.integer(Int64(choose.below(30))), .text(document(&choose))]
    }
    let conflict = choose.one(["", "OR REPLACE ", "OR IGNORE "])
    guard choose.chance(0.4) else {
      return .init("INSERT \(conflict)INTO \(name)(id, d) VALUES (?, ?)", rows: rows)
    }
    let values = (0..<4).map { _ in Values.any(&choose) }
    return .init(
      "INSERT \(conflict)INTO \(name)(d) VALUES (json_object('n', ?, 'k', ?, 'list', json_array(?, json_quote(?), json('[]'))))",
      values)
  }

  /// Many rows to one document.
  private func collect(_ choose: inout Chooser) -> Batch.Statement {
    let rows = "FROM (SELECT * FROM \(name) WHERE id % 3 = \(choose.below(3)) ORDER BY id LIMIT 6)"
    return .init(
      choose.one([
        "INSERT INTO \(name)(d) SELECT json_object('list', json_group_array(n)) \(rows)",
        "INSERT INTO \(name)(d) SELECT json_group_object('k' || id, d -> '$.n') \(rows)",
        "INSERT INTO \(name)(d) SELECT json_object('o', json_group_object(id, json(d -> '$.k'))) \(rows)",
        "INSERT INTO \(name)parts SELECT id, 'all', json_group_array(json(d)) FILTER (WHERE json_valid(d)) OVER (ORDER BY id ROWS 1 PRECEDING), 'array' \(rows)",
      ]))
  }

  private func update(_ choose: inout Chooser) -> Batch.Statement {
    let function = choose.one(["json_set", "json_insert", "json_replace"])
    let value = Values.any(&choose)
    let change = choose.weighted([
      (4, ("\(function)(d, '\(path(&choose))', ?)", [value])),
      (2, ("\(function)(d, ?, json(?))", [.text(path(&choose)), .text(document(&choose))])),
      (2, ("json_remove(d, '\(path(&choose))', '\(path(&choose))')", [])),
      (1, ("json_set(d, '$.copy', d -> '\(path(&choose))')", [])),
      (1, ("json_array(d ->> 'n', d -> '$')", [])),
      (1, ("?", [value])),
    ])
    return .init(
      "UPDATE \(choose.chance(0.3) ? "OR IGNORE " : "")\(name) SET d = \(change.0) WHERE \(condition(&choose))"
        + (choose.chance(0.4) ? " RETURNING id, n, d ->> '$.k'" : ""), change.1)
  }

  private func updateByElements(_ choose: inout Chooser) -> Batch.Statement {
    let few = "\(name).id IN (\(choose.below(30)), \(choose.below(30)), \(choose.below(30)))"
    return choose.one([
      .init(
        "UPDATE \(name) SET d = json_set(d, '$.k', e.value) FROM json_each(?) AS e WHERE \(name).id = e.key",
        [.text(document(&choose))]),
      .init(
        "UPDATE \(name) SET d = json_set(d, '$.list', (SELECT json_group_array(value) FROM (SELECT value FROM json_each(d, '$.list') WHERE type <> 'null' ORDER BY key DESC))) WHERE \(few)"
      ),
      .init(
        "UPDATE \(name) SET d = (SELECT json_group_object(key, atom) FROM (SELECT key, atom FROM json_tree(d) WHERE key IS NOT NULL ORDER BY id LIMIT 8)) WHERE \(few) AND json_valid(d)"
      ),
      .init(
        "UPDATE \(name) SET d = json_set(d, '$.n', (SELECT count(*) FROM json_each(\(name).d))) WHERE \(condition(&choose))"
      ),
      .init(
        "INSERT INTO \(name)parts SELECT x.id, e.fullkey, e.value, e.type FROM \(name) AS x, json_each(x.d) AS e WHERE json_valid(x.d) ORDER BY x.id, e.id LIMIT 10"
      ),
    ])
  }

  private func patch(_ choose: inout Chooser) -> Batch.Statement {
    .init(
      "UPDATE \(name) SET d = json_patch(d, ?) WHERE \(condition(&choose))",
      [.text(document(&choose))])
  }

  private func delete(_ choose: inout Chooser) -> Batch.Statement {
    choose.chance(0.3)
      ? .init("DELETE FROM \(name)parts WHERE id % 2 = \(choose.below(2))")
      : .init("DELETE FROM \(name) WHERE \(condition(&choose)) AND id % 2 = \(choose.below(2))")
  }

  private func query(_ choose: inout Chooser) -> Batch.Statement {
    let path = path(&choose)
    return .init(
      choose.one([
        "SELECT id, n, list, d -> '\(path)', d ->> '\(path)', json_type(d, '\(path)') FROM \(name) WHERE id IS NOT ? ORDER BY id LIMIT 20",
        "SELECT id FROM \(name) WHERE d ->> '$.k' = ? ORDER BY id",
        "SELECT x.id, e.key, e.value, e.path FROM \(name) AS x, json_tree(x.d, '\(path)') AS e WHERE json_valid(x.d) AND e.atom IS NOT ? ORDER BY x.id, e.id LIMIT 20",
        "SELECT type, count(*), group_concat(value) FROM (SELECT * FROM \(name)parts WHERE id IS NOT ? ORDER BY id, key) GROUP BY type ORDER BY type",
        "SELECT json_valid(?), json_quote(d) FROM \(name) ORDER BY id LIMIT 3",
      ]), [Values.any(&choose)])
  }

  private func binary(_ choose: inout Chooser) -> Batch.Statement {
    choose.one([
      .init("INSERT INTO \(name)parts VALUES (0, 'b', jsonb(?), 'b')", [.text(document(&choose))]),
      .init(
        "INSERT INTO \(name)parts SELECT id, 'b', jsonb_set(d, '$.n', ?), 'b' FROM \(name) WHERE json_valid(d) ORDER BY id LIMIT 4",
        [Values.any(&choose)]),
      .init(
        "SELECT json(value), jsonb_extract(value, '\(path(&choose))') FROM \(name)parts WHERE type = 'b' LIMIT 5"
      ),
    ])
  }

  // MARK: parts of them

  private func condition(_ choose: inout Chooser) -> String {
    choose.one([
      "id = \(choose.below(30))", "id % 4 = \(choose.below(4))", "d ->> '$.k' = 'a'",
      "n > \(choose.below(12))", "json_type(d, '$.n') = 'integer'", "json_valid(d)",
      "EXISTS (SELECT 1 FROM json_each(\(name).d, '$.list') WHERE value = \(choose.below(12)))",
    ])
  }

  private func path(_ choose: inout Chooser) -> String {
    choose.weighted([
      (4, "$.n"), (4, "$.k"), (2, "$.u"), (3, "$.list[0]"), (2, "$.list[#]"), (1, "$.list[#-1]"),
      (2, "$.o.k"), (1, "$.o.deep.er"), (1, "$"), (1, "$.\"a b\""), (1, "$[0]"), (1, "$.é"),
      (1, "n"), (1, "$.["),
    ])
  }

  /// Most are objects with the names that paths have.
  private func document(_ choose: inout Chooser, _ depth: Int = 0) -> String {
    if choose.chance(0.1) {
      return choose.one([
        "", "nothing", "{", "{\"n\":1,}", "[1,2.5,null,\"a\"]", "null", "7", "\"text\"", "{}", "[]",
        "{\"n\":1,\"n\":2}", "{n:1}", "[[[[1]]]]", "{\"n\":1e400}", "{\"n\":12345678901234567890}",
      ])
    }
    let names = ["n", "k", "u", "list", "o", "a b", "é", "1"]
    let members = (0..<choose.from(1...4)).map { _ in
      let name = choose.one(names)
      let value =
        name == "list"
        ? "[\(scalar(&choose)), \(scalar(&choose))]"
        : name == "o" && depth < 3 ? document(&choose, depth + 1) : scalar(&choose)
      return "\"\(name)\": \(value)"
    }
    return "{" + members.joined(separator: ", ") + "}"
  }

  private func scalar(_ choose: inout Chooser) -> String {
    choose.one([
      "null", "true", "false", "\(choose.below(12))", "-0.0", "1.50", "1e3", "\"a\"", "\"\"",
      "\"é\\u0301\"", "\"\\ud83d\\ude00\"", "\"x'y\\\"z\\n\"", "\"\(choose.below(12))\"", "{}",
      "[]",
    ])
  }
}
