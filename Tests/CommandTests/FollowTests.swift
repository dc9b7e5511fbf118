import Glibc
import SluiceSQLite
import SluiceShared
import Testing

@testable import sluice

@Suite("restore --follow and log --rows keep up with what comes")
struct FollowTests {
  let place: Workplace

  init() throws {
    place = try Workplace()
    try place.make(applying: false)
  }

  private func apply(_ sql: String) throws {
    try place.submit(sql, "--wait", "durable")
    try #require(
      try sluice(["apply", place.store, "--drain", "--log-level", "error"]).code == 0)
  }

  private func lines(of descriptor: Int32) throws -> () throws -> String {
    let file = try #require(fdopen(descriptor, "r"))
    return {
      var line: UnsafeMutablePointer<CChar>?
      var capacity = 0
      defer { free(line) }
      try #require(getline(&line, &capacity, file) > 0)
      return try #require(line.flatMap { String(validatingCString: $0) })
    }
  }

  private func pipeEnds() throws -> (read: Int32, write: Int32) {
    var ends: [Int32] = [0, 0]
    try #require(pipe(&ends) == 0)
    // No child keeps the end that is read from.
    try #require(fcntl(ends[0], F_SETFD, FD_CLOEXEC) == 0)
    return (ends[0], ends[1])
  }

  @Test("A warm copy, over terms, until SIGTERM, and then on")
  func warm() throws {
    try apply("CREATE TABLE t(a)")
    let path = "\(place.path)/warm.sqlite"
    var txid = 1
    for _ in 0..<2 {
      let ends = try pipeEnds()
      let follower = try startSluice(
        ["restore", place.store, "--into", path, "--follow"], output: ends.write)
      let next = try lines(of: ends.read)
      #expect(try next() == "\(txid) \(path)\n")
      for _ in 0..<3 {
        txid += 1
        try apply("INSERT INTO t VALUES (\(txid))")
        _ = try sluice(["checkpoint", place.store])
        #expect(try next() == "\(txid) \(path)\n")
        let copy = try Connection(path: path, flags: [.readOnly])
        #expect(try copy.scalar("SELECT count(*) FROM t") == .integer(Int64(txid) - 1))
      }
      follower.send(SIGTERM)
      let end = try follower.result()
      #expect(end.code == 0 && end.errors == "", "\(end.errors)")
    }
    for arguments in [["--txid", "1"], ["--at", "2026-01-01T00:00:00Z"]] {
      let result = try sluice(
        ["restore", place.store, "--into", path, "--follow"] + arguments)
      #expect(result.code == 64 && result.errors.contains("--follow goes with the present"))
    }
    _ = try place.file("mine", "x")
    let taken = try sluice(["restore", place.store, "--into", "\(place.path)/mine", "--follow"])
    #expect(taken.code == 64 && taken.errors.contains("nothing is overwritten"))
  }

  @Test("Rows of each batch, as JSON")
  func rows() throws {
    try apply("CREATE TABLE t(id INTEGER PRIMARY KEY, b, r REAL)")
    let ends = try pipeEnds()
    let follower = try startSluice(
      ["log", place.store, "--rows", "--json", "--follow", "--from", "2"], output: ends.write)
    let next = try lines(of: ends.read)
    for (sql, expected) in [
      (
        "INSERT INTO t(b, r) VALUES (x'01', 1)",
        #"[{"op": "insert", "table": "t", "rowid": 1, "new": {"id": 1, "b": {"base64": "AQ=="}, "r": 1.0}}]"#
      ),
      (
        "UPDATE t SET id = 5, b = NULL",
        #"[{"op": "update", "table": "t", "rowid": 5, "oldRowid": 1, "old": {"id": 1, "b": {"base64": "AQ=="}, "r": 1.0}, "new": {"id": 5, "b": null, "r": 1.0}}]"#
      ), ("INSERT INTO nowhere VALUES (1)", "[]"),
      (
        "DELETE FROM t",
        #"[{"op": "delete", "table": "t", "rowid": 5, "old": {"id": 5, "b": null, "r": 1.0}}]"#
      ),
    ] {
      try apply(sql)
      let line = try next()
      #expect(line.contains("\"changed\": \(expected)"), "\(line)")
      _ = try JSON.parse(line)
    }
    follower.send(SIGKILL)
    _ = try follower.result()
    let resumed = try sluice(["log", place.store, "--rows", "--json", "--from", "5"])
    #expect(resumed.code == 0 && resumed.lines.count == 1)
    #expect(resumed.output.contains("\"rowid\": 5"))
    #expect(try sluice(["log", place.store, "--rows"]).code == 64)
  }

  @Test("Where the state before a batch is not kept any more, its rows are not told")
  func gone() throws {
    for i in 1...5 {
      try apply(i == 1 ? "CREATE TABLE t(a)" : "INSERT INTO t VALUES (\(i))")
      if i == 3 || i == 4 { _ = try sluice(["checkpoint", place.store]) }
    }
    for name in ["0000000000000000", "0000000000000003"] {
      for suffix in ["sqlite", "pages"] {
        try PosixFileSystem().unlink("\(place.store)/checkpoints/\(name).\(suffix)")
      }
    }
    let lines = try sluice(["log", place.store, "--rows", "--json"]).json()
    #expect(lines.map { $0["changed"] == .null } == [true, true, true, true, false])
  }
}
