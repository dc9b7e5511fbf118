import Glibc
import Logging
import SluiceApplier
import SluiceFakes
import SluiceJournal
import SluiceQuery
import SluiceReader
import SluiceSQLite
import SluiceShared
import SluiceWriter

/// How a store is made and worked on, as the seed decides.
struct SeedOptions {
  var rounds = 4
  var batchesPerRound = 250
  var shows = false
  var omittedChecks: Set<SafetyCheck> = []
  /// What the queue is given for a batch; another one is a fault that must be found.
  var forQueue: (Batch) -> Batch = { $0 }
}

/// A difference between the queue and plain SQLite.
struct Difference: Error, CustomStringConvertible {
  var description: String
}

/// One seed: batches through writers, journal, applier and reader, and the same ones through SQLite.
final class SeedRun {
  private let seed: UInt64
  private let options: SeedOptions
  private let directory: String
  private var generator: BatchGenerator
  private let environment: Environment
  private var applierEnvironment: Environment
  private var applierOptions: ApplierOptions
  private let plain: PlainDatabase
  private let lastBatch: Monitor<BatchID?>
  private var past: PastStates
  private(set) var counts = Counts()

  struct Counts {
    var batches = 0
    var applied = 0
    var rejected: [String: Int] = [:]
    var duplicates = 0
    /// Seeds that ended early because SQLite took a rowid at random.
    var endedEarly = 0
    var commits: UInt64 = 0
    var replayedCommits: UInt64 = 0
    var commitsWithSamePages: UInt64 = 0
    var comparedContents = 0
    var pastStates = PastStates.Counts()

    mutating func add(_ other: Counts) {
      batches += other.batches
      applied += other.applied
      rejected.merge(other.rejected, uniquingKeysWith: +)
      duplicates += other.duplicates
      endedEarly += other.endedEarly
      commits += other.commits
      replayedCommits += other.replayedCommits
      commitsWithSamePages += other.commitsWithSamePages
      comparedContents += other.comparedContents
      pastStates.add(other.pastStates)
    }
  }

  init(seed: UInt64, options: SeedOptions, directory: String) throws {
    self.seed = seed
    self.options = options
    self.directory = directory
    generator = BatchGenerator(seed: seed)
    var creation = StoreCreation()
    creation.pageSize = generator.choose.one([512, 1024, 4096, 4096, 65536])
    creation.foreignKeys = generator.choose.chance(0.85)
    let random = Monitor(SeededRandom(seed: seed ^ 0x5EED))
    environment = Environment(
      fileSystem: PosixFileSystem(), clock: SystemClock(), executor: ThreadExecutor.shared,
      random: { random.withLock { $0.next() } })
    // A clock that stands still: which batches share a commit must not depend on how fast this is.
    applierEnvironment = environment
    applierEnvironment.clock = ManualClock()
    applierEnvironment.executor = InlineExecutor()
    applierEnvironment.omittedChecks = options.omittedChecks
    applierOptions = ApplierOptions(holder: "differential")
    applierOptions.logger.logLevel = .critical
    applierOptions.clockTolerance = nil
    applierOptions.drains = true
    let lastBatch = Monitor<BatchID?>(nil)
    self.lastBatch = lastBatch
    applierOptions.beforeBatch = { batch in lastBatch.withLock { $0 = batch } }
    // Small, so that caches spill, segments end and checkpoints are made.
    applierOptions.cacheBytes = generator.choose.one([64 << 10, 1 << 20, Limits.cacheBytes])
    applierOptions.segmentBytes = generator.choose.one([1 << 20, 8 << 20])
    applierOptions.checkpointBytes = 4 << 20
    // Of every other seed the past goes, as it would within years of work.
    if seed % 2 == 0 {
      applierOptions.retention.bytes = 1 << 20
      applierOptions.retention.readers = .zero
      applierOptions.retention.listing = .zero
    }
    past = PastStates(
      seed: seed, store: "\(directory)/store", directory: directory, environment)
    try creation.make(at: "\(directory)/store", environment: environment)
    plain = try PlainDatabase(
      path: "\(directory)/plain.sqlite", pageSize: creation.pageSize,
      foreignKeys: creation.foreignKeys)
  }

  /// Compares until the end, the first difference, or where SQLite would not do the same twice.
  func run() throws {
    do { try runRounds() } catch let taken as RandomRowIDs.Taken {
      counts.endedEarly += 1
      print("  ended after \(counts.batches) batches: \(taken)")
    }
  }

  private func runRounds() throws {
    for round in 1...options.rounds {
      try plain.open()
      try generator.schema.read(plain.connection)
      // Tables first: what follows is to have something to work on.
      let count = round == 1 ? min(8, options.batchesPerRound) : options.batchesPerRound
      let batches = (0..<count).map { _ in generator.next() }
      let outcomes = try throughQueue(batches)
      for (batch, outcome) in zip(batches, outcomes).sorted(by: { $0.1.txid < $1.1.txid }) {
        try compare(batch, outcome)
        try past.executed(outcome.txid, plain.connection)
      }
      try compareContent("after round \(round)")
      try past.executed(TxID(UInt64(counts.batches)), plain.connection, always: true)
      try past.mayCheckpoint()
    }
    try replay()
    counts.pastStates = try past.check()
  }

