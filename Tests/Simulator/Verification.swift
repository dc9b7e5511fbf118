import SluiceApplier
import SluiceFakes
import SluiceJournal
import SluiceQuery
import SluiceReader
import SluiceShared
import SluiceWriter

/// What is checked when the storm is over: a healthy applier applies what is left, and then every
/// promise is compared with what was told.
struct Verification: @unchecked Sendable {
  // Sendable: used by the strand that has the scheduler's baton only.
  let world: World
  private let machine: Machine

  init(_ world: World) {
    self.world = world
    machine = world.freshMachine("after")
  }

  func run() {
    lookAlone()
    guard world.oracle.violation == nil else { return }
    let asking = world.scheduler.start(nil) {
      world.live("asker", on: machine, isReader: false) { try ask($0) }
    }
    drain(while: asking)
    world.scheduler.join(asking)
    guard world.oracle.violation == nil else { return }
    let seen = Seen()
    world.live("history", on: machine, isReader: true) { life in
      seen.history = try history(life)
      let database = Database(
        try PageStore(path: World.layout.root, environment: life.environment),
        executor: life.environment.executor)
      try database.read { transaction in
        let content = try world.shown(transaction)
        seen.content = content
        world.oracle.read(
          content, at: transaction.txid, since: world.oracle.now, by: "the end")
        let check = try transaction.scalar("PRAGMA integrity_check")
        if check != .text("ok") {
          world.oracle.violate("integrity_check says \(String(describing: check))")
        }
      }
    }
    guard world.oracle.violation == nil else { return }
    if let path = world.disk.forbiddenWrites.first {
      return world.oracle.violate("a reader tried to change \(path)")
    }
    world.count(.batches, seen.history.count)
    compare(seen.history)
    guard world.oracle.violation == nil else { return }
    // Before a new checkpoint makes the log needless to readers.
    let trial = DamageTrial(
      world, txid: TxID(UInt64(seen.history.count)), content: seen.content)
    trial.run()
    guard world.oracle.violation == nil else { return }
    world.live("checkpoint", on: machine, isReader: false) { life in
      // Compares the content with the checksum that the last commit states.
      let store = try PageStore(path: World.layout.root, environment: life.environment)
      try Checkpoint(
        layout: World.layout, store: store.description.id, environment: life.environment
      ).make(of: try store.published())
    }
    guard world.oracle.violation == nil, world.scheduler.random.chance(0.2) else { return }
    JournalDamageTrial(world).run()
  }

  /// The history alone, of which `lacking` and what its writer sent after it may be missing.
  func checkHistory(without lacking: BatchID?) {
    world.live("history", on: world.freshMachine("fresh"), isReader: true) { life in
      compare(try history(life), without: lacking)
    }
  }

  /// What the store holds in the end.
  private final class Seen: @unchecked Sendable {
    // Sendable: touched by the strand that has the scheduler's baton only.
    var history: [Entry] = []
    var content = ""
  }

  /// With no applier alive a reader waits for nobody: it is shown what was published, or told soon
  /// that the last one ended in the midst of a beacon.
  private func lookAlone() {
    world.live("alone", on: machine, isReader: true) { life in
      let begun_ns = world.scheduler.now_ns
      do {
        let reader = World.Opened(
          Database(
            try PageStore(path: World.layout.root, environment: life.environment),
            executor: life.environment.executor))
        try world.read(.latest, since: world.oracle.now, reader, life)
      } catch let error as StoreError {
        guard error.code == .damaged, error.offset == Block.beacons.0 else { throw error }
        // It is so: the file server itself has no beacon that can be believed.
        guard world.observer.present == nil else {
          return world.oracle.violate("without an applier \(life.name) was told: \(error)")
        }
        world.count(.tornBeacons)
        world.note("\(life.name): \(error)")
      }
      if world.scheduler.now_ns - begun_ns > 15_000_000_000 {
        world.oracle.violate(
          "without an applier a reader waited for \(world.scheduler.now_ns - begun_ns) ns")
      }
    }
  }

  /// Applies all there is, until no journal file is left. Poisonous batches end it some times first.
  func drain(while asking: EventScheduler.Strand? = nil) {
    let before = world.poison.deaths
    let mostEnds = world.poison.expected * Poison.mostEnds
    var ends = -1
    while ends < world.poison.deaths - before, world.oracle.violation == nil {
      ends = world.poison.deaths - before
      guard ends <= mostEnds else {
        return world.oracle.violate("\(ends) appliers ended, and no batch is named as the cause")
      }
      world.live("drain", on: machine, isReader: false) { try drain($0, while: asking) }
    }
  }

