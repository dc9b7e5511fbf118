import BenchmarkSupport
import CSQLite
import Logging
import SluiceApplier
import SluiceJournal
import SluiceQuery
import SluiceReader
import SluiceShared
import SluiceWriter

/// The table of rows 3 and 4: an index whose keys come in no order.
private let schema = [
  "CREATE TABLE readings(id INTEGER PRIMARY KEY, sensor INTEGER NOT NULL, text TEXT NOT NULL)",
  "CREATE INDEX readings_by_sensor ON readings(sensor)",
]
private let insert = "INSERT INTO readings(sensor, text) VALUES (?, ?)"

/// Rows that are the same in each run and in no order.
private struct Rows: Sequence, IteratorProtocol {
  private var state: UInt64 = 1

  mutating func next() -> [SQLValue]? {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    let sensor = Int64(state >> 20)
    return [.integer(sensor), .text("reading of sensor \(sensor), as it came in")]
  }
}

/// Row 3: 1,000 rows a batch.
func largeBatches(_ work: WorkDirectory) throws -> Round {
  try applying(work, batches: 300, rowsPerBatch: 1000, batchesPerFlush: 1)
}

/// Row 4: one row a batch. As many batches share a flush as 16 tasks bring together.
func smallBatches(_ work: WorkDirectory) throws -> Round {
  try applying(work, batches: 60_000, rowsPerBatch: 1, batchesPerFlush: 16)
}

private func applying(
  _ work: WorkDirectory, batches: Int, rowsPerBatch: Int, batchesPerFlush: Int
) throws -> Round {
  let rows = batches * rowsPerBatch
  let files = RecordingFileSystem()
  func applying(in store: String, _ options: ApplierOptions) throws -> Double {
    try StoreCreation().make(at: store)
    try fillJournal(
      of: store, batches: batches, rowsPerBatch: rowsPerBatch, batchesPerFlush: batchesPerFlush)
    var environment = Environment.posix()
    environment.fileSystem = files
    _ = files.record.take()
    let applier = try Applier(path: store, options: options, environment: environment)
    let time = try nanoseconds { try applier.run(shouldStop: { false }) }
    try expect(rows, in: store)
    return time
  }
  var local = quietOptions(drains: true)
  local.worker = nil
  let inProcess = try applying(in: work["local"], local)
  let ours = try applying(in: work["store"], quietOptions(drains: true))
  let syncs = files.record.take()
  let bare = try BareFile(
    work["bare"], size: Int64(syncs.reduce(1 << 20, +)), largestWrite: max(4096, syncs.max() ?? 0))
  let writes = try nanoseconds { for count in syncs { try bare.write(count) } }

  let baseline = try plainInserts(work["plain.sqlite"], rows: rows, perTransaction: 1000)
  var notes = [("executed in the applier's own process", rate(Double(rows) / inProcess * 1e9))]
  var (least, name) = (baseline, "the inserts")
  if rowsPerBatch == 1 {
    // The other reading of "one row each".
    let alone = try plainInserts(work["alone.sqlite"], rows: rows, perTransaction: 1)
    notes.append(("SQLite with a transaction a row", rate(Double(rows) / alone * 1e9)))
    least = try plainInserts(
      work["kept.sqlite"], rows: rows, perTransaction: 1000, keepsPosition: true)
    name = "inserts with a savepoint and a position each"
  }
  func each(_ time: Double) -> String {
    BenchmarkSupport.time(microseconds: time / Double(rows) / 1000)
  }
  return Round(
    ours: Double(rows) / ours * 1e9, baseline: Double(rows) / baseline * 1e9, notes: notes,
    limit: (
      "\(name), and the \(syncs.count) syncs of the log, bare",
      Double(rows) / (least + writes) * 1e9
    ),
    cause:
      "of \(each(ours)) a row \(name) are \(each(least)) and \(syncs.reduce(0, +) >> 20) MiB of durable writes \(each(writes)); in the other \(each(ours - least - writes)) batches are read and decoded, outcomes recorded, pages compressed and summed"
  )
}

/// As `sluice apply` has them: batches are executed in a child process, and hints are taken.
func quietOptions(drains: Bool) -> ApplierOptions {
  var options = ApplierOptions(
    holder: "bench", logger: Logger(label: "bench") { _ in SwiftLogNoOpLogHandler() })
  options.drains = drains
  options.hints = .loopback
  options.worker = WorkerProgram(path: "/proc/self/exe", arguments: [ExecuteRole.name])
  return options
}

