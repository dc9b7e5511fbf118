import SluiceJournal
import SluiceReader
import SluiceShared
import SluiceWriter
import Testing

@testable import SluiceApplier

/// With sizes that make nearly every commit a large one.
@Suite(
  "A commit that is too large for memory is made in scratch files, and is a commit like others")
struct CommitSizeTests {
  private func store() throws -> TestStore {
    let store = try TestStore()
    store.environment.commitSizes = .small
    return store
  }

  private static let fill = """
    WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 200)
    INSERT INTO t(v) SELECT randomblob(900) FROM c
    """

  private func isWhole(_ store: TestStore) throws {
    #expect(try store.query("PRAGMA integrity_check") == [["ok"]])
    let found = try Verification(store: store.path, store.environment) { _ in }.run()
    #expect(found.damages == 0)
    _ = try Replay.compare(try RecordedHistory(store: store.path, store.environment))
  }

  @Test("Whatever it does to the database")
  func everyKind() throws {
    let store = try store()
    try store.apply("PRAGMA auto_vacuum = INCREMENTAL", "VACUUM")
    for sql in [
      "CREATE TABLE t(id INTEGER PRIMARY KEY, v)", Self.fill, "CREATE INDEX i ON t(v)",
      "UPDATE t SET v = randomblob(901) WHERE id % 3 = 0", "DELETE FROM t WHERE id > 50",
      "PRAGMA incremental_vacuum(20)", Self.fill, "VACUUM", "DROP INDEX i",
      "ALTER TABLE t ADD COLUMN w DEFAULT 7", "DROP TABLE t", "CREATE TABLE t(id, v)",
    ] {
      let outcome = try store.apply(sql)
      #expect(outcome.isApplied, "\(sql): \(outcome)")
    }
    // Undone from within, and by itself, with pages in the scratch file.
    #expect(try !store.apply(Self.fill, "INSERT OR ROLLBACK INTO t VALUES (1, x)").isApplied)
    #expect(try store.apply(Self.fill).isApplied)
    #expect(try store.query("SELECT count(*), sum(length(v)) FROM t") == [[200, 180_000]])
    try isWhole(store)
  }

  @Test(
    "One that is larger than a commit may be is rejected with the limit, and all goes on",
    arguments: [
      "at most 102400 bytes of pages; split it", "at most 25 pages, and these have 4096 bytes",
    ])
  func tooLarge(_ limit: String) throws {
    let store = try store()
    if limit.contains("bytes of pages") {
      store.environment.commitSizes.commitBytes = 100 << 10
    } else {
      store.environment.commitSizes.commitPages = 25
    }
    // Pages leave it before COMMIT, as they do where they are really many.
    store.options.cacheBytes = 16 << 10
    try store.apply("CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
    let outcomes = try store.apply([
      Batch([Batch.Statement("INSERT INTO t VALUES (1, randomblob(50000))")]),
      Batch([Batch.Statement(Self.fill)]),
      Batch([Batch.Statement("INSERT INTO t VALUES (2, randomblob(50000))")]),
    ])
    #expect(outcomes[0].isApplied && outcomes[2].isApplied, "\(outcomes)")
    #expect(outcomes[1].rejectionCode == Outcome.Rejection.Code.resources)
    #expect("\(outcomes[1])".contains(limit), "\(outcomes[1])")
    #expect(try store.query("SELECT count(*) FROM t") == [[2]])
    #expect(try store.query("PRAGMA integrity_check") == [["ok"]])
  }
}
