import SluiceJournal
import SluiceReader
import SluiceShared
import Testing

@testable import SluiceApplier

@Suite("The rows that a batch changed are told as it changed them")
struct RowFeedTests {
  /// What is told of each batch from `first` on, in short: `item+1{name:'bolt'}`, `item~1{…}{…}`, `item-1{…}`.
  private func told(_ store: TestStore, from first: UInt64 = 1) throws -> [[String]?] {
    let feed = try RowFeed(path: store.path, from: TxID(first), environment: store.environment)
    var told: [[String]?] = []
    try feed.advance { told.append($0.changes.map { $0.map(Self.text) }) }
    return told
  }

  private static func text(_ change: RowChange) -> String {
    let sign = [RowChange.Kind.insert: "+", .update: "~", .delete: "-"][change.kind] ?? "?"
    let number = change.rowID.map { "\($0)" } ?? ""
    let from = change.oldRowID.map { "\($0)>" } ?? ""
    let rows = [change.old, change.new].compactMap { $0 }.map { columns in
      "{\(columns.map { "\($0.name):\(ContentComparison.text($0.value))" }.joined(separator: ","))}"
    }
    return "\(change.table)\(sign)\(from)\(number)\(rows.joined())"
  }

  @Test("Insertions, updates and deletions, in their order")
  func each() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE item(id INTEGER PRIMARY KEY, name, price REAL)")
    try store.apply(
      "INSERT INTO item(name, price) VALUES('bolt', 2), ('nut', NULL)",
      "UPDATE item SET price = 3 WHERE name = 'bolt'", "UPDATE item SET id = 7 WHERE id = 2")
    try store.apply("REPLACE INTO item VALUES(7, x'0102', 0.5)")
    try store.apply("DELETE FROM item")
    let expected = [
      [],
      [
        "item+1{id:1,name:'bolt',price:2.0}", "item+2{id:2,name:'nut',price:NULL}",
        "item~1{id:1,name:'bolt',price:2.0}{id:1,name:'bolt',price:3.0}",
        "item~2>7{id:2,name:'nut',price:NULL}{id:7,name:'nut',price:NULL}",
      ],
      [
        "item-7{id:7,name:'nut',price:NULL}", "item+7{id:7,name:x'0102',price:0.5}",
      ],
      ["item-1{id:1,name:'bolt',price:3.0}", "item-7{id:7,name:x'0102',price:0.5}"],
    ]
    #expect(try told(store) == expected)
    for first in 1...4 {
      #expect(try told(store, from: UInt64(first)) == Array(expected[(first - 1)...]))
    }
  }

  @Test("VACUUM changes none, and the feed goes on behind it")
  func compacted() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY, b)", "INSERT INTO t VALUES(1, 'x')")
    try store.apply("VACUUM")
    try store.apply("UPDATE t SET b = 'y'")
    #expect(
      try told(store) == [["t+1{a:1,b:'x'}"], [], ["t~1{a:1,b:'x'}{a:1,b:'y'}"]])
    #expect(try told(store, from: 3) == [["t~1{a:1,b:'x'}{a:1,b:'y'}"]])
  }

  @Test("By triggers, foreign keys, upserts and without rowids")
  func indirect() throws {
    let store = try TestStore()
    try store.apply(
      "CREATE TABLE parent(id INTEGER PRIMARY KEY)",
      "CREATE TABLE child(p REFERENCES parent ON DELETE CASCADE)",
      "CREATE TABLE pair(a TEXT, b, PRIMARY KEY(b, a)) WITHOUT ROWID",
      "CREATE TRIGGER log AFTER INSERT ON parent BEGIN INSERT INTO pair VALUES('p', new.id); END")
    try store.apply("INSERT INTO parent VALUES(1)", "INSERT INTO child VALUES(1)")
    try store.apply("DELETE FROM parent")
    try store.apply(
      "INSERT INTO pair VALUES('p', 1) ON CONFLICT DO UPDATE SET a = 'q'",
      "INSERT OR IGNORE INTO pair VALUES('q', 1)")
    #expect(
      try told(store) == [
        [], ["parent+1{id:1}", "pair+{a:'p',b:1}", "child+1{p:1}"],
        ["parent-1{id:1}", "child-1{p:1}"],
        ["pair~{a:'p',b:1}{a:'q',b:1}"],
      ])
  }

  @Test("Nothing of batches that were not applied, also in the middle of a commit")
  func rejected() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a UNIQUE)")
    let outcomes = try store.apply(
      [
        "INSERT INTO t VALUES(1)", "INSERT INTO t VALUES(2), (1)",
        "INSERT OR ROLLBACK INTO t VALUES(1)", "INSERT INTO t VALUES(3)",
      ].map {
        Batch([
          Batch.Statement("INSERT INTO t VALUES('x')"), Batch.Statement($0),
          Batch.Statement("DELETE FROM t WHERE a = 'x'"),
        ])
      })
    #expect(outcomes.map(\.isApplied) == [true, false, false, true])
    let rows = try told(store, from: 2)
    #expect(
      rows == [
        ["t+1{a:'x'}", "t+2{a:1}", "t-1{a:'x'}"], [], [],
        ["t+3{a:'x'}", "t+4{a:3}", "t-3{a:'x'}"],
      ])
  }

  @Test("Columns by the names that they had, and what was added later with its default")
  func schema() throws {
    let store = try TestStore()
    try store.apply(
      "CREATE TABLE t(a, v AS (a || '!') VIRTUAL, s AS (a || '?') STORED, b)",
      "INSERT INTO t(a, b) VALUES(1, 2)", "ALTER TABLE t RENAME COLUMN b TO c",
      "INSERT INTO t(a, c) VALUES(3, 4)")
    try store.apply("ALTER TABLE t ADD COLUMN d DEFAULT 'new'")
    try store.apply(
      "UPDATE t SET c = 5 WHERE a = 1", "UPDATE t SET d = NULL WHERE a = 1",
      "UPDATE t SET c = 6 WHERE a = 1")
    try store.apply("ALTER TABLE t ADD COLUMN e REAL DEFAULT 1", "DELETE FROM t WHERE a = 3")
    try store.apply(
      "ALTER TABLE t RENAME TO u", "ALTER TABLE u DROP COLUMN d",
      "UPDATE u SET c = 7")
    #expect(
      try told(store) == [
        ["t+1{a:1,s:'1?',b:2}", "t+2{a:3,s:'3?',c:4}"], [],
        [
          "t~1{a:1,s:'1?',c:2,d:'new'}{a:1,s:'1?',c:5,d:'new'}",
          "t~1{a:1,s:'1?',c:5,d:'new'}{a:1,s:'1?',c:5,d:NULL}",
          "t~1{a:1,s:'1?',c:5,d:NULL}{a:1,s:'1?',c:6,d:NULL}",
        ],
        ["t-2{a:3,s:'3?',c:4,d:'new',e:1.0}"],
        ["u~1{a:1,s:'1?',c:6,e:1.0}{a:1,s:'1?',c:7,e:1.0}"],
      ])
  }

  @Test("A table that is made with rows, and virtual tables")
  func made() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a)", "INSERT INTO t VALUES(1), (2)")
    try store.apply(
      "CREATE TABLE u AS SELECT a * 2 AS b FROM t", "UPDATE u SET b = 5 WHERE b = 2",
      "DROP TABLE t")
    try store.apply(
      "CREATE VIRTUAL TABLE f USING fts5(x)", "INSERT INTO f VALUES('text')",
      "CREATE TABLE f_other(y)", "INSERT INTO f_other VALUES(1)")
    #expect(
      try told(store) == [
        ["t+1{a:1}", "t+2{a:2}"],
        ["u+1{b:2}", "u+2{b:4}", "u~1{b:2}{b:5}"], ["f_other+1{y:1}"],
      ])
  }

  /// Over random work the rows that are told, applied to an empty table, give the table.
  @Test("Taken together they are the tables, over terms and checkpoints")
  func mirror() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(id INTEGER PRIMARY KEY, a, b TEXT DEFAULT 'd', c)")
    for round in 1...4 {
      let batches = (1...20).map { i in
        let statements = [
          "INSERT INTO t(a, c) SELECT random() % 50, randomblob(random() & 15) FROM (VALUES(1), (2), (3))",
          "UPDATE t SET b = hex(randomblob(3)), a = a + 1 WHERE abs(a) % 5 = abs(random()) % 5",
          "DELETE FROM t WHERE id IN (SELECT id FROM t ORDER BY random() LIMIT abs(random()) % 4)",
          "INSERT OR REPLACE INTO t(id, a) SELECT id + 1, 0 FROM t WHERE id % 7 = \(i % 7)",
        ]
        return Batch([
          Batch.Statement(statements[i % 4]), Batch.Statement(statements[(i + round) % 4]),
        ])
      }
      try store.apply(batches)
    }
    var mirror: [Int64: [RowChange.Column]] = [:]
    let feed = try RowFeed(path: store.path, from: TxID(1), environment: store.environment)
    var count = 0
    try feed.advance { entry in
      for change in try #require(entry.changes) {
        count += 1
        let key = try #require(change.rowID)
        if change.kind != .insert {
          #expect(mirror.removeValue(forKey: change.oldRowID ?? key) == change.old)
        }
        if change.kind != .delete { mirror[key] = change.new }
      }
    }
    #expect(count > 200)
    let rows = try store.query("SELECT id, a, b, c FROM t ORDER BY id")
    #expect(mirror.sorted { $0.key < $1.key }.map { $0.value.map(\.value) } == rows)
  }

  /// Why the rows of batch `first` are not told.
  private func untold(_ store: TestStore, from first: UInt64) throws -> String {
    let feed = try RowFeed(path: store.path, from: TxID(first), environment: store.environment)
    var reasons: [String] = []
    try feed.advance { reasons.append($0.untold ?? "") }
    return reasons.first ?? ""
  }

  @Test("Of a batch that comes to something else no rows are told, and the feed goes on")
  func difference() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a)")
    try store.apply("INSERT INTO t VALUES(1)")
    var log = try ForgedLog(store.layout, store.environment)
    try log.change(commit: 2) { sections in
      try sections.outcomes { outcomes in
        outcomes[0].outcome = .applied(Outcome.Applied(changes: 2, lastRowID: 1, rows: nil))
      }
    }
    try log.write(store.environment)
    #expect(try told(store) == [[], nil])
    #expect(try untold(store, from: 2).contains("batch 2"))
    store.environment.omittedChecks = [.compareOutcomes]
    #expect(try told(store) == [[], ["t+1{a:1}"]])
  }

  /// As another SQLite could make other rows and count the same.
  @Test("Rows that are others than the recorded ones are not told")
  func otherRows() throws {
    for (made, recorded, forged, what) in [
      (
        "CREATE TABLE t(a)", "INSERT INTO t VALUES('x1')", "INSERT INTO t VALUES('x2')",
        "row 1 of table t is ('x1') in the record, ('x2') replayed"
      ),
      (
        "CREATE TABLE t(a PRIMARY KEY, b) WITHOUT ROWID", "INSERT INTO t VALUES('k', 1)",
        "INSERT INTO t VALUES('k', 2)", "a row of table t, ('k', 2), is not there in the record"
      ),
    ] {
      let store = try TestStore()
      try store.apply(made)
      try store.apply(recorded)
      var log = try ForgedLog(store.layout, store.environment)
      try log.change(commit: 2) { sections in
        let text = Array(recorded.utf8)
        let place = try #require(
          sections[.batches].indices.first { sections[.batches][$0...].starts(with: text) })
        sections[.batches].replaceSubrange(place..<place + text.count, with: Array(forged.utf8))
      }
      try log.write(store.environment)
      let reason = try untold(store, from: 2)
      #expect(reason.contains(what), "\(reason)")
      store.environment.omittedChecks = [.compareRows]
      #expect(try untold(store, from: 2).isEmpty)
    }
  }

  @Test("What a sequence reads ahead is bounded in bytes")
  func readAhead() throws {
    let store = try TestStore()
    let part = Limits.bytesReadAhead / 3
    try store.apply("CREATE TABLE t(a)")
    for _ in 1...4 {
      try store.apply([
        Batch([
          Batch.Statement("INSERT INTO t VALUES(?)", [.blob([UInt8](repeating: 7, count: part))])
        ])
      ])
    }
    let feed = try ChangeFeed(path: store.path, from: TxID(1), environment: store.environment)
    var sizes: [Int] = []
    var counts: [Int] = []
    while feed.txid < TxID(5) {
      let some = try FeedSequence<ChangeFeed.Entry>.some(of: 256, size: \.byteCount) { add in
        try feed.advance { try add($0) }
      }
      counts.append(some.count)
      sizes += some.map(\.byteCount)
    }
    #expect(sizes.dropFirst().allSatisfy { (part...part + 1000).contains($0) })
    // One and three; two of three are not enough.
    #expect(counts == [4, 1])
  }

  @Test("As a sequence, which goes on with what comes, and ends with its task")
  func sequence() async throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a)")
    try store.apply("INSERT INTO t VALUES(1)")
    var seen: [UInt64] = []
    for try await case .batch(let entry) in ChangeFeed.events(path: store.path) {
      seen.append(entry.txid.rawValue)
    }
    #expect(seen == [1, 2])
    let path = store.path
    let (taken, next) = AsyncStream.makeStream(of: UInt64.self)
    let consumer = Task {
      for try await case .batch(let entry) in RowFeed.events(
        path: path, from: TxID(2), follows: true)
      {
        #expect(entry.changes?.count == 1)
        next.yield(entry.batch.txid.rawValue)
      }
      next.finish()
    }
    var iterator = taken.makeAsyncIterator()
    #expect(await iterator.next() == 2)
    try store.apply("INSERT INTO t VALUES(2)")
    #expect(await iterator.next() == 3)
    consumer.cancel()
    #expect(await iterator.next() == nil)
    try await consumer.value
    // What cannot be opened is thrown where it is read.
    await #expect(throws: StoreError.self) {
      for try await _ in ChangeFeed.events(path: path + "/nowhere") {}
    }
  }
}
