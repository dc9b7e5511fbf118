import Glibc
import SluiceShared
import SluiceTeardown
import Testing

@Suite("query reads a whole, fresh snapshot")
struct QueryTests {
  let place: Workplace

  init() throws {
    place = try Workplace()
    try place.make()
    try place.execute("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
    try place.execute("INSERT INTO t VALUES (1, 'x,\"y\"'), (2, NULL), (30, 0.5)")
  }

  @Test("As a table, as JSON, as CSV")
  func formats() throws {
    #expect(
      try place.query("SELECT * FROM t").output
        == " a  b\n--  -----\n 1  x,\"y\"\n 2\n30  0.5\n")
    #expect(
      try place.query("SELECT a, b, a FROM t WHERE a < ?", "2", "--json").output
        == #"{"a": 1, "b": "x,\"y\"", "a:1": 1}"# + "\n")
    #expect(
      try place.query("SELECT * FROM t", "--csv").output
        == "a,b\r\n1,\"x,\"\"y\"\"\"\r\n2,\r\n30,0.5\r\n")
    #expect(try place.query("SELECT * FROM t WHERE 0", "--json").output == "")
    #expect(
      try place.query("SELECT typeof(CAST(? AS TEXT)) AS y", "5", "--csv").lines.last == "text")
  }

  @Test(
    "As fresh as asked for",
    arguments: [["--latest"], ["--at-least", "2"], ["--max-staleness", "60000"]])
  func freshness(flags: [String]) throws {
    let result = try sluice(
      ["query", place.store, "SELECT count(*) AS n FROM t", "--json"] + flags)
    #expect(result.output == "{\"n\": 3}\n")
  }

  @Test("As it was")
  func past() throws {
    _ = try place.stopApplier()
    for i in 3...4 {
      #expect(
        try place.submit("INSERT INTO t(b) VALUES (\(i))", "--wait", "durable").code == 0)
    }
    #expect(try sluice(["apply", place.store, "--drain"]).code == 0)
    let count = "SELECT count(*) AS n FROM t"
    for (flags, expected) in [
      (["--txid", "1"], "0"), (["--txid", "2"], "3"), (["--txid", "4"], "5"),
      (["--at", "2199-12-31T23:59:59Z"], "5"),
    ] {
      let result = try sluice(["query", place.store, count, "--csv"] + flags)
      #expect(result.lines.last == expected && result.errors == "", "\(flags)")
    }
    // Two writers' batches, one commit.
    let between = try place.query(count, "--csv", "--txid", "3")
    #expect(between.lines.last == "3")
    #expect(between.errors.contains("as of batch 2: batch 3 was committed together with later"))
    let early = try place.query(count, "--at", "2020-01-01T00:00:00+01:00")
    // As `init` made it.
    #expect(early.code == 64 && early.errors.contains("no such table"), "\(early.errors)")
    #expect(try sluice(["dump", place.store, "--txid", "1"]).output.contains("CREATE TABLE t"))
    #expect(try !sluice(["dump", place.store, "--txid", "1"]).output.contains("INSERT"))
  }

  @Test(
    "What is wrong is said in a line, and writes nothing",
    arguments: [
      (["SELEC"], "syntax error"), (["SELECT * FROM nowhere"], "no such table"),
      (["SELECT ?"], "1 parameters, 0 are given"), (["DELETE FROM t"], "cannot write"),
      (["SELECT 1; SELECT 2"], "more than one statement"),
      (["SELECT 1", "--json", "--csv"], "exclude"),
      (["SELECT 1", "--latest", "--at-least", "1"], "exclude"),
      (["SELECT 1", "--txid", "1", "--at", "2026-11-22T10:00:00Z"], "exclude"),
      (["SELECT 1", "--at", "yesterday"], "2026-11-22T10:00:00Z"),
      (["SELECT 1", "--txid", "9"], "the store is at batch 2"),
    ])
  func wrong(arguments: [String], message: String) throws {
    let result = try sluice(["query", place.store] + arguments)
    #expect(result.code == 64 && result.output == "")
    #expect(result.errors.hasPrefix("sluice: ") && result.errors.contains(message))
    #expect(result.errors.split(separator: "\n").count == 1)
  }

  @Test("Rows are streamed until nobody reads them any more")
  func closedPipe() throws {
    var ends: [Int32] = [0, 0]
    try #require(pipe(&ends) == 0)
    close(ends[0])
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
    let process = try startSluice(["query", place.store, endless, "--json"], output: ends[1])
    #expect(try process.result().code == 0)
  }

  @Test("Without a store: 66; with a damaged one: 76")
  func stores() throws {
    place.isDamagedOnPurpose = true
    #expect(try sluice(["query", "\(place.path)/nowhere", "SELECT 1"]).code == 66)
    #expect(try sluice(["status", "\(place.path)/nowhere"]).code == 66)
    #expect(try sluice(["apply", "\(place.path)/nowhere"]).code == 66)
    #expect(try sluice(["submit", "\(place.path)/nowhere", "SELECT 1"]).code == 66)
    #expect(mkdir("\(place.path)/foreign", 0o755) == 0)
    _ = try place.file("foreign/store.json", "{\"name\": \"somebody else's\"}")
    for command in [
      ["query", "SELECT 1"], ["status"], ["checkpoint"], ["outcome", "--txid", "1"],
    ] {
      let result = try sluice([command[0], "\(place.path)/foreign"] + command.dropFirst())
      #expect(result.code == 76 && result.output == "", "\(command) \(result.errors)")
    }
  }
}

