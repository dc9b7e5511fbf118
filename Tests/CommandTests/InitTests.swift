import SluiceSQLite
import SluiceShared
import Testing

@Suite("init makes a store, of a database that there is or a new one")
struct InitTests {
  let place: Workplace

  init() throws { place = try Workplace() }

  @Test("A new one, once")
  func new() throws {
    let made = try sluice(["init", place.store])
    #expect(made.code == 0 && made.errors == "" && made.output == "store made: \(place.store)\n")
    let again = try sluice(["init", place.store])
    #expect(again.code == 64 && again.output == "")
    #expect(again.errors.hasPrefix("sluice: the directory is not empty"))
    #expect(again.errors.split(separator: "\n").count == 1)
  }

  @Test("A database in WAL mode, in use, with what is not in its main file yet")
  func wal() throws {
    let path = "\(place.path)/old.sqlite"
    let old = try Connection(path: path, flags: [.readWrite, .create])
    try old.execute(
      "PRAGMA journal_mode = WAL; CREATE TABLE t(a); INSERT INTO t VALUES (1), (2), (3)")
    try place.make("--from", path)
    try old.execute("INSERT INTO t VALUES (4)")
    #expect(try place.query("SELECT count(*) FROM t", "--csv").lines == ["count(*)", "3"])
    try place.execute("INSERT INTO t VALUES (5)")
    #expect(try place.query("SELECT max(a) FROM t", "--json").output == "{\"max(a)\": 5}\n")
    #expect(try old.scalar("PRAGMA journal_mode") == .text("wal"))
  }

  @Test("The page size of a store changes while it is used", arguments: [512, 16384])
  func otherPageSize(_ bytes: Int) throws {
    try place.make()
    try place.execute("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
    try place.execute("CREATE INDEX tb ON t(b)")
    try place.execute(
      "INSERT INTO t WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 500) SELECT i, hex(randomblob(300)) FROM c"
    )
    let queries = ["SELECT * FROM t", "SELECT a FROM t INDEXED BY tb ORDER BY b"]
    let rows = try queries.map { try place.query($0, "--csv").output }
    #expect(try sluice(["compact", place.store, "--page-size", "1000"]).code == 64)
    let told = try sluice(["compact", place.store, "--page-size", "\(bytes)"])
    #expect(told.code == 0 && told.output.hasPrefix("compacted as batch 4:"))
    #expect(try sluice(["config", place.store]).output.contains("page size     \(bytes)\n"))
    #expect(try queries.map { try place.query($0, "--csv").output } == rows)
    let path = "\(place.path)/restored.sqlite"
    #expect(try sluice(["restore", place.store, "--into", path]).code == 0)
    #expect(
      try sqlite3(path, input: "PRAGMA page_size; PRAGMA integrity_check;") == "\(bytes)\nok\n")
    let before = "\(place.path)/before.sqlite"
    #expect(try sluice(["restore", place.store, "--into", before, "--txid", "3"]).code == 0)
    #expect(
      try sqlite3(before, input: "PRAGMA page_size; PRAGMA integrity_check;") == "4096\nok\n")
    try place.execute("UPDATE t SET b = 1 WHERE a = 1")
    #expect(try sluice(["checkpoint", place.store]).code == 0)
    #expect(try sluice(["backup", place.store, "--into", "\(place.path)/copy"]).code == 0)
    for store in [place.store, "\(place.path)/copy"] {
      #expect(try sluice(["verify", store, "--replay"]).code == 0)
      #expect(try sluice(["log", store, "--rows", "--json"]).code == 0)
    }
  }

  @Test("Its page size, auto_vacuum and text encoding are kept")
  func properties() throws {
    let path = "\(place.path)/old.sqlite"
    _ = try sqlite3(
      path,
      input: """
        PRAGMA page_size = 1024; PRAGMA auto_vacuum = FULL; PRAGMA encoding = 'UTF-16le';
        CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t(b) VALUES ('Zürich');
        """)
    try place.make("--from", path)
    try place.execute("INSERT INTO t(b) VALUES (?)", "Genève")
    try place.execute("INSERT INTO t(b) VALUES (zeroblob(100000))")
    try place.execute("DELETE FROM t WHERE typeof(b) = 'blob'")
    #expect(
      try place.query("SELECT b FROM t ORDER BY a", "--json").output
        == "{\"b\": \"Zürich\"}\n{\"b\": \"Genève\"}\n")
    #expect(try sluice(["checkpoint", place.store]).code == 0)
    #expect(
      try sqlite3(
        "file:\(place.store)/current.sqlite?mode=ro&immutable=1",
        input: """
          PRAGMA page_size; PRAGMA auto_vacuum; PRAGMA encoding; PRAGMA integrity_check;
          PRAGMA freelist_count; SELECT group_concat(b) FROM t;
          """)
        == "1024\n1\nUTF-16le\nok\n0\nZürich,Genève\n")
  }

  @Test("A page size for a new one", arguments: [512, 1024, 65536])
  func pageSize(bytes: Int) throws {
    try place.make("--page-size", "\(bytes)")
    try place.execute("CREATE TABLE t(a)")
    #expect(try place.query("PRAGMA page_size", "--csv").lines.last == "\(bytes)")
  }

  @Test("Foreign keys are checked, unless not wished")
  func foreignKeys() throws {
    let orphan =
      "CREATE TABLE p(a PRIMARY KEY); CREATE TABLE c(a REFERENCES p); INSERT INTO c VALUES (1)"
    try place.make()
    #expect(try place.submit(orphan).code == 65)
    let other = try Workplace()
    try other.make("--no-foreign-keys")
    #expect(try other.submit(orphan).code == 0)
  }

  @Test(
    "What cannot be done is refused, and why is said",
    arguments: [
      (["--lease", "dynamodb:a/b"], 64, "--lease is file or dynamodb:TABLE"),
      (["--lease", "zookeeper"], 64, "--lease is file or dynamodb:TABLE"),
      (["--page-size", "1000"], 64, "a page size is a power of two"),
      (["--from", "/nonexistent.sqlite"], 66, "/nonexistent.sqlite"),
      (["--from", "/dev/null", "--page-size", "512"], 64, "--from keeps the one that DB has"),
    ] as [([String], Int32, String)])
  func refused(arguments: [String], code: Int32, message: String) throws {
    let result = try sluice(["init", place.store] + arguments)
    #expect(result.code == code && result.output == "")
    #expect(result.errors.hasPrefix("sluice: ") && result.errors.contains(message))
  }

  @Test("A file that is no database is refused as such")
  func noDatabase() throws {
    let path = try place.file("letter.txt", String(repeating: "Dear database, ", count: 100))
    #expect(try sluice(["init", place.store, "--from", path]).code == 76)
  }
}
