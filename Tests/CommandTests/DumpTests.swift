import Glibc
import SluiceSQLite
import SluiceShared
import Testing

@testable import sluice

@Suite("dump writes what .dump of sqlite3 would, and it goes back in")
struct DumpTests {
  let place: Workplace

  init() throws {
    place = try Workplace()
    try place.make()
  }

  private func dump(_ arguments: String...) throws -> String {
    let result = try sluice(["dump", place.store] + arguments)
    try #require(result.code == 0, "\(result.errors)")
    return result.output
  }

  private func submit(script: String) throws {
    let result = try place.submit("--sql", "-", input: script)
    try #require(result.code == 0, "\(result.output)\(result.errors)")
  }

  private static let ordinary = """
    CREATE TABLE plain(a, b);
    CREATE TABLE "a b"(x, "group" int primary key, g as (x + 1), "it""s");
    CREATE TABLE 'quoted'(a DEFAULT (1) -- why
    );
    CREATE TABLE w(k PRIMARY KEY, v) WITHOUT ROWID;
    CREATE TABLE au(i INTEGER PRIMARY KEY AUTOINCREMENT, r REAL);
    CREATE TABLE "select"(a REFERENCES au(i));
    CREATE INDEX ia ON plain(a);
    CREATE VIEW v AS SELECT 1 -- c
    ;
    CREATE VIEW u AS SELECT a FROM plain;
    CREATE TRIGGER tr AFTER INSERT ON w BEGIN INSERT INTO plain VALUES (new.k, '--'); SELECT ';'; END;
    INSERT INTO plain VALUES (1, NULL), (-9223372036854775808, x''), ('', x'00ff'), ('it''s', 'é漢🙂'),
      ('a' || char(10) || '\\n', 'b' || char(13) || char(10)), ('\\n\\012' || char(10), '7'),
      (0.1, 1.5e-7), (-2.5, 3.0), (1e999, -1e999), (123456789012345678.0, 1e20), (100.0, 0.0);
    INSERT INTO "a b"(x, "group") VALUES (1, 2);
    INSERT INTO w VALUES ('k', 1);
    INSERT INTO au(r) VALUES (7), (8);
    DELETE FROM au WHERE i = 2;
    INSERT INTO "select" VALUES (1);
    """

  /// To compile this one takes 2^40 steps: nobody would see the end of the dump.
  @Test("It costs the same whatever views are made of")
  func nestedViews() throws {
    var script = "CREATE VIRTUAL TABLE f USING fts5(a);\nCREATE VIEW v0 AS SELECT 1 AS x;\n"
    for n in 1...40 {
      script += "CREATE VIEW v\(n) AS SELECT a.x FROM v\(n - 1) a JOIN v\(n - 1) b;\n"
    }
    try submit(script: script)
    #expect(try dump() == "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n\(script)COMMIT;\n")
  }

  @Test("Ordinary tables: byte for byte, but for Sluice's own")
  func ordinary() throws {
    try submit(script: Self.ordinary)
    #expect(try sluice(["checkpoint", place.store]).code == 0)
    let plain = try sqlite3("\(place.path)/copy.sqlite", input: Self.ordinary + "\n.dump\n")
    #expect(try dump() == plain)
    // The way by a checkpoint, and by a dump, into another store.
    for script in [plain, try sqlite3("\(place.store)/current.sqlite", ".dump"), try dump()] {
      let other = try Workplace()
      try other.make()
      let result = try other.submit("--sql", "-", input: script)
      #expect(result.code == 0, "\(result.output)\(result.errors)")
      #expect(result.errors.contains("_sluice_") == script.contains("_sluice_"))
      #expect(try sluice(["dump", other.store]).output == plain)
      let next = try other.submit("INSERT INTO au(r) VALUES (9) RETURNING i", "--results")
      #expect(next.lines.last == "  3")
    }
  }

