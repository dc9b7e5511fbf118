import Glibc
import SluiceSQLite
import SluiceShared
import Testing

@Suite("A script does what it does in the sqlite3 shell")
struct ScriptTests {
  let place: Workplace

  init() throws {
    place = try Workplace()
    try place.make()
  }

  private func count(_ table: String) throws -> String {
    try place.query("SELECT count(*) FROM \(table)", "--csv").lines.last ?? ""
  }

  @Test("Table rebuilds as Prisma, Drizzle, Django and D1 write them")
  func rebuilds() throws {
    try place.execute(
      "CREATE TABLE shelf(id INTEGER PRIMARY KEY); CREATE TABLE book(shelf REFERENCES shelf(id)); INSERT INTO shelf VALUES (7); INSERT INTO book VALUES (7)"
    )
    let rebuild = """
      CREATE TABLE new_shelf (id INTEGER NOT NULL PRIMARY KEY, room TEXT NOT NULL DEFAULT 'hall');
      INSERT INTO new_shelf (id) SELECT id FROM shelf;
      DROP TABLE shelf;
      ALTER TABLE new_shelf RENAME TO shelf;
      """
    for script in [
      "PRAGMA defer_foreign_keys=ON;\nPRAGMA foreign_keys=OFF;\n\(rebuild)\nPRAGMA foreign_keys=ON;\nPRAGMA defer_foreign_keys=OFF;",
      "PRAGMA foreign_keys=OFF;\n\(rebuild)\nPRAGMA foreign_key_check(\"shelf\");\nPRAGMA foreign_keys=ON;",
      "PRAGMA foreign_keys=OFF;--> statement-breakpoint\n\(rebuild)--> statement-breakpoint\nPRAGMA foreign_keys=ON;",
      "PRAGMA foreign_keys = OFF;\nBEGIN;\nPRAGMA legacy_alter_table = ON;\n\(rebuild)\nPRAGMA foreign_key_check;\nCOMMIT;\nPRAGMA legacy_alter_table = OFF;\nPRAGMA foreign_keys = ON;",
      // Where foreign keys stay on, SQLite is made to forget what DROP TABLE violated.
      "BEGIN;\nPRAGMA foreign_keys=OFF;\nPRAGMA defer_foreign_keys=true;\n\(rebuild)\nPRAGMA defer_foreign_keys=false;\nCOMMIT;",
    ] {
      let result = try place.submit("--sql", "-", input: script)
      #expect(result.code == 0, "\(result.output)\(script)")
      #expect(try place.query("SELECT * FROM shelf", "--csv").lines == ["id,room", "7,hall"])
      #expect(try count("book") == "1")
    }
    #expect(try place.submit("INSERT INTO book VALUES (8)").code == 65)
  }

  @Test("Foreign keys hold from where the script turns them on or off")
  func foreignKeys() throws {
    let schema =
      "CREATE TABLE crew(id INTEGER PRIMARY KEY, name TEXT); CREATE TABLE hand(id INTEGER PRIMARY KEY, crew INTEGER REFERENCES crew(id) ON DELETE CASCADE);"
    let fill = "INSERT INTO crew VALUES (1, 'old'); INSERT INTO hand VALUES (10, 1), (11, 1);"
    try place.execute(schema)
    for script in [
      "PRAGMA foreign_keys=OFF; UPDATE crew SET name = 'x'; PRAGMA foreign_keys=ON; REPLACE INTO crew VALUES(1,'new');",
      "REPLACE INTO crew VALUES(1,'new'); PRAGMA foreign_keys=OFF; UPDATE crew SET name = 'x';",
      "PRAGMA foreign_keys=OFF; REPLACE INTO crew VALUES(1,'new'); PRAGMA foreign_keys=ON;",
      "BEGIN; PRAGMA foreign_keys=OFF; REPLACE INTO crew VALUES(1,'new'); COMMIT;",
    ] {
      try place.execute("DELETE FROM hand; DELETE FROM crew; \(fill)")
      for split in [[], ["--split", "1"]] {
        #expect(try sluice(["submit", place.store, "--sql", "-"] + split, input: script).code == 0)
        let plain = try sqlite3(
          ":memory:",
          input: "PRAGMA foreign_keys=ON; \(schema)\(fill)\(script)SELECT count(*) FROM hand;")
        #expect(try count("hand") + "\n" == plain, "\(script)")
        try place.execute("DELETE FROM hand; DELETE FROM crew; \(fill)")
      }
    }
  }

