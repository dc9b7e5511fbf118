import SluiceEdits
import SluiceFakes
import SluiceJournal
import SluiceReader
import SluiceSQLite
import SluiceShared
import SluiceWriter
import Testing

@testable import SluiceApplier

@Suite("The rows that an interactive transaction changed are those that differ in its two states")
struct RowComparisonTests {
  /// `count` rows from `first` on.
  private static func rows(_ count: Int, from first: Int = 1, _ value: String = "hex(n)") -> String
  {
    "WITH RECURSIVE c(n) AS (SELECT \(first) UNION ALL SELECT n + 1 FROM c WHERE n < \(first + count - 1)) SELECT n, \(value) FROM c"
  }

  private static let table = "CREATE TABLE t(id INTEGER PRIMARY KEY, v)"

  @Test("Insertions, updates and deletions, by tables and rowids")
  func each() throws {
    let fed = try FedStore(
      Self.table, "INSERT INTO t VALUES(1, 'one'), (2, 'two'), (9, 'nine')", "CREATE TABLE a(x)")
    let changes = try fed.commit(
      """
      UPDATE t SET v = 'zwei' WHERE id = 2; DELETE FROM t WHERE id = 9; INSERT INTO t VALUES(-4, x'00');
      INSERT INTO a VALUES('x'); UPDATE t SET v = 'other' WHERE id = 1; UPDATE t SET v = 'one' WHERE id = 1
      """)
    #expect(changes.map(FedStore.short) == ["a+1", "t+-4", "t~2", "t-9"])
    #expect(
      changes[2]
        == RowChange(
          kind: .update, table: "t", rowID: 2, old: [.init("id", 2), .init("v", "two")],
          new: [.init("id", 2), .init("v", "zwei")]))
    #expect(try fed.told("UPDATE t SET id = 5 WHERE id = 1") == ["t-1", "t+5"])
    #expect(try fed.told("REPLACE INTO t VALUES(5, 'five')") == ["t~5"])
    #expect(try fed.told("UPDATE t SET v = v; DELETE FROM a WHERE x IS NULL") == [])
    #expect(
      try fed.told("INSERT INTO t VALUES(9223372036854775807, 1), (-9223372036854775808, 2)").count
        == 2)
    #expect(try fed.told("DELETE FROM t").count == 5)
  }

  @Test("The type and each byte of a value count")
  func values() throws {
    let fed = try FedStore(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, v, r REAL)",
      "INSERT INTO t VALUES(1, 1, 1), (2, 'a', 2), (3, 'e\u{301}', 0.0), (4, NULL, 4), (5, x'61', 5)"
    )
    #expect(try fed.told("UPDATE t SET v = 1.0 WHERE id = 1") == ["t~1"])
    #expect(try fed.told("UPDATE t SET v = x'61' WHERE id = 2") == ["t~2"])
    #expect(try fed.told("UPDATE t SET v = '\u{E9}' WHERE id = 3", keepsColumns: false) == ["t~3"])
    #expect(try fed.told("UPDATE t SET v = 0 WHERE id = 4") == ["t~4"])
    #expect(try fed.told("UPDATE t SET v = 'a' WHERE id = 5") == ["t~5"])
  }

  @Test("In trees of several levels, whatever becomes of their pages", arguments: [512, 4096])
  func deep(pageSize: Int) throws {
    let fed = try FedStore(
      pageSize: pageSize, Self.table, "CREATE INDEX i ON t(v)", "CREATE TABLE u(x)",
      "INSERT INTO t \(Self.rows(5000, "n * 2"))")
    #expect(
      try fed.told("UPDATE t SET v = -1 WHERE id IN (1, 2500, 5000)") == [
        "t~1", "t~2500", "t~5000",
      ])
    // Leaves are given back as they are, and taken again.
    #expect(try fed.told("DELETE FROM t WHERE id > 4500").count == 500)
    #expect(try fed.told("DELETE FROM t WHERE id BETWEEN 1000 AND 2999").count == 2000)
    #expect(try fed.told("INSERT INTO t \(Self.rows(100, from: 1500))").count == 100)
    #expect(
      try fed.told("INSERT INTO t \(Self.rows(3000, from: 10000, "randomblob(n % 50)"))").count
        == 3000)
    #expect(try fed.told("UPDATE t SET v = zeroblob(30) WHERE id % 7 = 0").count > 700)
    #expect(try fed.told("DELETE FROM t WHERE id % 100 <> 0").count > 5000)
    #expect(try fed.told("INSERT INTO u SELECT id FROM t; DELETE FROM t").count > 50)
    #expect(try fed.told("INSERT INTO t \(Self.rows(3000))").count == 3000)
    #expect(
      try fed.told(
        "DELETE FROM t; INSERT INTO t \(Self.rows(3000)); UPDATE t SET v = 0 WHERE id = 77") == [
          "t~77"
        ])
  }

  @Test("What changes indexes alone changes no row")
  func indexes() throws {
    let fed = try FedStore(
      Self.table, "INSERT INTO t \(Self.rows(2000, "hex(randomblob(n % 100))"))")
    for sql in [
      "CREATE INDEX i ON t(v)", "REINDEX", "ANALYZE", "CREATE VIEW w AS SELECT * FROM t",
      "CREATE TRIGGER tr AFTER DELETE ON t BEGIN SELECT 1; END", "DROP INDEX i",
      "PRAGMA user_version = 7",
    ] {
      #expect(try fed.told(sql) == [], "\(sql)")
    }
  }

  @Test("A value that is overwritten in pages of overflow alone, whose row's own page stays")
  func overwritten() throws {
    let fed = try FedStore(
      Self.table, "INSERT INTO t \(Self.rows(200, "hex(zeroblob(4000))"))",
      "CREATE TABLE w(k PRIMARY KEY, v) WITHOUT ROWID",
      "INSERT INTO w \(Self.rows(30, "hex(zeroblob(9000))"))",
      "CREATE TABLE long(\((1...900).map { "column\($0)" }.joined(separator: ", ")))")
    let rear = "SET v = substr(v, 1, 7990) || 'x' || substr(v, 7992)"
    #expect(try fed.told("UPDATE t \(rear) WHERE id = 150") == ["t~150"])
    // Page 1, the page of overflow, and nothing else.
    #expect(fed.sent == 2)
    #expect(
      try fed.told("UPDATE t \(rear.replacing("x", with: "y")) WHERE id IN (3, 199)") == [
        "t~3", "t~199",
      ])
    #expect(fed.sent == 3)
    // Together with what is seen otherwise, and with free pages that are taken and given back.
    #expect(
      try fed.told(
        "DELETE FROM t WHERE id = 20; UPDATE t \(rear.replacing("x", with: "z")) WHERE id = 90")
        == ["t-20", "t~90"])
    #expect(
      try fed.told(
        "INSERT INTO t VALUES(700, hex(zeroblob(3000))); UPDATE t \(rear.replacing("x", with: "q")) WHERE id = 90"
      )
        == ["t~90", "t+700"])
    #expect(try fed.told("UPDATE w \(rear) WHERE k = 7") == ["w~"])
    #expect(fed.sent <= 3)
    // The schema's own.
    #expect(
      try fed.told("ALTER TABLE long RENAME COLUMN column899 TO columnxyz", keepsColumns: false)
        == [])
  }

  /// A leaf that was given back keeps its bytes, and these may lead to pages that others have by now.
  @Test("What the bytes of a free page lead to says nothing of who has it")
  func free() throws {
    // Three rows fit into a leaf with the rest of each in four pages of overflow.
    let fed = try FedStore(
      Self.table, "INSERT INTO t \(Self.rows(3, "hex(zeroblob(8431))"))",
      "CREATE TABLE gone(id INTEGER PRIMARY KEY, v)",
      "INSERT INTO gone \(Self.rows(500, "hex(zeroblob(100))"))")
    let first = try fed.edited()
    try first.execute("DELETE FROM gone")
    guard
      case .integer(let root)? = try first.connection.scalar(
        "SELECT rootpage FROM sqlite_schema WHERE name = 't'")
    else { throw StoreError(.damaged, "no table") }
    try first.take()
    func number(_ page: Int, _ place: Int) -> Int {
      Int(first.pages[page - 1]?.bigEndian32(at: place) ?? 0)
    }
    // The first one that the list of free pages names.
    let free = number(number(1, 32), 8)
    let leaf = try #require(first.pages[Int(root) - 1])
    try #require(leaf[0] == 13 && free > 1)
    first.change(free) { $0 = leaf }
    #expect(try fed.submit(first)?.changes?.count == 500, "\(fed.refusal)")

    let second = try fed.edited()
    try second.execute(
      "UPDATE t SET v = substr(v, 1, 16000) || 'x' || substr(v, 16002) WHERE id = 2")
    try second.take()
    // Between the places of its cells and the cells.
    second.change(free) { $0[20] ^= 1 }
    let changes = try #require(try fed.submit(second)?.changes, "\(fed.refusal)")
    // Page 1, the page of overflow, and the free one.
    #expect(fed.sent == 3)
    #expect(changes.map(FedStore.short) == ["t~2"])
  }

  @Test("Tables without rowids")
  func withoutRowIDs() throws {
    let fed = try FedStore(
      pageSize: 512,
      "CREATE TABLE w(a, b TEXT COLLATE NOCASE, v, PRIMARY KEY(b, a DESC)) WITHOUT ROWID",
      "INSERT INTO w SELECT n, 'k' || n, hex(n) FROM (\(Self.rows(600)))", Self.table)
    let changes = try fed.commit(
      "UPDATE w SET v = 'new' WHERE a = 300; DELETE FROM w WHERE a = 400; INSERT INTO w VALUES(700, 'x', NULL)"
    )
    #expect(changes.map(FedStore.short) == ["w~", "w-", "w+"])
    #expect(changes.first?.new == [.init("a", 300), .init("b", "k300"), .init("v", "new")])
    #expect(try fed.told("UPDATE w SET b = 'X' WHERE a = 700", keepsColumns: false) == ["w~"])
    #expect(try fed.told("INSERT INTO t VALUES(1, 1)") == ["t+1"])
    #expect(try fed.told("DELETE FROM w").count == 600)
  }

  @Test("Tables that come, go, and come again under their name")
  func tables() throws {
    let fed = try FedStore(
      Self.table, "INSERT INTO t \(Self.rows(50))", "CREATE TABLE u(x)", "INSERT INTO u VALUES(1)")
    #expect(try fed.told("CREATE TABLE n(a); INSERT INTO n VALUES(1), (2)") == ["n+1", "n+2"])
    #expect(try fed.told("CREATE TABLE m AS SELECT * FROM u") == ["m+1"])
    // As for other batches nothing is told of what DROP TABLE takes along.
    #expect(try fed.told("DROP TABLE n; CREATE TABLE o(a); INSERT INTO o VALUES(1)") == ["o+1"])
    #expect(
      try fed.told(
        "DROP TABLE u; CREATE TABLE U(x); INSERT INTO u VALUES(1), (5)", keepsColumns: false) == [
          "U+2"
        ])
    #expect(try fed.told("ALTER TABLE m RENAME TO k") == ["k+1"])
    #expect(
      try fed.told(
        "CREATE TABLE fresh(id INTEGER PRIMARY KEY, v); INSERT INTO fresh SELECT * FROM t WHERE id > 1; DROP TABLE t; ALTER TABLE fresh RENAME TO t"
      )
        == ["t-1"])
    #expect(
      try fed.told(
        "DROP TABLE k; CREATE TABLE k(id PRIMARY KEY, v) WITHOUT ROWID; INSERT INTO k VALUES(1, 2)",
        keepsColumns: false) == ["k-1", "k+"])
    #expect(
      try fed.told(
        "DROP TABLE k; CREATE TABLE k(id, v PRIMARY KEY) WITHOUT ROWID; INSERT INTO k VALUES(1, 2)",
        keepsColumns: false)
        == ["k-", "k+"])
  }

  @Test(
    "Columns that come, go and get other names change no row, and rows that change beside are told")
  func columns() throws {
    let fed = try FedStore(
      "CREATE TABLE t(a, v AS (a || '!') VIRTUAL, s AS (a || '?') STORED, b)",
      "INSERT INTO t(a, b) VALUES(1, 2), (3, 4), (5, 6)",
      "CREATE TABLE named(rowid, oid INTEGER PRIMARY KEY, _rowid_)",
      "CREATE TABLE hidden(rowid, oid, _rowid_)")
    let added = try fed.commit(
      "ALTER TABLE t ADD COLUMN c INTEGER DEFAULT '7'; ALTER TABLE t RENAME COLUMN b TO d; UPDATE t SET a = 8 WHERE a = 3; INSERT INTO t(a) VALUES(9)",
      keepsColumns: false)
    #expect(added.map(FedStore.short) == ["t~2", "t+4"])
    #expect(added[0].old == [.init("a", 3), .init("s", "3?"), .init("b", 4)])
    #expect(added[0].new == [.init("a", 8), .init("s", "8?"), .init("d", 4), .init("c", 7)])
    #expect(
      try fed.told(
        "UPDATE t SET c = NULL WHERE a = 1; ALTER TABLE t ADD COLUMN e DEFAULT 'x'",
        keepsColumns: false) == ["t~1"])
    #expect(try fed.told("ALTER TABLE t DROP COLUMN d", keepsColumns: false) == [])
    #expect(
      try fed.told(
        "ALTER TABLE t DROP COLUMN c; UPDATE t SET e = 'y' WHERE a = 5", keepsColumns: false) == [
          "t~3"
        ])
    #expect(
      try fed.told("INSERT INTO named VALUES('r', 5, '_')", keepsColumns: false) == ["named+5"])
    let edited = try fed.edited()
    try edited.execute("INSERT INTO hidden VALUES(1, 2, 3)")
    try edited.take()
    let entry = try #require(try fed.submit(edited))
    #expect(entry.changes == nil && entry.untold?.contains("table hidden") == true, "\(entry)")
    #expect(try fed.told("DELETE FROM named", keepsColumns: false) == ["named-5"])
  }

  @Test("Virtual tables and what they keep their content in are left out")
  func virtualTables() throws {
    let fed = try FedStore(
      Self.table, "CREATE VIRTUAL TABLE f USING fts5(x)", "INSERT INTO f VALUES('text')",
      "CREATE TABLE f_other(y)")
    #expect(
      try fed.told(
        "INSERT INTO f \(Self.rows(500, "hex(n)").replacing("n, hex(n)", with: "hex(n)")); INSERT INTO f_other VALUES(1)"
      )
        == ["f_other+1"])
    #expect(
      try fed.told(
        "CREATE VIRTUAL TABLE r USING rtree(id, a, b); INSERT INTO r VALUES(1, 2, 3); INSERT INTO t VALUES(1, 1)"
      ) == ["t+1"])
    #expect(try fed.told("DROP TABLE f") == [])
  }

  @Test("With auto_vacuum, where pages move", arguments: [1, 2])
  func autoVacuum(mode: Int) throws {
    let fed = try FedStore(Self.table)
    try fed.store.apply("PRAGMA auto_vacuum = \(mode)", "VACUUM")
    try fed.store.apply("INSERT INTO t \(Self.rows(3000, "hex(zeroblob(n % 5000 / 2))"))")
    #expect(try fed.store.query("PRAGMA auto_vacuum") == [[.integer(Int64(mode))]])
    try fed.commit("UPDATE t SET v = substr(v, 1, 1500) || 'x' || substr(v, 1502) WHERE id = 2900")
    guard mode == 2 else { return }
    try fed.commit("DELETE FROM t WHERE id % 3 = 0")
    try fed.commit("PRAGMA incremental_vacuum(20); UPDATE t SET v = 'y' WHERE id = 1")
    try fed.commit("INSERT INTO t \(Self.rows(100, from: 5000, "zeroblob(n)"))")
  }

  @Test("Of large tables the interior pages and what changed are read, and the former once")
  func reads() throws {
    let store = try TestStore()
    let keyed = "CREATE TABLE w(k PRIMARY KEY, v) WITHOUT ROWID"
    try store.apply(
      Self.table, "CREATE TABLE u(id INTEGER PRIMARY KEY, v)", "CREATE INDEX i ON t(v)", keyed)
    for table in ["t", "u", "w"] {
      try store.apply("INSERT INTO \(table) \(Self.rows(20_000, "hex(randomblob(70))"))")
    }
    let pages = try PageStore(path: store.path, environment: store.environment)
    try Checkpoint(of: store.handle).make(of: pages.published())
    let counting = CountingFileSystem(PosixFileSystem())
    var environment = store.environment
    environment.fileSystem = counting
    let feed = try RowFeed(
      path: store.path, from: try store.present().extent.txid.next, environment: environment)
    var reads: [Int] = []
    for (number, sql) in [
      "UPDATE t SET v = 'x' WHERE id IN (5, 9000); DELETE FROM t WHERE id = 19000",
      "UPDATE t SET v = 'y' WHERE id IN (6, 9500); INSERT INTO t VALUES(30000, 'z')",
      "DELETE FROM u WHERE id BETWEEN 7000 AND 7999",
      // Free pages are taken, values change in all their pages, pages are given back.
      "INSERT INTO u VALUES(40000, zeroblob(50000)), (40001, zeroblob(90000))",
      "UPDATE u SET v = randomblob(50000) WHERE id = 40000", "DELETE FROM u WHERE id = 40001",
      "UPDATE w SET v = 'x' WHERE k = 7",
    ].enumerated() {
      let edited = try EditedSnapshot(
        try PageStore(path: store.path, environment: store.environment).snapshot(.latest))
      try edited.execute(sql)
      try edited.take()
      #expect(try store.apply([Batch(.commit(try edited.batch()))])[0].isApplied)
      counting.reset()
      var told = 0
      try feed.advance { told += $0.changes?.count ?? 0 }
      #expect(told == [3, 3, 1000, 2, 1, 1, 1][number])
      reads.append(
        counting.bytesRead.filter { $0.key.hasSuffix(".sqlite") }.map(\.value).reduce(0, +) / 4096)
    }
    // Of 3,000 pages of tables.
    #expect(reads[0] < 100 && reads[2] < 150, "\(reads)")
    #expect([1, 3, 4, 5].allSatisfy { reads[$0] < 50 } && reads[6] > 800, "\(reads)")
    #expect(feed.execution.comparison.treeReads < 150)
  }
}
