internal import Logging
internal import SluiceJournal
internal import SluiceLease
internal import SluiceShared

/// What a term publishes, and the beats that keep its lease.
extension Leader {
  func beacon(_ state: Beacon.State) -> SealedBeacon {
    status.checkpoint = checkpointer.newest
    status.retention = options.retention.stated
    status.backlogBatches = UInt64(intake.waiting.count)
    status.backlogBytes = UInt64(intake.waiting.bytes)
    status.oldest_ms = intake.age_ms
    status.batchesPerSecond = rate.perSecond(at: environment.clock.elapsed())
    status.quarantined = intake.quarantine.count
    status.writers = UInt32(intake.writerCount)
    status.ignored = UInt64(intake.ignoredCount + intake.unusableCount)
    status.hints = StatedHints(desk)
    announcedBeat = restingBeat(environment.clock.elapsed())
    status.nextBeat_ms = UInt32(clamping: announcedBeat.wholeMilliseconds)
    if state == .released { status.hints.endpoint = nil }
    status.missing = missingBefore.addingReportingOverflow(intake.missing).partialValue
    status.turn = turn.map { StatedTurn(number: $0.number, holder: $0.holder) }
    let beacon = holder.beacon(state, status, time_ms: environment.clock.wallTime_ms())
    options.metrics?.publishes(beacon.content)
    return beacon
  }

  /// Publishes what is confirmed while the next group is prepared; one beacon is in flight at most.
  func publishBeside() throws(StoreError) {
    try hold.check()
    try publisher.wait()
    try renewed()
    publisher.start(beacon(.active), holder)
  }

  func publishNow(_ state: Beacon.State) throws(StoreError) {
    // A beat that was refused while pages were read ends the term here, too.
    try hold.check()
    try publisher.wait()
    // Among many stores a turn for nothing costs others time.
    publisher.start(beacon(state), holder, isAwaited: options.many != nil)
    try publisher.wait()
    // A release needs no lease: it says that nothing comes after it, and is said for good once it is written.
    if state == .active { try renewed() }
  }

  private func renewed() throws(StoreError) {
    guard let started = publisher.takeFinishedStart() else { return }
    if let interval = publisher.interval { options.metrics?.sees(beatAge: interval) }
    // Beats at the usual pace are no rest, however short the lease is.
    let rest = announcedBeat > options.beat ? announcedBeat : .zero
    if try !lease.renew(beatStarted: started, nextBeat: rest) { throw leaseRanOut }
  }

  var leaseRanOut: StoreError {
    StoreError(.notLeading, "the lease ran out before it was renewed; this applier stands back")
  }

  /// What a commit came to that was begun at `began`, when the segment had `bytes`.
  func measure(_ done: Session.Done, _ began: Duration, _ bytes: Int64) {
    let now = environment.clock.elapsed()
    rate.add(Int(done.committed), at: now)
    options.metrics?.committed(
      Int(done.committed), bytes: holder.usedBytes - bytes, in: now - began)
  }

  var isBeatDue: Bool {
    environment.clock.elapsed() - publisher.lastStart >= options.beat
  }

  /// A long statement's progress keeps the lease. Where it does not, the statement goes on until
  /// somebody has taken over: this term publishes no commit more, but the next one, if it is made
  /// before that, is carried over. So one step that takes longer than a lease gets done in the end.
  func beatDuringExecution() {
    guard hold.failure == nil else { return lookWhetherClosed() }
    guard isBeatDue else { return }
    do throws(StoreError) { try publishNow(.active) } catch {
      logger.warning("no beat during a long statement", metadata: ["error": "\(error)"])
      hold.fail(error)
    }
  }

  private func lookWhetherClosed() {
    guard hold.takeLook(at: environment.clock.elapsed(), every: options.beat) else { return }
    do throws(StoreError) { try holder.checkOpen() } catch {
      if error.code == .notLeading { hold.lose() }
    }
  }

  /// `pause`: since the last one.
  func beatWhenDue(after pause: Duration? = nil) throws(StoreError) {
    if environment.clock.elapsed() - publisher.lastStart >= pause ?? options.beat {
      try publishNow(.active)
      // Nobody waits for a leader at rest to see that it is none any more: a commit finds that out by itself.
      skipsMark = pause.map { $0 > options.beat } ?? false && !skipsMark
      if !skipsMark { try holder.checkOpen() }
    } else if publisher.isDone {
      try publisher.wait()
    }
  }
}
