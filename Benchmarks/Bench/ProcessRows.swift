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
  let ours = try throughput("submit", store, work)
  try applier.stop()
  let written = try Database(path: store).read { try $0.scalar("SELECT count(*) FROM deposits") }
  guard written == .integer(Int64(ours.writes)) else {
    throw RunError("\(ours.writes) rows were said to be applied, there are \(written ?? .null)")
  }

  let path = work["plain.sqlite"]
  try PlainSQLite(path).execute(Deposits.schema)
  let baseline = try throughput("write", path, work)
  let bare = try throughput("block", work["bare"], work)
  return Round(
    ours: ours.perSecond, baseline: baseline.perSecond,
    notes: [
      ("one durable 4 KiB write after another, each process", rate(bare.perSecond)),
      (
        "processors busy",
        "\(Int(ours.busy.all * 100)) %, in the kernel \(Int(ours.busy.kernel * 100)) %"
      ),
    ])
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

private func throughput(_ role: String, _ path: String, _ work: WorkDirectory) throws
  -> (perSecond: Double, writes: Int, busy: (all: Double, kernel: Double))
{
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
  wait(until: begin)
  let idle = try ProcessorTime()
  wait(until: begin + duration)
  let busy = try ProcessorTime().busy(since: idle)
  var writes = 0
  for (number, child) in children.enumerated() {
    try child.expectSuccess(atMost: .seconds(60))
    guard let count = try readLines(work["\(role)-\(number).out"]).first.flatMap({ Int($0) }) else {
      throw RunError("\(child.name) said nothing")
    }
    writes += count
  }
  return (Double(writes) / Double(duration) * 1e9, writes, busy)
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
