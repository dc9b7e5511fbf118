import CSQLite
import Foundation
import SluiceApplier
import SluiceJournal
import SluiceSQLite
import SluiceShared
import Testing

/// A plain SQLite file, removed with this object.
final class PlainFile {
  let path = NSTemporaryDirectory() + "sluice-plain-\(UUID().uuidString).sqlite"

  init(_ sql: String) throws {
    let database = try open()
    try database.execute(sql)
    try database.close()
  }

  deinit { for suffix in ["", "-journal", "-wal", "-shm"] { unlink(path + suffix) } }

  func open() throws -> Connection {
    try Connection(path: path, flags: [.readWrite, .create, .noMutex])
  }
}

@Suite("Whatever schema SQLite opens and writes works from init to the last batch")
struct ImportTests {
  /// A database, what is written to it, and a question about it. The store must give the answer that
  /// the plain file gives.
  struct Schema: CustomTestStringConvertible, Sendable {
    var testDescription: String
    var made: String
    var written: [String]
    var question: String

    init(_ name: String, _ made: String, _ written: [String], _ question: String) {
      testDescription = name
      self.made = made
      self.written = written
      self.question = question
    }
  }

  /// Makes a SQLite that has nothing but its own functions believe in others' schemas.
  private static func schemaText(_ table: String, _ sql: String) -> String {
    "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = '\(sql)' WHERE name = '\(table)'; PRAGMA writable_schema = OFF;"
  }

