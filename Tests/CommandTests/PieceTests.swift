import SluiceShared
import Testing

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
