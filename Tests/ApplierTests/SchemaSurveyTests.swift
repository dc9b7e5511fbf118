import Glibc
import SluiceApplier
import SluiceJournal
import SluiceSQLite
import SluiceShared
import Testing

@Suite("init says what in a database cannot be used here, before there is a store")
struct SchemaSurveyTests {
  /// What is told of a database, and the store that is made of it.
  private func survey(_ made: String) throws -> (notes: [String], store: TestStore) {
    let file = try PlainFile(made)
    let notes = Monitor<[String]>([])
    var creation = StoreCreation()
    creation.source = file.path
    creation.note = { note in notes.withLock { $0.append(note) } }
    let store = try TestStore(creation)
    return (notes.withLock { $0 }, store)
  }

  private static let tables =
    "CREATE TABLE t(a); CREATE TABLE l(x); CREATE VIRTUAL TABLE f USING fts5(a); INSERT INTO t VALUES(1); ANALYZE; "

  @Test(
    "A trigger that does what no batch may is named, with its table, the reason and a way out",
    arguments: [
      ("INSERT", "INSERT INTO sqlite_stat1 VALUES('t', NULL, '1')", "sqlite_stat1 is written by"),
      ("INSERT", "INSERT INTO f_content VALUES(1, 'x')", "table f_content may not be modified"),
      ("DELETE", "DELETE FROM sqlite_schema", "table sqlite_master may not be modified"),
      ("UPDATE", "INSERT INTO l SELECT load_extension('x')", "load_extension is not allowed"),
      ("UPDATE", "INSERT INTO l SELECT fts3_tokenizer('x')", "fts3_tokenizer is not allowed"),
      ("DELETE", "INSERT INTO l SELECT count(*) FROM dbstat", "unsafe use of virtual table"),
      (
        "INSERT", "INSERT INTO l SELECT name FROM pragma_database_list",
        "reading pragma_database_list is not allowed"
      ),
    ])
  func deniedTriggers(event: String, body: String, reason: String) throws {
    let made =
      "\(Self.tables) CREATE TRIGGER \"it's\" AFTER \(event) ON t BEGIN \(body); END; CREATE TRIGGER fine AFTER \(event) ON t BEGIN INSERT INTO l VALUES(1); END;"
    let (notes, store) = try survey(made)
    #expect(notes.count == 1, "\(notes)")
    #expect(
      notes.first?.hasPrefix("trigger it's on t cannot run here: \(reason)") == true, "\(notes)")
    #expect(notes.first?.contains("`DROP TRIGGER \"it's\"`") == true, "\(notes)")
    // It is as it was told: that is rejected, the rest works, and the way out is one.
    let fires = ["INSERT": "INSERT INTO t VALUES(2)", "UPDATE": "UPDATE t SET a = 3"]
    let firing = fires[event] ?? "DELETE FROM t"
    #expect(try !store.apply(firing).isApplied)
    #expect(try store.apply("INSERT INTO l VALUES(2)").isApplied)
    #expect(try store.apply("DROP TRIGGER \"it's\"", firing).isApplied)
  }

  @Test("Whose triggers fire it is told of as well, without blame")
  func firedByOthers() throws {
    let (notes, _) = try survey(
      Self.tables
        + """
        CREATE TABLE u(a); CREATE VIEW v AS SELECT a FROM t;
        CREATE TRIGGER bad AFTER INSERT ON t BEGIN INSERT INTO f_content VALUES(1, 'x'); END;
        CREATE TRIGGER passing AFTER INSERT ON u BEGIN INSERT INTO t VALUES(1); END;
        CREATE TRIGGER instead INSTEAD OF INSERT ON v BEGIN SELECT load_extension('x'); END;
        """)
    #expect(
      notes.map { String($0.prefix { $0 != ";" }) } == [
        "trigger bad on t cannot run here: table f_content may not be modified",
        "table u fires triggers of other tables that cannot run here: table f_content may not be modified",
        "trigger instead on v cannot run here: load_extension is not allowed",
      ])
  }

  @Test("Views are told of by what is wrong with each, and what they read is no other table")
  func views() throws {
    let (notes, store) = try survey(
      Self.tables
        + """
        CREATE VIEW second AS SELECT * FROM first; CREATE VIEW first AS SELECT nowhere(a) AS n FROM t;
        CREATE VIEW circle AS SELECT * FROM "Back"; CREATE VIEW "Back" AS SELECT * FROM circle;
        CREATE VIEW orders AS SELECT a AS people FROM t; CREATE VIEW people AS SELECT a AS orders FROM t;
        CREATE VIEW top(p) AS SELECT people FROM orders JOIN people;
        CREATE TRIGGER w INSTEAD OF INSERT ON top BEGIN INSERT INTO l SELECT p FROM top; END;
        CREATE VIEW [in b] AS SELECT a COLLATE nowhere AS c FROM t ORDER BY c;
        CREATE VIEW "it""s" AS SELECT 1 AS "a""b", 2 AS c; CREATE VIEW x AS SELECT "a""b" FROM "it""s";
        """)
    #expect(
      notes.map { String($0.prefix { $0 != ";" }) } == [
        "view second cannot be used here: view first, which it reads, cannot be used",
        "view first cannot be used here: no such function: nowhere",
        "view circle cannot be used here: it is made of itself, or of a view that is",
        "view Back cannot be used here: it is made of itself, or of a view that is",
        "view in b cannot be used here: no such collation sequence: nowhere",
      ])
    // The schema is as it was.
    #expect(try store.apply("INSERT INTO top VALUES(1)").isApplied)
    #expect(try store.query("SELECT x FROM l") == [[1]])
    #expect(try store.query("SELECT \"a\"\"b\" FROM x") == [[1]])
    #expect(
      try store.query("SELECT sql FROM sqlite_schema WHERE name = 'second'")
        == [["CREATE VIEW second AS SELECT * FROM first"]])
  }

  /// Each of these takes 2^40 steps to compile: nobody would see the end of this test.
  @Test("It costs the same whatever views are made of")
  func nestedViews() throws {
    var made = "CREATE TABLE t(a); CREATE TABLE l(a); CREATE VIEW v0 AS SELECT 1 AS x; "
    for n in 1...40 {
      made += "CREATE VIEW v\(n) AS SELECT a.x FROM v\(n - 1) a JOIN v\(n - 1) b; "
    }
    for n in 1...40 {
      made += "CREATE VIEW e\(n) AS SELECT x || x AS x FROM \(n == 1 ? "v0" : "e\(n - 1)"); "
    }
    made += "CREATE VIEW w AS WITH c0(x) AS (SELECT 1)"
    for n in 1...40 { made += ", c\(n) AS (SELECT a.x FROM c\(n - 1) a JOIN c\(n - 1) b)" }
    made += " SELECT * FROM c40; CREATE VIEW over AS SELECT * FROM w; "
    for view in ["v40", "e40", "w", "over"] {
      made +=
        "CREATE TRIGGER r\(view) AFTER INSERT ON t BEGIN INSERT INTO l SELECT x FROM \(view); END; "
    }
    #expect(try survey(made).notes.isEmpty)
  }

  @Test("A large schema is looked through as well")
  func largeSchema() throws {
    var made =
      "CREATE TABLE t(a); CREATE VIEW w AS SELECT a FROM t; CREATE VIEW bad AS SELECT nowhere(a) FROM t; "
    for n in 1...4000 { made += "CREATE TABLE t\(n)(a); " }
    let (notes, _) = try survey(made)
    #expect(notes.count == 1, "\(notes.first ?? "")")
    #expect(
      notes.first?.hasPrefix("view bad cannot be used here: no such function: nowhere") == true)
  }

  @Test("A trigger that writes to a view which takes no rows is named")
  func writesToAView() throws {
    let (notes, _) = try survey(
      """
      CREATE TABLE t(a); CREATE VIEW w AS SELECT a FROM t; CREATE VIEW d AS SELECT a FROM t;
      CREATE TRIGGER g AFTER INSERT ON t BEGIN INSERT INTO w VALUES(new.a); END;
      CREATE TRIGGER h INSTEAD OF DELETE ON d BEGIN DELETE FROM t; END;
      """)
    #expect(
      notes.map { String($0.prefix { $0 != ";" }) } == [
        "trigger g on t cannot run here: cannot modify w because it is a view"
      ])
  }

  /// 10^12 steps.
  @Test("WITH tables that read one another ten times each are not compiled")
  func wideWith() throws {
    var made = "CREATE TABLE t(a); CREATE VIEW w AS WITH c0(x) AS (SELECT 1)"
    for n in 1...12 {
      let tables = (0..<10).map { "c\(n - 1) a\($0)" }.joined(separator: ", ")
      made += ", c\(n)(x) AS (SELECT a0.x FROM \(tables))"
    }
    #expect(try survey(made + " SELECT * FROM c12; ").notes.isEmpty)
  }

  @Test("What hangs on a virtual table's own tables is named, and taken out as it says")
  func shadowTables() throws {
    let file = try PlainFile(
      """
      CREATE VIRTUAL TABLE f USING fts5(a); CREATE VIRTUAL TABLE r USING rtree(id, a, b); CREATE TABLE t(a);
      CREATE TRIGGER "my log" AFTER INSERT ON f_content BEGIN INSERT INTO t VALUES(1); END;
      CREATE TRIGGER onNode AFTER INSERT ON r_node BEGIN INSERT INTO t VALUES(1); END;
      CREATE INDEX i ON f_content(c0); CREATE INDEX fine ON t(a)
      """)
    var creation = StoreCreation()
    creation.source = file.path
    let message = refusal(of: creation)
    #expect(
      message.hasPrefix(
        "trigger my log on f_content, trigger onNode on r_node, index i on f_content: "),
      "\(message)")
    let parts = message.split(separator: "`")
    let script = String(try #require(parts.count > 2 ? parts[1] : nil))
    #expect(script == #"DROP TRIGGER "my log"; DROP TRIGGER "onNode"; DROP INDEX "i";"#)
    try file.open().execute(script)
    #expect(try TestStore(creation).apply("INSERT INTO f VALUES('x')").isApplied)
  }

  @Test("So is a foreign key to one")
  func foreignKeyToShadowTable() throws {
    let file = try PlainFile(
      "CREATE VIRTUAL TABLE f USING fts5(a); CREATE TABLE child(a REFERENCES f_content(id))")
    var creation = StoreCreation()
    creation.source = file.path
    #expect(refusal(of: creation).hasPrefix("the foreign key of table child to f_content: "))
  }

  private func refusal(of creation: StoreCreation) -> String {
    do {
      _ = try TestStore(creation)
      return "a store was made"
    } catch let error as StoreError {
      #expect(error.code == .invalid)
      return error.message
    } catch {
      return "\(error)"
    }
  }
}
