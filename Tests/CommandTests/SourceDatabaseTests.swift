import Foundation
import SluiceSQLite
import SluiceShared
import Testing

@Suite("init --from takes a database in whatever state it is found, or says what is wrong")
struct SourceDatabaseTests {
  let place: Workplace

  init() throws { place = try Workplace() }

  private var path: String { "\(place.path)/app.db" }

  /// Copies of a database and its journal as a writer that died in a transaction leaves them: 5 rows
  /// are committed, and of many more some pages are written.
  private func makeHotJournal(in directory: String) throws -> String {
    let live = "\(place.path)/live.db"
    let writer = try Connection(path: live, flags: [.readWrite, .create])
    try writer.execute(
      """
      CREATE TABLE t(x); INSERT INTO t VALUES (1), (2), (3), (4), (5); PRAGMA cache_size = 5;
      BEGIN; INSERT INTO t SELECT randomblob(500) FROM (
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) SELECT i FROM n)
      """)
    for suffix in ["", "-journal"] {
      try FileManager.default.copyItem(
        atPath: live + suffix, toPath: "\(directory)/app.db\(suffix)")
    }
    try writer.execute("ROLLBACK")
    return "\(directory)/app.db"
  }

  private func expectRows(_ count: Int) throws {
    #expect(try place.query("SELECT count(*) FROM t", "--csv").lines.last == "\(count)")
  }

  @Test("A hot journal is rolled back, and that is said")
  func hotJournal() throws {
    let path = try makeHotJournal(in: place.path)
    let made = try sluice(["init", place.store, "--from", path])
    #expect(made.code == 0 && made.output.hasPrefix("store made"))
    #expect(made.errors.contains("did not live to finish; it was rolled back"), "\(made.errors)")
    try expectRows(5)
  }

  private static let canBeNobody = geteuid() == 0

