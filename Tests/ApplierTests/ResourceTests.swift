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

  /// Also what is looked for because of it, which may be all that there is: twice, where it turns foreign keys
  /// off.
  @Test func whatIsLookedForBecauseOfABatchIsItsTime() throws {
    let store = try TestStore()
    try store.apply(
      "CREATE TABLE p(a INTEGER PRIMARY KEY)", "CREATE TABLE c(p REFERENCES p(a))",
      "INSERT INTO p VALUES (1)",
      "INSERT INTO c WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000000) SELECT 1 FROM n"
    )
    store.options.batchTime = .milliseconds(50)
    var off = Batch([Batch.Statement("INSERT INTO p VALUES (2)")])
    off.switches = [SettingSwitch(.foreignKeys, on: false, beforeStatement: 0)]
    let small = Batch([Batch.Statement("INSERT INTO p VALUES (3)")])
    let outcomes = try store.apply([small, off, Batch([Batch.Statement("SELECT 1")])])
    #expect(outcomes.map(\.rejectionCode) == [nil, Code.timeLimit, nil], "\(outcomes)")
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
    let behind = try writer.submitBlocking(Batch([Batch.Statement("DELETE FROM t WHERE a = 1")]))
    let log = Log(of: try store.handle)
    // Others' batches of the same group, and of later terms, are applied; it waits, and its writer's next.
    for n in 1...2 {
      let small = Batch([Batch.Statement("INSERT INTO t VALUES (?, 'x')", [.integer(Int64(-n))])])
      #expect(try store.apply([small])[0].isApplied)
      #expect(try log.present().beacon.status.ignored == 1)
    }
    #expect(try store.query("SELECT a FROM t ORDER BY a") == [[-2], [-1]])
    store.environment.fileSystem = real
    try store.drain()
    #expect(try writer.outcomeBlocking(of: receipt, timeout: .seconds(60)).outcome.isApplied)
    #expect(try writer.outcomeBlocking(of: behind, timeout: .seconds(60)).outcome.isApplied)
    #expect(try store.query("SELECT count(*) FROM t") == [[901]])
    #expect(try log.present().beacon.status.ignored == 0)
    writer.closeBlocking()
  }

  /// Within one term: it is tried again, ever more seldom, and done as soon as there is room.
  @Test(arguments: [false, true]) func aBatchWithoutRoomIsTriedAgain(isInCommit: Bool) throws {
    let store = try TestStore()
    store.options.cacheBytes = isInCommit ? 256 << 20 : 256 << 10
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
    let big = Batch([
      Batch.Statement(
        "INSERT INTO t(b) WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM c WHERE n < 900) SELECT hex(randomblob(50000)) FROM c"
      )
    ])
    let real = store.environment.fileSystem
    let files = SmallScratchFileSystem(real, bytes: 8 << 20, others: 8 * Limits.leastScratchBytes)
    store.environment.fileSystem = files
    let writer = try store.writer()
    let receipt = try writer.submitBlocking(big)
    let other = try store.writer()
    var small = 0
    let patience = ContinuousClock.now + .seconds(300 * TestStore.patience)
    try Applier(path: store.path, options: store.options, environment: store.environment).run(
      shouldStop: {
        guard ContinuousClock.now < patience else { return true }
        if small == 5, files.refusals.withLock({ $0 }) > 2 { files.isFull.withLock { $0 = false } }
        let count = (try? store.query("SELECT count(*) FROM t WHERE a < 0")) ?? []
        if small < 5, count == [[.integer(Int64(small))]] {
          small += 1
          _ = try? other.submitBlocking(
            Batch([Batch.Statement("INSERT INTO t VALUES (?, 'x')", [.integer(Int64(-small))])]))
        }
        return (try? store.query("SELECT count(*) FROM t")) == [[905]]
      })
    #expect(small == 5)
    #expect(try writer.outcomeBlocking(of: receipt, timeout: .seconds(10)).outcome.isApplied)
    writer.closeBlocking()
    other.closeBlocking()
  }
}
