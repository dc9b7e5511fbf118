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

@Suite("The pieces of a script belong together")
struct PieceTests {
  let place: Workplace

  init() throws {
    place = try Workplace()
    try place.make()
  }

  /// Children first, a row a statement.
  private func dump(rows: Int) -> String {
    var text =
      "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nCREATE TABLE leaf(id INTEGER PRIMARY KEY, tree INTEGER REFERENCES tree(id));\n"
    for i in 1...rows { text += "INSERT INTO leaf VALUES(\(i),\(i % 7 + 1));\n" }
    text += "CREATE TABLE tree(id INTEGER PRIMARY KEY);\n"
    for i in 1...7 { text += "INSERT INTO tree VALUES(\(i));\n" }
    return text + "COMMIT;\n"
  }

  private func count(_ table: String) throws -> String {
    try place.query("SELECT count(*) FROM \(table)", "--csv").lines.last ?? ""
  }

  @Test("A dump that is too large for a batch says how, and goes in, children before their parents")
  func large() throws {
    let rows = Limits.statementsPerBatch + 10
    let path = try place.file("large.sql", dump(rows: rows))
    let whole = try place.submit("--sql", path, "--id", "im port")
    #expect(whole.code == 64 && whole.output == "")
    let command = "sluice submit \(place.store) --sql \(path) --id 'im port' --split 10000"
    #expect(whole.errors.contains("`\(command)`"), "\(whole.errors)")
    let pieces = try place.submit("--sql", path, "--id", "im port", "--split", "10000", "--json")
    #expect(pieces.code == 0)
    #expect(try pieces.json().map { $0["id"]?.string } == (1...11).map { "im port/\($0)" })
    #expect(try count("leaf") == "\(rows)")
    // Foreign keys are on again, and hold.
    #expect(try place.submit("INSERT INTO leaf VALUES (0, 8)").code == 65)
    // Again: all of it was done.
    let again = try place.submit("--sql", path, "--id", "im port", "--split", "10000")
    #expect(again.code == 0 && again.lines.allSatisfy { $0.hasPrefix("duplicate of ") })
    #expect(try count("leaf") == "\(rows)")
  }

  private let script = (1...5).map {
    "INSERT INTO t VALUES (\($0));\nINSERT INTO u VALUES (\($0));\n"
  }