@Suite("outcome says what became of a batch")
struct OutcomeTests {
  let place: Workplace

  init() throws {
    place = try Workplace()
    try place.make()
    try place.execute("CREATE TABLE t(a INTEGER PRIMARY KEY)")
    try place.execute("INSERT INTO t VALUES (7)", "--id", "good")
    #expect(try place.submit("INSERT INTO t VALUES (7)", "--id", "bad").code == 65)
    try place.execute("INSERT INTO t VALUES (7)", "--id", "good")
  }

  private func outcome(_ arguments: String...) throws -> ChildProcess.Result {
    try sluice(["outcome", place.store] + arguments)
  }

  @Test("By its key and by its place, in the same words")
  func both() throws {
    let good =
      #"{"status": "applied", "txid": 2, "changes": 1, "lastRowID": 7, "id": "good"}"# + "\n"
    #expect(try outcome("--id", "good", "--json").output == good)
    #expect(try outcome("--txid", "2", "--json").output == good)
    #expect(try outcome("--txid", "1").output == "applied 1: 0 changes\n")
    let bad = try outcome("--id", "bad")
    #expect(bad.code == 65 && bad.output.hasPrefix("rejected 3: SQLITE_CONSTRAINT_PRIMARYKEY: "))
    #expect(try outcome("--txid", "3").output == bad.output)
    #expect(try outcome("--txid", "4").output == "duplicate of 2: 1 change\n")
  }

  @Test("One that is unknown is 66, one that cannot be is 64")
  func unknown() throws {
    #expect(try outcome("--id", "other").code == 66)
    #expect(try outcome("--txid", "5").code == 66)
    #expect(try outcome("--txid", "0").code == 64)
    #expect(try outcome().code == 64)
    #expect(try outcome("--txid", "1", "--id", "good").code == 64)
  }
}

@Suite("checkpoint makes a plain SQLite file")
struct CheckpointTests {
  @Test("That any tool reads")
  func plain() throws {
    let place = try Workplace()
    try place.make()
    try place.execute("CREATE TABLE t(a, b); CREATE INDEX i ON t(a)")
    try place.execute("INSERT INTO t SELECT value, zeroblob(300) FROM json_each('[3,1,2]')")
    let made = try sluice(["checkpoint", place.store])
    #expect(made.code == 0)
    #expect(made.output == "2 \(place.store)/checkpoints/0000000000000002.sqlite\n")
    #expect(try sluice(["checkpoint", place.store]).output == made.output)
    try place.execute("DELETE FROM t")
    #expect(
      try sqlite3(
        "file:\(place.store)/current.sqlite?mode=ro&immutable=1",
        "PRAGMA integrity_check; SELECT group_concat(a) FROM (SELECT a FROM t ORDER BY a)")
        == "ok\n1,2,3\n")
    #expect(try place.status()["checkpoint"]?["txid"]?.integer == 2)
  }
}

@Suite("status says how the store is doing")
struct StatusTests {
  @Test("Before, with, after and without an applier")
  func states() throws {
    let place = try Workplace()
    try place.make(applying: false)
    var status = try place.status()
    #expect(status["applier"]?["state"]?.string == "none")
    #expect(status["log"]?["oldestTxid"]?.integer == 1)

    for i in 1...3 {
      #expect(try place.submit("CREATE TABLE t\(i)(a)", "--wait", "durable").code == 0)
    }
    status = try place.status()
    #expect(status["txid"]?.integer == 0 && status["writers"]?.integer == 3)
    #expect(status["backlog"]?["batches"]?.integer == 3)
    #expect(status["backlog"]?["bytes"]?.integer ?? 0 > 0)

    try place.startApplier(
      "--holder", "me", "--checkpoint-age", "0.1", "--keep", "forever")
    // Among several writers the order is the applier's: first those that wait.
    #expect(try place.query("SELECT count(*) AS n FROM t3", "--at-least", "3").code == 0)
    #expect(try place.submit("CREATE TABLE t1(a)").code == 65)
    status = try place.status()
    #expect(status["store"]?.string == place.store)
    #expect(status["applier"]?["state"]?.string == "active")
    #expect(status["applier"]?["holder"]?.string == "me")
    #expect(status["txid"]?.integer == 4 && status["rejected"]?.integer == 1)
    #expect(status["backlog"]?["batches"]?.integer == 0)

    #expect(try place.stopApplier().code == 0)
    let line = try sluice(["status", place.store, "--json"])
    let order = [
      "store", "lease", "txid", "applier", "holder", "term", "state", "beatAge_ms", "backlog",
      "batches", "bytes", "oldest_ms", "isEstimate", "checkpoint", "txid", "bytes", "age_s", "log",
      "segments", "bytes", "oldestTxid", "kept", "txid", "bytes", "checkpoints", "keep",
      "keepCheckpoints", "writers", "rejected", "quarantined", "ignored", "missing", "hints",
      "received", "useful", "sent",
    ]
    let names = line.output.split(separator: "\"").indices.compactMap { i -> String? in
      let parts = line.output.split(separator: "\"")
      guard i + 1 < parts.count, parts[i + 1].hasPrefix(": ") else { return nil }
      return String(parts[i])
    }
    #expect(names == order)
    #expect(try line.json().first?["applier"]?["state"]?.string == "released")
    #expect(
      try sluice(["status", place.store]).output.contains("applier      released: me, term 2"))
  }
}
