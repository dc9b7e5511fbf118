import Foundation
import Glibc
import SluiceShared
import Testing

@Suite("apply leads until it is told to stop, and another goes on")
struct ApplyTests {
  @Test("A signal ends it in order", arguments: [SIGTERM, SIGINT])
  func signal(number: Int32) throws {
    let place = try Workplace()
    try place.make()
    try place.execute("CREATE TABLE t(a)")
    let end = try place.stopApplier(number)
    #expect(end.code == 0 && end.output == "")
    #expect(try place.status()["applier"]?["state"]?.string == "released")
  }

  @Test("One that is killed is succeeded by a standby")
  func takeover() throws {
    let place = try Workplace()
    try place.make(applying: false)
    try place.startApplier("--ttl", "1", "--holder", "first")
    try place.execute("CREATE TABLE t(a)")
    let standby = try startSluice(["apply", place.store, "--ttl", "1", "--holder", "second"])
    #expect(try place.stopApplier(SIGKILL).code == -SIGKILL)
    try place.execute("INSERT INTO t VALUES (1)")
    #expect(try place.status()["applier"]?["holder"]?.string == "second")
    standby.send(SIGTERM)
    let end = try standby.result()
    #expect(end.code == 0 && end.errors.contains("info applier: leading"))
  }

  @Test("Several stores in one process, and what there is, then the end")
  func drain() throws {
    let places = [try Workplace(), try Workplace(), try Workplace()]
    for place in places {
      try place.make(applying: false)
      #expect(try place.submit("CREATE TABLE t(a)", "--wait", "durable").code == 0)
    }
    let end = try sluice(["apply"] + places.map(\.store) + ["--drain", "--log-format", "json"])
    #expect(end.code == 0)
    for place in places {
      #expect(try place.query("SELECT count(*) AS n FROM t", "--json").output == "{\"n\": 0}\n")
      #expect(end.errors.contains(place.store))
    }
  }