  /// With an applier at work and nothing going wrong, outcomes come and tokens are satisfied.
  private func ask(_ life: Life) throws {
    // Before an applier leads there is nothing to look for, again and again.
    let terms = world.statistics[.terms]
    let patience_ns = world.scheduler.now_ns + UInt64(world.plan.patience / .nanoseconds(1))
    let writer = try Writer(store: World.layout.root, environment: life.environment)
    let pages = try PageStore(path: World.layout.root, environment: life.environment)
    let reader = World.Opened(Database(pages, executor: life.environment.executor))
    do {
      var (receipts, before): ([Receipt], BatchID?) = ([], nil)
      for _ in 0..<2 {
        receipts += world.submit(world.nextWorks(2), to: writer, after: &before, life)
      }
      while world.statistics[.terms] == terms, !life.isGone, world.scheduler.now_ns < patience_ns {
        world.scheduler.sleep(20_000_000)
      }
      guard receipts.count == 4 || life.isGone else {
        return world.oracle.violate("in the calm, a batch was not taken")
      }
      var last = TxID.zero
      for receipt in receipts where !life.isGone {
        let outcome = try world.outcome(of: receipt, writer, atMost: world.plan.patience, life)
        last = max(last, outcome.txid)
      }
      try world.readAtLeast(last, atMost: world.plan.patience, reader, life)
      writer.closeBlocking()
    } catch let error as StoreError where error.code == .timeout {
      world.oracle.violate("in the calm, what was waited for did not come: \(error)")
    }
  }

  private func drain(_ life: Life, while asking: EventScheduler.Strand?) throws {
    var options = world.applierOptions(life)
    options.leaseTime = .seconds(2)
    options.beat = .milliseconds(400)
    options.standbyPoll = .milliseconds(100)
    options.retireAfter = .seconds(1)
    options.slowestPoll = .milliseconds(500)
    options.clockTolerance = nil
    let applier = try Applier(
      path: World.layout.root, options: options, lease: world.fileLease(life, options.leaseTime),
      environment: life.environment)
    let deadline = world.scheduler.now_ns + 60_000_000_000
    // Leading once at least: whoever died in the midst of a beacon leaves one that nobody can read.
    let terms = world.statistics[.terms]
    try applier.run {
      if world.journalFiles.isEmpty, world.statistics[.terms] > terms, asking?.isDone != false {
        return true
      }
      if world.scheduler.now_ns > deadline, !world.journalFiles.isEmpty {
        world.oracle.violate("after a minute the journal still holds \(world.journalFiles)")
      }
      return life.isGone
    }
  }

  /// One batch of the history, as the log records it.
  struct Entry {
    var txid: TxID
    var meta: CommitMeta
    var outcome: BatchOutcome
    /// nil where the log holds no content of it.
    var batch: Batch?

    static func all(of commit: SluiceJournal.Commit, _ cursor: inout LogCursor)
      throws(StoreError) -> [Entry]
    {
      let outcomes = try cursor.outcomes(of: commit.header)
      let bytes = try cursor.section(.batches, of: commit.header)
      let ranges = (try? BatchList.ranges(bytes, count: outcomes.count)) ?? []
      return outcomes.enumerated().map { i, outcome in
        let batch = bytes.withUnsafeBytes {
          ranges.indices.contains(i)
            ? try? Batch(decoding: UnsafeRawBufferPointer(rebasing: $0[ranges[i]])) : nil
        }
        return Entry(
          txid: commit.first.advanced(by: UInt64(i)), meta: commit.meta, outcome: outcome,
          batch: batch)
      }
    }
  }

