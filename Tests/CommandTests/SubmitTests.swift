import Glibc
import SluiceShared
import Testing

@Suite("submit makes batches durable, waits for them and prints what became of each")
struct SubmitTests {
  let place: Workplace

  init() throws {
    place = try Workplace()
    try place.make()
    try place.execute("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
  }

  @Test("Parameters are numbers where JSON has one, else texts")
  func parameters() throws {
    try place.execute(
      "INSERT INTO t(b) VALUES (?),(?),(?),(?),(?),(?)", "5", "-5", "2.5", "007", "1e999", "a b")
    try place.execute("INSERT INTO t(b) VALUES (?),(?)", "--", "-x", "-7")
    #expect(
      try place.query("SELECT typeof(b) AS y, b FROM t ORDER BY a", "--csv").output
        == """
        y,b\r
        integer,5\r
        integer,-5\r
        real,2.5\r
        text,007\r
        text,1e999\r
        text,a b\r
        text,-x\r
        integer,-7\r

        """)
  }

  @Test("A line a batch, in words and as JSON")
  func output() throws {
    let insert = "INSERT INTO t(a, b) VALUES (?, 'x') RETURNING b, 1.0, a"
    #expect(try place.submit(insert, "7").output == "applied 2: 1 change\n")
    #expect(
      try place.submit(insert, "8", "--results").output == "applied 3: 1 change\n  x | 1.0 | 8\n")
    #expect(
      try place.submit(insert, "9", "--results", "--json", "--id", "nine").output
        == #"{"status": "applied", "txid": 4, "changes": 1, "lastRowID": 9, "rows": [["x", 1.0, 9]], "id": "nine"}"#
        + "\n")
    #expect(
      try place.submit("UPDATE t SET b = 1", "--json").output
        == #"{"status": "applied", "txid": 5, "changes": 3}"# + "\n")
  }

  @Test("Several statements are one batch: all or nothing")
  func several() throws {
    let batch = "INSERT INTO t VALUES (1, ';'); -- one\nINSERT INTO t VALUES (2, 'b');"
    #expect(try place.submit(batch).output == "applied 2: 2 changes\n")
    let rejected = try place.submit("INSERT INTO t VALUES (3, 'c'); INSERT INTO t VALUES (1, 'd')")
    #expect(rejected.code == 65 && rejected.errors == "")
    #expect(
      rejected.output.hasPrefix("rejected 3: SQLITE_CONSTRAINT_PRIMARYKEY: ")
        && rejected.output.contains("UNIQUE constraint failed: t.a"))
    #expect(try place.query("SELECT count(*) AS n FROM t", "--json").output == "{\"n\": 2}\n")
    #expect(try place.submit("SELECT ?; SELECT 2", "1").code == 64)
    #expect(try place.submit(" -- nothing").code == 64)
  }

  @Test("A key applies once; a repeat gets the first one's outcome")
  func key() throws {
    let insert = ["INSERT INTO t VALUES (1, 'x')", "--id", "k", "--json"]
    let first = try sluice(["submit", place.store] + insert)
    #expect(first.code == 0)
    let second = try sluice(["submit", place.store] + insert)
    #expect(second.code == 0)
    #expect(
      second.output
        == first.output.replacing(status: "applied", with: "duplicate"))
    let other = try place.submit("INSERT INTO t VALUES (2, 'x')", "--id", "k", "--json")
    #expect(other.code == 65)
    #expect(try other.json().first?["error"]?["code"]?.string == "keyReused")
  }

  @Test("A rejection names SQLite's code")
  func rejection() throws {
    try place.execute("INSERT INTO t VALUES (1, 'x')")
    let result = try place.submit("INSERT INTO t VALUES (1, 'y')", "--json", "--id", "k")
    #expect(result.code == 65)
    let line = try #require(try result.json().first)
    #expect(line["status"]?.string == "rejected" && line["id"]?.string == "k")
    #expect(line["error"]?["code"]?.string == "SQLITE_CONSTRAINT_PRIMARYKEY")
    #expect(line["changes"] == nil)
  }

  @Test("Without an applier: durable, 69, and how to go on; then it is applied")
  func timeout() throws {
    #expect(try place.stopApplier().code == 0)
    let late = try place.submit(
      "INSERT INTO t VALUES (1, 'x')", "--id", "k", "--timeout", "0.05", "--json")
    #expect(late.code == 69)
    #expect(late.output == "{\"status\": \"durable\", \"id\": \"k\"}\n")
    #expect(late.errors.contains("`sluice outcome \(place.store) --id k`"))
    let durable = try place.submit("INSERT INTO t VALUES (2, 'x')", "--wait", "durable")
    #expect(durable.code == 0 && durable.output == "durable\n" && durable.errors == "")

    let unknown = try sluice(["outcome", place.store, "--id", "k"])
    #expect(unknown.code == 66 && unknown.output == "")
    #expect(try sluice(["apply", place.store, "--drain"]).code == 0)
    #expect(
      try sluice(["outcome", place.store, "--id", "k"]).output
        .hasSuffix(": 1 change\n"))
    #expect(try place.query("SELECT a FROM t ORDER BY a", "--csv").lines == ["a", "1", "2"])
  }

  @Test("A script is one batch, or every N statements are one")
  func script() throws {
    let script =
      "BEGIN;\n" + (1...5).map { "INSERT INTO t VALUES (\($0), 'x');\n" }.joined() + "COMMIT;"
    let path = try place.file("five.sql", script)
    #expect(try place.submit("--sql", path).output == "applied 2: 5 changes\n")
    try place.execute("DELETE FROM t")
    let parts = try place.submit(
      "--sql", "-", "--split", "2", "--id", "five", "--json", input: script)
    #expect(parts.code == 0)
    #expect(try parts.json().map { $0["id"]?.string } == ["five/1", "five/2", "five/3"])
    #expect(try parts.json().map { $0["changes"]?.integer } == [2, 2, 1])
    let empty = try place.submit("--sql", "-", input: " -- nothing")
    #expect(
      empty.code == 64 && empty.errors.contains("standard input: there is no statement in it"))
    let nothing = try place.submit("--ndjson", "-", input: "\n")
    #expect(nothing.code == 0 && nothing.errors.contains("there is no batch in standard input"))
    let rollback = try place.submit("--sql", "-", input: "SELECT 1;\nROLLBACK;")
    #expect(rollback.code == 64 && rollback.errors.contains("standard input, line 2: ROLLBACK"))
  }

  @Test("A dump of sqlite3 is a batch")
  func dump() throws {
    let old = "\(place.path)/old.sqlite"
    _ = try sqlite3(
      old, "CREATE TABLE u(x, y DEFAULT 'a;b'); INSERT INTO u VALUES (1, x'00'), (NULL, 'é')")
    let dump = try sqlite3(old, ".dump")
    #expect(try place.submit("--sql", "-", input: dump).code == 0)
    #expect(
      try place.query("SELECT * FROM u", "--json").output
        == "{\"x\": 1, \"y\": {\"base64\": \"AA==\"}}\n{\"x\": null, \"y\": \"é\"}\n")
  }

  @Test("NDJSON: every form, in order")
  func ndjson() throws {
    let result = try place.submit(
      "--ndjson", "-", "--json",
      input: #"""
        {"id": "a", "statements": [["INSERT INTO t VALUES (?,?)", [1, 1.0]], ["UPDATE t SET b = b + 1"]]}

        {"statements": [{"sql": "INSERT INTO t VALUES (?,?)", "rows": [[2, "x"], [3, {"base64": "AQI="}], [4, null]]}]}
        {"statements": [["SELECT a, b FROM t ORDER BY a"]], "results": true}
        {"statements": [["DELETE FROM t"]], "guards": [["SELECT count(*) = 0 FROM t WHERE a = ?", [4]]]}
        {"id": "a", "statements": [["INSERT INTO t VALUES (?,?)", [1, 1.0]], ["UPDATE t SET b = b + 1"]]}
        """#)
    #expect(result.code == 65)
    let lines = try result.json()
    #expect(
      lines.map { $0["status"]?.string }
        == ["applied", "applied", "applied", "rejected", "duplicate"])
    #expect(lines.map { $0["txid"]?.integer } == [2, 3, 4, 5, 2])
    #expect(
      result.lines[2].contains(#""rows": [[1, 2.0], [2, "x"], [3, {"base64": "AQI="}], [4, null]]"#)
    )
    #expect(lines[3]["error"]?["code"]?.string == "guardFailed")
  }

  @Test("NDJSON: many lines are many batches in the order of the input")
  func stream() throws {
    let count = 1500
    let input = (1...count).map {
      #"{"statements": [["INSERT INTO t VALUES (?, (SELECT max(a) FROM t))", [\#($0)]]]}"# + "\n"
    }.joined()
    let result = try place.submit("--ndjson", "-", "--json", input: input)
    #expect(result.code == 0)
    #expect(try result.json().map { $0["lastRowID"]?.integer } == (1...Int64(count)).map { $0 })
    #expect(
      try place.query("SELECT count(*) AS n FROM t WHERE b IS NOT a - 1", "--json").output
        == "{\"n\": 1}\n")
  }

  @Test("NDJSON: a line that is wrong is named; what stands before it was done")
  func wrongLine() throws {
    let input = try place.file(
      "b.ndjson",
      """
      {"statements": [["INSERT INTO t VALUES (1, 1)"]]}
      {"statements": [["INSERT INTO t VALUES (1, 2)"]]}

      {"statements": ["oops"]}
      {"statements": [["INSERT INTO t VALUES (3, 3)"]]}
      """)
    let result = try place.submit("--ndjson", input)
    #expect(result.code == 64)
    #expect(result.errors.hasPrefix("sluice: \(input), line 4: statement 1: "))
    #expect(result.errors.contains("what stands before it was submitted"))
    #expect(result.lines.first == "applied 2: 1 change")
    #expect(result.lines.last?.hasSuffix("(\(input), line 2)") == true)
    #expect(try place.query("SELECT count(*) AS n FROM t", "--json").output == "{\"n\": 1}\n")
    #expect(try place.submit("--ndjson", "/nonexistent").code == 66)
  }

  @Test("NDJSON: after a time-out it says which lines were not submitted")
  func lateStream() throws {
    #expect(try place.stopApplier().code == 0)
    let line = #"{"statements": [["INSERT INTO t(b) VALUES (1)"]]}"# + "\n"
    let input = String(repeating: line, count: 5000)
    let result = try place.submit("--ndjson", "-", "--timeout", "0.2", input: input)
    #expect(result.code == 69)
    let durable = result.lines.count
    #expect(durable > 0 && durable < 5000 && result.lines.allSatisfy { $0 == "durable" })
    #expect(result.errors.contains("not submitted from line \(durable + 1) on"))
    #expect(try sluice(["apply", place.store, "--drain"]).code == 0)
    #expect(
      try place.query("SELECT count(*) AS n FROM t", "--json").output == "{\"n\": \(durable)}\n")
  }

  @Test(
    "What cannot be meant is refused before anything is done",
    arguments: [
      [], ["SELECT 1", "--ndjson", "-"], ["--split", "3", "SELECT 1"],
      ["--ndjson", "-", "--id", "k"],
      ["--sql", "-", "--results"], ["SELECT 1", "--results", "--wait", "durable"],
      ["SELECT 1", "--timeout", "-1"], ["SELECT 1", "--wait", "long"],
      ["--sql", "-", "--split", "0"],
      ["--sql", "-", "--skip", "1"], ["--sql", "-", "--keep-going"],
      ["--sql", "-", "--split", "2", "--skip", "-1"],
      ["--sql", "-", "--split", "2", "--skip", "1", "--keep-going"],
      ["SELECT 1", "--id", ""], ["SELECT 1", "--nonsense"],
    ])
  func usage(arguments: [String]) throws {
    let result = try sluice(["submit", place.store] + arguments)
    #expect(result.code == 64 && result.output == "")
    #expect(result.errors.hasPrefix("sluice: ") && result.errors.split(separator: "\n").count == 1)
  }
}

extension String {
  fileprivate func replacing(status: String, with other: String) -> String {
    let parts = split(separator: "\"\(status)\"", omittingEmptySubsequences: false)
    return parts.joined(separator: "\"\(other)\"")
  }
}
