import Glibc
import SluiceShared
import Testing

@testable import sluice

@Suite("backup copies a running store")
struct BackupCommandTests {
  let place: Workplace

  init() throws {
    place = try Workplace()
    try place.make()
    try place.execute("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
    for i in 1...3 { try place.execute("INSERT INTO t VALUES (\(i), hex(randomblob(2000)))") }
  }

  /// What every command says of the copy is what it says of the store.
  private func expectSame(_ copy: String, txid: Int) throws {
    let verified = try sluice(["verify", copy])
    #expect(verified.code == 0, "\(verified.output)\(verified.errors)")
    let sql = "SELECT * FROM t ORDER BY a"
    #expect(
      try sluice(["query", copy, sql, "--csv"]).output == place.query(sql, "--csv").output)
    #expect(
      try sluice(["log", copy, "--json"]).output == sluice(["log", place.store, "--json"]).output)
    for command in ["restore", "replay"] {
      let into = "\(copy)-\(command)-\(txid)"
      let result = try sluice([command, copy, "--into", into])
      #expect(result.code == 0 && result.output == "\(txid) \(into)\n", "\(result.errors)")
    }
    let status = try #require(try sluice(["status", copy, "--json"]).json().first)
    #expect(status["txid"]?.integer == Int64(txid))
    #expect(status["applier"]?["state"]?.string == "released")
  }

  @Test("Into a directory, again and again")
  func directory() throws {
    let copy = "\(place.path)/copy"
    for txid in 4...6 {
      let result = try sluice(["backup", place.store, "--into", copy])
      #expect(result.code == 0 && result.output == "\(txid) \(copy)\n", "\(result.errors)")
      #expect(result.errors == "")
      try expectSame(copy, txid: txid)
      try place.execute("INSERT INTO t(b) VALUES (\(txid))")
      _ = try sluice(["checkpoint", place.store])
    }
  }

  @Test("Without directories that were empty, which object stores do not keep")
  func withoutEmptyDirectories() throws {
    let copy = "\(place.path)/copy"
    #expect(try sluice(["backup", place.store, "--into", copy]).code == 0)
    #expect(rmdir("\(copy)/log/old") == 0)
    try expectSame(copy, txid: 4)
    // Nor does an applier miss it.
    #expect(
      try sluice(["apply", copy, "--drain", "--keep", "1s", "--keep-for-readers", "1s"]).code == 0)
    #expect(try sluice(["status", copy]).code == 0)
  }

  @Test("As a tar archive, which tar unpacks into a store that goes on")
  func archive() throws {
    let path = try place.file("copy.tar", "")
    let descriptor = open(path, O_RDWR)
    try #require(descriptor >= 0)
    defer { close(descriptor) }
    let result = try startSluice(["backup", place.store, "--into", "-"], output: dup(descriptor))
      .result()
    #expect(result.code == 0)
    #expect(result.errors == "sluice: the copy goes up to batch 4\n")
    let listed = try ChildProcess("tar", ["-tvf", path]).result()
    #expect(listed.code == 0 && listed.errors == "")
    #expect(listed.lines.last?.hasSuffix("store.json") == true)
    #expect(listed.output.contains("current.sqlite -> checkpoints/0000000000000000.sqlite"))
    // Sizes, modes and kinds.
    #expect(listed.lines.first?.hasPrefix("drwxrwsrwt") == true, "\(listed.lines)")
    let copy = "\(place.path)/unpacked"
    try PosixFileSystem().makeDirectory(copy, mode: 0o755)
    let unpacked = try ChildProcess("tar", ["-xpf", path, "-C", copy]).result()
    #expect(unpacked.code == 0 && unpacked.errors == "")
    try expectSame(copy, txid: 4)
    // And it can be added to.
    try place.execute("INSERT INTO t(b) VALUES (5)")
    #expect(try sluice(["backup", place.store, "--into", copy]).output == "5 \(copy)\n")
    try expectSame(copy, txid: 5)
    _ = try sluice(["submit", copy, "INSERT INTO t(b) VALUES (6)", "--wait", "durable"])
    #expect(try sluice(["apply", copy, "--drain", "--log-level", "error"]).code == 0)
    #expect(try sluice(["query", copy, "SELECT count(*) AS n FROM t", "--csv"]).lines.last == "5")
  }

  @Test("An archive that nobody reads to its end is no success")
  func unread() throws {
    var ends: [Int32] = [0, 0]
    try #require(pipe(&ends) == 0)
    try #require(fcntl(ends[0], F_SETFD, FD_CLOEXEC) == 0)
    close(ends[0])
    let result = try startSluice(["backup", place.store, "--into", "-"], output: ends[1]).result()
    #expect(result.code == 74 && result.errors.contains("nobody reads the archive"))
  }

  @Test("What is refused is told with what to do")
  func refusals() throws {
    for (store, into, code, what) in [
      ("\(place.path)/nowhere", "\(place.path)/copy", 66, "no store here"),
      (place.store, place.store, 64, "not empty, and no backup"),
      (place.store, "\(place.path)/no/parent", 74, "make \(place.path)/no first"),
      (place.store, "", 64, "is empty"),
    ] as [(String, String, Int32, String)] {
      let result = try sluice(["backup", store, "--into", into])
      #expect(
        result.code == code && result.errors.contains(what), "\(result.code) \(result.errors)")
    }
  }
}
