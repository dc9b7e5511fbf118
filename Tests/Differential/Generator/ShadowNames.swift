import SluiceJournal
import SluiceShared

/// Batches with objects under the names of the tables in which a virtual table keeps its content, made
/// before the virtual table and after it.
struct ShadowNames {
  /// Of the virtual table; nothing else has it.
  private let name: String
  private let module: Module

  private struct Module {
    var using: String
    var suffixes: [String]
    var filling: String
  }

  private static let fts4 = Module(
    using: "fts4(x)", suffixes: ["content", "segments", "segdir", "docsize", "stat"],
    filling: "(x) VALUES ('some words of it')")
  private static let fts5 = Module(
    using: "fts5(x)", suffixes: ["data", "idx", "content", "docsize", "config"],
    filling: "(x) VALUES ('some words of it')")
  private static let tree = Module(
    using: "rtree(i, a, b)", suffixes: ["node", "rowid", "parent"], filling: " VALUES (1, 2, 3)")

  init(_ number: Int) {
    name = "shadowed\(number)"
    module = [Self.fts4, Self.fts5, Self.tree][number % 3]
  }

  private var create: String { "CREATE VIRTUAL TABLE \(name) USING \(module.using)" }
  private var fill: String { "INSERT INTO \(name)\(module.filling)" }

  private func batch(_ statements: [String]) -> Batch {
    Batch(statements.map { Batch.Statement($0) })
  }

  /// What the queue must refuse. Most of it plain SQLite would do, and some of it crash of, so that it
  /// never sees it.
  func hostile(_ choose: inout Chooser) -> GeneratedBatch {
    let shadow = "\(name)_\(choose.one(module.suffixes))"
    let column = module.using.hasPrefix("rtree") ? "nodeno" : "id"
    let statements =
      choose.one([
        [create, fill, "CREATE TRIGGER \(name)g AFTER INSERT ON \(shadow) BEGIN SELECT 1; END"],
        [create, "CREATE INDEX \(name)i ON \(name)_\(module.suffixes[0])(rowid)", fill],
        [create, "CREATE INDEX \(name)i ON \(name)_\(module.suffixes[0])(\(column))", fill],
        [create, "CREATE TABLE \(name)k(a REFERENCES \(name)_\(module.suffixes[0]))", fill],
        ["CREATE TABLE \(name)k(a REFERENCES \(name)_\(module.suffixes[0]))", create, fill],
        [
          create, "CREATE TABLE \(name)k(a)",
          "ALTER TABLE \(name)k ADD COLUMN b REFERENCES \(name.uppercased())_\(module.suffixes[0])",
        ],
        [create, fill, "INSERT INTO \(shadow) DEFAULT VALUES"], [create, "DELETE FROM \(shadow)"],
        [create, "DROP TABLE \(name)_\(module.suffixes[0])"],
        [create, "ALTER TABLE \(name)_\(module.suffixes[0]) RENAME TO \(name)x"],
        [
          "CREATE VIEW \(name)_stat AS SELECT 1 AS id, NULL AS value",
          "CREATE TRIGGER \(name)g INSTEAD OF INSERT ON \(name)_stat BEGIN SELECT RAISE(ROLLBACK, 'no'); END",
          "CREATE VIRTUAL TABLE \(name) USING fts4(x)", fill,
        ],
        [
          "CREATE TABLE \(name)_stat(id INTEGER PRIMARY KEY, value BLOB, CHECK(id <> 1))",
          "CREATE VIRTUAL TABLE \(name) USING fts3(x)", fill,
        ],
        [
          "CREATE VIEW \(name)_stat AS SELECT 1 AS id, NULL AS value",
          "CREATE VIRTUAL TABLE \(name)x USING fts4(x)", "ALTER TABLE \(name)x RENAME TO \(name)",
        ],
      ])
    return GeneratedBatch(batch: batch(statements), isForbidden: true, isHostile: true)
  }

  /// What SQLite itself takes or refuses: the same must come of it here.
  func plain(_ choose: inout Chooser) -> [GeneratedBatch] {
    let shadow = "\(name)_\(choose.one(module.suffixes))"
    // No module's: `stat` is one of FTS3 and FTS4 only.
    let other = "\(name)_\(module.using.hasPrefix("fts4") ? "notes" : "stat")"
    let made = choose.one([
      ["CREATE TABLE NAME(id INTEGER PRIMARY KEY, c0, CHECK(id > 0))"],
      ["CREATE VIEW NAME AS SELECT 1 AS id, 2 AS c0"],
      [
        "CREATE VIEW NAME AS SELECT 1 AS id, 2 AS c0",
        "CREATE TRIGGER \(name)g INSTEAD OF INSERT ON NAME BEGIN SELECT RAISE(IGNORE); END",
      ],
      [
        "CREATE TABLE NAME(id, c0)",
        "CREATE TRIGGER \(name)g BEFORE INSERT ON NAME BEGIN SELECT RAISE(ABORT, 'no'); END",
      ],
      ["CREATE TABLE \(name)x(a)", "CREATE INDEX NAME ON \(name)x(a)"],
      [
        "CREATE TABLE \(name)x(a)",
        "CREATE TRIGGER NAME AFTER INSERT ON \(name)x BEGIN SELECT 1; END",
        "INSERT INTO \(name)x VALUES (1)",
      ],
      ["CREATE TABLE \(name)x(a)", "ALTER TABLE \(name)x RENAME TO NAME"],
      [
        "CREATE VIEW pragma_foreign_key_list AS SELECT 1 AS id",
        "CREATE VIEW pragma_table_xinfo AS SELECT 1 AS name", "CREATE TABLE \(name)x(a)",
        "CREATE INDEX \(name)xi ON \(name)x(a)",
      ],
    ])
    func named(_ name: String) -> [String] {
      made.map {
        $0.split(separator: "NAME", omittingEmptySubsequences: false).joined(separator: name)
      }
    }
    let fills = [[create], [fill], [fill, "DELETE FROM \(name)"], [fill]]
    let batches: [[String]] =
      choose.one([
        [named(shadow)] + fills, [[create], [fill], named(shadow), [fill]],
        [[create], [fill], named(other), [fill, fill]], [named(other)] + fills,
        [named(shadow) + [create], [fill]], [[create] + named(other) + [fill], [fill]],
      ])
    let ends = [
      ["DROP TABLE \(name)"], ["DROP VIEW IF EXISTS \(shadow)"],
      ["DROP VIEW IF EXISTS pragma_foreign_key_list"], ["DROP VIEW IF EXISTS pragma_table_xinfo"],
    ]
    return (batches + ends).map { GeneratedBatch(batch: batch($0)) }
  }
}