  @Test("A hot journal that may not be written is rolled back in a copy", .enabled(if: canBeNobody))
  func hotJournalOfOthers() throws {
    let directory = "\(place.path)/theirs"
    let mine = "\(place.path)/mine"
    for made in [directory, mine] { #expect(mkdir(made, 0o755) == 0) }
    let path = try makeHotJournal(in: directory)
    let before = try FileManager.default.contentsOfDirectory(atPath: directory).sorted()
    let bytes = try Data(contentsOf: URL(fileURLWithPath: path))
    #expect(chmod(place.path, 0o755) == 0 && chown(mine, 65534, 65534) == 0)
    let nobody = ["--reuid", "65534", "--regid", "65534", "--clear-groups"]
    let made = try ChildProcess(
      "setpriv", nobody + [program, "init", "\(mine)/store", "--from", path]
    ).result()
    #expect(made.code == 0, "\(made.errors)")
    #expect(made.errors.contains("cannot be recovered where it is"), "\(made.errors)")
    let rows = try sluice(["query", "\(mine)/store", "SELECT count(*) FROM t", "--csv"])
    #expect(rows.lines.last == "5")
    #expect(try FileManager.default.contentsOfDirectory(atPath: directory).sorted() == before)
    #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == bytes)
  }

  @Test("A locked one is waited for, and then it is said who holds it")
  func locked() throws {
    let holder = try Connection(path: path, flags: [.readWrite, .create])
    try holder.execute("CREATE TABLE t(x); INSERT INTO t VALUES (1); BEGIN EXCLUSIVE")
    let late = try sluice(["init", place.store, "--from", path, "--timeout", "0.2"])
    #expect(late.code == 75)
    #expect(late.errors.contains("by process \(getpid()) ("), "\(late.errors)")
    #expect(access(place.store, F_OK) != 0)

    let patient = try startSluice(["init", place.store, "--from", path, "--timeout", "50"])
    usleep(300_000)
    try holder.execute("COMMIT")
    #expect(try patient.result().code == 0)
    try expectRows(1)
  }

  @Test("One that is written without a pause")
  func busy() throws {
    let rows = 3000
    let writer = try Connection(path: path, flags: [.readWrite, .create, .fullMutex])
    try writer.execute(
      "CREATE TABLE t(x); BEGIN; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < \(rows)) INSERT INTO t SELECT randomblob(1000) FROM n; COMMIT"
    )
    writer.setBusyTimeout(.seconds(50))
    let initializing = try startSluice(["init", place.store, "--from", path])
    var written = rows
    while access("\(place.store)/log/000000000001.log", F_OK) != 0 {
      try writer.execute("INSERT INTO t VALUES (1)")
      written += 1
      if written > 1_000_000 { break }
    }
    let made = try initializing.result()
    #expect(made.code == 0, "\(made.errors)")
    // All of it as of one moment.
    let count = try place.query("SELECT count(*) FROM t", "--csv").lines.last.flatMap { Int($0) }
    #expect((rows...written).contains(try #require(count)))
  }

  @Test("One in WAL mode leaves no files behind that were not there")
  func wal() throws {
    let old = try Connection(path: path, flags: [.readWrite, .create])
    try old.execute("PRAGMA journal_mode = WAL; CREATE TABLE t(x); INSERT INTO t VALUES (1)")
    try old.close()
    try place.make("--from", path, applying: false)
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: place.path).sorted() == [
        "app.db", "store",
      ])
    try expectRows(1)
  }

  @Test("A WAL whose index is gone")
  func walAlone() throws {
    let live = "\(place.path)/live.db"
    let old = try Connection(path: live, flags: [.readWrite, .create])
    try old.execute("PRAGMA journal_mode = WAL; CREATE TABLE t(x); INSERT INTO t VALUES (1), (2)")
    for suffix in ["", "-wal"] {
      try FileManager.default.copyItem(atPath: live + suffix, toPath: path + suffix)
    }
    try place.make("--from", path, applying: false)
    try expectRows(2)
  }

  @Test("What is no database is named, and no store is made of it")
  func noDatabase() throws {
    let empty = try place.file("empty.db", "")
    let script = try place.file(
      "dump.sql", String(repeating: "PRAGMA foreign_keys=OFF;\n", count: 100))
    let fifo = "\(place.path)/fifo"
    #expect(mkfifo(fifo, 0o600) == 0)
    try place.make(applying: false)
    let other = "\(place.path)/other"
    let cases: [(String, Int32, String)] = [
      ("", 64, "the name of the database to begin with is empty"),
      (":memory:", 66, "give the path of a file"), ("-", 66, "cannot be read from standard input"),
      ("file:app.db", 66, "give the path of a file"),
      ("\(place.path)/nowhere.db", 66, "nowhere.db"),
      (empty, 64, "is empty: 0 bytes"), (script, 76, "it looks like an SQL script"),
      (fifo, 64, "give a regular file"), ("/dev/null", 64, "give a regular file"),
      (place.path, 64, "it is a directory"), (place.store, 64, "current.sqlite"),
    ]
    for (from, code, message) in cases {
      let result = try sluice(["init", other, "--from", from])
      #expect(result.code == code && result.output == "", "\(from): \(result.errors)")
      #expect(result.errors.contains(message), "\(from): \(result.errors)")
      #expect(result.errors.split(separator: "\n").count == 1)
      #expect(access(other, F_OK) != 0)
    }
  }

  @Test("A file with a name that SQLite takes for something else")
  func names() throws {
    let directory = FileManager.default.currentDirectoryPath
    for name in [":memory:", "file:x"] {
      let made = try Connection(path: "\(place.path)/\(name)", flags: [.readWrite, .create])
      try made.execute("CREATE TABLE t(x)")
      let result = try ChildProcess(
        "sh",
        ["-c", "cd \"$1\" && \"$0\" init \"store-$2\" --from \"$2\"", program, place.path, name]
      ).result()
      #expect(result.code == 0, "\(result.errors)")
      let rows = try sluice(["query", "\(place.path)/store-\(name)", "SELECT count(*) FROM t"])
      #expect(rows.code == 0, "\(rows.errors)")
    }
    #expect(FileManager.default.currentDirectoryPath == directory)
  }

  @Test("A damaged one is refused, and after that the directory can be used")
  func damaged() throws {
    let made = try Connection(path: path, flags: [.readWrite, .create])
    try made.execute(
      "CREATE TABLE t(x); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) INSERT INTO t SELECT hex(randomblob(100)) FROM n"
    )
    try made.close()
    let descriptor = open(path, O_WRONLY)
    #expect(pwrite(descriptor, [UInt8](repeating: 0xAA, count: 4096), 4096, 4096) == 4096)
    close(descriptor)
    let refused = try sluice(["init", place.store, "--from", path])
    #expect(refused.code == 76 && refused.errors.contains("it is damaged: "), "\(refused.errors)")
    #expect(access(place.store, F_OK) != 0)
    try place.make(applying: false)
  }
}
