import CSQLite
import Glibc
import SluiceSQLite
import SluiceShared
import SluiceTeardown
import Testing

@testable import sluice

@Suite("replay executes the history again; verify reads all of it")
struct ReplayCommandTests {
  let place: Workplace

  init() throws {
    place = try Workplace()
    try place.make(applying: false)
    let batches = [
      #"{"statements": [["CREATE TABLE t(a INTEGER PRIMARY KEY, b)"]]}"#,
      #"{"id": "k", "statements": [["INSERT INTO t(b) VALUES (random())"]]}"#,
      #"{"statements": [["INSERT INTO nowhere VALUES (1)"]]}"#,
      #"{"statements": [["INSERT INTO t(b) VALUES (datetime('now'))"]]}"#,
    ]
    for batch in batches {
      _ = try place.submit("--ndjson", "-", "--wait", "durable", input: batch + "\n")
      #expect(try sluice(["apply", place.store, "--drain"]).code == 0)
    }
  }

  private func names() throws -> [String] { try PosixFileSystem().list(place.path).sorted() }

  private func flip(_ name: String, _ offset: Int64) throws {
    place.isDamagedOnPurpose = true
    let path = "\(place.store)/\(name)"
    try PosixFileSystem().setPermissions(path, mode: 0o644)
    let file = try PosixFileSystem().open(path, .write)
    var byte = try file.read(1, at: offset)
    byte[0] ^= 1
    try file.write(byte, at: offset)
  }

  @Test("The file that is restored is the file that is replayed")
  func sameFile() throws {
    let again = "\(place.path)/again.sqlite"
    let result = try sluice(["replay", place.store, "--into", again])
    #expect(result.code == 0 && result.output == "4 \(again)\n", "\(result.errors)")
    #expect(result.errors == "")
    #expect(try PosixFileSystem().status(again).permissions & 0o777 == 0o600)
    let restored = "\(place.path)/restored.sqlite"
    #expect(try sluice(["restore", place.store, "--into", restored]).code == 0)
    for sql in ["SELECT * FROM t", "SELECT * FROM _sluice_rejected"] {
      let files = try [again, restored].map {
        try Connection(path: $0, flags: [.readOnly]).query(sql)
      }
      #expect(files[0] == files[1] && !files[0].isEmpty)
    }
    let part = try sluice(["replay", place.store, "--into", "\(place.path)/part", "--txid", "2"])
    #expect(part.code == 0 && part.output.hasPrefix("2 "), "\(part.errors)")
  }

