import SluiceFakes
import SluiceJournal
import SluiceQuery
import SluiceReader
import SluiceShared
import SluiceWriter
import Testing

@testable import SluiceApplier

@Suite("VACUUM is a batch, and its commit has the whole database")
struct CompactionTests {
  private typealias Code = Outcome.Rejection.Code

  /// A store most of which is free pages, an index and a full-text index included.
  private func sparse(_ store: TestStore) throws {
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY, b)", "CREATE INDEX ti ON t(b)")
    try store.apply("CREATE TABLE bare(b)", "CREATE VIRTUAL TABLE f USING fts5(x)")
    try store.apply(
      "INSERT INTO t(b) WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM c WHERE n < 800) SELECT randomblob(700) FROM c",
      "INSERT INTO bare SELECT a FROM t", "INSERT INTO f SELECT 'word' || a FROM t")
    try store.apply("DELETE FROM t WHERE a % 40", "DELETE FROM bare WHERE b % 40")
  }

  private func snapshot(_ store: TestStore) throws -> Snapshot {
    try PageStore(path: store.path, environment: store.environment).snapshot(.latest)
  }

  /// The bytes of a checkpoint of the present.
  private func checkpointed(_ store: TestStore) throws -> Int64 {
    let pages = try PageStore(path: store.path, environment: store.environment)
    try Checkpoint(of: pages.handle).make(of: pages.published())
    let name = StoreLayout.checkpointName(pages.current.txid)
    return try PosixFileSystem().status("\(store.layout.checkpoints)/\(name)").size
  }

  /// SQLite may number rows anew that have no number of their own.
  private func content(_ store: TestStore) throws -> [[SQLValue]] {
    try store.query(
      "SELECT a, hex(b) FROM t UNION ALL SELECT 0, b FROM bare UNION ALL SELECT rowid, x FROM f")
  }

  @Test("It gives free pages back, and nothing else changes")
  func shrinks() throws {
    let store = try TestStore()
    try sparse(store)
    let (before, rows) = (try snapshot(store), try content(store))
    let sizeBefore = try checkpointed(store)
    #expect(try store.apply("VACUUM") == .applied(.init(changes: 0, lastRowID: 0, rows: nil)))
    let after = try snapshot(store)
    #expect(after.pageCount * 3 < before.pageCount)
    #expect(after.txid == before.txid.next)
    #expect(try content(store) == rows)
    #expect(try store.query("PRAGMA integrity_check") == [["ok"]])
    #expect(try store.query("PRAGMA freelist_count") == [[0]])
    // It is a state as any other: batches, readers, checkpoints, verification and replay go on from it.
    try store.apply("INSERT INTO t(b) VALUES('behind')", "INSERT INTO f VALUES('behind')")
    #expect(try store.query("SELECT x FROM f WHERE f MATCH 'behind'") == [["behind"]])
    // What it frees is seen in the next checkpoint.
    let size = try checkpointed(store)
    #expect(size * 3 < sizeBefore, "\(sizeBefore) bytes before, \(size) behind it")
    #expect(try size == Int64(snapshot(store).pageCount) * Int64(after.pageSize))
    let found = try Verification(store: store.path, store.environment) { _ in }.run()
    #expect(found.damages == 0)
    let summary = try Replay.run(
      RecordedHistory(store: store.path, store.environment), into: "\(store.path)/again.sqlite",
      from: TxID(0), to: nil)
    #expect(summary.last == after.txid.next)
  }

  @Test("Batches before and behind it in one group keep their order")
  func inOrder() throws {
    let store = try TestStore()
    try sparse(store)
    let first = try snapshot(store).txid
    let outcomes = try store.apply([
      Batch([.init("INSERT INTO bare VALUES('before')")]), Batch([.init("VACUUM")], key: "once"),
      Batch([.init("INSERT INTO bare VALUES('behind')")]), Batch([.init("VACUUM")], key: "once"),
    ])
    #expect(outcomes.prefix(3).allSatisfy { $0.isApplied })
    #expect(
      outcomes[3]
        == .duplicate(
          of: first.advanced(by: 2), original: .applied(.init(changes: 0, lastRowID: 0, rows: nil)))
    )
    #expect(
      try store.query("SELECT b FROM bare WHERE b > 'a' ORDER BY rowid") == [
        ["before"], ["behind"],
      ]
    )
  }

  @Test("How free pages are given back changes with it")
  func autoVacuum() throws {
    let store = try TestStore()
    try sparse(store)
    #expect(try store.apply("PRAGMA auto_vacuum = incremental", "VACUUM").isApplied)
    #expect(try store.query("PRAGMA auto_vacuum") == [[2]])
    try store.apply("DELETE FROM t")
    let before = try snapshot(store).pageCount
    #expect(try store.apply("PRAGMA incremental_vacuum(5)").isApplied)
    #expect(try snapshot(store).pageCount == before - 5)
    #expect(try store.apply("PRAGMA incremental_vacuum").isApplied)
    #expect(try store.query("PRAGMA freelist_count") == [[0]])
    #expect(try store.query("PRAGMA integrity_check") == [["ok"]])
  }

  @Test(
    "It is together with nothing else",
    arguments: [
      Batch([.init("INSERT INTO bare VALUES('lost')"), .init("VACUUM")]),
      Batch([.init("VACUUM"), .init("INSERT INTO bare VALUES('lost')")]),
      Batch([.init("VACUUM"), .init("VACUUM")]),
      Batch([.init("VACUUM")], guards: [.init("SELECT 1")]),
      Batch([.init("VACUUM", [1])]),
      Batch([.init("PRAGMA auto_vacuum = 2"), .init("PRAGMA auto_vacuum = 1"), .init("VACUUM")]),
    ])
  func alone(_ batch: Batch) throws {
    let store = try TestStore()
    try sparse(store)
    let pages = try snapshot(store).pageCount
    #expect(try store.apply([batch])[0].rejectionCode == Code.denied)
    #expect(try snapshot(store).pageCount >= pages)
    #expect(try store.query("SELECT count(*) FROM bare WHERE b = 'lost'") == [[0]])
    #expect(try store.apply("INSERT INTO bare VALUES('next')").isApplied)
  }

  @Test(
    "Nothing comes along with it that a batch may not do",
    arguments: [
      ["VACUUM; DELETE FROM _sluice_state"],
      ["VACUUM main; UPDATE _sluice_writers SET sequence = 0"],
      ["VACUUM; BEGIN"], ["VACUUM; DROP TABLE bare"], ["VACUUM;;"],
      ["VACUUM /* */; -- now\n SELECT 1"],
      ["PRAGMA auto_vacuum = 2; DELETE FROM _sluice_keys", "VACUUM"],
      ["PRAGMA auto_vacuum = 2; DELETE FROM _sluice_keys"],
      ["PRAGMA auto_vacuum(2); DROP TABLE bare", "VACUUM"],
      ["VACUUM \"main\" INTO 'x'"],
      ["VACUUM INTO 'x'"], ["PRAGMA auto_vacuum = incremental"],
      ["PRAGMA auto_vacuum = 7", "VACUUM"],
    ])
  func nothingElse(_ texts: [String]) throws {
    let store = try TestStore()
    try sparse(store)
    let rows = try content(store)
    let outcomes = try store.apply([
      Batch(texts.map { .init($0) }), Batch([.init("INSERT INTO bare VALUES('behind')")]),
    ])
    let code = outcomes[0].rejectionCode
    #expect([Code.denied, "SQLITE_ERROR"].contains(code ?? ""), "\(outcomes[0])")
    #expect(outcomes[1].isApplied)
    #expect(try content(store).count == rows.count + 1)
    #expect(try store.query("PRAGMA auto_vacuum") == [[0]])
  }

  @Test("Too many steps, or too little room, cost the batch and nothing else")
  func bounded() throws {
    let store = try TestStore()
    try sparse(store)
    try store.apply(
      "INSERT INTO t(b) WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM c WHERE n < 20000) SELECT n FROM c"
    )
    let rows = try content(store)
    store.options.stepsPerBatch = 1
    #expect(try store.apply("VACUUM").rejectionCode == Code.stepLimit)
    store.options.stepsPerBatch = Limits.stepsPerBatch
    store.options.scratchBytes = 20_000
    #expect(try store.apply("VACUUM").rejectionCode == Code.resources)
    store.options.scratchBytes = Limits.scratchBytes
    #expect(try content(store) == rows)
    let outcomes = try store.apply([
      Batch([.init("VACUUM")]), Batch([.init("INSERT INTO bare VALUES('next')")]),
    ])
    #expect(outcomes.allSatisfy { $0.isApplied })
    #expect(try store.query("PRAGMA integrity_check") == [["ok"]])
  }

  @Test("A reader that holds the old state keeps it, and then sees the new one")
  func beside() throws {
    let store = try TestStore()
    try sparse(store)
    let pages = try PageStore(path: store.path, environment: store.environment)
    let database = Database(pages, executor: store.environment.executor)
    let rows = try content(store)
    try database.read { transaction in
      let before = try transaction.query("SELECT count(*), sum(a) FROM t")
      try store.apply("VACUUM")
      #expect(try transaction.query("SELECT count(*), sum(a) FROM t") == before)
      #expect(try transaction.query("PRAGMA integrity_check") == [["ok"]])
    }
    #expect(try database.read { try $0.query("PRAGMA freelist_count") } == [[0]])
    #expect(try content(store) == rows)
  }

  @Test("Without its pages the commit would be wrong")
  func planted() throws {
    let store = try TestStore()
    try sparse(store)
    store.environment.omittedChecks = [.compactedPages]
    let outcome = try? store.apply("VACUUM")
    store.environment.omittedChecks = []
    let isWhole = try? store.query("PRAGMA integrity_check") == [["ok"]]
    let freePages = try? store.query("PRAGMA freelist_count")
    #expect(outcome?.isApplied != true || isWhole != true || freePages != [[0]])
  }
}
