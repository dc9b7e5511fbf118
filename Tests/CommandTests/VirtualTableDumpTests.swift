import SluiceSQLite
import Testing

@Suite("What .dump of the sqlite3 shell writes of virtual tables goes into a store")
struct VirtualTableDumpTests {
  let place: Workplace

  init() throws {
    place = try Workplace()
    try place.make()
  }

  private func shell(_ command: String) throws -> ChildProcess.Result {
    try ChildProcess("sh", ["-c", command]).result()
  }

  /// What the shell writes of a database with these tables.
  private func dump(_ sql: String) throws -> String {
    let source = "\(place.path)/source.sqlite"
    let database = try Connection(path: source, flags: [.readWrite, .create])
    try database.execute(sql)
    try database.close()
    let dump = "\(place.path)/dump.sql"
    #expect(try shell("sqlite3 \(source) .dump > \(dump)").code == 0)
    return dump
  }

  /// It fills the tables in which they keep their content, which a store lets nobody write; a store has no
  /// such row, and the virtual tables what they had.
  @Test("In one batch and in pieces", arguments: [[], ["--split", "3", "--id", "dump"]])
  func dumpsWithVirtualTables(options: [String]) throws {
    let dump = try dump(
      """
      CREATE TABLE memo(id INTEGER PRIMARY KEY, words, more);
      CREATE VIRTUAL TABLE found USING fts5(a, b UNINDEXED, prefix='2');
      CREATE VIRTUAL TABLE texts USING fts5(words, content='memo', content_rowid='id');
      CREATE VIRTUAL TABLE old USING fts4(words, content='memo');
      CREATE VIRTUAL TABLE "it's placed" USING rtree(i, x, y);
      CREATE VIRTUAL TABLE own USING fts3(a);
      CREATE TRIGGER kept AFTER INSERT ON memo BEGIN INSERT INTO texts(rowid, words) VALUES(new.id, new.words); END;
      INSERT INTO found(rowid, a, b) VALUES(7, 'hello world', X'00FF'), (-3, 'it''s; a line' || char(10), NULL);
      INSERT INTO found(found, rank) VALUES('rank', 'bm25(10.0)');
      INSERT INTO memo VALUES(1, 'black tea', 0.1), (2, 'coffee', 1e300);
      INSERT INTO own(docid, a) VALUES(40, 'forty winks');
      INSERT INTO "it's placed" VALUES(1, 2.5, 3), (2, -1, 7);
      """)
    let submitted = try sluice(["submit", place.store, "--sql", dump] + options)
    #expect(submitted.code == 0, "\(submitted.errors)")
    for (sql, answer) in [
      ("SELECT rowid, hex(b) FROM found WHERE found MATCH 'hel*'", ["7,00FF"]),
      ("SELECT count(*) FROM found WHERE found MATCH 'line'", ["1"]),
      ("SELECT v FROM found_config WHERE k = 'rank'", ["bm25(10.0)"]),
      ("SELECT rowid FROM texts WHERE texts MATCH 'tea'", ["1"]),
      ("SELECT docid FROM own WHERE own MATCH 'winks'", ["40"]),
      ("SELECT i FROM \"it's placed\" WHERE x < 0", ["2"]),
      ("SELECT count(*) FROM sqlite_schema WHERE sql LIKE 'CREATE VIRTUAL%'", ["5"]),
      ("SELECT id FROM memo WHERE more = 1e300", ["2"]),
    ] {
      let result = try place.query(sql, "--csv")
      #expect(result.lines.dropFirst() == answer[...], "\(sql) \(result)")
    }
    // They are whole, and go on.
    for sql in [
      "INSERT INTO found(found) VALUES('integrity-check')",
      "INSERT INTO texts(texts) VALUES('integrity-check')",
      "INSERT INTO own(own) VALUES('integrity-check')",
      "INSERT INTO memo VALUES(3, 'green tea', 0)",
    ] { try place.execute(sql) }
    #expect(
      try place.query("SELECT count(*) FROM texts WHERE texts MATCH 'tea'", "--csv").lines == [
        "count(*)", "2",
      ])
  }

  /// VACUUM puts virtual tables behind those that they keep their content in, and an index without text cannot be
  /// filled by a script.
  @Test(
    "What cannot be done is refused, and what is advised works",
    arguments: [
      "CREATE VIRTUAL TABLE found USING fts5(a); INSERT INTO found VALUES('hello world'); CREATE TABLE t(a); VACUUM",
      "CREATE VIRTUAL TABLE found USING fts5(a, content=''); INSERT INTO found(rowid, a) VALUES(1, 'hello world')",
    ])
  func refused(made: String) throws {
    let dump = try dump(made)
    let refused = try place.submit("--sql", dump)
    #expect(refused.code == 64)
    for advice in [
      "`sluice init --from`", "`sqlite3 NEW.sqlite < DUMP.sql`", "`sluice dump OTHER`",
    ] {
      #expect(refused.errors.contains(advice), "\(refused.errors)")
    }
    let (new, other) = ("\(place.path)/new.sqlite", "\(place.path)/other")
    #expect(try shell("sqlite3 \(new) < \(dump)").code == 0)
    #expect(try sluice(["init", other, "--from", new]).code == 0)
    let script = try sluice(["dump", other]).output
    #expect(try place.submit("--sql", "-", input: script).code == 0)
    guard !made.contains("content=''") else { return }
    let found = try place.query("SELECT a FROM found WHERE found MATCH 'hello'", "--csv")
    #expect(found.lines.count == 2)
  }

  @Test(
    "What else writes sqlite_schema is refused",
    arguments: [
      "UPDATE sqlite_schema SET sql = 'x'", "DELETE FROM sqlite_master",
      "INSERT INTO sqlite_schema(type,name,tbl_name,rootpage,sql)VALUES('table','t','t',0,'CREATE TABLE t(a)')",
      "INSERT INTO sqlite_schema(type,name,tbl_name,rootpage,sql)VALUES('table','t','t',7,'CREATE VIRTUAL TABLE t USING fts5(a)')",
      "INSERT INTO sqlite_schema(type,name,tbl_name,rootpage,sql)VALUES('table','t','t',0,'CREATE VIRTUAL TABLE t USING nowhere(a)')",
      "INSERT INTO sqlite_schema(type,name,tbl_name,rootpage,sql)VALUES('table','t','t',0,'CREATE VIRTUAL TABLE t USING fts5(a)'),(1)",
      "INSERT INTO sqlite_schema SELECT 1, 2, 3, 4, 5",
    ])
  func otherWrites(statement: String) throws {
    let script = "PRAGMA writable_schema=ON;\nCREATE TABLE u(a);\n\(statement);\n"
    let result = try place.submit("--sql", "-", input: script)
    #expect(result.code == 64)
    #expect(result.errors.contains("line 3: ") && result.errors.contains("sqlite_schema directly"))
  }
}