  /// Executes the history again, with other caches than the first time, and looks at what comes of it as
  /// at the rest.
  private func replay() throws {
    let path = "\(directory)/replayed.sqlite"
    do {
      let summary = try Replay.run(
        RecordedHistory(store: "\(directory)/store", environment), into: path)
      counts.replayedCommits += summary.commits
      counts.commitsWithSamePages += summary.samePages
      counts.comparedContents += summary.comparedContents.count
    } catch {
      throw Difference(description: "\(error)")
    }
    let replayed = try Connection(path: path, flags: [.readOnly])
    let content = try Content { try replayed.query($0) }
    let connection = plain.connection
    let direct = try Content { try connection.query($0) }
    guard content != direct else { return }
    throw Difference(
      description: "the replay differs\n  "
        + content.differences(from: direct).joined(separator: "\n  "))
  }

  /// Writers submit, one term of an applier applies, and the outcomes come back, in the order of
  /// `batches`.
  private func throughQueue(_ batches: [GeneratedBatch]) throws -> [AppliedOutcome] {
    let store = "\(directory)/store"
    let writers = try (0..<generator.choose.from(1...3)).map { _ in
      try Writer(store: store, environment: environment)
    }
    var receipts: [(Writer, Receipt)] = []
    var start = 0
    while start < batches.count {
      let end = min(batches.count, start + generator.choose.from(1...60))
      let writer = generator.choose.one(writers)
      let given = batches[start..<end].map { options.forQueue($0.batch) }
      for result in writer.submitBlocking(given) {
        receipts.append((writer, try result.get()))
      }
      start = end
    }
    do {
      try Applier(path: store, options: applierOptions, environment: applierEnvironment)
        .run(shouldStop: { false })
    } catch {
      var text = "the applier ended: \(error)"
      let last = lastBatch.withLock { $0 }
      if options.shows { for batch in batches { print("waiting\(describe(batch.batch))") } }
      if let place = receipts.firstIndex(where: { $0.1.batch == last }) {
        text += "\n  while it executed" + describe(batches[place].batch)
      }
      throw Difference(description: text)
    }
    let outcomes = try receipts.map { writer, receipt in
      try writer.outcomeBlocking(of: receipt, timeout: .seconds(20))
    }
    for writer in writers { writer.closeBlocking() }
    return outcomes
  }

  private func compare(_ generated: GeneratedBatch, _ queue: AppliedOutcome) throws {
    counts.batches += 1
    switch queue.outcome {
    case .applied: counts.applied += 1
    case .rejected(let rejection): counts.rejected[rejection.code, default: 0] += 1
    case .duplicate: counts.duplicates += 1
    }
    if options.shows {
      print("\(queue.txid) \(describe(queue.outcome))\(describe(generated.batch))")
    }
    guard queue.txid.rawValue == UInt64(counts.batches) else {
      throw difference(generated, queue, "its place is not \(counts.batches)")
    }
    if generated.isForbidden {
      guard isRefused(queue.outcome, generated.isHostile) else {
        throw difference(generated, queue, "it is not denied")
      }
      return try plain.remember(generated.batch, queue.txid, queue.outcome)
    }
    let expected = try plain.execute(generated.batch, queue.txid)
    if let objection = Comparison.objection(to: queue.outcome, plain: expected) {
      throw difference(generated, queue, "\(objection); plain: \(describe(expected))")
    }
  }

  /// Rejected for what it must not do, or before that (its table exists, VACUUM in a transaction).
  private func isRefused(_ outcome: Outcome, _ mayFailBefore: Bool) -> Bool {
    switch outcome {
    case .applied: false
    case .duplicate(_, let original): isRefused(original, mayFailBefore)
    case .rejected(let rejection):
      mayFailBefore || rejection.code == Outcome.Rejection.Code.denied
        || rejection.code == Outcome.Rejection.Code.keyReused
        || rejection.message.contains("already exists") || rejection.message.contains("VACUUM")
    }
  }

  private func difference(
    _ generated: GeneratedBatch, _ queue: AppliedOutcome, _ what: String
  ) -> Difference {
    let text = "batch \(queue.txid): \(what)\n  queue: \(describe(queue.outcome))"
    return Difference(description: text + describe(generated.batch))
  }

  private func describe(_ batch: Batch) -> String {
    var text = ""
    if let key = batch.key { text += "\n  key \(key)" }
    for check in batch.guards { text += "\n  guard \(check.sql)  \(check.rows)" }
    for (i, statement) in batch.statements.enumerated() {
      for change in batch.switches where change.statement == i {
        text += "\n  (\(change.setting) \(change.isOn ? "on" : "off"))"
      }
      text += "\n  \(statement.sql)"
      for row in statement.rows.prefix(4) where !row.isEmpty {
        text += "\n      [\(row.map(Content.text).joined(separator: ", "))]"
      }
    }
    if batch.checksForeignKeysAtEnd { text += "\n  (foreign keys checked at the end)" }
    return text
  }

  private func describe(_ outcome: Outcome) -> String {
    switch outcome {
    case .applied(let applied):
      let rows = applied.rows.map { rows in
        rows.map { "[" + $0.map(Content.text).joined(separator: ", ") + "]" }.joined()
      }
      return
        "applied, \(applied.changes) changes, last rowid \(applied.lastRowID), \(rows ?? "no rows")"
    case .rejected(let rejection): return "rejected, \(rejection.code): \(rejection.message)"
    case .duplicate(let txid, let original): return "repeats \(txid): \(describe(original))"
    }
  }

  private func compareContent(_ when: String) throws {
    let store = try PageStore(path: "\(directory)/store", environment: environment)
    let queue = try Database(store, executor: environment.executor).read { reader in
      try Content { try reader.query($0) }
    }
    let connection = plain.connection
    let direct = try Content { try connection.query($0) }
    counts.commits = try store.snapshot(.latest).extent.commits
    guard queue != direct else { return }
    let lines = queue.differences(from: direct)
    throw Difference(
      description: "the databases differ \(when)\n  " + lines.joined(separator: "\n  "))
  }
}
