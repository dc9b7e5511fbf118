import SluiceApplier
import SluiceJournal
import SluiceShared
import SluiceWriter
import Testing

private typealias Code = Outcome.Rejection.Code

@Suite("A batch is rejected for what it uses itself, and for nothing else")
struct ResourceTests {
  /// An applier that a program embeds has no child that could be killed.
  @Test func aBatchThatComputesForLongIsRejectedAlone() throws {
    let store = try TestStore()
    store.options.batchTime = .milliseconds(300)
    try store.apply("CREATE TABLE t(a)")
    let long = Batch([
      Batch.Statement(
        "INSERT INTO t WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM c WHERE n < 1000000000) SELECT max(n) FROM c"
      )
    ])
    let small = Batch([Batch.Statement("INSERT INTO t VALUES('small')")])
    let outcomes = try store.apply([small, long, small])
    #expect(outcomes.map(\.rejectionCode) == [nil, Code.timeLimit, nil], "\(outcomes)")
    #expect(try store.query("SELECT count(*) FROM t") == [[2]])
  }

  /// A rejection is for good, and the disk is not the batch's alone.
  @Test func aScratchDiskThatOthersFilledRejectsNothing() throws {
    let store = try TestStore()
    store.options.cacheBytes = 256 << 10
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
    let big = Batch([
      Batch.Statement(
        "INSERT INTO t(b) WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM c WHERE n < 900) SELECT hex(randomblob(50000)) FROM c ORDER BY 1"
      )
    ])
    let real = store.environment.fileSystem
    let room = Limits.leastScratchBytes + (4 << 20)
    store.environment.fileSystem = SmallScratchFileSystem(real, bytes: room, others: 8 * room)
    let writer = try store.writer()
    let receipt = try writer.submitBlocking(big)
    for _ in 0..<3 {
      let error = #expect(throws: StoreError.self) { try store.drain() }
      #expect(error?.isFullDisk == true)
    }
    store.environment.fileSystem = real
    try store.drain()
    #expect(try writer.outcomeBlocking(of: receipt, timeout: .seconds(60)).outcome.isApplied)
    writer.closeBlocking()
  }
}
