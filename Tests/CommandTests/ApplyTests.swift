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

  @Test("What cannot be meant is refused")
  func usage() throws {
    let place = try Workplace()
    try place.make(applying: false)
    #expect(try sluice(["apply"]).code == 64)
    #expect(try sluice(["apply", place.store, place.store]).code == 64)
    #expect(try sluice(["apply", place.store, "--ttl", "0.5"]).code == 64)
    #expect(try sluice(["apply", place.store, "\(place.path)/nowhere"]).code == 66)
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
