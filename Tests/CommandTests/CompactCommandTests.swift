import SluiceSQLite
import SluiceShared
import Testing

@Suite("compact rewrites the database, says by how much, and changes nothing else")
struct CompactCommandTests {
  private let place: Workplace

  /// Most of its pages are free, and the others half empty.
  init() throws {
    place = try Workplace()
    try place.make()
    try place.execute("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
    try place.execute("CREATE INDEX i ON t(b)")
    try place.execute(
      "INSERT INTO t WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 2000) SELECT i, hex(randomblob(150)) FROM c"
    )
    try place.execute("DELETE FROM t WHERE a > 500 OR a % 2")
  }

  private static let queries = ["SELECT * FROM t", "SELECT a FROM t INDEXED BY i ORDER BY b"]

  private func content() throws -> [String] {
    try Self.queries.map { try place.query($0, "--csv").output }
  }

  /// What SQLite says of the database as it is now.
  private func pragmas() throws -> (bytes: Int64, free: Int64, autoVacuum: SQLValue?) {
    let random = UInt64.random(in: 0...UInt64.max)
    let path = "\(place.path)/restored-\(random)"
    let made = try sluice(["restore", place.store, "--into", path])
    try #require(made.code == 0, "\(made.errors)")
    let file = try Connection(path: path, flags: [.readOnly])
    #expect(try file.scalar("PRAGMA integrity_check") == "ok")
    guard case .integer(let pages)? = try file.scalar("PRAGMA page_count"),
      case .integer(let pageSize)? = try file.scalar("PRAGMA page_size"),
      case .integer(let free)? = try file.scalar("PRAGMA freelist_count")
    else { return (0, 0, nil) }
    return (pages * pageSize, free, try file.scalar("PRAGMA auto_vacuum"))
  }

  private func compact(_ arguments: String...) throws -> ChildProcess.Result {
    let result = try sluice(["compact", place.store] + arguments)
    #expect(result.code == 0 && result.errors == "", "\(result.output)\(result.errors)")
    return result
  }

  @Test("Of free pages none is left, and what it prints is what there was and is")
  func plain() throws {
    let (rows, before) = (try content(), try pragmas())
    #expect(before.free > 50 && before.autoVacuum == 0)
    let told = try compact()
    let after = try pragmas()
    #expect(
      told.output == "compacted as batch 5: \(before.bytes) bytes before, \(after.bytes) now\n")
    #expect(after.bytes * 3 < before.bytes && after.free == 0 && after.autoVacuum == 0)
    #expect(try content() == rows)
    // A batch as any other: what was before can be read, and others come behind it.
    #expect(try place.query("SELECT count(*) FROM t", "--csv", "--txid", "3").lines.last == "2000")
    try place.execute("INSERT INTO t VALUES (1, 'behind')")
    #expect(try place.query("SELECT b FROM t WHERE a = 1", "--csv").lines.last == "behind")
  }

  @Test("As JSON; with an id it is done once")
  func once() throws {
    let rows = try content()
    let before = try pragmas().bytes
    let first = try #require(try compact("--json", "--id", "night").json().first)
    let bytes = try pragmas().bytes
    #expect(first["status"]?.string == "applied" && first["txid"]?.integer == 5)
    #expect(first["bytesBefore"]?.integer == before && first["bytes"]?.integer == bytes)
    let again = try compact("--id", "night")
    #expect(
      again.output == "compacted before, as batch 5: the database has \(bytes) bytes\n")
    #expect(try content() == rows)
  }

  @Test(
    "It changes how free pages are given back",
    arguments: [("full", 1), ("incremental", 2), ("none", 0)] as [(String, Int64)])
  func autoVacuum(_ mode: String, _ number: Int64) throws {
    let rows = try content()
    _ = try compact("--auto-vacuum", mode == "none" ? "full" : "none")
    #expect(try compact("--auto-vacuum", mode).output.hasPrefix("compacted as batch 6: "))
    let compacted = try pragmas()
    #expect(compacted.free == 0 && compacted.autoVacuum == .integer(number))
    #expect(try content() == rows)

    try place.execute("DELETE FROM t WHERE a > 100")
    let deleted = try pragmas()
    #expect(deleted.autoVacuum == .integer(number))
    if mode == "full" {
      #expect(deleted.free == 0 && deleted.bytes * 2 < compacted.bytes)
    } else {
      #expect(deleted.free > 0 && deleted.bytes == compacted.bytes)
    }
    try place.execute("PRAGMA incremental_vacuum")
    let shrunk = try pragmas()
    #expect(mode == "none" ? shrunk.bytes == deleted.bytes : shrunk.bytes * 2 < compacted.bytes)
    #expect(mode == "none" || shrunk.free == 0)
    // Without the option it stays as it is.
    _ = try compact()
    #expect(try pragmas().autoVacuum == .integer(number))
    #expect(try place.query("SELECT count(*) FROM t", "--csv").lines.last == "50")
  }

  @Test("What it does not know it refuses, and nothing is submitted")
  func refused() throws {
    for arguments in [["--auto-vacuum", "sometimes"], ["--auto-vacuum"], ["--page-size", "1000"]] {
      #expect(try sluice(["compact", place.store] + arguments).code == 64, "\(arguments)")
    }
    #expect(try place.status()["txid"]?.integer == 4)
  }
}
