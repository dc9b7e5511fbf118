internal import Logging
internal import SluiceJournal
internal import SluiceShared

/// The work of a term that follows an unclean end, until all that waited then is executed: each group is
/// named durably before it is decoded, and what terms ended in comes before all others.
///
/// It costs nothing in requests, since the beacon that publishes a group names the next one; only that
/// beacon is waited for. What two terms in a row ended in is executed one batch a commit.
extension Leader {
  /// What is executed next, as one commit where it can be.
  private struct Trial {
    var batches: ArraySlice<PendingBatch>
    /// What is known of each of them; nil: nothing.
    var attempt: Attempt?
    var isNamed: Bool { attempt?.isExecuting ?? false }
    var isCareful: Bool { attempt?.isCareful ?? false }
    var isPoisonous: Bool { attempt?.isPoisonous ?? false }
  }

  /// Executes and publishes one group.
  func workWatched() throws(StoreError) {
    guard let trial = try nextTrial() else { return }
    if try name(trial), environment.makes(.nameBeforeExecution) { try publishNow(.active) }
    let request = try request(trial)
    isExecutingNamed = true
    let done = try commit(request)
    isExecutingNamed = false
    if done.lack != nil { takeBackNames(after: nil) }
    turn = turn(after: done, of: trial.batches)
    // It wants to be alone, or a connection opened anew, and comes again.
    guard done.count > 0 else { return }
    status.finish(trial.batches.prefix(done.count).lazy.map(\.id))
    grow(after: done)
    if let next = try nextTrial() { _ = try name(next) }
    if environment.makes(.nameBeforeExecution) {
      try publishNow(.active)
    } else {
      let named = status
      _ = status.takeBack()
      try publishNow(.active)
      status = named
    }
  }

  private func request(_ trial: Trial) throws(StoreError) -> Session.Request {
    var request = Session.Request(
      batches: trial.batches, isAlone: nextIsAlone || trial.isCareful || turn != nil,
      time_ms: commitTime_ms(), mayLackBatches: { [intake] in intake.mayLackBatches($0) })
    request.turn = turn?.number
    request.attempts = trial.batches.count == 1 ? trial.attempt?.ends ?? 0 : 0
    if trial.isPoisonous, let batch = trial.batches.first {
      request.verdict = Session.Verdict(
        batch: batch.id,
        rejection: Outcome.Rejection(
          code: Outcome.Rejection.Code.poisonous,
          message:
            "\(request.attempts) appliers ended while they executed this batch, the last \(Limits.endsInCare) while it was alone; look at their logs for why"
        ))
      logger.error(
        "batch rejected as poisonous: appliers ended while they executed it",
        metadata: ["batch": "\(batch.id)"])
    } else if !trial.isCareful {
      request.prunesBeside = try writersToKeep(request.time_ms)
    }
    return request
  }

  /// The next batches of which the same is known: those that terms ended in first, the most often
  /// ended in before all others. While a turn is out it is its holder's next batch, and nil where that has not
  /// come: what is named and not executed would be blamed for the end of this term.
  private func nextTrial() throws(StoreError) -> Trial? {
    if turn == nil { try bringForward() }
    guard let front = intake.next(1, bytes: .max).first else { return nil }
    if let turn, front.id.writer != turn.holder, environment.makes(.turnExcludes) { return nil }
    let attempt = status.attempt(at: front.id)
    let isAlone = nextIsAlone || turn != nil || attempt?.isCareful ?? false
    // A beacon has room for them beside what is not met yet.
    let mostWriters =
      attempt == nil
      ? min(Limits.writersPerWatchedGroup, max(1, Limits.attemptsInBeacon - status.attempts.count))
      : Limits.attemptsInBeacon
    var writers: Set<WriterID> = []
    let batches = intake.next(
      isAlone ? 1 : attempt?.isExecuting ?? false ? Limits.batchesPerCommit : groupBound,
      bytes: Limits.batchBytesPerCommit
    ) { batch in
      writers.insert(batch.id.writer)
      let other = status.attempt(at: batch.id)
      return other?.ends == attempt?.ends && other?.isExecuting == attempt?.isExecuting
        && writers.count <= mostWriters
    }
    return Trial(batches: batches, attempt: attempt)
  }

  /// Whether there is a name to be published: what is named already, or is not executed, needs none.
  private func name(_ trial: Trial) throws(StoreError) -> Bool {
    guard !trial.isNamed, !trial.isPoisonous else { return false }
    status.begin(trial.batches.lazy.map(\.id), ends: trial.attempt?.ends ?? 0)
    return true
  }

  /// A term that reads the journal in another order than the last one would execute others first, again
  /// and again; so what terms ended in is brought to the front. Each writer's order stays as it is.
  private func bringForward() throws(StoreError) {
    guard !status.attempts.contains(where: \.isExecuting) else { return }
    var next: [Attempt] = []
    for writer in Set(status.attempts.map(\.batch.writer)) {
      let known = try execution.known(writer)?.sequence
      if let known { status.forget(upTo: known, of: writer) }
      let first = (known ?? SequenceNumber(0)).next
      next += status.attempts.filter {
        $0.batch == BatchID(writer: writer, sequence: first)
      }
    }
    intake.writersFirst = Set(next.map(\.batch.writer))
    let front = intake.next(1, bytes: .max).first.flatMap { status.attempt(at: $0.id)?.ends }
    for ends in Set(next.map(\.ends)).sorted(by: >) {
      if ends == front { return }
      let wanted = next.filter { $0.ends == ends }
      if intake.bringForward({ id in wanted.contains { $0.contains(id) } }) { return }
    }
  }

  // MARK: the end of a term

  /// Says durably that what is named does not end this term, where that is so: nothing of it was being
  /// executed, or a device, a damaged page or another applier is at fault.
  func takeBackNames(after error: StoreError?) {
    if let error, isExecutingNamed, error.errno == nil, error.code != .damaged,
      !error.endsOnlyTheTerm
    {
      return
    }
    let named = status.attempts
    guard status.takeBack() else { return }
    do throws(StoreError) {
      try publisher.wait()
      publisher.start(beacon(.active), holder)
      try publisher.wait()
    } catch {
      // The beacon may still name them: who claims after this in the same process is to know.
      status.attempts = named
    }
  }
}
