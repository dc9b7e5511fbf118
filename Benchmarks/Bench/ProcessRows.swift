import BenchmarkSupport
import Glibc
import SluiceApplier
import SluiceJournal
import SluiceQuery
import SluiceReader
import SluiceShared
import SluiceWriter

/// Row 5: 32 processes write a row at a time, each the next when its last is done.
func manyProcesses(_ work: WorkDirectory) throws -> Round {
  let store = work["store"]
  let applier = try startStore(store, work, schema: Deposits.schema)
  let ours = try throughput("submit", store, work, applier)
  try applier.stop()
  let written = try Database(path: store).read { try $0.scalar("SELECT count(*) FROM deposits") }
  guard written == .integer(Int64(ours.writes)) else {
    throw RunError("\(ours.writes) rows were said to be applied, there are \(written ?? .null)")
  }

  let path = work["plain.sqlite"]
  try PlainSQLite(path).execute(Deposits.schema)
  let baseline = try throughput("write", path, work)
  let bare = try throughput("block", work["bare"], work)
  // As long as nothing else is its limit.
  let limit = ours.perSecond / ours.busy
  return Round(
    ours: ours.perSecond, baseline: baseline.perSecond,
    notes: [
      ("one durable 4 KiB write after another, each process", rate(bare.perSecond)),
      ("processors busy", "\(fixed(ours.busy * 100, 0)) %"),
    ],
    limit: ("if the processors had nothing to wait for", limit),
    cause:
      "a batch takes \(ours.perBatch) of the processors, and a write with the lock \(baseline.perBatch): if they were busy all the time it would be \(fixed(limit / baseline.perSecond, 1)) ×"
  )
}

/// Row 26: the same where a disk answers at once.
func manyProcessesOnQuickDisk() throws -> Round {
  let memory = "/dev/shm"
  guard access(memory, W_OK) == 0, try fileSystemType(of: memory) == "tmpfs" else {
    throw Skipped(reason: "\(memory) is no file system in memory")
  }
  return try manyProcesses(try WorkDirectory(in: memory, prefix: "sluice-bench"))
}

/// Makes a store, starts an applier for it in a process of its own, and has it execute `schema`.
func startStore(_ store: String, _ work: WorkDirectory, schema: String) throws -> ChildProcess {
  try StoreCreation().make(at: store)
  let applier = try ChildProcess(
    "applier", try ownExecutable(), ["applier", store], output: work["applier.out"],
    log: work["applier.log"])
  let (writer, results) = try Writer.submitOnce(
    store: store, [Batch([Batch.Statement(schema)])])
  for result in results {
    _ = try writer.outcomeBlocking(of: try result.get(), timeout: .seconds(20))
  }
  return applier
}

/// What 32 processes did.
private struct Throughput {
  let perSecond: Double
  let writes: Int
  /// The share of the time that the processors were busy.
  let busy: Double
  /// What each batch took of them, in words.
  let perBatch: String
}

private func throughput(
  _ role: String, _ path: String, _ work: WorkDirectory, _ applier: ChildProcess? = nil
) throws -> Throughput {
  let processes = 32
  let starting: UInt64 = 700_000_000
  let duration: UInt64 = 2_000_000_000
  let clock = SystemClock()
  let begin = clock.bootTime_ns() + starting
  let children = try (0..<processes).map { number in
    try ChildProcess(
      "\(role) \(number)", try ownExecutable(),
      [role, path, "\(number)", "\(begin)", "\(begin + duration)"],
      output: work["\(role)-\(number).out"], log: work["\(role)-\(number).log"])
  }
  // The start of the processes is not counted.
  func wait(until time: UInt64) {
    let now = clock.bootTime_ns()
    if now < time { clock.sleep(.nanoseconds(Int64(time - now))) }
  }
  func use() throws -> (ProcessorTime, ProcessUse?) {
    (try ProcessorTime(), try applier.map { try ProcessUse(of: $0.pid) })
  }
  wait(until: begin)
  let before = try use()
  wait(until: begin + duration)
  let after = try use()
  var (writes, microseconds) = (0, 0.0)
  for (number, child) in children.enumerated() {
    try child.expectSuccess(atMost: .seconds(60))
    let said = try readLines(work["\(role)-\(number).out"]).first?.split(separator: " ")
    guard let said, said.count == 2, let count = Int(said[0]), let used = Double(said[1]) else {
      throw RunError("\(child.name) said nothing")
    }
    writes += count
    microseconds += used
  }
  let busy = after.0.busy(since: before.0).all
  func each(_ microseconds: Double) -> String {
    time(microseconds: microseconds / Double(max(1, writes)))
  }
  let all = busy * Double(duration) / 1000 * Double(sysconf(Int32(_SC_NPROCESSORS_ONLN)))
  var parts = [("the process that writes", microseconds)]
  if let before = before.1, let after = after.1 {
    parts.append(("the applier", after.own - before.own))
    parts.append(("the one that executes", after.children - before.children))
  }
  parts.append(("the kernel beside them", max(0, all - parts.reduce(0) { $0 + $1.1 })))
  return Throughput(
    perSecond: Double(writes) / Double(duration) * 1e9, writes: writes, busy: busy,
    perBatch: each(all) + " (" + parts.map { "\($0) \(each($1))" }.joined(separator: ", ") + ")")
}

