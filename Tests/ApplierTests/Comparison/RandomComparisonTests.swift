import SluiceEdits
import SluiceFakes
import SluiceJournal
import SluiceReader
import SluiceSQLite
import SluiceShared
import SluiceWriter
import Testing

@testable import SluiceApplier

@Suite("Rows that are told of random transactions make the state behind of the state before")
struct RandomComparisonTests {
  /// Statements over tables of several kinds, with values of all sizes.
  private struct Statements {
    var random: SeededRandom
    private var made = 0

    init(seed: UInt64) { random = SeededRandom(seed: seed) }

    static let tables =
      [
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a, b)", "CREATE INDEX ta ON t(a)",
        "CREATE TABLE u(a UNIQUE, b)",
        "CREATE TABLE w(a, b, id INTEGER PRIMARY KEY) WITHOUT ROWID", "CREATE INDEX wa ON w(a)",
        "CREATE TABLE s(id INTEGER PRIMARY KEY, a, b TEXT)",
      ]
      + ["t(id, a, b)", "u(rowid, a, b)", "w(id, a, b)", "s(id, a, b)"].map {
        "INSERT INTO \($0) WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 400) SELECT n, n || 'k', hex(zeroblob(n * n % 1501)) FROM c"
      }

    private mutating func value() -> String {
      switch random.below(7) {
      case 0: "NULL"
      case 1: "\(random.below(9))"
      case 2: "randomblob(\(random.below(40)))"
      case 3: "hex(randomblob(\(random.below(3000))))"
      case 4: "zeroblob(\(random.below(9000)))"
      case 5: "'\(random.below(1000))'"
      default: "0.\(random.below(100))"
      }
    }