func fillJournal(
  of store: String, batches: Int, rowsPerBatch: Int, batchesPerFlush: Int
) throws {
  var options = Writer.Options()
  options.followsOutcomes = false
  let writer = try Writer(store: store, options: options)
  _ = try writer.submitBlocking(Batch(schema.map { Batch.Statement($0) }))
  var rows = Rows()
  var left = batches
  while left > 0 {
    let count = min(left, batchesPerFlush)
    let group = (0..<count).map { _ in
      Batch([Batch.Statement(insert, rows: Array(rows.prefixOfNext(rowsPerBatch)))])
    }
    for result in writer.submitBlocking(group) { _ = try result.get() }
    left -= count
  }
  writer.closeBlocking()
}

extension Rows {
  fileprivate mutating func prefixOfNext(_ count: Int) -> [[SQLValue]] {
    (0..<count).compactMap { _ in next() }
  }
}

/// Nanoseconds that the same rows take in plain SQLite, with neither journal nor sync.
/// `keepsPosition`: with what makes each row all or nothing and executed once.
private func plainInserts(
  _ path: String, rows count: Int, perTransaction: Int, keepsPosition: Bool = false
) throws -> Double {
  let plain = try PlainSQLite(path)
  // As much cache as an applier has.
  try plain.execute(
    "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -\(Limits.cacheBytes >> 10)"
  )
  for statement in schema { try plain.execute(statement) }
  try plain.execute("CREATE TABLE position(writer BLOB PRIMARY KEY, last) WITHOUT ROWID")
  try plain.execute("INSERT INTO position VALUES (x'00112233445566778899aabbccddeeff', 0)")
  let savepoint = try plain.prepare("SAVEPOINT batch")
  let release = try plain.prepare("RELEASE batch")
  let position = try plain.prepare(
    "UPDATE position SET last = last + 1 WHERE writer = x'00112233445566778899aabbccddeeff'")
  let begin = try plain.prepare("BEGIN")
  let commit = try plain.prepare("COMMIT")
  let statement = try plain.prepare(insert)
  defer {
    for statement in [begin, commit, statement, savepoint, release, position] {
      sqlite3_finalize(statement)
    }
  }
  // Made before, as the batches are.
  var source = Rows()
  let rows = (0..<count).map { _ -> (Int64, [CChar]) in
    guard case .integer(let sensor)? = source.next()?.first else { return (0, [0]) }
    return (sensor, Array("reading of sensor \(sensor), as it came in".utf8CString))
  }
  return try nanoseconds {
    var inTransaction = 0
    for (sensor, text) in rows {
      if inTransaction == 0, perTransaction > 1 { try plain.run(begin) }
      if keepsPosition { try plain.run(savepoint) }
      sqlite3_bind_int64(statement, 1, sensor)
      try text.withUnsafeBufferPointer { text throws(RunError) in
        sqlite3_bind_text(
          statement, 2, text.baseAddress, Int32(text.count - 1), csqlite_static())
        try plain.run(statement)
      }
      if keepsPosition {
        try plain.run(position)
        try plain.run(release)
      }
      inTransaction += 1
      if inTransaction == perTransaction {
        if perTransaction > 1 { try plain.run(commit) }
        inTransaction = 0
      }
    }
    if inTransaction > 0, perTransaction > 1 { try plain.run(commit) }
  }
}

/// All rows were applied: what was timed was the work.
private func expect(_ rows: Int, in store: String) throws {
  let found = try Database(path: store).read { try $0.scalar("SELECT count(*) FROM readings") }
  guard found == .integer(Int64(rows)) else {
    throw RunError("\(rows) rows were to be applied, there are \(found ?? .null)")
  }
}

/// The rows of row 4 in plain SQLite, as the connection is set up, a transaction each.
func insertRows(_ plain: PlainSQLite, count: Int) throws {
  for statement in schema { try plain.execute(statement) }
  let statement = try plain.prepare(insert)
  defer { sqlite3_finalize(statement) }
  var rows = Rows()
  for _ in 0..<count {
    guard case .integer(let sensor)? = rows.next()?.first else { continue }
    sqlite3_bind_int64(statement, 1, sensor)
    let text = Array("reading of sensor \(sensor), as it came in".utf8CString)
    try text.withUnsafeBufferPointer { text throws(RunError) in
      sqlite3_bind_text(statement, 2, text.baseAddress, Int32(text.count - 1), csqlite_static())
      try plain.run(statement)
    }
  }
}
