import SluiceFakes
import SluiceJournal
import SluiceReader
import SluiceSQLite
import SluiceShared
import SluiceWriter
import Testing

@testable import SluiceApplier

/// One statement a batch, many of them in one commit, and the same statements in a plain SQLite database: what
/// is told of a row must be what a query reads there before and after the statement.
@Suite("The rows that a batch changed are those that queries read, whatever becomes of the schema")
struct RowFeedSchemaTests {
  private struct Row: Hashable {
    var table: String
    var key: [SQLValue]
  }

  private struct PlainDatabase {
    let connection: Connection

    init(_ statements: [String]) throws {
      connection = try Connection(path: ":memory:", flags: [.readWrite, .memory, .noMutex])
      try connection.execute("PRAGMA foreign_keys = 1")
      for statement in statements { try connection.execute(statement) }
    }

    /// All rows of all ordinary tables: columns that are stored, by table and key.
    func rows() throws -> [Row: [RowChange.Column]] {
      var found: [Row: [RowChange.Column]] = [:]
      let tables = try connection.query(
        "SELECT name, wr FROM pragma_table_list WHERE type = 'table'")
      for table in tables {
        guard case .text(let name) = table[0], !name.hasPrefix("sqlite_") else { continue }
        let columns = try connection.query(
          "SELECT name, pk FROM pragma_table_xinfo(?) WHERE hidden <> 2", [.text(name)])
        let names = columns.compactMap { if case .text(let name) = $0[0] { name } else { nil } }
        let taken = Set(names.map { $0.lowercased() })
        let number = ["rowid", "_rowid_", "oid"].first { !taken.contains($0) }
        let key = table[1] == 1 ? "NULL" : number ?? "NULL"
        for row in try connection.query(
          "SELECT \(key), \(names.map(quoted).joined(separator: ", ")) FROM \(quoted(name))")
        {
          let values = zip(names, row.dropFirst()).map { RowChange.Column($0, $1) }
          let keys =
            key == "NULL"
            ? zip(columns, values).filter { $0.0[1] != 0 }.map(\.1.value) : [row[0]]
          found[Row(table: name, key: keys)] = values
        }
      }
      return found
    }
  }

  private static func text(_ columns: [RowChange.Column]?) -> String {
    columns.map { "{\($0.map { "\($0.name): \($0.value)" }.joined(separator: ", "))}" } ?? "-"
  }

