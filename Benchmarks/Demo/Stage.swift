import BenchmarkSupport
import Glibc
import SluiceJournal
import SluiceSQLite
import SluiceShared
import SluiceWriter

/// The run from the empty directory to the verdict.
final class Stage {
  private let options: Run
  private let work: WorkDirectory
  private let executable: String
  private let sluice: String
  private let store: String
  private let clock = SystemClock()
  private var setup: Set<BatchID> = []

  init(_ options: Run, _ work: WorkDirectory) throws {
    self.options = options
    self.work = work
    executable = try ownExecutable()
    sluice = directory(of: executable) + "/sluice"
    store = work["store"]
    guard access(sluice, X_OK) == 0 else {
      throw RunError("\(sluice) is missing; build it: swift build -c release --product sluice")
    }
  }

  /// Longer than anything here takes.
  private static let patience = Duration.seconds(20)

  func play() throws -> Report {
    let began = clock.elapsed()
    try command("init", store)
    let log = Log(of: try StoreHandle(at: StoreLayout(store), .posix()))

    var appliers = try ["applier-1", "applier-2"].map(applier)
    let writer = try Writer(store: store)
    try submit(Batch(Bank.schema), to: writer)

    let readers = try (1...options.readers).map { number in
      try role("reader-\(number)", "reader", [store, "\(options.workers)"])
    }
    let workers = try (1...options.workers).map { number in
      try role(
        "worker-\(number)", "worker",
        [store, "\(number)", "\(options.seconds)", "\(options.pause)"])
    }

    clock.sleep(.seconds(options.seconds * 0.35))
    let takeover = try Takeover.force(appliers, log, atMost: Self.patience)
    // The killed one comes back as a standby.
    appliers.removeAll { $0.name == takeover.killed }
    appliers.append(try applier(takeover.killed))
    if options.sabotage == .money { try submit(Bank.counterfeit, to: writer) }

    for worker in workers {
      try worker.expectSuccess(atMost: .seconds(options.seconds) + Self.patience * 2)
    }
    writer.closeBlocking()
    let drained = try drain()
    // Here all is written: what the readers see next is the end.
    clock.sleep(.milliseconds(200))
    for reader in readers { try reader.stop() }
    for applier in appliers { try applier.stop() }
    try command("checkpoint", store)

    let testimonies = try workers.flatMap { worker in try self.testimonies(of: worker) }
    let evidence = try Evidence(log: log, checkpoint: checkpoint())
    return Report(
      verification: Verification(testimonies, evidence, setup: setup),
      observations: try readers.map { try Observation(of: $0.name, output(of: $0.name)) },
      takeover: takeover, leftInJournal: drained, elapsed: clock.elapsed() - began)
  }

  // MARK: processes

  private func applier(_ name: String) throws -> ChildProcess {
    try ChildProcess(
      name, sluice, ["apply", store, "--ttl", "2", "--holder", name], output: output(of: name),
      log: work["\(name).log"])
  }

  private func role(_ name: String, _ role: String, _ arguments: [String]) throws -> ChildProcess {
    try ChildProcess(
      name, executable, [role] + arguments, output: output(of: name), log: work["\(name).log"])
  }

  private func command(_ arguments: String...) throws {
    let name = "sluice-\(arguments[0])"
    let process = try ChildProcess(
      name, sluice, arguments, output: output(of: name), log: work["\(name).log"])
    try process.expectSuccess(atMost: Self.patience)
  }

  private func output(of name: String) -> String { work["\(name).out"] }

  // MARK: the store

  private func submit(_ batch: Batch, to writer: Writer) throws {
    let receipt = try writer.submitBlocking(batch)
    setup.insert(receipt.batch)
    let outcome = try writer.outcomeBlocking(of: receipt, timeout: Self.patience)
    guard case .applied = outcome.outcome else {
      throw RunError("a batch that prepares the run was not applied: \(outcome.outcome)")
    }
  }

  /// Waits until `journal/` is empty; returns what stays.
  private func drain() throws -> [String] {
    let files = PosixFileSystem()
    let journal = StoreLayout(store).journal
    let end = clock.elapsed() + Self.patience
    while true {
      let left = try files.list(journal).filter { $0 != "quarantine" }
      if left.isEmpty || clock.elapsed() > end {
        return left + (try files.list("\(journal)/quarantine"))
      }
      clock.sleep(.milliseconds(10))
    }
  }

  private func testimonies(of worker: ChildProcess) throws -> [Testimony] {
    try readLines(output(of: worker.name)).map { line in
      guard let testimony = Testimony(line: line) else {
        throw RunError("\(worker.name) said what is no testimony: \(line)")
      }
      return testimony
    }
  }

  /// The newest checkpoint, or a copy of it with something broken.
  private func checkpoint() throws -> String {
    let current = StoreLayout(store).current
    guard let sabotage = options.sabotage, sabotage != .money else { return current }
    let copy = work["tampered.sqlite"]
    let original = try Connection(
      path: "file:\(current)?mode=ro&immutable=1", flags: [.readOnly, .uri, .noMutex])
    let database = try Connection(path: copy, flags: [.readWrite, .create, .noMutex])
    try original.backup(to: database)
    try database.execute(
      sabotage == .lost
        ? "DELETE FROM transfers WHERE rowid = (SELECT max(rowid) FROM transfers)"
        : "INSERT INTO events SELECT * FROM events WHERE rowid = 1")
    try database.close()
    return copy
  }
}
