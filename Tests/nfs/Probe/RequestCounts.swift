import ArgumentParser
import BenchmarkSupport
import SluiceJournal
import SluiceReader
import SluiceShared
import SluiceWriter

/// Counts the requests to the file server that the operations with a budget cost on this host, where
/// nothing else uses the mounts. Prints `budget NAME AIM MEASURED OPERATIONS` lines, tab-separated.
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

  private func report(_ name: String, _ aim: Double, _ used: MountStatistics, _ count: Int) {
    Budget.report(name, aim, Double(used.total) / Double(count), used.each(of: Double(count)))
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
    report("warm submit", 2, used, count)
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
    report("one-shot submit process", 10, try MountStatistics.now(of: store) - before, count)
  }

  /// Nothing is applied meanwhile, so everybody waits all the time.
  private func waiters() async throws {
    let one = try await polling(waiters: 1)
    let many = try await polling(waiters: 200)
    // Half as much again, since pauses are random.
    Budget.report(
      "polling of 200 waiters, a second", (one * 1.5).rounded(.up), many,
      "1 waiter: \(fixed(one, 1))")
  }

  private func polling(waiters: Int) async throws -> Double {
    let writer = try Writer(store: store)
    var receipts: [Receipt] = []
    for result in await writer.submit(
      (0..<waiters).map { _ in Batch([Batch.Statement("SELECT 1")]) })
    {
      receipts.append(try result.get())
    }
    let seconds = 4
    let store = store
    let used = try await withThrowingTaskGroup(of: Void.self) { group in
      for receipt in receipts {
        group.addTask {
          _ = try? await writer.outcome(of: receipt, timeout: .seconds(seconds + 2))
        }
      }
      // The newest waiter is looked for eagerly; that passes.
      try await Task.sleep(for: .seconds(1))
      let before = try MountStatistics.now(of: store)
      try await Task.sleep(for: .seconds(seconds))
      let used = try MountStatistics.now(of: store) - before
      group.cancelAll()
      return used
    }
    await writer.close()
    return Double(used.total) / Double(seconds)
  }

  private func reads() throws {
    let database = try Database(path: readOnly)
    func read(_ freshness: Freshness) throws {
      _ = try database.read(freshness) { try $0.scalar("SELECT count(*) FROM sqlite_schema") }
    }
    let count = 100
    try read(.latest)
    for (name, aim, freshness) in [
      ("latest read, nothing new", 1.0, Freshness.latest),
      ("read within its staleness bound", 0, .maxStaleness(.seconds(60))),
    ] {
      let before = try MountStatistics.now(of: readOnly)
      for _ in 0..<count { try read(freshness) }
      report(name, aim, try MountStatistics.now(of: readOnly) - before, count)
    }
  }
}