  @Test("Without a scratch directory nothing is claimed")
  func scratch() throws {
    let place = try Workplace()
    try place.make(applying: false)
    let before = try ChildProcess("ls", ["-R", place.store]).result().output
    let end = try ChildProcess(
      "env", ["TMPDIR=\(place.path)/nowhere", program, "apply", place.store, "--drain"]
    ).result()
    #expect(end.code == 74)
    #expect(
      end.errors.contains("set TMPDIR to a directory on a local disk")
        && end.errors.contains("\(place.path)/nowhere"), "\(end.errors)")
    #expect(try ChildProcess("ls", ["-R", place.store]).result().output == before)
  }

  /// One that was there when the applier began to stand by, and is gone when it could take over.
  @Test("Nor where it vanished meanwhile")
  func vanishedScratch() throws {
    let place = try Workplace()
    try place.make()
    try place.execute("CREATE TABLE t(a)")
    let scratch = "\(place.path)/scratch"
    #expect(mkdir(scratch, 0o755) == 0)
    let standby = try ChildProcess(
      "env", ["TMPDIR=\(scratch)", program, "apply", place.store, "--log-level", "info"])
    usleep(300_000)
    #expect(rmdir(scratch) == 0)
    #expect(try place.stopApplier().code == 0)
    let end = try standby.result()
    #expect(end.code == 74 && end.errors.contains("set TMPDIR to"), "\(end.errors)")
    #expect(!end.errors.contains("leading"))
  }

  @Test("Where store.json is another's, nothing is to be removed")
  func otherID() throws {
    let (place, other) = (try Workplace(), try Workplace())
    for one in [place, other] { try one.make(applying: false) }
    try place.submit("CREATE TABLE t(a)", "--wait", "durable")
    let right = try Data(contentsOf: URL(fileURLWithPath: "\(place.store)/store.json"))
    let wrong = try Data(contentsOf: URL(fileURLWithPath: "\(other.store)/store.json"))
    #expect(unlink("\(place.store)/store.json") == 0)
    try wrong.write(to: URL(fileURLWithPath: "\(place.store)/store.json"))
    let ids = try [right, wrong].map {
      try #require(try JSON.parse(String(decoding: $0, as: UTF8.self))["id"]?.string)
    }
    for arguments in [
      ["apply", place.store, "--drain"], ["query", place.store, "SELECT 1"],
      ["status", place.store],
    ] {
      let end = try sluice(arguments)
      #expect(end.code == 76)
      #expect(ids.allSatisfy(end.errors.contains), "\(end.errors)")
      #expect(end.errors.contains("remove nothing") && !end.errors.contains("remove it"))
    }
    #expect(unlink("\(place.store)/store.json") == 0)
    try right.write(to: URL(fileURLWithPath: "\(place.store)/store.json"))
    #expect(try sluice(["apply", place.store, "--drain"]).code == 0)
    #expect(try place.query("SELECT count(*) FROM t").code == 0)
  }

  @Test("What cannot be meant is refused")
  func usage() throws {
    let place = try Workplace()
    try place.make(applying: false)
    #expect(try sluice(["apply"]).code == 64)
    #expect(try sluice(["apply", place.store, place.store]).code == 64)
    #expect(try sluice(["apply", place.store, "--ttl", "0.5"]).code == 64)
    #expect(try sluice(["apply", "\(place.path)/nowhere"]).code == 66)
    #expect(try sluice(["apply", "\(place.path)/nowhere", "\(place.path)/neither"]).code == 66)
  }

  @Test("One of several that cannot be opened keeps no other from being applied")
  func oneMissing() throws {
    let place = try Workplace()
    try place.make(applying: false)
    #expect(try place.submit("CREATE TABLE t(a)", "--wait", "durable").code == 0)
    let end = try sluice(["apply", "\(place.path)/nowhere", place.store, "--drain"])
    #expect(end.code == 66 && end.errors.contains("nowhere"))
    #expect(try place.query("SELECT count(*) AS n FROM t", "--json").output == "{\"n\": 0}\n")
    let applier = try startSluice(["apply", "\(place.path)/nowhere", place.store, "--ttl", "1"])
    try place.execute("INSERT INTO t VALUES (1)")
    try applier.wait(for: "stopped; tried again")
    applier.send(SIGTERM)
    let stopped = try applier.result()
    #expect(stopped.code == 0 && stopped.errors.contains("stopped; tried again"))
  }

  /// Another store's or a newer version's, a second name: whatever it holds is not applied.
  @Test("A drain that leaves something says so")
  func drainLeaves() throws {
    let place = try Workplace()
    try place.make(applying: false)
    #expect(try place.submit("CREATE TABLE t(a)", "--wait", "durable").code == 0)
    #expect(try sluice(["apply", place.store, "--drain"]).code == 0)
    #expect(try place.submit("INSERT INTO t VALUES (1)", "--wait", "durable").code == 0)
    let journal = "\(place.store)/journal"
    let name = try #require(
      try FileManager.default.contentsOfDirectory(atPath: journal).first { $0.hasSuffix(".seg") })
    #expect(link("\(journal)/\(name)", "\(place.path)/second") == 0)
    for _ in 0..<2 {
      let end = try sluice(["apply", place.store, "--drain"])
      #expect(end.code == 76)
      #expect(
        end.errors.contains("not all that was submitted is applied: 1 in journal/ ignored"),
        "\(end.errors)")
    }
    #expect(unlink("\(place.path)/second") == 0)
    #expect(try sluice(["apply", place.store, "--drain"]).code == 0)
    #expect(try place.query("SELECT a FROM t", "--csv").lines == ["a", "1"])
  }

  @Test("A drain beside an applier that leads ends when that one has applied what there was")
  func drainBesideALeader() throws {
    let place = try Workplace()
    try place.make()
    #expect(try place.submit("CREATE TABLE t(a)", "--wait", "durable").code == 0)
    #expect(try sluice(["apply", place.store, "--drain"]).code == 0)
    #expect(try place.query("SELECT count(*) FROM t", "--csv").lines == ["count(*)", "0"])
  }

  @Test("It ends no earlier than that, though the other one leads all the while")
  func drainBesideABusyLeader() throws {
    let place = try Workplace()
    try place.make()
    try place.execute("CREATE TABLE t(a)")
    let slow =
      "INSERT INTO t WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 20000000) SELECT max(n) FROM c"
    #expect(try place.submit(slow, "--wait", "durable").code == 0)
    #expect(try sluice(["apply", place.store, "--drain"]).code == 0)
    #expect(try place.query("SELECT a FROM t", "--csv").lines == ["a", "20000000"])
  }

  /// Its beacon says that it leads for as long as nobody takes over.
  @Test("A drain behind a leader that was killed takes over, also where nothing waits")
  func drainBehindADeadLeader() throws {
    let place = try Workplace()
    try place.make()
    try place.execute("CREATE TABLE t(a)")
    #expect(try place.stopApplier(SIGKILL).code == -SIGKILL)
    let end = try sluice(["apply", place.store, "--drain", "--holder", "second"])
    #expect(end.code == 0, "\(end.errors)")
    #expect(try place.status()["applier"]?["holder"]?.string == "second")
  }

  @Test("An empty path is none, wherever one is expected")
  func emptyPaths() throws {
    let place = try Workplace()
    try place.make(applying: false)
    for arguments in [
      ["init", ""], ["init", "\(place.path)/new", "--from", ""],
      ["init", "\(place.path)/new", "--extension", ""], ["apply", ""], ["apply", place.store, ""],
      ["submit", "", "SELECT 1"], ["submit", place.store, "--ndjson", ""],
      ["submit", place.store, "--sql", ""], ["query", "", "SELECT 1"], ["dump", ""],
      ["status", ""], ["checkpoint", ""], ["outcome", "", "--txid", "1"],
    ] {
      let end = try sluice(arguments)
      #expect(
        end.code == 64 && end.output == "" && end.errors.contains("is empty"),
        "\(arguments): \(end.code) \(end.errors)")
    }
    #expect(!FileManager.default.fileExists(atPath: "\(place.path)/new"))
  }
}

@Suite("Help is enough to begin with")
struct HelpTests {
  @Test("The version")
  func version() throws {
    let result = try sluice(["--version"])
    #expect(result.code == 0 && result.output.split(separator: ".").count == 3)
  }

  @Test(
    "Each command has its own, with examples that fit their lines",
    arguments: ["init", "submit", "outcome", "apply", "query", "status", "checkpoint"])
  func help(command: String) throws {
    let result = try sluice([command, "--help"])
    #expect(result.code == 0 && result.errors == "")
    #expect(result.lines.contains { $0.hasPrefix("  sluice \(command) ") })
    #expect(try sluice(["--help"]).output.contains("  \(command) "))
  }

  @Test("An unknown command or option is one line and 64", arguments: ["frob", "--frob"])
  func unknown(argument: String) throws {
    let result = try sluice([argument])
    #expect(result.code == 64 && result.output == "")
    #expect(result.errors.hasPrefix("sluice: ") && result.errors.hasSuffix("see `sluice --help`\n"))
  }
}