  /// The history as the log has it; what is not kept of it any more as it was published.
  private func history(_ life: Life) throws(StoreError) -> [Entry] {
    // Who judges leaves no check out.
    var environment = life.environment
    environment.omittedChecks = []
    let id = try StoreDescription.read(World.layout, environment.fileSystem).id
    let log = Log(layout: World.layout, store: id, environment: environment)
    if let what = world.observer.look() { world.oracle.violate(what) }
    let present = try log.present()
    let begins = try log.kept(after: .zero, upTo: present).first?.inherited ?? .empty
    if begins.txid > .zero, world.plan.retention == nil {
      world.oracle.violate("the log begins behind batch \(begins.txid), and all is to be kept")
    }
    var entries = Array(world.observer.entries.prefix(Int(begins.txid.rawValue)))
    var follower = LogFollower(after: begins)
    try follower.advance(log, to: present) { (commit, cursor) throws(StoreError) in
      entries += try Entry.all(of: commit, &cursor)
    }
    return entries
  }

  /// Executes the history a second time in the model, and compares it with everything that anybody
  /// was told or shown.
  private func compare(_ history: [Entry], without lacking: BatchID? = nil) {
    let oracle = world.oracle
    var model = Model()
    var found: [BatchID: Entry] = [:]
    var last: [WriterID: SequenceNumber] = [:]
    var names: Set<Int64> = []
    var time_ms = Int64.min
    expect(model.shown, at: .zero)
    for (i, entry) in history.enumerated() {
      let id = entry.outcome.batch
      guard entry.txid.rawValue == UInt64(i) + 1 else {
        return oracle.violate("TxID \(i + 1) is missing from the history")
      }
      if found.updateValue(entry, forKey: id) != nil {
        return oracle.violate("batch \(id) is in the history twice")
      }
      if let before = last.updateValue(id.sequence, forKey: id.writer), before >= id.sequence {
        return oracle.violate("batch \(id) comes after \(before) of its writer")
      }
      guard entry.meta.time_ms >= time_ms else {
        return oracle.violate("time goes back from \(time_ms) to \(entry.meta.time_ms) at \(id)")
      }
      time_ms = entry.meta.time_ms
      // Whoever submits without a key does so once.
      if let batch = entry.batch, let name = NamedWork.name(of: batch),
        !names.insert(name).inserted, batch.key == nil || batch.step != nil
      {
        return oracle.violate("work \(name) is in the history twice, the second time as \(id)")
      }
      if !execute(entry, &model) { return }
      if case .duplicate(let first, let original) = entry.outcome.outcome {
        world.count(.duplicates)
        guard original == history[Int(first.rawValue) - 1].outcome.outcome else {
          return oracle.violate("batch \(id) repeats \(first), and is said to be \(original)")
        }
      }
      expect(model.shown, at: entry.txid)
    }
    let end = TxID(UInt64(history.count))
    guard oracle.highest <= end, oracle.shown.keys.allSatisfy({ $0 <= end }) else {
      return oracle.violate("\(oracle.highest) was seen, and the history ends at \(end)")
    }
    for (id, told) in oracle.told.sorted(by: {
      ($0.key.writer, $0.key.sequence) < ($1.key.writer, $1.key.sequence)
    }) {
      let entry = found[id]
      let mayLack = lacking.map { $0.writer == id.writer && $0.sequence <= id.sequence } ?? false
      if entry == nil, told.told == .durable, !mayLack {
        return oracle.violate("batch \(id) (\(told.named.name)) was durable, and is nowhere")
      }
      if let name = entry?.batch.flatMap(NamedWork.name), name != told.named.name {
        return oracle.violate("batch \(id) is work \(name), submitted was \(told.named.name)")
      }
    }
    for (id, earlier) in oracle.successions {
      guard let entry = found[id], let before = found[earlier] else { continue }
      if entry.txid < before.txid {
        return oracle.violate("batch \(id) was executed before \(earlier), which came first")
      }
    }
    for (id, outcome) in oracle.outcomes.sorted(by: {
      ($0.key.writer, $0.key.sequence) < ($1.key.writer, $1.key.sequence)
    }) {
      guard let entry = found[id] else {
        return oracle.violate("the outcome of \(id) came from nowhere")
      }
      if entry.txid != outcome.txid || entry.outcome.outcome != outcome.outcome {
        return oracle.violate("batch \(id) was told to be \(outcome), the log says \(entry)")
      }
    }
    if let what = oracle.problem(with: names, lacksSome: lacking != nil) {
      return oracle.violate(what)
    }
  }