  @Test("Where an applier had another SQLite, it says which batches, and which one")
  func otherSQLite() throws {
    let other = "2031-05-06 07:08:09 \(String(repeating: "ab", count: 32))"
    let library = try compiledExtension(
      "other", "const char *sqlite3_sourceid(void) { return \"\(other)\"; }", in: place)
    let preloading = ["LD_PRELOAD=\(library)", program]
    for i in 0..<2 {
      _ = try place.submit("INSERT INTO t(b) VALUES (\(i))", "--wait", "durable")
    }
    let applied = try ChildProcess("env", preloading + ["apply", place.store, "--drain"]).result()
    #expect(applied.code == 0, "\(applied.errors)")
    _ = try place.submit("INSERT INTO t(b) VALUES (2)", "--wait", "durable")
    #expect(try sluice(["apply", place.store, "--drain"]).code == 0)
    func remark(_ batches: String, _ theirs: String, _ ours: String) -> String {
      "sluice: batches \(batches) were executed by the SQLite of \(theirs), and this is that of \(ours); rows without an ORDER BY, and messages, may differ\n"
    }
    let ours = String(cString: sqlite3_sourceid()).prefix(10)

    let here = try sluice(["replay", place.store, "--into", "\(place.path)/here"])
    #expect(here.code == 0 && here.errors == remark("5 to 6", "2031-05-06", "\(ours)"))
    let verified = try sluice(["verify", place.store, "--replay"])
    #expect(verified.code == 0 && verified.errors == here.errors)
    // What the other one executed is no part of it.
    let part = try sluice(
      ["replay", place.store, "--into", "\(place.path)/part", "--txid", "4"])
    #expect(part.code == 0 && part.errors == "", "\(part.errors)")
    let until = try sluice(
      ["replay", place.store, "--into", "\(place.path)/until", "--txid", "5"])
    #expect(
      until.errors.hasPrefix(remark("5 to 5", "2031-05-06", "\(ours)")), "\(until.errors)")
    // To the other one it is the rest that is somebody else's, a line for all that came in a row.
    let there = try ChildProcess(
      "env", preloading + ["replay", place.store, "--into", "\(place.path)/there"]
    ).result()
    let remarks = ["1 to 4", "7 to 7"].map { remark($0, "\(ours)", "2031-05-06") }
    #expect(there.code == 0 && there.errors == remarks.joined(), "\(there.errors)")
  }

  @Test("From log segments alone")
  func archive() throws {
    let archive = "\(place.path)/archive"
    try PosixFileSystem().makeDirectory(archive, mode: 0o755)
    for name in try PosixFileSystem().list("\(place.store)/log") where name.hasSuffix(".log") {
      try PosixFileSystem().link("\(place.store)/log/\(name)", to: "\(archive)/\(name)")
    }
    let into = "\(place.path)/again.sqlite"
    let result = try sluice(["replay", "--log", archive, "--into", into])
    #expect(result.code == 0 && result.output == "4 \(into)\n", "\(result.errors)")
  }

  @Test("What cannot be meant is refused, and nothing is overwritten or left")
  func refusals() throws {
    let taken = try place.file("taken", "mine")
    let before = try names()
    for (arguments, code, what) in [
      ([place.store, "--into", taken], 64, "nothing is overwritten"),
      (["--into", "x"], 64, "give a store, or --log"),
      ([place.store, "--log", place.path, "--into", "x"], 64, "give a store, or --log"),
      ([place.store, "--no-foreign-keys", "--into", "x"], 64, "--no-foreign-keys goes with --log"),
      (["--log", place.path, "--into", "x"], 66, "there is no log segment"),
      ([place.store, "--from", "3", "--into", "\(place.path)/x"], 66, "there are: 0"),
      (["\(place.path)/nowhere", "--into", "x"], 66, "no store here"),
    ] as [([String], Int32, String)] {
      let result = try sluice(["replay"] + arguments)
      #expect(result.code == code && result.errors.contains(what), "\(result.errors)")
    }
    #expect(try names() == before)
  }

  @Test("Of a whole store verify says what it read")
  func whole() throws {
    let result = try sluice(["verify", place.store, "--replay"])
    #expect(result.code == 0 && result.errors == "", "\(result.errors)")
    #expect(
      result.output.hasPrefix(
        "all is whole: batches 1 to 4 in 4 commits in 5 log segments, 1 whole checkpoint,"))
    let json = try #require(try sluice(["verify", place.store, "--json"]).json().first)
    #expect(json["damages"]?.integer == 0 && json["last"]?.integer == 4)
    #expect(try sluice(["verify", "\(place.path)/nowhere"]).code == 66)
  }

  @Test("Damage is a line each, and 76")
  func damaged() throws {
    try flip("log/000000000002.log", 8192 + 30)
    try flip("checkpoints/0000000000000000.sqlite", 4096 + 5)
    let result = try sluice(["verify", place.store])
    #expect(result.code == 76 && result.errors == "", "\(result.errors)")
    #expect(result.lines.count == 3, "\(result.output)")
    #expect(
      result.lines[0].hasPrefix(
        "\(place.store)/checkpoints/0000000000000000.sqlite at byte 4096: page 2 "))
    #expect(
      result.lines[1].hasPrefix(
        "remark: \(place.store)/log/000000000002.log at byte 8192: a beacon"))
    #expect(result.lines[2].hasPrefix("1 damage: batches 1 to 4"))
    let json = try sluice(["verify", place.store, "--json"]).json()
    #expect(json.map { $0["offset"]?.integer } == [4096, 8192, nil])
    #expect(json[0]["file"]?.string == "\(place.store)/checkpoints/0000000000000000.sqlite")
    #expect(json[0]["damage"] != nil && json[1]["damage"] == nil && json[1]["remark"] != nil)
    #expect(json[2]["damages"]?.integer == 1 && json[2]["remarks"]?.integer == 1)
  }

  @Test("A replay that cannot begin is a damage, too")
  func replayOfDamage() throws {
    try flip("checkpoints/0000000000000000.sqlite", 4096 + 5)
    let result = try sluice(["verify", place.store, "--replay"])
    #expect(result.code == 76 && result.lines.count == 3, "\(result.output)")
    #expect(result.lines[1].contains("the replay ended here"), "\(result.output)")
    let replay = try sluice(["replay", place.store, "--into", "\(place.path)/x"])
    #expect(replay.code == 76 && replay.errors.contains("is damaged"), "\(replay.errors)")
    #expect(!(try names()).contains("x"))
  }
}
