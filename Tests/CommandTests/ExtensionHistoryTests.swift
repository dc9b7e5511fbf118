import Foundation
import Glibc
import SluiceShared
import SluiceTeardown
import Testing

@Suite("What extensions make is history like everything else")
struct ExtensionHistoryTests {
  let place: Workplace
  let library: String

  init() throws {
    place = try Workplace()
    library = try compiledExtension("shelf", shelfSource, in: place)
  }

  private var kept: String {
    get throws {
      let names = try FileManager.default.contentsOfDirectory(atPath: "\(place.store)/extensions")
      return "\(place.store)/extensions/\(try #require(names.first))"
    }
  }

  private func rows(_ sql: String) throws -> [String] {
    let result = try place.query(sql, "--csv")
    try #require(result.code == 0, "\(result.errors)")
    return Array(result.lines.dropFirst())
  }

  /// The whole history is there, and executed again it is the same.
  private func agree() throws {
    let verified = try sluice(["verify", place.store])
    #expect(verified.code == 0, "\(verified.output)\(verified.errors)")
    let again = "\(place.path)/again.sqlite"
    let replayed = try sluice(["replay", place.store, "--into", again])
    #expect(replayed.code == 0, "\(replayed.errors)")
    #expect(access(again, F_OK) == 0)
  }