/// Row 6: one submit each 20 ms, and a reader that looks without pause until it sees the batch.
func visibility(_ work: WorkDirectory) throws -> Round {
  let submits = 100
  let store = work["store"]
  let applier = try startStore(store, work, schema: Deposits.schema)
  let writer = try Writer(store: store)
  let database = try Database(path: store)
  let bare = try BareFile(work["bare"], size: 16 << 20)
  let echo = try Echo(work)
  let clock = SystemClock()
  var ours: [Double] = []
  var durable: [Double] = []
  var baseline: [Double] = []
  var handOvers: [Double] = []
  let start = clock.elapsed()
  func wait(until moment: Duration) { clock.sleep(max(.zero, start + moment - clock.elapsed())) }
  for number in 0..<Int64(submits) {
    wait(until: .milliseconds(20 * (number + 1)))
    let began = clock.bootTime_ns()
    _ = try writer.submitBlocking(
      Batch([Batch.Statement(Deposits.insert, [.integer(number), .text(Deposits.text)])]))
    durable.append(Double(clock.bootTime_ns() - began) / 1000)
    let wanted = SQLValue.integer(number)
    while true {
      let newest = try database.read(.latest) {
        try $0.scalar("SELECT worker FROM deposits ORDER BY id DESC LIMIT 1")
      }
      if newest == wanted { break }
      // The applier may want this processor.
      sched_yield()
    }
    ours.append(Double(clock.bootTime_ns() - began) / 1000)
    wait(until: .milliseconds(20 * (number + 1) + 10))
    baseline.append(try nanoseconds { for _ in 0..<3 { try bare.write(4096) } } / 1000)
    wait(until: .milliseconds(20 * (number + 1) + 15))
    handOvers.append(try nanoseconds { try echo.call() } / 2000)
  }
  writer.closeBlocking()
  try applier.stop()
  try echo.end()
  let (seen, writes) = (Sample(ours).median, Sample(baseline).median)
  let handOver = Sample(handOvers).median
  return Round(
    ours: seen, baseline: writes,
    notes: [
      ("durable after", time(microseconds: Sample(durable).median)),
      ("p99 visible", time(microseconds: Sample(ours).quantile(0.99))),
    ],
    limit: (
      "the writes and three hand-overs between processes, bare", writes + 3 * handOver
    ),
    cause:
      "three writes take \(time(microseconds: writes)), and three hand-overs (writer, applier, the one that executes, applier) \(time(microseconds: 3 * handOver)) with nothing to do in them; in the other \(time(microseconds: seen - writes - 3 * handOver)) the batch is encoded, read, decoded, executed, its pages written, marks, beacon and commit read"
  )
}

/// Another process, which answers each byte with one.
private final class Echo {
  private let process: AnsweringProcess

  init(_ work: WorkDirectory) throws {
    process = try AnsweringProcess(
      "echo", try ownExecutable(), ["echo"], output: work["echo.out"], log: work["echo.log"])
    try call()
  }

  func call() throws {
    var byte: UInt8 = 1
    guard write(process.descriptor, &byte, 1) == 1, read(process.descriptor, &byte, 1) == 1 else {
      throw RunError("the process that answers is gone")
    }
  }

  func end() throws { try process.end(atMost: .seconds(10)) }
}
