import BenchmarkSupport
import Glibc
import SluiceApplier
import SluiceJournal
import SluiceQuery
import SluiceReader
import SluiceShared
import SluiceWriter

/// Row 9: the batches of row 4, executed again from the log.
func replays(_ work: WorkDirectory) throws -> Round {
  let batches = 20_000
  let store = work["store"]
  try StoreCreation().make(at: store)
  try fillJournal(of: store, batches: batches, rowsPerBatch: 1, batchesPerFlush: 16)
  let applying = try time(.apply, store, work)
  let replayed = work["replayed.sqlite"]
  let replaying = try time(.replay, store, to: replayed, work)
  let rows = try PlainSQLite(replayed).count("readings")
  guard rows == batches else {
    throw RunError("\(rows) batches were replayed in place of \(batches)")
  }
  return Round(
    ours: Double(batches) / replaying * 1e9, baseline: Double(batches) / applying * 1e9)
}

/// Row 10: a database whose pages are half in a checkpoint and half in the log.
func restores(_ work: WorkDirectory) throws -> Round {
  let store = try large(work)
  let path = work["restored.sqlite"]
  // Who first takes so much memory from a virtual machine's host waits for it.
  _ = try time(.restore, store, to: path, work)
  _ = try perByte(work, of: path, 1)
  for path in [path, work["copy"]] { unlink(path) }
  return try perByte(work, of: path, time(.restore, store, to: path, work))
}

/// Row 11: such a database of 1 GiB, with the durable names that a checkpoint has.
func checkpoints(_ work: WorkDirectory) throws -> Round {
  let store = try large(work, mebibytes: 1024)
  let pages = try PageStore(path: store, environment: .posix())
  let ours = try time(.checkpoint, store, work)
  let name = StoreLayout.checkpointName(try pages.published(.latest).txid)
  return try perByte(work, of: "\(pages.layout.checkpoints)/\(name)", ours)
}

/// Row 12: a process opens a store of 1 GiB that has 512 MiB of log since its checkpoint, and reads a row, with
/// what it reads in the page cache.
func openings(_ work: WorkDirectory) throws -> Round {
  let store = try large(work, mebibytes: 1024, parts: 128)
  func open() throws -> Double {
    try nanoseconds {
      let found = try Database(path: store).read {
        try $0.scalar("SELECT count(*) FROM filler WHERE id = 1")
      }
      guard found == .integer(1) else { throw RunError("the row is not there") }
    }
  }
  _ = try open()
  let times = Sample(try (0..<9).map { _ in try open() })
  return Round(ours: times.median / 1e3, baseline: 50_000)
}

/// Row 15: one-row batches applied while one checkpoint after the other is made of 256 MiB.
func appliesBesideCheckpoints(_ work: WorkDirectory) throws -> Round {
  let batches = 60_000
  let store = try large(work)
  func applying(_ batch: String) throws -> Double {
    var options = Writer.Options()
    options.followsOutcomes = false
    let writer = try Writer(store: store, options: options)
    let one = Batch([Batch.Statement("INSERT INTO filler(bytes) VALUES (?)", [.text(batch)])])
    for _ in 0..<batches / 16 {
      let group = [Batch](repeating: one, count: 16)
      for result in writer.submitBlocking(group) { _ = try result.get() }
    }
    writer.closeBlocking()
    var applied = quietOptions(drains: true)
    applied.checkpointBytes = .max
    applied.checkpointSegments = .max
    applied.retention.keep = nil
    let applier = try Applier(path: store, options: applied)
    return try nanoseconds { try applier.run(shouldStop: { false }) }
  }
  let alone = try applying("alone")
  let (isDone, made) = (Monitor(false), Monitor<[Swift.Result<Bool, any Error>]>([]))
  let making = ThreadExecutor.shared.start {
    while !isDone.withLock({ $0 }) {
      let result = Swift.Result { try makeCheckpoint(of: store) }
      made.withLock { $0.append(result) }
      SystemClock().sleep(.milliseconds(1))
    }
  }
  let beside = try applying("beside")
  isDone.withLock { $0 = true }
  making.wait()
  let count = try made.withLock { $0 }.count { try $0.get() }
  return Round(
    ours: Double(batches) / beside * 1e9, baseline: Double(batches) / alone * 1e9,
    notes: [("checkpoints", "\(count)")])
}

/// False where there is one of the newest batch.
private func makeCheckpoint(of store: String) throws -> Bool {
  let pages = try PageStore(path: store, environment: .posix())
  let published = try pages.published()
  guard published.snapshot.checkpointTxID != published.txid else { return false }
  try Checkpoint(of: pages.handle)
    .make(of: published)
  return true
}

/// 256 MiB, or more, of which updates write half anew, each in so many batches.
func large(_ work: WorkDirectory, mebibytes: Int = 256, updates: Int = 1, parts: Int = 1) throws
  -> String
{
  let plain = try PlainSQLite(work["plain.sqlite"])
  try plain.execute(
    """
    PRAGMA synchronous = OFF;
    CREATE TABLE filler(id INTEGER PRIMARY KEY, bytes BLOB);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < \(mebibytes << 8))
    INSERT INTO filler SELECT i, randomblob(4000) FROM n
    """)
  let store = work["store"]
  var creation = StoreCreation()
  creation.source = work["plain.sqlite"]
  try creation.make(at: store)
  let batches = (0..<updates * parts).map { i in
    Batch([
      Batch.Statement(
        "UPDATE filler SET bytes = randomblob(4000) WHERE id % 2 AND id / 2 % \(parts) = \(i % parts)"
      )
    ])
  }
  for result in try Writer.submitOnce(store: store, batches).results { _ = try result.get() }
  var options = quietOptions(drains: true)
  // What is measured makes its own.
  options.checkpointBytes = .max
  options.checkpointSegments = .max
  options.retention.keep = nil
  try Applier(path: store, options: options).run(shouldStop: { false })
  // The first fsync would write what is left of making it.
  sync()
  return store
}

/// Against a copy of the same file, durable as it is.
private func perByte(_ work: WorkDirectory, of path: String, _ ours: Double) throws -> Round {
  let bytes = Double(try PosixFileSystem().status(path).size)
  let baseline = try time(.copy, path, to: work["copy"], work)
  return Round(ours: bytes / ours * 1e9 / 1e6, baseline: bytes / baseline * 1e9 / 1e6)
}