  @Test("With a key: it stops at the first failure, and goes on there when it is run again")
  func resumeByKey() throws {
    try place.execute("CREATE TABLE t(a PRIMARY KEY); CREATE TABLE u(a); INSERT INTO t VALUES (3)")
    let arguments = ["--sql", "-", "--split", "2", "--id", "k"]
    func submit(_ input: String) throws -> ChildProcess.Result {
      try sluice(["submit", place.store] + arguments, input: input)
    }
    for _ in 1...2 {
      let stopped = try submit(script.joined())
      #expect(stopped.code == 65 && stopped.lines.count == 3)
      #expect(
        stopped.lines[2].contains("UNIQUE constraint failed: t.a (standard input, line 5: INSERT"))
      #expect(
        stopped.errors
          == "sluice: standard input: stopped at batch 3, which begins on line 5; batches 1 to 2 are applied, nothing of it and behind it was done; mend what is wrong, then run the same command again within 24 hours: what is applied is passed over\n"
      )
      #expect(try count("u") == "2")
    }
    // Mended in the script: another text under the key of one that was rejected.
    var mended = script
    mended[2] = "INSERT INTO t VALUES (33);\nINSERT INTO u VALUES (3);\n"
    mended[4] = "INSERT INTO t VALUES (3);\nINSERT INTO u VALUES (5);\n"
    let second = try submit(mended.joined())
    #expect(second.code == 65 && second.lines.count == 5)
    #expect(try count("u") == "4")
    // Mended in the store: the same text again.
    try place.execute("DELETE FROM t WHERE a = 3")
    let done = try submit(mended.joined())
    #expect(done.code == 0 && done.lines.filter { $0.hasPrefix("duplicate") }.count == 4)
    #expect(
      try place.query("SELECT a FROM t ORDER BY a", "--csv").lines == [
        "a", "1", "2", "3", "4", "33",
      ])
    #expect(try count("u") == "5")
    // What was applied has another text now.
    mended[1] += "SELECT 1;"
    let changed = try submit(mended.joined())
    #expect(
      changed.code == 65 && changed.errors.contains("the script was changed before this place"))
    #expect(try count("u") == "5")
  }

  @Test("Without a key: what was done is named, and the command that goes on")
  func resumeByNumber() throws {
    try place.execute("CREATE TABLE t(a PRIMARY KEY); CREATE TABLE u(a); INSERT INTO t VALUES (3)")
    let path = try place.file("s.sql", script.joined())
    let stopped = try place.submit("--sql", path, "--split", "2")
    #expect(stopped.code == 65 && stopped.lines.count == 3)
    let command = "sluice submit \(place.store) --sql \(path) --split 2 --skip 2"
    #expect(stopped.errors.contains("go on with `\(command)`"), "\(stopped.errors)")
    try place.execute("DELETE FROM t WHERE a = 3")
    #expect(try place.submit("--sql", path, "--split", "2", "--skip", "2").code == 0)
    #expect(try count("u") == "5")
    #expect(try place.submit("--sql", path, "--split", "2", "--skip", "6").code == 64)
    #expect(try count("u") == "5")
  }

  @Test("Told otherwise it goes on behind a failure")
  func keepGoing() throws {
    try place.execute("CREATE TABLE t(a PRIMARY KEY); CREATE TABLE u(a); INSERT INTO t VALUES (3)")
    let result = try place.submit(
      "--sql", "-", "--split", "2", "--keep-going", input: script.joined())
    #expect(result.code == 65 && result.lines.count == 5)
    #expect(try count("u") == "4")
  }

  @Test("What is violated at the end of the last is told, and judged again when it is mended")
  func judgedAtTheEnd() throws {
    let broken = dump(rows: 7).replacing("INSERT INTO tree VALUES(7);\n", with: "")
    let arguments = ["submit", place.store, "--sql", "-", "--split", "4", "--id", "k"]
    let first = try sluice(arguments, input: broken)
    #expect(first.code == 65 && first.lines.last?.contains("1 row violates a foreign key") == true)
    #expect(first.errors.contains("batches 1 to 3 are applied"), "\(first.errors)")
    try place.execute("DELETE FROM leaf WHERE tree = 7")
    #expect(try sluice(arguments, input: broken).code == 0)
    #expect(try count("leaf") == "6")
  }

  @Test("A dump that was cut off says what was done")
  func cutOff() throws {
    let cut = dump(rows: 7).replacing("COMMIT;\n", with: "")
    let result = try place.submit("--sql", "-", "--split", "5", input: cut)
    #expect(result.code == 64 && result.errors.contains("may be cut off"))
    #expect(result.errors.contains("batches 1 to \(result.lines.count) are applied"))
    #expect(result.errors.contains("--skip \(result.lines.count)`"))
  }

  @Test("Without an applier: which batch is durable, and how to go on")
  func late() throws {
    #expect(try place.stopApplier().code == 0)
    let result = try place.submit(
      "--sql", "s.sql", "--split", "2", "--timeout", "0.05", input: "")
    #expect(result.code == 66)
    let path = try place.file("s.sql", dump(rows: 7))
    let late = try place.submit("--sql", path, "--split", "4", "--timeout", "0.05")
    #expect(late.code == 69 && late.lines == ["durable"])
    #expect(
      late.errors.contains("no batch is applied, batch 1 is durable, the rest was not submitted")
        && late.errors.contains("--split 4 --skip 1`"), "\(late.errors)")
    #expect(try sluice(["apply", place.store, "--drain"]).code == 0)
    try place.startApplier()
    #expect(try place.submit("--sql", path, "--split", "4", "--skip", "1").code == 0)
    #expect(try count("leaf") == "7")
  }
}

extension String {
  fileprivate func replacing(_ text: String, with other: String) -> String {
    var parts: [Substring] = []
    var rest = self[...]
    while let found = rest.firstRange(of: text) {
      parts.append(rest[..<found.lowerBound])
      rest = rest[found.upperBound...]
    }
    return (parts + [rest]).joined(separator: other)
  }
}

extension Substring {
  /// Where `text` stands first.
  fileprivate func firstRange(of text: String) -> Range<Index>? {
    var start = startIndex
    while start < endIndex {
      if self[start...].hasPrefix(text) { return start..<index(start, offsetBy: text.count) }
      start = index(after: start)
    }
    return nil
  }
}