    mutating func next() -> String {
      let table = ["t", "u", "w", "s"][random.below(4)]
      let number = table == "u" ? "rowid" : "id"
      let low = random.below(500)
      let range =
        "\(number) BETWEEN \(low) AND \(low + random.below([2, 10, 300][random.below(3)]))"
      switch random.below(12) {
      case 0, 1, 2:
        let first = random.below(600)
        let count = [1, 3, 80][random.below(3)]
        let target = table == "u" ? "u(rowid, a, b)" : "\(table)(id, a, b)"
        return
          "INSERT OR \(["IGNORE", "REPLACE"][random.below(2)]) INTO \(target) WITH RECURSIVE c(n) AS (SELECT \(first) UNION ALL SELECT n + 1 FROM c WHERE n < \(first + count - 1)) SELECT n, n || 'k', \(value()) FROM c"
      case 3, 4, 5: return "UPDATE \(table) SET b = \(value()) WHERE \(range)"
      // In the rear, with the size that it has.
      case 6, 7:
        return
          "UPDATE \(table) SET b = CAST(substr(b, 1, length(b) - 3) || '\(random.below(10))' || substr(b, length(b) - 1) AS \(["TEXT", "BLOB"][random.below(2)])) WHERE length(b) > 4 AND \(range)"
      case 8: return "DELETE FROM \(table) WHERE \(range)"
      case 9:
        return random.chance(0.1)
          ? "DELETE FROM \(table)" : "DELETE FROM \(table) WHERE \(number) = \(low)"
      case 10 where random.chance(0.3):
        made += 1
        return
          "CREATE TABLE made\(made) AS SELECT * FROM \(table); \(random.chance(0.5) ? "DROP TABLE made\(made)" : "DELETE FROM made\(made) WHERE rowid % 2")"
      case 11 where random.chance(0.3):
        return "REINDEX \(table)"
      default:
        return "UPDATE \(table) SET a = \(random.below(9)) || rowid WHERE \(range)".replacing(
          "rowid", with: number)
      }
    }
  }

  @Test("Over small and large pages", arguments: 1...4)
  func any(_ seed: Int) throws {
    let fed = try FedStore(pageSize: [512, 1024, 4096][seed % 3])
    if seed % 4 == 3 { try fed.store.apply("PRAGMA auto_vacuum = 2", "VACUUM") }
    for sql in Statements.tables { try fed.store.apply(sql) }
    var statements = Statements(seed: UInt64(seed))
    var told = 0
    for round in 1...12 {
      var few = (0..<1 + statements.random.below(4)).map { _ in statements.next() }
      // With auto_vacuum a new root takes the place of other pages, Sluice's own among them: that is refused.
      if seed % 4 == 3 { few.removeAll { $0.contains("made") } }
      told += try fed.commit(few.joined(separator: "; ")).count
      // What other batches change in between is not told again.
      if round % 6 == 0 { try fed.store.apply(statements.next()) }
    }
    #expect(told > 200, "\(told)")
  }

  /// Each statement as a batch in one store, and as a transaction in another.
  @Test("Batches and transactions of the same statements tell the same rows", arguments: 1...2)
  func same(_ seed: Int) throws {
    let fed = try FedStore(pageSize: 1024)
    let plain = try TestStore()
    for sql in Statements.tables {
      try fed.store.apply(sql)
      try plain.apply(sql)
    }
    let feed = try RowFeed(
      path: plain.path, from: try plain.present().extent.txid.next, environment: plain.environment)
    var statements = Statements(seed: UInt64(100 + seed))
    var compared = 0
    for _ in 1...25 {
      let sql = statements.next()
      // Others change a row twice, or with what is random.
      guard !sql.contains("random"), !sql.contains("REPLACE"), !sql.contains("made") else {
        continue
      }
      let told = Set(try fed.commit(sql))
      try plain.apply(sql)
      var changes: [RowChange] = []
      try feed.advance { changes += try #require($0.changes) }
      #expect(Set(changes.filter { $0.old != $0.new }) == told, "\(sql)")
      compared += told.count
    }
    #expect(compared > 50, "\(compared)")
  }

  /// Whoever has the right can commit pages that SQLite takes for damaged.
  @Test(
    "Pages that no SQLite made are told with a reason, or as they are read, and the feed goes on")
  func damaged() throws {
    var counts = (refused: 0, untold: 0, told: 0)
    var reasons: Set<String> = []
    for seed in 1...20 {
      let fed = try FedStore(
        pageSize: 512, "CREATE TABLE t(id INTEGER PRIMARY KEY, v)",
        "CREATE TABLE w(k PRIMARY KEY) WITHOUT ROWID")
      var random = SeededRandom(seed: UInt64(seed))
      let rows =
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 300) SELECT"
      try fed.commit(
        "INSERT INTO t \(rows) n, zeroblob(n * 7 % 900) FROM c; INSERT INTO w \(rows) n FROM c")
      let edited = try fed.edited()
      try edited.execute("UPDATE t SET v = 'x' WHERE id % 40 = 1; DELETE FROM w WHERE k % 50 = 1")
      try edited.take()
      let changed = try (1..<min(edited.pages.count, Int(edited.snapshot.pageCount))).filter {
        try edited.pages[$0] != edited.snapshot.copy(ofPage: UInt32($0 + 1))
      }
      for _ in 0..<3 {
        let page = 1 + changed[random.below(changed.count)]
        let (place, byte) = (random.below(random.chance(0.5) ? 16 : 512), UInt8(random.below(256)))
        edited.change(page) { $0[place] = byte }
      }
      guard let entry = try fed.submit(edited) else {
        counts.refused += 1
        continue
      }
      if let untold = entry.untold {
        #expect(entry.changes == nil && untold.contains("(batch "))
        reasons.insert(String(untold.suffix(30)))
        counts.untold += 1
      } else {
        counts.told += 1
      }
      #expect(try fed.store.apply("CREATE TABLE z(a)").isApplied)
    }
    #expect(counts.untold > 1 && counts.told > 1, "\(counts) \(reasons)")
  }

  @Test("A page that leads to itself, or to rowids in no order, has an end")
  func cycle() throws {
    for damage in ["child", "order", "last"] {
      let fed = try FedStore(pageSize: 512, "CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
      let rows =
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 300) SELECT"
      try fed.commit("INSERT INTO t \(rows) n, zeroblob(100) FROM c")
      let edited = try fed.edited()
      try edited.execute("DELETE FROM t WHERE id % 90 = 1")
      try edited.take()
      let found = try edited.connection.scalar(
        "SELECT rootpage FROM sqlite_schema WHERE name = 't'")
      guard case .integer(let root)? = found else { throw StoreError(.damaged, "no table") }
      edited.change(Int(root)) { page in
        #expect(page[0] == 5)
        let cell = Int(page[12]) << 8 | Int(page[13])
        switch damage {
        case "child": page.replaceSubrange(cell..<cell + 4, with: [0, 0, 0, UInt8(root)])
        case "order": page[cell + 4] = 1
        default: page.replaceSubrange(8..<12, with: [0, 0, 0, UInt8(root)])
        }
      }
      let entry = try #require(try fed.submit(edited), "\(fed.refusal)")
      #expect(
        entry.changes == nil
          && entry.untold?.contains(damage == "order" ? "not in their order" : "page \(root)")
            == true,
        "\(damage): \(entry)")
    }
  }
}
