import Glibc
import SluiceEdits
import SluiceFakes
import SluiceJournal
import SluiceQuery
import SluiceReader
import SluiceSQLite
import SluiceShared
import SluiceWriter
import Testing

@testable import SluiceApplier

@Suite(
  "The pages of an interactive transaction are committed over the state that they were made on")
struct PageBatchTests {
  private typealias Code = Outcome.Rejection.Code

  private func store() throws -> TestStore {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(id INTEGER PRIMARY KEY, v)", "INSERT INTO t VALUES(1, 'one')")
    return store
  }

  private func edited(_ store: TestStore, _ sql: String) throws -> EditedSnapshot {
    let snapshot = try PageStore(path: store.path, environment: store.environment).snapshot(.latest)
    let made = try EditedSnapshot(snapshot)
    try made.execute(sql)
    try made.take()
    return made
  }

  private func submit(_ store: TestStore, _ edited: EditedSnapshot, key: String? = nil) throws
    -> Outcome
  {
    try store.apply([Batch(.commit(try edited.batch()), key: key)])[0]
  }

  @Test("What it wrote is there, and all goes on from it")
  func committed() throws {
    let store = try store()
    let edited = try edited(store, "UPDATE t SET v = 'two'; INSERT INTO t VALUES(7, 'seven')")
    #expect(try submit(store, edited) == .applied(.init(changes: 0, lastRowID: 0, rows: nil)))
    #expect(try store.query("SELECT v FROM t ORDER BY id") == [["two"], ["seven"]])
    #expect(try store.apply("INSERT INTO t VALUES(8, 'eight')").isApplied)
    #expect(try store.query("SELECT count(*) FROM t") == [[3]])
    #expect(try store.query("PRAGMA integrity_check") == [["ok"]])
    let found = try Verification(store: store.path, store.environment) { _ in }.run()
    #expect(found.damages == 0)
  }

  @Test("Over another state it is refused, and leaves nothing")
  func conflict() throws {
    let store = try store()
    let first = try edited(store, "UPDATE t SET v = 'first'")
    let second = try edited(store, "UPDATE t SET v = 'second'")
    #expect(try submit(store, first).isApplied)
    #expect(try submit(store, second).rejectionCode == Code.conflict)
    #expect(try store.query("SELECT v FROM t") == [["first"]])
    // It is nothing that somebody has to see to.
    #expect(try store.query("SELECT count(*) FROM _sluice_rejected") == [[0]])
    let again = try edited(store, "UPDATE t SET v = v || ' and second'")
    #expect(try submit(store, again).isApplied)
    #expect(try store.query("SELECT v FROM t") == [["first and second"]])
  }

  @Test("Without the check of the base an update is lost")
  func withoutBase() throws {
    let store = try store()
    store.environment.omittedChecks = [.pagesOverNewest]
    let first = try edited(store, "INSERT INTO t VALUES(2, 'first')")
    let second = try edited(
      store, "INSERT INTO t VALUES(3, 'second'); INSERT INTO t VALUES(4, 'x')")
    #expect(try submit(store, first).isApplied)
    _ = try submit(store, second)
    #expect(try store.query("SELECT count(*) FROM t WHERE id = 2") != [[1]])
  }

  @Test("Of more pages than a commit may change it is to be split", arguments: [1, 2])
  func tooManyPages(_ most: Int) throws {
    let store = try store()
    let edited = try edited(store, "UPDATE t SET v = 'two'")
    store.environment.commitSizes.commitPages = most
    let outcome = try submit(store, edited)
    #expect(outcome.rejectionCode == (most == 1 ? Code.resources : nil), "\(outcome)")
    guard case .rejected(let rejection) = outcome else { return }
    #expect(rejection.message.hasSuffix("1 pages; split it"))
  }