  static let schemas: [Schema] = [
    Schema(
      "JSON in a CHECK (a Django JSONField)",
      "CREATE TABLE t(d TEXT NOT NULL CHECK((JSON_VALID(d) OR d IS NULL)))",
      ["INSERT INTO t VALUES('{\"a\": 1}')"], "SELECT d ->> 'a' FROM t"),
    Schema(
      "JSON in generated columns",
      """
      CREATE TABLE t(d, v AS (json_extract(d, '$.v')), s AS (d ->> 's') STORED);
      CREATE INDEX i ON t(v); INSERT INTO t VALUES('{"v": 1, "s": "a"}')
      """,
      [
        "INSERT INTO t VALUES('{\"v\": 2, \"s\": \"b\"}')",
        "UPDATE t SET d = json_set(d, '$.v', 7) WHERE v = 1",
      ],
      "SELECT v, s FROM t ORDER BY v"),
    Schema(
      "JSON in indexes",
      """
      CREATE TABLE t(d); CREATE INDEX i ON t(json_extract(d, '$.w'));
      CREATE UNIQUE INDEX p ON t(json_extract(d, '$.u')) WHERE json_type(d, '$.u') = 'text';
      INSERT INTO t VALUES('{"w": 1, "u": "x"}')
      """,
      [
        "INSERT INTO t VALUES('{\"w\": 2, \"u\": \"y\"}')",
        "DELETE FROM t WHERE json_extract(d, '$.w') = 1",
      ],
      "SELECT d FROM t"),
    Schema(
      "JSON in a default", "CREATE TABLE t(d DEFAULT (json_array(1, 'a')), n)",
      ["INSERT INTO t(n) VALUES(1)"], "SELECT d, n FROM t"),
    Schema(
      "JSON in triggers and views",
      """
      CREATE TABLE t(a); CREATE TABLE l(j);
      CREATE TRIGGER r AFTER INSERT ON t BEGIN INSERT INTO l VALUES(json_object('a', new.a)); END;
      CREATE VIEW v AS SELECT value FROM l, json_each(l.j);
      CREATE TRIGGER w INSTEAD OF INSERT ON v BEGIN INSERT INTO t SELECT value FROM json_each(new.value); END
      """,
      ["INSERT INTO t VALUES(1)", "INSERT INTO v VALUES('[2, 3]')"],
      "SELECT value FROM v ORDER BY 1"),
    Schema(
      "Triggers that keep an FTS5 table",
      """
      CREATE TABLE memo(id INTEGER PRIMARY KEY, words);
      CREATE VIRTUAL TABLE f USING fts5(words, content='memo', content_rowid='id');
      CREATE TRIGGER a AFTER INSERT ON memo BEGIN INSERT INTO f(rowid, words) VALUES(new.id, new.words); END;
      CREATE TRIGGER b AFTER DELETE ON memo BEGIN INSERT INTO f(f, rowid, words) VALUES('delete', old.id, old.words); END;
      CREATE TRIGGER c AFTER UPDATE ON memo BEGIN
        INSERT INTO f(f, rowid, words) VALUES('delete', old.id, old.words);
        INSERT INTO f(rowid, words) VALUES(new.id, new.words); END;
      INSERT INTO memo(words) VALUES('black tea')
      """,
      [
        "INSERT INTO memo(words) VALUES('green tea'), ('coffee')",
        "UPDATE memo SET words = 'white tea' WHERE id = 1", "DELETE FROM memo WHERE id = 2",
      ], "SELECT rowid, words FROM f WHERE f MATCH 'tea'"),
    Schema(
      "Triggers that keep an FTS4 table",
      """
      CREATE TABLE memo(id INTEGER PRIMARY KEY, words);
      CREATE VIRTUAL TABLE f USING fts4(words, content='memo');
      CREATE TRIGGER a AFTER INSERT ON memo BEGIN INSERT INTO f(docid, words) VALUES(new.id, new.words); END;
      CREATE TRIGGER b BEFORE DELETE ON memo BEGIN DELETE FROM f WHERE docid = old.id; END;
      INSERT INTO memo(words) VALUES('black tea')
      """,
      ["INSERT INTO memo(words) VALUES('green tea'), ('coffee')", "DELETE FROM memo WHERE id = 1"],
      "SELECT docid FROM f WHERE f MATCH 'tea'"),
    Schema(
      "Triggers that keep an R-tree (GeoPackage)",
      """
      CREATE TABLE spot(id INTEGER PRIMARY KEY, x);
      CREATE VIRTUAL TABLE r USING rtree(id, a, b);
      CREATE TRIGGER i AFTER INSERT ON spot BEGIN INSERT OR REPLACE INTO r VALUES(new.id, new.x, new.x + 1); END;
      CREATE TRIGGER d AFTER DELETE ON spot BEGIN DELETE FROM r WHERE id = old.id; END;
      INSERT INTO spot VALUES(1, 2.5)
      """,
      ["INSERT INTO spot VALUES(2, 7)", "DELETE FROM spot WHERE id = 1"], "SELECT * FROM r"),
    Schema(
      "A legacy file format",
      """
      PRAGMA legacy_file_format = ON; CREATE TABLE t(a, b); CREATE INDEX i ON t(a DESC);
      INSERT INTO t VALUES(1, 1)
      """,
      ["INSERT INTO t VALUES(2, 1)", "CREATE INDEX j ON t(b DESC)"],
      "SELECT a FROM t ORDER BY a DESC"),
    Schema(
      "WITHOUT ROWID, STRICT, and a partial index",
      """
      CREATE TABLE t(a TEXT PRIMARY KEY DESC, b INTEGER) WITHOUT ROWID, STRICT;
      CREATE INDEX i ON t(b) WHERE b > 1; INSERT INTO t VALUES('x', 1)
      """,
      ["INSERT INTO t VALUES('y', 2), ('z', 3)"], "SELECT a FROM t WHERE b > 1 ORDER BY b"),
    Schema(
      "Double-quoted strings",
      """
      CREATE TABLE t(a DEFAULT "x", b CHECK(b <> "nothing")); CREATE INDEX i ON t("no column");
      INSERT INTO t(b) VALUES(1)
      """,
      ["INSERT INTO t(b) VALUES(2)"], "SELECT a, b FROM t"),
    Schema(
      "A view and a trigger that name missing tables",
      """
      CREATE TABLE t(a); CREATE TABLE u(a); CREATE VIEW v AS SELECT * FROM nowhere;
      CREATE TRIGGER r AFTER INSERT ON u BEGIN INSERT INTO nowhere VALUES(1); END
      """,
      ["INSERT INTO t VALUES(1)", "CREATE TABLE w(a)", "ANALYZE"], "SELECT a FROM t"),
    Schema(
      "UTF-16 and incremental auto_vacuum",
      """
      PRAGMA encoding = 'UTF-16be'; PRAGMA auto_vacuum = INCREMENTAL;
      CREATE TABLE t(a TEXT COLLATE NOCASE UNIQUE); INSERT INTO t VALUES('Zürich')
      """,
      ["INSERT INTO t VALUES('Genève')", "INSERT OR IGNORE INTO t VALUES('GENèVE')"],
      "SELECT a FROM t ORDER BY a"),
    Schema(
      "Pages of 512 bytes, statistics and AUTOINCREMENT",
      """
      PRAGMA page_size = 512; CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT, a);
      CREATE INDEX i ON t(a); INSERT INTO t(a) VALUES(1), (2); DELETE FROM t WHERE id = 2; ANALYZE
      """,
      ["INSERT INTO t(a) VALUES(3)"], "SELECT id, a FROM t"),
    Schema(
      "Pages of 65536 bytes",
      "PRAGMA page_size = 65536; CREATE TABLE t(a); INSERT INTO t VALUES(1)",
      ["INSERT INTO t VALUES(zeroblob(200000))"], "SELECT length(a) FROM t"),
    Schema(
      "A schema that was written by hand",
      "CREATE TABLE t(a); INSERT INTO t VALUES(1); "
        + schemaText("t", "CREATE TABLE t(a, b /* later */)"),
      ["INSERT INTO t VALUES(2, 3)"], "SELECT a, b FROM t"),
    Schema(
      "A collation that is not there, in another table",
      "CREATE TABLE t(a); CREATE TABLE k(a, b); "
        + schemaText("k", "CREATE TABLE k(a COLLATE nowhere, b)"),
      ["INSERT INTO t VALUES(1)", "CREATE INDEX i ON t(a)", "INSERT INTO k(b) VALUES(1)"],
      "SELECT a FROM t"),
    Schema(
      "A function that is not there, in another table's trigger",
      """
      CREATE TABLE t(a); CREATE TABLE k(a);
      CREATE TRIGGER r AFTER INSERT ON k WHEN nowhere(new.a) BEGIN SELECT 1; END
      """,
      ["INSERT INTO t VALUES(1)", "CREATE TABLE w(a)"], "SELECT a FROM t"),
    Schema(
      "A module that is not there",
      """
      CREATE TABLE t(a); PRAGMA writable_schema = ON;
      INSERT INTO sqlite_schema VALUES('table', 'z', 'z', 0, 'CREATE VIRTUAL TABLE z USING nowhere(a)')
      """,
      ["INSERT INTO t VALUES(1)", "CREATE INDEX i ON t(a)"], "SELECT a FROM t"),
  ]