  /// What queries return when a script is executed statement by statement; nil where its end is none.
  private func results(_ script: String) throws -> [String]? {
    guard let statements = try? ScriptSplitter.split(script) else { return nil }
    let database = try Connection(path: ":memory:", flags: [.readWrite, .create])
    var lines: [String] = []
    for statement in statements {
      guard let rows = try? database.query(statement.text) else { continue }
      for case .integer(let number)? in rows.map(\.first) { lines.append("\(number)") }
    }
    return lines
  }

  /// A statement takes whole lines, so that one that fails takes no other with it.
  @Test("go and / alone on a line end a statement where they do in the shell", arguments: 0..<4)
  func terminators(seed: UInt64) throws {
    let pieces = [
      "SELECT 1", "SELECT 2;", "SELECT 3 -- c", "SELECT 4 /* c", "+ 10", "*/", "-- c", "/ 2", "",
      "CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT 1;", "END", "SELECT count(*) FROM t;",
      "INSERT INTO t VALUES(1)", "SELECT length('", "')", "go", "GO", "/", " /  ", "gO -- c",
      "go /* c */",
      "go /* c", "/ go", "go;", "/;", "*/ go", "/-- c", "//* c */", "goto", "\u{B}/\u{C}",
      "/*c*/ go",
    ]
    let terminators: Set = ["go", "GO", "/", " /  ", "gO -- c", "go /* c */", "/-- c"]
    var state = seed
    func below(_ bound: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33) % bound
    }
    var ended = 0
    for _ in 0..<100 {
      let lines =
        ["CREATE TABLE t(a);"]
        + (0..<12).map { _ in pieces[below(pieces.count)] } + ["SELECT 7;"]
      let script = lines.joined(separator: "\n") + "\n"
      guard let results = try results(script) else { continue }
      let shell = try ChildProcess("sqlite3", [":memory:"], input: script).result()
      #expect(results == shell.lines, "\(lines)")
      if results.count > 1, !terminators.isDisjoint(with: lines) { ended += 1 }
    }
    #expect(ended > 3)
  }

  @Test("A rejected script tells the line and the statement", arguments: [nil, "3"] as [String?])
  func place(split: String?) throws {
    let script = """
      PRAGMA foreign_keys=OFF;
      BEGIN TRANSACTION;
      CREATE TABLE one(
        a PRIMARY KEY,
        b
      );
      INSERT INTO one VALUES(1,2);
      INSERT INTO one VALUES(3,4);
      -- the second
      CREATE TABLE two(
        id INTEGER PRIMARY KEY,
        limit INTEGER
      );
      COMMIT;
      """
    let path = try place.file("bad.sql", script)
    let arguments = ["submit", place.store, "--sql", path] + (split.map { ["--split", $0] } ?? [])
    let result = try sluice(arguments)
    #expect(result.code == 65)
    #expect(
      result.lines.last?.hasSuffix(
        ": SQLITE_ERROR: near \"limit\": syntax error (\(path), line 12: CREATE TABLE two( id INTEGER PRIMARY KEY, limit INTEGER ))"
      ) == true, "\(result.output)")
    let error = try #require(try sluice(arguments + ["--json"]).json().last?["error"])
    #expect(error["input"]?.string == path)
    if split == nil {
      #expect(error["line"]?.integer == 12)
      #expect(error["statement"]?.string?.hasPrefix("CREATE TABLE two( id") == true)
    } else {
      // The first piece is there by now.
      #expect(error["line"]?.integer == 3)
    }
    // At run time, and of a trigger.
    let twice = try place.submit(
      "--sql", "-",
      input: "\n\nCREATE TABLE x(a UNIQUE);\nINSERT INTO x\nVALUES (1);\nINSERT INTO x\nVALUES (1);"
    )
    #expect(
      twice.output.hasSuffix(
        ": UNIQUE constraint failed: x.a (standard input, line 6: INSERT INTO x VALUES (1))\n"))
  }

  @Test("A store without foreign keys takes a dump that violates them")
  func withoutForeignKeys() throws {
    let other = try Workplace()
    try other.make("--no-foreign-keys")
    let dump =
      "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nCREATE TABLE mast(id INTEGER PRIMARY KEY);\nCREATE TABLE sail(id INTEGER PRIMARY KEY, mast INTEGER REFERENCES mast(id));\nINSERT INTO sail VALUES(1,99);\nCOMMIT;"
    #expect(try other.submit("--sql", "-", "--split", "1", input: dump).code == 0)
    let rejected = try place.submit("--sql", "-", input: dump)
    #expect(
      rejected.code == 65
        && rejected.output.contains(
          "1 row violates a foreign key at the batch's end, the first: in table sail, rowid 1, which refers to mast"
        ))
  }

  @Test("AUTOINCREMENT is kept where planner statistics are made anew")
  func statistics() throws {
    let old = "\(place.path)/old.sqlite"
    _ = try sqlite3(
      old,
      "CREATE TABLE bill(no INTEGER PRIMARY KEY AUTOINCREMENT, v); CREATE INDEX bv ON bill(v); INSERT INTO bill(v) VALUES(1),(2),(3); DELETE FROM bill WHERE no>1; ANALYZE"
    )
    let result = try place.submit("--sql", "-", input: try sqlite3(old, ".dump"))
    #expect(result.code == 0 && result.errors.contains("ANALYZE at the end of the script"))
    #expect(
      try place.query("SELECT idx, stat FROM sqlite_stat1 WHERE tbl = 'bill'", "--csv").lines
        == ["idx,stat", "bv,1 1"])
    let next = try place.submit(
      "INSERT INTO bill(v) VALUES(9) RETURNING no", "--results")
    #expect(next.lines.last == "  4")
  }

  @Test("Rows with texts and blobs far above a statement's limit")
  func longRows() throws {
    let old = "\(place.path)/old.sqlite"
    _ = try sqlite3(
      old,
      "CREATE TABLE t(a, b); INSERT INTO t VALUES (1, replace(hex(zeroblob(400000)), '00', 'é''x' || char(10))), (2, randomblob(1500000)), (3, 'short')"
    )
    let dump = try sqlite3(old, ".dump")
    #expect(try place.submit("--sql", "-", "--timeout", "600", input: dump).code == 0)
    let digest = "SELECT a, typeof(b), length(b), substr(hex(b), -2000) FROM t"
    let there = try place.query(digest, "--csv").lines.dropFirst()
    let expected = try sqlite3("-csv", old, digest).split(whereSeparator: \.isNewline)
    #expect(expected.map { String($0) } == Array(there))
    #expect(try sluice(["dump", place.store]).output == dump)
  }

  @Test("A script in UTF-16, a database and a compressed file are recognized")
  func encodings() throws {
    let path = try place.file("u.sql", "CREATE TABLE u(a);\nINSERT INTO u VALUES ('é');\n")
    _ = try shell("iconv -f UTF-8 -t UTF-16 \(path) > \(path).16; gzip -k \(path)")
    #expect(try place.submit("--sql", "\(path).16").code == 0)
    #expect(try place.query("SELECT a FROM u", "--csv").lines == ["a", "é"])
    _ = try sqlite3("\(path).db", "CREATE TABLE x(a)")
    for (file, advice) in [
      ("\(path).gz", "gunzip -c \(path).gz"), ("\(path).db", "--from \(path).db"),
    ] {
      let result = try place.submit("--sql", file)
      #expect(result.code == 64 && result.errors.contains(advice), "\(result.errors)")
    }
  }

  private func shell(_ command: String) throws -> String {
    let result = try ChildProcess("sh", ["-c", command]).result()
    try #require(result.code == 0, "\(result.errors)")
    return result.output
  }
}
