import SluiceEdits
import SluiceFakes
import SluiceJournal
import SluiceQuery
import SluiceReader
import SluiceShared
import SluiceWriter
import Testing

@testable import SluiceApplier

@Suite("A batch changes the page size, and everything goes on from the new pages")
struct PageSizeChangeTests {
  private typealias Code = Outcome.Rejection.Code

  private func filled(_ creation: StoreCreation = StoreCreation()) throws -> TestStore {
    let store = try TestStore(creation)
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY, b)", "CREATE INDEX ti ON t(b)")
    try store.apply("CREATE VIRTUAL TABLE f USING fts5(x)")
    try store.apply(
      "INSERT INTO t(b) WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM c WHERE n < 500) SELECT randomblob(n * 3) FROM c",
      "INSERT INTO f SELECT 'word' || a FROM t")
    return store
  }

  private func snapshot(_ store: TestStore, _ freshness: Freshness = .latest) throws -> Snapshot {
    try PageStore(path: store.path, environment: store.environment).snapshot(freshness)
  }

  private func content(_ store: TestStore) throws -> [[SQLValue]] {
    try store.query("SELECT a, hex(b) FROM t UNION ALL SELECT rowid, x FROM f")
  }

  private func resize(_ store: TestStore, to size: Int) throws {
    #expect(
      try store.apply("PRAGMA page_size = \(size)", "VACUUM")
        == .applied(.init(changes: 0, lastRowID: 0, rows: nil)))
  }

  /// All that reads the whole history says the same.
  private func prove(_ store: TestStore) throws {
    let found = try Verification(store: store.path, store.environment) { _ in }.run()
    #expect(found.damages == 0)
    let last = try snapshot(store).txid
    let summary = try Replay.run(
      RecordedHistory(store: store.path, store.environment),
      into: "\(store.path)/again\(last).sqlite", from: TxID(0), to: nil)
    #expect(summary.last == last)
    #expect(try store.query("PRAGMA integrity_check") == [["ok"]])
  }

  private func checkpoint(_ store: TestStore) throws {
    let pages = try PageStore(path: store.path, environment: store.environment)
    try Checkpoint(of: pages.handle).make(of: pages.published())
  }

  @Test("To every size and back", arguments: [512, 1024, 8192, 32768, 65536])
  func changes(to size: Int) throws {
    let store = try filled()
    let (before, rows) = (try snapshot(store), try content(store))
    try resize(store, to: size)
    #expect(try snapshot(store).pageSize == size)
    #expect(try store.query("PRAGMA page_size") == [[.integer(Int64(size))]])
    #expect(try content(store) == rows)
    try store.apply("INSERT INTO t(b) VALUES('behind')", "INSERT INTO f VALUES('behind')")
    #expect(try store.query("SELECT x FROM f WHERE f MATCH 'behind'") == [["behind"]])
    try prove(store)
    try checkpoint(store)
    try resize(store, to: 4096)
    try store.apply("DELETE FROM t WHERE b = 'behind'", "DELETE FROM f WHERE x = 'behind'")
    #expect(try content(store) == rows)
    try prove(store)
    #expect(try snapshot(store, .asOf(.txid(before.txid))).checksum == before.checksum)
    #expect(try snapshot(store, .asOf(.txid(before.txid.next))).pageSize == size)
  }

  @Test("In one term, with other batches before and behind it, over many segments")
  func inOneTerm() throws {
    let store = try filled()
    store.options.segmentBytes = 1 << 20
    let rows = try content(store).count
    var batches: [Batch] = []
    for size in [512, 8192, 1024, 4096] {
      batches += (0..<5).map { _ in Batch([.init("INSERT INTO t(b) VALUES(randomblob(90000))")]) }
      batches.append(Batch([.init("PRAGMA page_size = \(size)"), .init("VACUUM")]))
    }
    #expect(try store.apply(batches).allSatisfy { $0.isApplied })
    #expect(try content(store).count == rows + 20)
    #expect(try store.names(store.layout.log).count > 6)
    try prove(store)
  }

  @Test("With auto_vacuum, in either order")
  func withAutoVacuum() throws {
    let store = try filled()
    #expect(
      try store.apply("PRAGMA page_size = 1024", "PRAGMA auto_vacuum = incremental", "VACUUM")
        .isApplied)
    #expect(try store.query("PRAGMA auto_vacuum") == [[2]])
    #expect(try store.apply("PRAGMA auto_vacuum=0;", "pragma PAGE_SIZE=2048", "VACUUM").isApplied)
    #expect(try store.query("PRAGMA auto_vacuum") == [[0]])
    #expect(try snapshot(store).pageSize == 2048)
    try prove(store)
  }

  @Test(
    "Anywhere else, and to no size that SQLite does not know",
    arguments: [
      ["PRAGMA page_size = 1024"], ["PRAGMA page_size = 1024", "SELECT 1"],
      ["PRAGMA page_size = 1000", "VACUUM"], ["PRAGMA page_size = 256", "VACUUM"],
      ["PRAGMA page_size = 131072", "VACUUM"], ["PRAGMA page_size = 0", "VACUUM"],
      ["PRAGMA page_size = -1", "VACUUM"], ["PRAGMA page_size = 1024; SELECT 1", "VACUUM"],
      ["PRAGMA page_size = 1024", "PRAGMA page_size = 2048", "VACUUM"],
      ["VACUUM", "PRAGMA page_size = 1024"],
    ])
  func nowhereElse(_ texts: [String]) throws {
    let store = try filled()
    let outcomes = try store.apply([
      Batch(texts.map { .init($0) }), Batch([.init("VACUUM")]),
    ])
    #expect(outcomes[0].rejectionCode == Code.denied)
    // Nothing of it is left on the connection.
    #expect(outcomes[1].isApplied)
    #expect(try snapshot(store).pageSize == 4096)
  }

  @Test("One that fails leaves the size, and the next VACUUM keeps it")
  func failed() throws {
    let store = try filled()
    try store.apply(
      "INSERT INTO t(b) WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM c WHERE n < 20000) SELECT n FROM c"
    )
    let rows = try content(store)
    store.options.stepsPerBatch = 1
    let outcomes = try store.apply([
      Batch([.init("PRAGMA page_size = 512"), .init("VACUUM")]),
      Batch([.init("INSERT INTO t(a, b) VALUES(100000, 1)")]),
    ])
    #expect(outcomes[0].rejectionCode == Code.stepLimit)
    #expect(outcomes[1].isApplied)
    store.options.stepsPerBatch = Limits.stepsPerBatch
    #expect(try store.apply("VACUUM").isApplied)
    #expect(try snapshot(store).pageSize == 4096)
    #expect(try content(store).count == rows.count + 1)
  }

  @Test("A transaction that began on pages of the old size is refused as a conflict")
  func transactions() throws {
    let store = try filled()
    let old = try EditedSnapshot(snapshot(store))
    try old.execute("UPDATE t SET b = 'old' WHERE a = 1")
    try old.take()
    try resize(store, to: 1024)
    #expect(
      try store.apply([Batch(.commit(try old.batch()), key: nil)])[0].rejectionCode
        == Code.conflict)
    let new = try EditedSnapshot(snapshot(store))
    try new.execute("UPDATE t SET b = 'new' WHERE a = 1")
    try new.take()
    #expect(try store.apply([Batch(.commit(try new.batch()), key: nil)])[0].isApplied)
    #expect(try store.query("SELECT b FROM t WHERE a = 1") == [["new"]])
    try prove(store)
  }

  @Test("Taken from the checkpoint, the size would be wrong")
  func planted() throws {
    let store = try filled()
    store.environment.omittedChecks = [.ownPageSize]
    let outcome = try? store.apply("PRAGMA page_size = 1024", "VACUUM")
    let isWhole = try? store.query("PRAGMA integrity_check") == [["ok"]]
    #expect(outcome?.isApplied != true || isWhole != true)
  }
}
