import Glibc
import SluiceSQLite
import SluiceShared
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
    #expect(result.lines[1].hasPrefix("\(place.store)/log/000000000002.log at byte 8192: a beacon"))
    #expect(result.lines[2].hasPrefix("2 damages: batches 1 to 4"))
    let json = try sluice(["verify", place.store, "--json"]).json()
    #expect(json.map { $0["offset"]?.integer } == [4096, 8192, nil])
    #expect(json[0]["file"]?.string == "\(place.store)/checkpoints/0000000000000000.sqlite")
    #expect(json[2]["damages"]?.integer == 2)
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
