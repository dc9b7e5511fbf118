import ArgumentParser
import BenchmarkSupport
import SluiceJournal
import SluiceQuery
import SluiceReader
import SluiceShared
import SluiceWriter

/// Counts the requests to the file server that the operations with a budget cost on this host, where
/// nothing else uses the mounts. Prints a `budget` line for each.
struct RequestCounts: AsyncParsableCommand {
  static let configuration = CommandConfiguration(commandName: "count")

  @Argument(help: "The store, on a mount that can be written.") var store: String
  @Argument(help: "The same store, on a read-only mount.") var readOnly: String
  @Argument(help: "The command.") var sluice: String
  @Flag(help: "What needs an applier that lives; else what needs that there is none.")
  var withApplier = false

  func run() async throws {
    if withApplier {
      try reads()
    } else {
      try await submits()
      try processes()
      try await waiters()
    }
  }

  /// What `body` cost, closing what it closed included, which is not waited for.
  private func cost(of path: String, _ body: () async throws -> Void) async throws
    -> MountStatistics
  {
    SystemClock().sleep(.milliseconds(300))
    let before = try MountStatistics.now(of: path)
    try await body()
    SystemClock().sleep(.milliseconds(300))
    return try MountStatistics.now(of: path) - before
  }

  private func submits() async throws {
    let writer = try Writer(store: store)
    let batch = Batch([Batch.Statement("SELECT 1")])
    // The journal's segments double from 64 KiB on: after these there is one with room for the rest.
    for _ in 0..<130 { _ = try writer.submitBlocking(batch) }
    let count = 50
    let used = try await cost(of: store) {
      for _ in 0..<count { _ = try writer.submitBlocking(batch) }
    }
    Allowance(name: "warm submit", most: 2, kinds: ["WRITE": 1, "READ": 1])
      .report(used, per: Double(count))
    await writer.close()
  }

  private func processes() throws {
    let count = 20
    SystemClock().sleep(.milliseconds(300))
    let before = try MountStatistics.now(of: store)
    for i in 0..<count {
      let process = try ChildProcess(
        "submit", sluice, ["submit", store, "SELECT ?", "\(i)", "--wait", "durable"],
        output: "/dev/null", log: "/tmp/submit.log")
      try process.expectSuccess(atMost: .seconds(20))
    }
    SystemClock().sleep(.milliseconds(300))
    let used = try MountStatistics.now(of: store) - before
    // One of them an ACCESS, where the kernel's answer to the last one is not good any more.
    Allowance(name: "one-shot submit process", most: 11, kinds: ["WRITE": 1, "READ": 1])
      .report(used, per: Double(count))
  }

  /// Nothing is applied meanwhile, so everybody waits all the time.
  private func waiters() async throws {
    let seconds = 4.0
    let one = try await polling(waiters: 1, seconds)
    let many = try await polling(waiters: 200, seconds)
    Allowance(name: "polling of 1 waiter, a second", most: 40, least: 1)
      .report(one, per: seconds)
    // No more than one may, or half as much again as one did: pauses are random.
    let most = min(60, max(40, (Double(one.total) / seconds * 1.5).rounded(.up)))
    Allowance(name: "polling of 200 waiters, a second", most: most, least: 1)
      .report(many, per: seconds)
  }

  private func polling(waiters: Int, _ seconds: Double) async throws -> MountStatistics {
    let writer = try Writer(store: store)
    var receipts: [Receipt] = []
    for result in await writer.submit(
      (0..<waiters).map { _ in Batch([Batch.Statement("SELECT 1")]) })
    {
      receipts.append(try result.get())
    }
    let store = store
    let gone = Monitor(0)
    let used = try await withThrowingTaskGroup(of: Void.self) { group in
      for receipt in receipts {
        group.addTask {
          defer { gone.withLock { $0 += 1 } }
          // Ends when it is cancelled.
          _ = try? await writer.outcome(of: receipt, timeout: .seconds(seconds + 10))
        }
      }
      // The newest waiter is looked for eagerly; that passes.
      try await Task.sleep(for: .seconds(1))
      let before = try MountStatistics.now(of: store)
      try await Task.sleep(for: .seconds(seconds))
      let used = try MountStatistics.now(of: store) - before
      let early = gone.withLock { $0 }
      group.cancelAll()
      guard early == 0 else { throw RunError("\(early) of \(waiters) did not wait") }
      return used
    }
    await writer.close()
    return used
  }

  private func reads() throws {
    let database = try Database(path: readOnly)
    func read(_ freshness: Freshness) throws {
      _ = try database.read(freshness) { try $0.scalar("SELECT count(*) FROM sqlite_schema") }
    }
    let count = 100
    try read(.latest)
    for (allowance, freshness) in [
      (
        Allowance(name: "latest read, nothing new", most: 1, kinds: ["READ": 1]),
        Freshness.latest
      ),
      (
        Allowance(name: "read within its staleness bound", most: 0),
        .maxStaleness(.seconds(60))
      ),
    ] {
      let before = try MountStatistics.now(of: readOnly)
      for _ in 0..<count { try read(freshness) }
      allowance.report(try MountStatistics.now(of: readOnly) - before, per: Double(count))
    }
  }
}