  /// False after a violation.
  private func execute(_ entry: Entry, _ model: inout Model) -> Bool {
    let oracle = world.oracle
    var verdict: String?
    let intruder = world.intruders[entry.outcome.batch.writer]
    if case .rejected(let rejection) = entry.outcome.outcome, rejection.comesFromEnvironment,
      intruder == nil || rejection.code != Outcome.Rejection.Code.expiredWriter
    {
      guard rejection.code == Outcome.Rejection.Code.timeLimit else {
        return isPoisonous(entry, rejection)
      }
      // A frame that cannot be read is one rejection, under its last number.
      let took =
        world.overran.contains(entry.outcome.batch)
        || intruder != nil && world.overran.contains { $0.writer == entry.outcome.batch.writer }
      guard took else {
        oracle.violate("batch \(entry.outcome.batch) is rejected for its time, and took none")
        return false
      }
      world.count(.timeLimits)
      verdict = rejection.code
    }
    if let intruder { return verdict != nil || isIntruders(entry, intruder) }
    if let step = entry.batch?.step { return verdict != nil || isStep(step, entry, &model) }
    guard let batch = entry.batch, let name = NamedWork.name(of: batch),
      let named = oracle.works[name], named.batch == batch
    else {
      oracle.violate(
        "batch \(entry.outcome.batch) is none that was submitted: \(entry.outcome.outcome)")
      return false
    }
    let expected = model.execute(named, entry.txid, entry.meta, rejectedWith: verdict)
    guard Model.Expected(entry.outcome.outcome) == expected else {
      oracle.violate(
        "batch \(entry.outcome.batch), \(named.work), is \(entry.outcome.outcome), and should be \(expected)"
      )
      return false
    }
    return true
  }

  /// False after a violation. Of a file that keeps to nothing what is whole is executed, and refused or
  /// without effect; what is behind a lie is not even read.
  private func isIntruders(_ entry: Entry, _ last: SequenceNumber) -> Bool {
    world.count(.intruderBatches)
    let batch = entry.outcome.batch
    guard batch.sequence <= last else {
      world.oracle.violate("batch \(batch) is of a frame that cannot hold what it says")
      return false
    }
    let codes = [Outcome.Rejection.Code.malformed, Outcome.Rejection.Code.expiredWriter]
    switch entry.outcome.outcome {
    case .applied(let applied) where applied.changes == 0: return true
    case .rejected(let rejection) where codes.contains(rejection.code): return true
    case let other:
      world.oracle.violate("batch \(batch) of a file that keeps to nothing is \(other)")
      return false
    }
  }

  /// False after a violation. Of all that the environment can do to a batch only this happens here,
  /// and only where terms ended while they executed it. Its content is not in the record.
  private func isPoisonous(_ entry: Entry, _ rejection: Outcome.Rejection) -> Bool {
    let batch = entry.outcome.batch
    guard rejection.code == Outcome.Rejection.Code.poisonous else {
      world.oracle.violate("batch \(batch) is rejected: \(rejection)")
      return false
    }
    if world.workerEnds[batch, default: 0] >= World.mostWorkerEnds {
      world.count(.poisonous)
      return true
    }
    let attempts = Int(entry.outcome.attempts)
    // A beacon that was read and then lost with the server's power counted all the same.
    let ended = world.oracle.lostPower ? attempts : world.poison.ended(in: batch).count
    guard attempts >= Poison.attempts, ended >= attempts else {
      world.oracle.violate(
        "batch \(batch) is rejected as poisonous after \(attempts) attempts, and \(ended) terms ended in it"
      )
      return false
    }
    world.count(.poisonous)
    return true
  }

  private func expect(_ text: String, at txid: TxID) {
    guard let shown = world.oracle.shown[txid], shown != text else { return }
    world.oracle.violate("as of \(txid) a reader was shown\n\(shown)\nthe history says\n\(text)")
  }
}

extension World {
  /// A machine that nothing has happened to and whose caches are empty.
  func freshMachine(_ name: String) -> Machine {
    let clock = SimulatedClock(scheduler)
    return Machine(
      name,
      MemoryHost(
        disk, clock: clock, random: SeededRandom(seed: 1),
        kind: plan.isNetwork ? .network : .local), clock)
  }

  /// What is in the journal, but for quarantine and what is none of ours.
  var journalFiles: [String] {
    disk.names(in: World.layout.journal).filter { $0.hasSuffix(".seg") && !forged.contains($0) }
      .map { "\(World.layout.journal)/\($0)" }
  }
}