  @Test("A module's tables: made, written, in a trigger, undone, renamed and dropped")
  func module() throws {
    try place.make("--extension", library)
    try place.execute(
      "CREATE VIRTUAL TABLE s USING shelf; INSERT INTO s VALUES('a'), ('b'), ('c')")
    try place.execute("UPDATE s SET v = v || twice(rowid) WHERE v <> 'b'")
    try place.execute("DELETE FROM s WHERE v = 'b'; INSERT INTO s(rowid, v) VALUES(77, NULL)")
    #expect(try rows("SELECT rowid, v FROM s") == ["1,a2", "3,c6", "77,"])
    try place.execute(
      "CREATE TABLE t(n UNIQUE); CREATE TRIGGER r AFTER INSERT ON t BEGIN INSERT INTO s VALUES('t' || new.n); DELETE FROM s WHERE rowid = 77; END"
    )
    try place.execute("INSERT INTO t VALUES(5)")
    #expect(try rows("SELECT rowid, v FROM s") == ["1,a2", "3,c6", "78,t5"])
    // Undone: what a batch had written to it, a table that it made, and one that it dropped.
    for sql in [
      "INSERT INTO s VALUES('no'); INSERT INTO t VALUES(5)",
      "CREATE VIRTUAL TABLE u USING shelf; INSERT INTO u VALUES('no'); INSERT INTO t VALUES(5)",
      "DROP TABLE s; INSERT INTO t VALUES(5)",
      "UPDATE s SET v = 'no'; DELETE FROM s; SELECT twice()",
    ] {
      #expect(try place.submit(sql).code == 65, "\(sql)")
      #expect(try rows("SELECT rowid, v FROM s") == ["1,a2", "3,c6", "78,t5"])
    }
    // Nobody else writes its rows.
    #expect(try place.submit("DELETE FROM s_rows").code == 65)
    try place.execute("ALTER TABLE s RENAME TO z; INSERT INTO z VALUES('last')")
    #expect(try rows("SELECT v FROM z") == ["a2", "c6", "t5", "last"])
    try place.execute("CREATE VIRTUAL TABLE u USING shelf; INSERT INTO u SELECT v FROM z")
    try place.execute("DROP TABLE z; DROP TRIGGER r")
    #expect(
      try rows("SELECT name FROM sqlite_schema WHERE name NOT LIKE '\\_%' ESCAPE '\\' ORDER BY 1")
        == ["sqlite_autoindex_t_1", "t", "u", "u_rows"])
    #expect(try rows("SELECT v FROM u") == ["a2", "c6", "t5", "last"])
    #expect(try place.stopApplier().code == 0)
    try agree()
  }

  @Test("A backup has it, also one that was cut off before it was whole")
  func backup() throws {
    try place.make("--extension", library)
    try place.execute("CREATE TABLE t(a, b AS (twice(a)) STORED); INSERT INTO t(a) VALUES(4)")
    let copy = "\(place.path)/copy"
    #expect(try sluice(["backup", place.store, "--into", copy]).code == 0)
    // As it is before the last name, and before the mark says that the copy is whole.
    #expect(unlink("\(copy)/store.json") == 0)
    let mark = "\(copy)/backup.json"
    let text = try String(contentsOfFile: mark, encoding: .utf8)
    try text.replacing("\"whole\": true} ", with: "\"whole\": false}").write(
      toFile: mark, atomically: false, encoding: .utf8)
    let repeated = try sluice(["backup", place.store, "--into", copy])
    #expect(repeated.code == 0, "\(repeated.errors)")
    let replayed = try sluice(["replay", copy, "--into", "\(place.path)/again.sqlite"])
    #expect(replayed.code == 0, "\(replayed.errors)")
  }

  @Test("Replay loads it, and says where its file is missing or another")
  func replay() throws {
    try place.make("--extension", library)
    try place.execute(
      "CREATE TABLE t(a COLLATE backwards PRIMARY KEY, n, b AS (twice(n)) STORED) WITHOUT ROWID")
    try place.execute("INSERT INTO t(a, n) VALUES('a', 1), ('c', twice(2)), ('b', 3)")
    #expect(try place.submit("INSERT INTO t(a, n) VALUES('a', 1)").code == 65)
    #expect(try place.stopApplier().code == 0)
    try agree()
    let path = try kept
    let bytes = try Data(contentsOf: URL(fileURLWithPath: path))
    let arguments = ["replay", place.store, "--into", "\(place.path)/another.sqlite"]
    #expect(chmod(path, 0o644) == 0)
    try (bytes + [0]).write(to: URL(fileURLWithPath: path))
    var verified = try sluice(["verify", place.store])
    #expect(
      verified.code == 76 && verified.output.contains("shelf has another content"),
      "\(verified.output)\(verified.errors)")
    let differs = try sluice(arguments)
    #expect(differs.code == 76 && differs.errors.contains("shelf has another content"))
    #expect(unlink(path) == 0)
    verified = try sluice(["verify", place.store])
    #expect(verified.code == 76 && verified.output.contains("shelf is missing"))
    let missing = try sluice(arguments)
    #expect(
      missing.code == 76 && missing.errors.contains("shelf is missing"), "\(missing.errors)")
    #expect(access("\(place.path)/another.sqlite", F_OK) != 0)
    try bytes.write(to: URL(fileURLWithPath: path))
    #expect(try sluice(arguments).code == 0)
  }

  @Test("A dump has what its module shows, goes into another store, and into SQLite")
  func dump() throws {
    try place.make("--extension", library)
    try place.execute(
      "CREATE TABLE t(a COLLATE backwards PRIMARY KEY, n, b AS (twice(n)) STORED, CHECK(twice(n) < 100)) WITHOUT ROWID; CREATE INDEX i ON t(b, a)"
    )
    try place.execute("INSERT INTO t(a, n) VALUES('a', 1), ('c', 2), ('b', 3)")
    try place.execute(
      "CREATE VIRTUAL TABLE s USING shelf; INSERT INTO s(rowid, v) VALUES(5, 'it''s'), (7, x'00ff')"
    )
    #expect(try place.stopApplier().code == 0)
    let dumped = try sluice(["dump", place.store])
    #expect(dumped.code == 0, "\(dumped.errors)")
    #expect(dumped.output.contains("CREATE VIRTUAL TABLE s USING shelf;"))
    #expect(!dumped.output.contains("s_rows"))
    let questions = "SELECT a, b FROM t ORDER BY a; SELECT rowid, hex(v) FROM s;"
    let answers = ["c|4", "b|6", "a|2", "5|69742773", "7|00FF"]
    let plain = try sqlite3(
      "\(place.path)/plain.sqlite", "-cmd", ".load \(library)", input: dumped.output + questions)
    #expect(plain.split(separator: "\n").map(String.init) == answers)

    let other = try Workplace()
    try other.make("--extension", library)
    let submitted = try other.submit("--sql", "-", input: dumped.output)
    #expect(submitted.code == 0, "\(submitted.output)\(submitted.errors)")
    #expect(
      try other.query("SELECT a, b FROM t ORDER BY a", "--csv").lines == [
        "a,b", "c,4", "b,6", "a,2",
      ])
    #expect(
      try other.query("SELECT rowid, hex(v) AS h FROM s", "--csv").lines == [
        "rowid,h", "5,69742773", "7,00FF",
      ])
    #expect(try other.stopApplier().code == 0)
    #expect(try sluice(["dump", other.store]).output == dumped.output)
    // Without it there is a word about it, and no half of a dump that looks whole.
    place.isDamagedOnPurpose = true
    #expect(unlink(try kept) == 0)
    let without = try sluice(["dump", place.store])
    #expect(without.code != 0 && without.errors.contains("shelf"), "\(without.errors)")
    #expect(!without.output.contains("COMMIT;"))
  }

  @Test("The next applier has it, whether the last one stopped or was killed")
  func takeover() throws {
    try place.make("--extension", library, applying: false)
    try place.startApplier("--ttl", "1", "--holder", "one")
    try place.execute("CREATE VIRTUAL TABLE s USING shelf; CREATE TABLE t(a COLLATE backwards)")
    try place.execute("INSERT INTO s VALUES(twice(1)); INSERT INTO t VALUES('a')")
    let standby = try startSluice(
      ["apply", place.store, "--ttl", "1", "--holder", "two", "--log-level", "warning"])
    // It stands by, with the store open.
    usleep(300_000)
    #expect(try place.stopApplier(SIGKILL).code == -SIGKILL)
    try place.execute("INSERT INTO s VALUES(twice(2)); INSERT INTO t VALUES('b')")
    #expect(try place.status()["applier"]?["holder"]?.string == "two")
    try place.startApplier("--ttl", "1", "--holder", "three")
    usleep(300_000)
    standby.send(SIGTERM)
    #expect(try standby.result().code == 0)
    try place.execute("INSERT INTO s VALUES(twice(3)); INSERT INTO t VALUES('c')")
    #expect(try place.status()["applier"]?["holder"]?.string == "three")
    #expect(try rows("SELECT v FROM s") == ["2", "4", "6"])
    #expect(try rows("SELECT a FROM t ORDER BY a") == ["c", "b", "a"])
    #expect(try place.stopApplier().code == 0)
    try agree()
  }
}