  @Test("The store answers as the plain file does", arguments: schemas)
  func asPlain(schema: Schema) throws {
    let file = try PlainFile(schema.made)
    var creation = StoreCreation()
    creation.source = file.path
    creation.foreignKeys = false
    let store = try TestStore(creation)
    for sql in schema.written { #expect(try store.apply(sql).isApplied, "\(sql)") }

    let plain = try file.open()
    for sql in schema.written { try plain.execute(sql) }
    let answer = try plain.query(schema.question)
    #expect(!answer.isEmpty)
    #expect(try store.query(schema.question) == answer)
  }

  @Test(
    "What cannot be used is named, and nothing else",
    arguments: [
      (
        "A function that is not there, in another table's trigger",
        "trigger r on k cannot run here: no such function: nowhere; batches that need it"
      ),
      (
        "A collation that is not there, in another table",
        "table k cannot be used here: no such collation sequence: nowhere"
      ),
      ("A module that is not there", "table z cannot be used here: no such module: nowhere"),
      (
        "A view and a trigger that name missing tables",
        "view v cannot be used here: no such table: main.nowhere"
      ),
      ("JSON in triggers and views", nil),
      ("Triggers that keep an FTS5 table", nil),
    ] as [(String, String?)])
  func notes(name: String, expected: String?) throws {
    let schema = try #require(ImportTests.schemas.first { $0.testDescription == name })
    let file = try PlainFile(schema.made)
    let notes = Monitor<[String]>([])
    var creation = StoreCreation()
    creation.source = file.path
    creation.note = { note in notes.withLock { $0.append(note) } }
    _ = try TestStore(creation)
    let told = notes.withLock { $0 }
    if let expected {
      #expect(told.contains { $0.hasPrefix(expected) }, "\(told)")
    } else {
      #expect(told.isEmpty)
    }
  }

  @Test(
    "Rows that break a constraint are taken over, and told",
    arguments: [
      (
        "CREATE TABLE p(n CHECK(n > 0)); PRAGMA ignore_check_constraints = ON; INSERT INTO p VALUES(-5), (-6), (7)",
        "2 rows break constraints, the first: CHECK constraint failed in p"
      ),
      (
        "CREATE TABLE p(n); INSERT INTO p VALUES(NULL);"
          + schemaText("p", "CREATE TABLE p(n NOT NULL)"),
        "1 row breaks a constraint, the first: NULL value in p.n"
      ),
      (
        "CREATE TABLE p(n CHECK(json(n))); PRAGMA ignore_check_constraints = ON; INSERT INTO p VALUES('{')",
        nil
      ),
    ] as [(String, String?)])
  func brokenConstraints(made: String, expected: String?) throws {
    let file = try PlainFile(made)
    let notes = Monitor<[String]>([])
    var creation = StoreCreation()
    creation.source = file.path
    creation.note = { note in notes.withLock { $0.append(note) } }
    let store = try TestStore(creation)
    #expect(try store.query("SELECT n FROM p") == file.open().query("SELECT n FROM p"))
    let told = notes.withLock { $0 }
    if let expected {
      #expect(told.count == 1 && told[0].hasPrefix(expected), "\(told)")
    } else {
      #expect(told.isEmpty, "\(told)")
    }
  }

  @Test(
    "A schema that would be in the way of batches is refused before there is a store",
    arguments: [
      (
        "CREATE VIRTUAL TABLE f USING fts5(a); PRAGMA writable_schema = ON; CREATE INDEX i ON f_content(c0)",
        "virtual table keeps its content in"
      ),
      (
        "CREATE TABLE t(a REFERENCES _sluice_state(id))", "a foreign key to a table of Sluice's own"
      ),
      ("CREATE TABLE t(a); CREATE INDEX _sluice_i ON t(a)", "_sluice_i"),
    ])
  func inTheWay(made: String, message: String) throws {
    let file = try PlainFile(made)
    let path = NSTemporaryDirectory() + "sluice-test-\(UUID().uuidString)"
    var creation = StoreCreation()
    creation.source = file.path
    do throws(StoreError) {
      try creation.make(at: path)
      Issue.record("a store was made")
    } catch {
      #expect(error.message.contains(message), "\(error)")
      #expect(error.code == .invalid)
    }
    #expect(access(path, F_OK) != 0)
  }
}