  @Test("In one group with others each is where it was submitted")
  func inGroup() throws {
    let store = try store()
    let edited = try edited(store, "UPDATE t SET v = 'pages'")
    let outcomes = try store.apply([
      Batch(.commit(try edited.batch()), key: "once"),
      Batch([.init("UPDATE t SET v = v || ' sql'")]),
      Batch(.commit(try edited.batch())),
      Batch(.commit(try edited.batch()), key: "once"),
    ])
    #expect(outcomes[0].isApplied && outcomes[1].isApplied)
    #expect(outcomes[2].rejectionCode == Code.conflict)
    guard case .duplicate = outcomes[3] else {
      Issue.record("\(outcomes[3])")
      return
    }
    #expect(try store.query("SELECT v FROM t") == [["pages sql"]])
  }

  @Test("A transaction of one row is small")
  func small() throws {
    let store = try store()
    try store.apply(
      "CREATE TABLE big(id INTEGER PRIMARY KEY, a, b)", "CREATE INDEX ba ON big(a)",
      "CREATE INDEX bb ON big(b)",
      "INSERT INTO big WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM c WHERE n < 5000) SELECT n, hex(randomblob(20)), hex(randomblob(20)) FROM c"
    )
    let insert = "INSERT INTO big VALUES(9000, hex(randomblob(20)), hex(randomblob(20)))"
    // One of four splits a page.
    let sizes = try (0..<9).map { _ in
      try Batch(.commit(try edited(store, insert).batch())).encoded().count
    }
    #expect(sizes.sorted()[0] < 1500, "\(sizes) bytes")
    #expect(try submit(store, try edited(store, insert)).isApplied)
    #expect(try store.query("PRAGMA integrity_check") == [["ok"]])
  }

