import SluiceSQLite
import Testing

@Suite("A dump that writes sqlite_schema is refused with a way that works")
struct VirtualTableDumpTests {
  let place: Workplace

  init() throws {
    place = try Workplace()
    try place.make()
  }

  /// What the shell writes of such a database fills the tables that a virtual table keeps its content in.
  @Test("What is advised where a dump has virtual tables works")
  func dumpsWithVirtualTables() throws {
    let source = "\(place.path)/source.sqlite"
    let database = try Connection(path: source, flags: [.readWrite, .create])
    try database.execute(
      """
      CREATE VIRTUAL TABLE found USING fts5(a); INSERT INTO found VALUES('hello world');
      CREATE VIRTUAL TABLE placed USING rtree(i, x, y); INSERT INTO placed VALUES(1, 2, 3);
      """)
    try database.close()
    func shell(_ command: String) throws -> ChildProcess.Result {
      try ChildProcess("sh", ["-c", command]).result()
    }
    let dump = "\(place.path)/dump.sql"
    #expect(try shell("sqlite3 \(source) .dump > \(dump)").code == 0)
    let refused = try place.submit("--sql", dump)
    #expect(refused.code == 64)
    for advice in [
      "`sluice init --from`", "`sqlite3 NEW.sqlite < DUMP.sql`", "`sluice dump OTHER`",
    ] {
      #expect(refused.errors.contains(advice), "\(refused.errors)")
    }
    let (new, other) = ("\(place.path)/new.sqlite", "\(place.path)/other")
    #expect(try shell("sqlite3 \(new) < \(dump)").code == 0)
    #expect(try sluice(["init", other, "--from", new]).code == 0)
    let script = try sluice(["dump", other]).output
    #expect(try place.submit("--sql", "-", input: script).code == 0)
    for sql in [
      "SELECT a FROM found WHERE found MATCH 'hello'", "SELECT i FROM placed WHERE x > 1",
    ] {
      #expect(try place.query(sql, "--csv").lines.count == 2)
    }
  }
}