  @Test("Lines that would end a statement of a script")
  func terminatorLines() throws {
    let file = "\(place.path)/source.sqlite"
    let statements = [
      "CREATE TABLE a(x, h AS (x\n/\n2), d DEFAULT 'it\ngo\n')",
      "CREATE VIEW v AS SELECT x AS\nGo\nFROM a",
      "CREATE TRIGGER tr AFTER INSERT ON a BEGIN UPDATE a SET x = new.x\n /\n2; END",
    ]
    let made = try Connection(path: file, flags: [.create, .readWrite])
    for statement in statements { try made.execute(statement) }
    try made.execute("INSERT INTO a(x) VALUES (6)")
    let store = "\(place.path)/imported"
    #expect(try sluice(["init", store, "--from", file]).code == 0)
    let text = try sluice(["dump", store]).output
    let other = try Workplace()
    try other.make()
    let result = try other.submit("--sql", "-", input: text)
    #expect(result.code == 0, "\(result.output)\(result.errors)")
    #expect(try sluice(["dump", other.store]).output == text)
    #expect(
      try sqlite3("\(place.path)/shell.sqlite", input: text + "SELECT h, d FROM a;\n")
        == "1|it\ngo\n\n")
  }

  @Test("With planner statistics: without those of Sluice's own tables")
  func statistics() throws {
    try submit(
      script:
        "CREATE TABLE t(a); CREATE INDEX i ON t(a); INSERT INTO t VALUES (1), (1); ANALYZE;")
    let text = try dump()
    #expect(
      text.contains("ANALYZE sqlite_schema;\nINSERT INTO sqlite_stat1 VALUES('t','i','2 2');\n"))
    #expect(!text.contains("_sluice_"))
    let other = try Workplace()
    try other.make()
    #expect(try other.submit("--sql", "-", input: text).code == 0)
    #expect(try sluice(["dump", other.store]).output == text)
  }

  /// sqlite_sequence stays when the last AUTOINCREMENT table goes, and a dump clears it.
  @Test("A dump of a database that had AUTOINCREMENT once")
  func emptySequence() throws {
    let script =
      "CREATE TABLE a(i INTEGER PRIMARY KEY AUTOINCREMENT); DROP TABLE a; CREATE TABLE t(a); INSERT INTO t VALUES (1);"
    try submit(script: script)
    let text = try dump()
    #expect(try sqlite3("\(place.path)/c.sqlite", input: script + "\n.dump\n") == text)
    let other = try Workplace()
    try other.make()
    #expect(try other.submit("--sql", "-", input: text).code == 0)
    #expect(try sluice(["dump", other.store]).output == text)
  }

  @Test("FTS and R-tree tables are made and filled as they once were")
  func virtualTables() throws {
    try submit(
      script: """
        CREATE TABLE doc(i INTEGER PRIMARY KEY, t);
        INSERT INTO doc VALUES (3, 'external text'), (4, 'more');
        CREATE VIEW docs AS SELECT i, t FROM doc;
        CREATE VIRTUAL TABLE f5 USING fts5(z, y UNINDEXED, "a b");
        INSERT INTO f5(rowid, z, y) VALUES (7, 'hello world', 3), (9, 'bye''s' || char(10), NULL);
        INSERT INTO f5(f5, rank) VALUES ('pgsz', 500);
        CREATE VIRTUAL TABLE 'f x' USING fts5(t, content=doc, content_rowid=i);
        CREATE VIRTUAL TABLE fv USING fts5(t, content=docs, content_rowid=i);
        CREATE VIRTUAL TABLE f4 USING fts4(a, b, languageid="lid");
        INSERT INTO f4(docid, a, b, lid) VALUES (7, 'x', 'y', 3);
        INSERT INTO "f x"("f x") VALUES ('rebuild');
        INSERT INTO fv(fv) VALUES ('rebuild');
        CREATE VIRTUAL TABLE words USING fts5vocab(f5, row);
        CREATE VIRTUAL TABLE r USING rtree(id, x0, x1, +aux);
        INSERT INTO r VALUES (1, 0.1, 2.7, 'au'), (5, -1.5, 1e10, NULL);
        CREATE VIRTUAL TABLE ri USING rtree_i32(id, x0, x1);
        INSERT INTO ri VALUES (1, -7, 8);
        """)
    let text = try dump()
    #expect(!text.contains("writable_schema") && !text.contains("f5_data"))
    let other = try Workplace()
    try other.make()
    let result = try other.submit("--sql", "-", input: text)
    #expect(result.code == 0, "\(result.output)")
    #expect(try sluice(["dump", other.store]).output == text)
    for query in [
      "SELECT rowid, * FROM f5 WHERE f5 MATCH 'hello'", "SELECT rowid FROM \"f x\"('external')",
      "SELECT rowid FROM fv('more')", "SELECT docid, lid FROM f4 WHERE f4 MATCH 'x' AND lid = 3",
      "SELECT * FROM r WHERE x0 < 0", "SELECT * FROM ri", "SELECT term, doc FROM words",
      "SELECT v FROM f5_config WHERE k = 'pgsz'",
    ] {
      let expected = try place.query(query, "--csv")
      #expect(expected.lines.count > 1)
      #expect(try other.query(query, "--csv").output == expected.output, "\(query)")
    }
  }

  @Test("A full-text index without a text is empty, which is said, with the way out")
  func withoutContent() throws {
    try submit(
      script: """
        CREATE VIRTUAL TABLE f USING fts5(a, content = '');
        INSERT INTO f(rowid, a) VALUES (1, 'word');
        CREATE TABLE t(a);
        INSERT INTO t VALUES (7);
        """)
    let result = try sluice(["dump", place.store])
    #expect(result.code == 0, "\(result.errors)")
    #expect(result.errors.contains("note: table f") && result.errors.contains("init --from"))
    let other = try Workplace()
    try other.make()
    #expect(try other.submit("--sql", "-", input: result.output).code == 0)
    #expect(try other.query("SELECT a FROM t", "--csv").lines == ["a", "7"])
    #expect(
      try other.query("SELECT count(*) AS n FROM f WHERE f MATCH 'word'", "--csv").lines
        == ["n", "0"])
  }

  @Test("Every value is read back as the same, by this SQLite and by Swift")
  func exactValues() throws {
    try place.execute("CREATE TABLE t(i INTEGER PRIMARY KEY, v)")
    var reals: [Double] = [
      .leastNonzeroMagnitude, -.leastNormalMagnitude, .greatestFiniteMagnitude, 1e300, -0.0, 1e-300,
      0.1, 1 / 3, .leastNonzeroMagnitude * 12345, 9007199254740992, 0x1p63, -0x1p63, .pi,
    ]
    var random = SystemRandomNumberGenerator()
    while reals.count < 500 {
      let real = Double(bitPattern: random.next())
      if real.isFinite { reals.append(real) }
    }
    let rows = reals.map { "[\($0)]" }.joined(separator: ", ")
    let line =
      #"{"statements": [{"sql": "INSERT INTO t(v) VALUES (?)", "rows": [\#(rows)]}]}"# + "\n"
    #expect(try place.submit("--ndjson", "-", input: line).code == 0)
    try place.execute(
      "INSERT INTO t(v) VALUES (char(65, 0, 66, 10, 0)), (char(0) || '\\0'), (CAST(x'ff41' AS TEXT)), (CAST(x'00' AS TEXT))"
    )
    let text = try dump()
    let copy = try Connection(path: ":memory:", flags: [.readWrite, .create])
    try copy.execute(text)
    let read = try copy.query("SELECT v FROM t ORDER BY i").map { $0[0] }
    for (expected, value) in zip(reals, read) {
      guard case .real(let real) = value else {
        Issue.record("\(expected) is \(value)")
        continue
      }
      #expect(real.bitPattern == expected.bitPattern, "\(expected)")
    }
    #expect(
      try copy.query("SELECT hex(v), typeof(v) FROM t WHERE typeof(v) = 'text' ORDER BY i") == [
        ["4100420A00", "text"], ["005C30", "text"], ["FF41", "text"], ["00", "text"],
      ])
    let other = try Workplace()
    try other.make()
    #expect(try other.submit("--sql", "-", input: text).code == 0)
    #expect(try sluice(["dump", other.store]).output == text)
  }

  @Test("As fresh as asked for, and until nobody reads it any more")
  func freshness() throws {
    try place.execute("CREATE TABLE t(a)")
    #expect(try dump("--at-least", "1") == dump("--latest"))
    #expect(try sluice(["dump", place.store, "--latest", "--at-least", "1"]).code == 64)
    #expect(try sluice(["dump", "\(place.path)/nowhere"]).code == 66)
  }
}