  @Test("The schema may change, and tables may grow, shrink and go")
  func schema() throws {
    let store = try store()
    for sql in [
      "CREATE TABLE u(a, b UNIQUE); INSERT INTO u SELECT id, hex(zeroblob(5000)) FROM t",
      "CREATE VIEW w AS SELECT * FROM u; CREATE TRIGGER r AFTER INSERT ON t BEGIN INSERT INTO u VALUES(new.id, new.v); END",
      "INSERT INTO t SELECT value, hex(randomblob(500)) FROM json_each('[11,12,13,14,15,16,17,18,19,20,21]')",
      "DELETE FROM t WHERE id > 10", "DROP TABLE u; DROP VIEW w; DROP TRIGGER r", "ANALYZE",
      "CREATE VIRTUAL TABLE f USING fts5(x); INSERT INTO f VALUES('word')",
    ] {
      #expect(try submit(store, try edited(store, sql)).isApplied, "\(sql)")
      #expect(try store.query("PRAGMA integrity_check") == [["ok"]])
    }
    #expect(
      try store.apply("INSERT INTO t VALUES(99, 'x')", "INSERT INTO f VALUES('other')").isApplied)
    #expect(try store.query("SELECT x FROM f WHERE f MATCH 'word OR other'").count == 2)
    let summary = try Replay.run(
      RecordedHistory(store: store.path, store.environment), into: "\(store.path)/again.sqlite")
    #expect(summary.takenPages == 7)
  }

  /// Whose schema takes several pages.
  private func storeWithManyTables() throws -> TestStore {
    let store = try store()
    let tables = (0..<60).map { "CREATE TABLE table_\($0)(\(String(repeating: "a", count: 90)))" }
    #expect(try submit(store, try edited(store, tables.joined(separator: ";"))).isApplied)
    return store
  }

  @Test("What drops tables gives back pages of the schema")
  func droppedTables() throws {
    let store = try storeWithManyTables()
    let drops = (0..<50).map { "DROP TABLE table_\($0)" }
    #expect(try submit(store, try edited(store, drops.joined(separator: ";"))).isApplied)
    #expect(try store.apply("INSERT INTO table_55 VALUES(1)").isApplied)
    #expect(try store.query("PRAGMA integrity_check") == [["ok"]])
  }

  @Test("A page of the schema is not free")
  func freePageOfSchema() throws {
    let store = try storeWithManyTables()
    let drops = (0..<6).map { "DROP TABLE table_\($0)" }
    #expect(try submit(store, try edited(store, drops.joined(separator: ";"))).isApplied)
    let edited = try edited(store, "UPDATE t SET v = 'bad'")
    let first = try #require(edited.pages[0])
    // The tree that the schema is has an inner page there. Its last child is put among the free pages.
    #expect(first[100] == 5)
    let child = first[108..<112]
    let list = first[32..<36].reduce(0) { $0 << 8 | Int($1) }
    edited.change(list) { page in
      #expect(page[7] > 0)
      page.replaceSubrange(8..<12, with: child)
    }
    let outcome = try store.apply([Batch(.commit(try edited.batch()))])[0]
    #expect(outcome.rejectionCode == Code.unsoundPages)
  }

  @Test("A default may call a function that only its maker has")
  func ownDefault() throws {
    let store = try store()
    let sql =
      "CREATE TABLE d(a, b DEFAULT (abs(1)), c AS (a + 1)); PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, 'abs(1)', 'own(1)') WHERE name = 'd'"
    #expect(try submit(store, try edited(store, sql)).isApplied)
    #expect(try store.apply("INSERT INTO d(a, b) VALUES(1, 2)").isApplied)
    // Only who needs it is refused.
    #expect(try !store.apply("INSERT INTO d(a) VALUES(1)").isApplied)
    #expect(try store.apply("INSERT INTO t VALUES(2, 'next')").isApplied)
  }

  @Test("It is a right of its own")
  func right() throws {
    for (right, isGranted) in [
      (TransactionRight.none, false), (.users([geteuid()]), true), (.users([geteuid() + 1]), false),
      (.groups([.max]), false),
    ] {
      var creation = StoreCreation()
      creation.transactions = right
      let store = try TestStore(creation)
      let outcome = try submit(store, try edited(store, "CREATE TABLE t(a)"))
      #expect(outcome.isApplied == isGranted)
      #expect(isGranted || outcome.rejectionCode == Code.notPermitted)
      // A replay takes that from the record.
      let summary = try Replay.run(
        RecordedHistory(store: store.path, store.environment), into: "\(store.path)/again.sqlite")
      #expect(summary.batches == 1 && summary.takenPages == (isGranted ? 1 : 0))
    }
  }

  @Test("A right is what it says, or nothing")
  func rightText() {
    for text in ["all", "none", "uid:0", "gid:500,501"] {
      #expect(TransactionRight(text)?.description == text)
    }
    for text in ["", "some", "uid:", "gid:5,", "gid:-1", "uid:a", "gid:5, 6"] {
      #expect(TransactionRight(text) == nil)
    }
  }

  // MARK: what is refused

  /// A page batch that keeps to no rule, the check that finds it, and what becomes of it.
  struct Unsound: Sendable, CustomStringConvertible {
    var description: String
    var sql = "UPDATE t SET v = 'bad'"
    var code = Code.unsoundPages
    var pageCount: Int?
    var change: @Sendable (EditedSnapshot) -> Void = { _ in }
  }

  static let unsound: [Unsound] = [
    Unsound(description: "change counter") { edited in
      edited.change(1) { page in
        for place in [24, 25, 26, 27, 92, 93, 94, 95] { page[place] = 0 }
      }
    },
    Unsound(description: "magic") { $0.change(1) { $0[0] = 0 } },
    Unsound(description: "page size") { $0.change(1) { $0[16] = 0x20 } },
    Unsound(description: "WAL") { $0.change(1) { ($0[18], $0[19]) = (2, 2) } },
    Unsound(description: "reserved bytes") { $0.change(1) { $0[20] = 8 } },
    Unsound(description: "encoding") { $0.change(1) { $0[59] = 2 } },
    Unsound(description: "size") { $0.change(1) { $0[31] += 1 } },
    Unsound(description: "auto_vacuum") { $0.change(1) { $0[55] = 1 } },
    Unsound(description: "free pages") { $0.change(1) { ($0[35], $0[39]) = (2, 1) } },
    Unsound(description: "pages that nobody made", pageCount: 1 << 30) { edited in
      edited.change(1) { $0.replaceSubrange(28..<32, with: [0x40, 0, 0, 0]) }
    },
    Unsound(description: "cookie") { $0.change(1) { $0[$0.count - 1] ^= 1 } },
    Unsound(description: "a table of Sluice's", sql: "UPDATE _sluice_state SET txid = 999"),
    Unsound(description: "VACUUM of it", sql: "DROP TABLE _sluice_rejected"),
    Unsound(
      description: "a trigger on one",
      sql: "CREATE TRIGGER x AFTER UPDATE ON _sluice_state BEGIN DELETE FROM t; END"),
    Unsound(
      description: "a foreign key to one", sql: "CREATE TABLE k(a REFERENCES _sluice_state(id))",
      code: Code.denied),
    Unsound(
      description: "schema that SQLite cannot read",
      sql:
        "CREATE VIEW v AS SELECT 1; PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = 'CREATE VIEW v AS SELECT FROM WHERE' WHERE name = 'v'"
    ),
    Unsound(
      description: "an index on an unknown function",
      sql:
        "CREATE INDEX i ON t(abs(v)); PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = 'CREATE INDEX i ON t(own(v))' WHERE name = 'i'"
    ),
  ]

  /// The schema written by hand; `to`: what becomes of a table that refers to one of Sluice's.
  private static func schema(_ assignments: String) -> String {
    "CREATE TABLE k(a); PRAGMA writable_schema = ON; UPDATE sqlite_schema SET \(assignments) WHERE name = 'k'"
  }

  private static func root(_ table: String) -> String {
    schema("rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = '\(table)')")
  }

  /// A tree, and a value on pages of its own.
  private static let tree =
    "CREATE TABLE tree(a); INSERT INTO tree SELECT hex(randomblob(900)) FROM json_each('[1,2,3,4,5,6]'); INSERT INTO t VALUES(2, hex(randomblob(4000)))"

  private static func lead(_ edited: EditedSnapshot, to target: String) {
    let query = "SELECT rootpage FROM sqlite_schema WHERE name = ?"
    guard case .integer(let root)? = try? edited.connection.scalar(query, [.text("tree")]) else {
      return
    }
    let page: Int64? =
      if case .integer(let page)? = try? edited.connection.scalar(query, [.text(target)]) {
        page
      } else {
        Int64(target)
      }
    guard let page else { return }
    // The last child of the tree's inner page.
    edited.change(Int(root)) { bytes in
      bytes.replaceSubrange(
        8..<12, with: (0..<4).map { UInt8(truncatingIfNeeded: page >> (24 - 8 * $0)) })
    }
  }

  static let misleading: [Unsound] = [
    Unsound(
      description: "a name that is not UTF-8",
      sql: schema(
        "name = CAST(x'62ff' AS TEXT), tbl_name = CAST(x'62ff' AS TEXT), sql = 'CREATE TABLE \"b' || CAST(x'ff' AS TEXT) || '\"(a REFERENCES _sluice_keys(key))'"
      ), code: Code.denied),
    Unsound(
      description: "a type in capital letters",
      sql: schema("type = 'TABLE', sql = 'CREATE TABLE k(a REFERENCES _sluice_keys(key))'"),
      code: Code.denied),
    Unsound(description: "the root of one of Sluice's", sql: root("_sluice_state")),
    Unsound(description: "the root of another table", sql: root("t")),
    Unsound(description: "the schema's root", sql: schema("rootpage = 1")),
    Unsound(description: "a tree that leads to one of Sluice's", sql: tree) {
      lead($0, to: "_sluice_keys")
    },
    Unsound(description: "a tree that leads to the schema", sql: tree) { lead($0, to: "1") },
    Unsound(description: "a value that goes on in one of Sluice's", sql: tree) { edited in
      edited.change(edited.pages.count) { $0.replaceSubrange(0..<4, with: [0, 0, 0, 3]) }
    },
  ]

  @Test("What leads where nothing of a batch's leads is refused", arguments: misleading)
  func misled(_ unsound: Unsound) throws { try refused(unsound) }

  @Test("Without the check a batch writes to a table of Sluice's")
  func withoutTrees() throws {
    let store = try store()
    store.environment.omittedChecks = [.ownTrees]
    #expect(try submit(store, try edited(store, Self.root("_sluice_state"))).isApplied)
    #expect(throws: StoreError.self) {
      try store.apply("DELETE FROM k")
      try store.apply("INSERT INTO t VALUES(3, 'next')")
    }
  }

  @Test("Free pages that are not sent count in what a commit may have")
  func missingPages() throws {
    var creation = StoreCreation()
    creation.pageSize = 65536
    let store = try TestStore(creation)
    try store.apply("CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
    let edited = try edited(store, "INSERT INTO t VALUES(1, 'bad')")
    let leavesPerTrunk = 16_000
    let first = edited.pages.count + 1
    // More than 4 GiB; one page has SQLite's locks, and is none.
    let count = 5 * (leavesPerTrunk + 1)
    var next = first + 5
    func bytes(_ number: Int) -> [UInt8] {
      (0..<4).map { UInt8(truncatingIfNeeded: number >> (24 - 8 * $0)) }
    }
    for trunk in 0..<5 {
      var page = bytes(trunk < 4 ? first + trunk + 1 : 0) + bytes(leavesPerTrunk)
      for _ in 0..<leavesPerTrunk {
        if next == 16_385 { next += 1 }
        page += bytes(next)
        next += 1
      }
      edited.add(page + [UInt8](repeating: 0, count: 65536 - page.count))
    }
    edited.change(1) { page in
      #expect(page[36..<40].allSatisfy { $0 == 0 })
      page.replaceSubrange(28..<32, with: bytes(next - 1))
      page.replaceSubrange(32..<40, with: bytes(first) + bytes(count))
    }
    let outcome = try store.apply([Batch(.commit(try edited.batch(pageCount: next - 1)))])[0]
    #expect(outcome.rejectionCode == Code.resources, "\(outcome)")
    #expect(try store.apply("INSERT INTO t VALUES(1, 'next')").isApplied)
  }

  @Test("A table that is called like a function of SQLite's is in nobody's way")
  func shadowingTable() throws {
    let store = try store()
    try store.apply("CREATE TABLE pragma_table_xinfo(a)", "CREATE TABLE pragma_table_info(a)")
    #expect(try submit(store, try edited(store, "CREATE TABLE u(a, b)")).isApplied)
    #expect(try store.apply("INSERT INTO u VALUES(1, 2)").isApplied)
  }

  @Test("What the database could not go on with is refused", arguments: unsound)
  func refused(_ unsound: Unsound) throws {
    let store = try store()
    let edited = try edited(store, unsound.sql)
    unsound.change(edited)
    let pages = try edited.batch(pageCount: unsound.pageCount)
    let outcome = try store.apply([Batch(.commit(pages))])[0]
    #expect(outcome.rejectionCode == unsound.code, "\(outcome)")
    #expect(try store.query("SELECT v FROM t") == [["one"]])
    #expect(try store.apply("INSERT INTO t VALUES(2, 'next')").isApplied)
    #expect(try store.query("PRAGMA integrity_check") == [["ok"]])
  }
}

extension PageBatchTests.Unsound: CustomTestStringConvertible {
  var testDescription: String { description }
}
