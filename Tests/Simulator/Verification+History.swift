import SluiceJournal
import SluiceShared
import SluiceWriter

/// The history that the log holds in the end, executed once more in the model and compared with all that
/// anybody was told or shown.
extension Verification {
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
  func history(_ life: Life) throws(StoreError) -> [Entry] {
    // Who judges leaves no check out.
    var environment = life.environment
    environment.omittedChecks = []
    let log = Log(of: try StoreHandle(at: World.layout, environment))
    if let what = world.observer.look() { world.oracle.violate(what) }
    let present = try log.present()
    let begins = try log.kept(after: .zero, upTo: present).first?.inherited ?? .empty
    if begins.txid > .zero, world.plan.retention == nil {
      world.oracle.violate(
        .historyIsCut, "the log begins behind batch \(begins.txid), and all is to be kept")
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
  func compare(_ history: [Entry], without lacking: BatchID? = nil) {
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
        return oracle.violate(.historyHasGap, "TxID \(i + 1) is missing from the history")
      }
      if found.updateValue(entry, forKey: id) != nil {
        return oracle.violate(.executedTwice, "batch \(id) is in the history twice")
      }
      if let before = last.updateValue(id.sequence, forKey: id.writer), before >= id.sequence {
        return oracle.violate(
          .executedOutOfOrder, "batch \(id) comes after \(before) of its writer")
      }
      guard entry.meta.time_ms >= time_ms else {
        return oracle.violate(
          .timeWentBack, "time goes back from \(time_ms) to \(entry.meta.time_ms) at \(id)")
      }
      time_ms = entry.meta.time_ms
      if i > 0, entry.meta.pageSize != history[i - 1].meta.pageSize { world.count(.pageSizes) }
      // Whoever submits without a key does so once.
      if let batch = entry.batch, let name = NamedWork.name(of: batch),
        !names.insert(name).inserted, batch.key == nil || batch.step != nil
      {
        return oracle.violate(
          .executedTwice, "work \(name) is in the history twice, the second time as \(id)")
      }
      if !execute(entry, &model) { return }
      if case .duplicate(let first, let original) = entry.outcome.outcome {
        world.count(.duplicates)
        guard original == history[Int(first.rawValue) - 1].outcome.outcome else {
          return oracle.violate(
            .wrongOutcome, "batch \(id) repeats \(first), and is said to be \(original)")
        }
      }
      expect(model.shown, at: entry.txid)
    }
    compareWithTold(found, names, without: lacking)
  }

  /// What writers and readers were told, against the batches that the history has.
  private func compareWithTold(
    _ found: [BatchID: Entry], _ names: Set<Int64>, without lacking: BatchID?
  ) {
    let oracle = world.oracle
    let end = TxID(UInt64(found.count))
    guard oracle.highest <= end, oracle.shown.keys.allSatisfy({ $0 <= end }) else {
      return oracle.violate(
        .historyIsShort, "\(oracle.highest) was seen, and the history ends at \(end)")
    }
    for (id, told) in oracle.told.sorted(by: {
      ($0.key.writer, $0.key.sequence) < ($1.key.writer, $1.key.sequence)
    }) {
      let entry = found[id]
      let mayLack = lacking.map { $0.writer == id.writer && $0.sequence <= id.sequence } ?? false
      if entry == nil, told.told == .durable, !mayLack {
        return oracle.violate(.lost, "batch \(id) (\(told.named.name)) was durable, and is nowhere")
      }
      if let name = entry?.batch.flatMap(NamedWork.name), name != told.named.name {
        return oracle.violate(
          .neverSubmitted, "batch \(id) is work \(name), submitted was \(told.named.name)")
      }
    }
    for (id, earlier) in oracle.successions {
      guard let entry = found[id], let before = found[earlier] else { continue }
      if entry.txid < before.txid {
        return oracle.violate(
          .executedOutOfOrder, "batch \(id) was executed before \(earlier), which came first")
      }
    }
    for (id, outcome) in oracle.outcomes.sorted(by: {
      ($0.key.writer, $0.key.sequence) < ($1.key.writer, $1.key.sequence)
    }) {
      guard let entry = found[id] else {
        return oracle.violate(.outcomeFromNowhere, "the outcome of \(id) came from nowhere")
      }
      if entry.txid != outcome.txid || entry.outcome.outcome != outcome.outcome {
        return oracle.violate(
          .toldOtherwise, "batch \(id) was told to be \(outcome), the log says \(entry)")
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
        oracle.violate(
          .undueTimeLimit, "batch \(entry.outcome.batch) is rejected for its time, and took none")
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
        .neverSubmitted,
        "batch \(entry.outcome.batch) is none that was submitted: \(entry.outcome.outcome)")
      return false
    }
    let expected = model.execute(named, entry.txid, entry.meta, rejectedWith: verdict)
    guard Model.Expected(entry.outcome.outcome) == expected else {
      oracle.violate(
        isCorrupt(entry.outcome.outcome) ? .corruptDatabase : .wrongOutcome,
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
      world.oracle.violate(
        .overstatedFrame, "batch \(batch) is of a frame that cannot hold what it says")
      return false
    }
    let codes = [Outcome.Rejection.Code.malformed, Outcome.Rejection.Code.expiredWriter]
    switch entry.outcome.outcome {
    case .applied(let applied) where applied.changes == 0: return true
    case .rejected(let rejection) where codes.contains(rejection.code): return true
    case let other:
      world.oracle.violate(
        .strangerTookEffect, "batch \(batch) of a file that keeps to nothing is \(other)")
      return false
    }
  }

  /// False after a violation. Of all that the environment can do to a batch only this happens here,
  /// and only where terms ended while they executed it. Its content is not in the record.
  private func isPoisonous(_ entry: Entry, _ rejection: Outcome.Rejection) -> Bool {
    let batch = entry.outcome.batch
    guard rejection.code == Outcome.Rejection.Code.poisonous else {
      let isForgotten = rejection.code == Outcome.Rejection.Code.expiredWriter
      world.oracle.violate(
        isForgotten ? .writerForgotten : .undueRejection,
        "batch \(batch) is rejected: \(rejection)")
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
        .unduePoison,
        "batch \(batch) is rejected as poisonous after \(attempts) attempts, and \(ended) terms ended in it"
      )
      return false
    }
    world.count(.poisonous)
    return true
  }

  /// SQLite took the database for malformed.
  private func isCorrupt(_ outcome: Outcome) -> Bool {
    guard case .rejected(let rejection) = outcome else { return false }
    return rejection.code.hasPrefix("SQLITE_CORRUPT")
  }

  private func expect(_ text: String, at txid: TxID) {
    guard let shown = world.oracle.shown[txid], shown != text else { return }
    world.oracle.violate(
      .wrongContent, "as of \(txid) a reader was shown\n\(shown)\nthe history says\n\(text)")
  }
}
