import Glibc
import SluiceShared
import Testing

@Suite("log shows every batch of the history in its order")
struct LogTests {
  let place: Workplace

  init() throws {
    place = try Workplace()
    try place.make(applying: false)
  }

  private func log(_ arguments: String...) throws -> ChildProcess.Result {
    try sluice(["log", place.store] + arguments)
  }

  /// What is submitted before there is an applier comes into one commit.
  private func apply(_ batches: String...) throws {
    let input = batches.joined(separator: "\n") + "\n"
    let result = try place.submit("--ndjson", "-", "--wait", "durable", input: input)
    try #require(result.code == 0, "\(result.errors)")
    #expect(try sluice(["apply", place.store, "--drain"]).code == 0)
  }

  private static let batches = [
    #"{"id": "a", "statements": [["CREATE TABLE t(a INTEGER PRIMARY KEY, b)"]]}"#,
    #"{"statements": [["INSERT INTO t(b) VALUES (?)", ["é"]], {"sql": "INSERT INTO t(b) VALUES (?)", "rows": [[1.0], [{"base64": "AAE="}], [null]]}]}"#,
    #"{"statements": [["INSERT INTO nowhere VALUES (1)"]]}"#,
    #"{"guards": [["SELECT count(*) = ? FROM t", [4]]], "statements": [["DELETE FROM t WHERE a = 2"]]}"#,
  ]

  @Test("As JSON, with what became of each")
  func asJSON() throws {
    try apply(Self.batches[0], Self.batches[1], Self.batches[2])
    try apply(Self.batches[0], Self.batches[3])
    let lines = try log("--json").json()
    #expect(lines.map { $0["txid"]?.integer } == [1, 2, 3, 4, 5])
    #expect(
      lines.map { $0["status"]?.string } == [
        "applied", "applied", "rejected", "duplicate", "applied",
      ])
    #expect(lines.map { $0["commit"]?.integer } == [1, 1, 1, 2, 2])
    #expect(lines.map { $0["sequence"]?.integer } == [1, 2, 3, 1, 2])
    #expect(lines.map { $0["id"]?.string } == ["a", nil, nil, "a", nil])
    #expect(lines[1]["changes"]?.integer == 4 && lines[1]["lastRowID"]?.integer == 4)
    #expect(lines[2]["error"]?["code"]?.string == "SQLITE_ERROR")
    #expect(lines[3]["of"]?.integer == 1)
    let time = try #require(lines[0]["time"]?.string.flatMap(milliseconds(ofTimestamp:)))
    #expect(abs(time - SystemClock().wallTime_ms()) < 600_000)
    // As they were given, byte for byte but for the key.
    let output = try log("--json", "--from", "2").output.split(separator: "\n")
    #expect(output.count == 4)
    for (line, batch) in zip(output, [Self.batches[1], Self.batches[2]]) {
      #expect(line.hasSuffix(batch.dropFirst()), "\(line)")
    }
    #expect(output[3].hasSuffix(Self.batches[3].dropFirst()), "\(output[3])")
  }

  @Test("As a line each")
  func asText() throws {
    try apply(Self.batches[0], Self.batches[1], Self.batches[2])
    try apply(Self.batches[0])
    let lines = try log().lines.map { $0.split(separator: " ").dropFirst(2).joined(separator: " ") }
    #expect(
      lines == [
        "applied: 0 changes CREATE TABLE t(a INTEGER PRIMARY KEY, b)",
        "applied: 4 changes INSERT INTO t(b) VALUES (?) (and 1 more)",
        "rejected: SQLITE_ERROR INSERT INTO nowhere VALUES (1)",
        "duplicate of 1 CREATE TABLE t(a INTEGER PRIMARY KEY, b)",
      ])
    #expect(try log("--from", "5").output == "")
    #expect(try log("--from", "400").code == 0)
    #expect(try sluice(["log", "\(place.path)/nowhere"]).code == 66)
  }

  @Test("What comes later is followed, over terms, until nobody reads any more")
  func following() throws {
    try apply(Self.batches[0])
    var ends: [Int32] = [0, 0]
    try #require(pipe(&ends) == 0)
    // No child keeps the end that is read from.
    try #require(fcntl(ends[0], F_SETFD, FD_CLOEXEC) == 0)
    let follower = try startSluice(
      ["log", place.store, "--follow", "--json", "--from", "2"], output: ends[1])
    let lines = try #require(fdopen(ends[0], "r"))
    for i in 2...6 {
      try apply(#"{"statements": [["INSERT INTO t VALUES (\#(i), 'x')"]]}"#)
      _ = try sluice(["checkpoint", place.store])
    }
    for i in 2...6 {
      var line: UnsafeMutablePointer<CChar>?
      var capacity = 0
      defer { free(line) }
      try #require(getline(&line, &capacity, lines) > 0)
      let text = try #require(line.flatMap { String(validatingCString: $0) })
      #expect(try JSON.parse(text)["txid"]?.integer == Int64(i))
    }
    fclose(lines)
    try apply(#"{"statements": [["DELETE FROM t"]]}"#)
    #expect(try follower.result().code == 0)
  }
}