  /// How many rows were told, and why others were not.
  @discardableResult
  private func check(_ before: [String], _ statements: [String]) throws
    -> (rows: Int, untold: [String])
  {
    let store = try TestStore()
    let plain = try PlainDatabase(before)
    for statement in before { try store.apply(statement) }
    let outcomes = try store.apply(statements.map { Batch([Batch.Statement($0)]) })
    let feed = try RowFeed(
      path: store.path, from: TxID(UInt64(before.count) + 1), environment: store.environment)
    var number = 0
    var commits: Set<UInt64> = []
    var told = 0
    var untold: [String] = []
    try feed.advance { entry in
      let statement = statements[number]
      number += 1
      commits.insert(entry.batch.commit)
      guard outcomes[number - 1].isApplied else { return }
      let old = try plain.rows()
      try plain.connection.execute(statement)
      let new = try plain.rows()
      guard let changes = entry.changes else {
        untold.append(try #require(entry.untold))
        return
      }
      told += changes.count
      var seen: Set<[RowChange.Column]?> = []
      for change in changes {
        if let columns = change.old {
          #expect(
            old.contains { $0.key.table == change.table && $0.value == columns },
            "\(statement): old \(Self.text(columns)) of \(change.table) was not there")
          if let number = change.oldRowID ?? change.rowID,
            let there = old[Row(table: change.table, key: [.integer(number)])]
          {
            #expect(there == columns, "\(statement): old \(Self.text(columns))")
          }
        }
        if let columns = change.new {
          #expect(
            new.contains { $0.key.table == change.table && $0.value == columns },
            "\(statement): new \(Self.text(columns)) of \(change.table) is not there")
          seen.insert(columns)
        }
      }
      // What a query reads anew is told.
      for (row, columns) in new where !old.values.contains(columns) && old[row] != nil {
        guard old[row]?.map(\.name) == columns.map(\.name) else { continue }
        #expect(seen.contains(columns), "\(statement): \(Self.text(columns)) is not told")
      }
    }
    #expect(number == statements.count)
    // A slow machine cuts groups.
    #expect(commits.count <= TestStore.patience * (4 + statements.count / 8), "\(commits)")
    return (told, untold)
  }

  @Test(
    "In one commit with it",
    arguments: [
      // A column is added: values of its affinity, not as they are written.
      [
        "ALTER TABLE t ADD COLUMN d INTEGER DEFAULT '5'", "UPDATE t SET a = 9 WHERE a = 1",
        "ALTER TABLE t ADD COLUMN e TEXT DEFAULT 7", "UPDATE t SET a = 8",
        "ALTER TABLE t ADD COLUMN f REAL DEFAULT 3", "UPDATE t SET f = NULL", "DELETE FROM t",
      ],
      // And the table gets another name, then the column.
      [
        "ALTER TABLE t ADD COLUMN d DEFAULT 5", "ALTER TABLE t RENAME TO u",
        "UPDATE u SET a = 9 WHERE a = 1", "ALTER TABLE u RENAME COLUMN d TO e",
        "UPDATE u SET a = 8", "DELETE FROM u",
      ],
      ["ALTER TABLE t RENAME TO T", "UPDATE t SET c = NULL", "UPDATE t SET a = a + 1"],
      // A column gets another name.
      ["ALTER TABLE t RENAME COLUMN c TO x", "UPDATE t SET a = 9", "DELETE FROM t"],
      ["ALTER TABLE t RENAME COLUMN b TO x", "UPDATE t SET a = 9 WHERE c IS NULL"],
      // A column goes, and one of its name comes.
      [
        "ALTER TABLE t DROP COLUMN c", "ALTER TABLE t ADD COLUMN c DEFAULT 'other'",
        "UPDATE t SET a = 9", "UPDATE t SET c = NULL", "UPDATE t SET a = 8",
      ],
      // A table goes, and one of its name comes.
      [
        "CREATE TABLE keep AS SELECT * FROM t", "DROP TABLE t",
        "CREATE TABLE t(a, b, c DEFAULT 'other')", "INSERT INTO t(a, c) VALUES (1, NULL)",
        "UPDATE t SET a = 9", "INSERT INTO t SELECT * FROM keep", "UPDATE t SET b = 1",
      ],
      // Made anew under another name, as the documentation of ALTER TABLE has it.
      [
        "CREATE TABLE fresh(a, b, c DEFAULT 'other')",
        "INSERT INTO fresh(rowid, a, c) SELECT rowid, a, NULL FROM t", "DROP TABLE t",
        "ALTER TABLE fresh RENAME TO t", "UPDATE t SET a = 9", "DELETE FROM t",
      ],
      // SQLite copies records as they are.
      [
        "ALTER TABLE t ADD COLUMN d INTEGER DEFAULT '5'",
        "CREATE TABLE same(a, b, c DEFAULT 'c', d INTEGER DEFAULT '5')",
        "INSERT INTO same SELECT * FROM t", "UPDATE same SET a = 9", "DELETE FROM same",
      ],
      // Without rowids.
      [
        "ALTER TABLE w ADD COLUMN d DEFAULT 5", "UPDATE w SET r = 1.5 WHERE k = 'k'",
        "UPDATE w SET d = NULL", "UPDATE w SET r = 2", "DELETE FROM w",
      ],
      // Columns that are not stored stand before others.
      ["UPDATE g SET i = i + 1", "UPDATE g SET r = 4", "DELETE FROM g"],
      ["UPDATE v SET i = i + 1", "UPDATE v SET k = 'l'", "DELETE FROM v"],
      // The names of the rowid are those of columns.
      [
        "ALTER TABLE named ADD COLUMN d DEFAULT 5", "UPDATE named SET rowid = 2",
        "DELETE FROM named",
      ],
      // Defaults of every kind.
      [
        "ALTER TABLE t ADD COLUMN d DEFAULT (-5)", "ALTER TABLE t ADD COLUMN e DEFAULT \"e\"",
        "ALTER TABLE t ADD COLUMN f DEFAULT x'0102'", "ALTER TABLE t ADD COLUMN g DEFAULT TRUE",
        "ALTER TABLE t ADD COLUMN h TEXT DEFAULT (CAST('5' AS INTEGER))",
        "ALTER TABLE t ADD COLUMN i NUMERIC DEFAULT +1e3",
        "ALTER TABLE t ADD COLUMN j DEFAULT NULL", "ALTER TABLE s ADD COLUMN d ANY DEFAULT '5'",
        "UPDATE t SET a = 9", "UPDATE s SET a = 9",
      ],
    ])
  func cases(_ statements: [String]) throws {
    let (rows, untold) = try check(Self.before, statements)
    #expect(rows > 0 && untold == [])
  }

  private static let before = [
    "CREATE TABLE t(a, b, c DEFAULT 'c')",
    "INSERT INTO t VALUES (1, 2, 'x'), (3, NULL, NULL), (5, 6, 'y')",
    "CREATE TABLE w(r REAL, k PRIMARY KEY, n INTEGER) WITHOUT ROWID",
    "INSERT INTO w VALUES (1, 'k', 2), (3, 'm', NULL)",
    "CREATE TABLE g(z REAL AS (1) VIRTUAL, i INTEGER, b, r REAL)",
    "INSERT INTO g VALUES (1, 2, 3), (4, 5, 6)",
    "CREATE TABLE v(z REAL AS (1) VIRTUAL, i INTEGER, k PRIMARY KEY, r REAL) WITHOUT ROWID",
    "INSERT INTO v VALUES (1, 'k', 3), (4, 'm', 6)",
    "CREATE TABLE named(rowid, oid, _rowid_)", "INSERT INTO named VALUES (1, 2, 3)",
    "CREATE TABLE s(a ANY) STRICT", "INSERT INTO s VALUES (1)",
  ]

  @Test(
    "What SQLite tells of no column for certain is not told, with the reason, and the feed goes on")
  func uncertain() throws {
    let (rows, untold) = try check(
      [
        "CREATE TABLE k(z AS (1) VIRTUAL, id INTEGER PRIMARY KEY, b, c)",
        "CREATE TABLE behind(z AS (1) VIRTUAL, b, id INTEGER PRIMARY KEY)",
        "CREATE TABLE r(z REAL AS (1) VIRTUAL, any)", "CREATE TABLE t(a)",
        "INSERT INTO r VALUES (1), (1.5), ('x')",
      ],
      [
        "INSERT INTO k VALUES (10, 11, 12)", "INSERT INTO t VALUES (1)",
        "INSERT INTO behind VALUES (10, 11)", "UPDATE behind SET b = 5",
        "DELETE FROM r WHERE any = 1.5", "DELETE FROM r WHERE any = 1", "DELETE FROM behind",
      ])
    #expect(rows == 5)
    guard try RowReading().hasRecordOrder(.old, hasRowIDs: true) else { return }
    #expect(untold.count == 2, "\(untold)")
    #expect(untold.first?.contains("table k, whose INTEGER PRIMARY KEY") == true)
    #expect(untold.last?.contains("column any of table r has an integer or a real") == true)
  }

  @Test("Types are told apart as SQLite does it, which folds A to Z and nothing else")
  func foldedTypes() throws {
    let (rows, untold) = try check(
      ["CREATE TABLE u(a \"\u{131}nteger\" PRIMARY KEY, b \"\u{FB02}oat\")"],
      ["INSERT INTO u VALUES ('x', 1), (7, 2)", "UPDATE u SET b = b + 1", "DELETE FROM u"])
    #expect(rows == 6 && untold == [])
  }

  @Test("Random changes of the schema between random changes of rows")
  func random() throws {
    for seed in 1...12 {
      var random = SeededRandom(seed: UInt64(seed))
      func pick(_ count: Int) -> Int { Int(random.next() % UInt64(count)) }
      var columns = ["a", "b"]
      var name = "t"
      var fresh = 0
      var statements: [String] = []
      func other(_ prefix: String) -> String {
        fresh += 1
        return "\(prefix)\(fresh)"
      }
      for _ in 0..<60 {
        let column = columns[pick(columns.count)]
        let value = ["1", "NULL", "'5'", "2.0", "x'01'"][pick(5)]
        switch pick(12) {
        case 0:
          let added = other("c")
          let type = ["", "INTEGER", "TEXT", "REAL", "NUMERIC"][pick(5)]
          let standard = ["", "DEFAULT '7'", "DEFAULT 7", "DEFAULT 1.5", "DEFAULT 'x'"][pick(5)]
          statements.append("ALTER TABLE \(name) ADD COLUMN \(added) \(type) \(standard)")
          columns.append(added)
        case 1 where columns.count > 2:
          statements.append("ALTER TABLE \(name) DROP COLUMN \(column)")
          columns.removeAll { $0 == column }
        case 2:
          let renamed = other("c")
          statements.append("ALTER TABLE \(name) RENAME COLUMN \(column) TO \(renamed)")
          columns = columns.map { $0 == column ? renamed : $0 }
        case 3:
          let renamed = other("t")
          statements.append("ALTER TABLE \(name) RENAME TO \(renamed)")
          name = renamed
        case 4:
          statements.append("DELETE FROM \(name) WHERE rowid % 5 = \(pick(5))")
        case 5, 6: statements.append("INSERT INTO \(name)(\(column)) VALUES (\(value))")
        case 7:
          // Fails, and so leaves nothing.
          statements.append("INSERT INTO \(name)(missing) VALUES (1)")
        case 8:
          let made = other("t")
          statements.append("CREATE TABLE \(made) AS SELECT * FROM \(name)")
          if pick(2) == 0 {
            statements.append("DROP TABLE \(name)")
            statements.append("ALTER TABLE \(made) RENAME TO \(name)")
          }
        default:
          statements.append("UPDATE \(name) SET \(column) = \(value) WHERE rowid % 4 = \(pick(4))")
        }
      }
      let (rows, untold) = try check(
        [
          "CREATE TABLE t(a, b DEFAULT 'b')",
          "INSERT INTO t VALUES (1, 2), (3, NULL), (5, 6), (7, 8)",
        ],
        statements)
      #expect(rows > 10 && untold == [], "seed \(seed)")
    }
  }
}
