internal import SluiceHints
internal import SluiceJournal
internal import SluiceLease
internal import SluiceShared

/// When a term looks into the journal, and how it waits until then.
///
/// A look is some requests to the file server. So while hints come with all that is new, a leader with nothing
/// to do waits for the next one, and looks by itself only now and then; and as soon as something is found that
/// no hint came with, it looks as often as without (`HintProof`).
extension Leader {
  /// A term begins: what happens in it is told to the hints' end.
  func takeHints() {
    guard let desk else { return }
    desk.begin(publisher.publishedTxID.txid)
    intake.onRead = { desk.found($0) }
    intake.onTaken = { desk.executed($0, in: $1) }
    publisher.onPublished = { desk.published($0) }
    publisher.onWritten = desk.interrupt
    if !environment.makes(.readAfterHint) {
      desk.onHint = { [intake] in intake.writers.believe($0) }
    }
  }

  /// Looks into the journal. Where a whole group waits already that is not urgent: each look is some round
  /// trips, and what is new comes behind a turn of each other writer anyway.
  func pollWhenDue() throws(StoreError) -> Bool {
    desk?.take()
    let isAheadFound = try takeAhead()
    let now = environment.clock.elapsed()
    // Others than whose it is are looked at as often as ever.
    if isAheadFound, now - lastPoll < options.slowestPoll { return true }
    if turn == nil, intake.waiting.count >= groupBound, now - lastPoll < options.slowestPoll {
      return true
    }
    guard isLookDue(now) else { return false }
    let hinted = desk?.takeWanted() ?? []
    var wanted = hinted
    let pause = hintedPause(now)
    // The signs of life of who has the turn come without hints.
    if let turn, pause != nil { wanted.insert(turn.holder) }
    for writer in wanted { intake.writers.bringForward(writer) }
    if pause == nil, intake.hintedPause != nil { intake.writers.bringForward(nil) }
    intake.hintedPause = pause
    let found = try look(at: wanted, isHinted: pause != nil, now)
    lastPoll = environment.clock.elapsed()
    hasMoreToRead = found
    desk?.looked(isHinted: !hinted.isEmpty, finds: !intake.isIdle)
    return found
  }

  /// What is published while the next group is executed is waited for by then, and who asks and hears nothing polls as
  /// where nobody leads.
  func hearDuringExecution() {
    let now = environment.clock.elapsed()
    guard hold.failure == nil, now - lastHearing >= Limits.hearingPause else { return }
    lastHearing = now
    do throws(StoreError) { if publisher.isDone { try publisher.wait() } } catch {
      hold.fail(error)
    }
    desk?.take()
    lookAhead()
  }

  /// Begins to read and to open the next group, while one of `count` batches is executed (nil: what is known of it was
  /// opened). Of many stores others do their work meanwhile.
  func lookAhead(behind count: Int? = nil) {
    guard isExecuting, mayOpenAhead, options.many == nil, intake.mayLookAhead,
      environment.executor.startsThreads
    else { return }
    desk?.take()
    let hinted = desk.map { $0.isProven ? $0.wantedWriters : [] } ?? []
    // What a child process executes, it decodes: that may be what ends it.
    let opening: FramesAhead? =
      options.worker == nil ? count.map { framesAhead(behind: $0) } ?? FramesAhead() : nil
    let begun = intake.lookAhead(at: hinted, opening: opening)
    aheadHinted = begun.intersection(hinted)
    desk?.looks(at: aheadHinted)
  }

  /// Not where batches are named before they are decoded, nor while a turn is out, whose holder comes first.
  private var mayOpenAhead: Bool { !status.isWatched && turn == nil }

  /// What the next group is likely to have, behind the first `count` batches that wait.
  func framesAhead(behind count: Int) -> FramesAhead {
    guard mayOpenAhead else { return FramesAhead() }
    return intake.framesAhead(behind: count, most: min(groupBound, Limits.batchesOpenedAhead))
  }

  func takeAhead() throws(StoreError) -> Bool {
    guard intake.ahead != nil else { return false }
    let found = try intake.takeAhead()
    desk?.looked(isHinted: !aheadHinted.isEmpty, finds: found)
    // What is not there is in another segment, or the hint was a forgery: the next look says.
    desk?.wantAgain(aheadHinted)
    aheadHinted = []
    if found { hasMoreToRead = true }
    return found
  }

  /// Where all that is new is said to be of writers whose segments are known, a listing would find none of it.
  private func look(at hinted: Set<WriterID>, isHinted: Bool, _ now: Duration) throws(StoreError)
    -> Bool
  {
    guard let desk, isHinted, now - intake.lastListing < Limits.shortestHintedPause,
      intake.mayReadNext(of: hinted)
    else { return try intake.poll() }
    let found = try intake.poll(lists: false)
    guard !desk.hasRead(hinted) else { return found }
    // It is in another segment, or the hint is a forgery.
    for writer in hinted { intake.writers.bringForward(writer) }
    return try intake.poll() || found
  }

  private func isLookDue(_ now: Duration) -> Bool {
    guard intake.isIdle else { return true }
    guard let desk else { return hasMoreToRead || now >= nextLook }
    // Somebody may wait for what the beacon on its way publishes, and of what is new a hint comes.
    if hintedPause(now) != nil, publisher.isUnderWay, !desk.isLookWanted(at: now) { return false }
    if hasMoreToRead || desk.isLookWanted(at: now) { return true }
    if now >= nextLook, let next = intake.ownNextPoll, now >= next { return true }
    // A beacon on its way interrupts a rest, and is no reason to look.
    return hintedPause(now).map { now - lastPoll >= boundedByTurn($0) } ?? (now >= nextLook)
  }

  /// The pause between two looks where hints can be relied on, else nil.
  private func hintedPause(_ now: Duration) -> Duration? {
    guard let desk, desk.isProven else { return nil }
    return desk.pause(after: now - lastWork)
  }

  /// A turn's end is to be noticed in time, and whether its holder lives.
  private func boundedByTurn(_ pause: Duration) -> Duration {
    turn == nil ? pause : min(pause, Limits.lookDuringTurn)
  }

  /// Nothing to do: a beat when it is time, then a pause that grows with the quiet. Returns how long it is.
  func rest() throws(StoreError) -> Duration {
    let now = environment.clock.elapsed()
    guard try lease.keep() else { throw leaseRanOut }
    try beatWhenDue(after: pauseUntilBeat(now))
    removePublished()
    try keepHouse()
    let pause = unhintedPause(now)
    nextLook = lastPoll + pause
    desk?.beginJudging()
    var longest = boundedByTurn(hintedPause(now) ?? pause)
    if let next = intake.ownNextPoll { longest = min(longest, max(pause, next - lastPoll)) }
    return options.many == nil ? rest(atMost: longest) : restAmongMany(now, longest)
  }

  /// Between two looks where no hints can be relied on. After a long quiet it is a thousandth of that: who comes
  /// then waits for so much longer than it has been quiet, and a store that nobody writes costs little. Of many
  /// stores most are never written to; one that is comes before those.
  private func unhintedPause(_ now: Duration) -> Duration {
    let quiet = now - lastWork
    let usual = min(options.slowestPoll, max(.microseconds(50), quiet / 128))
    guard turn == nil, !options.drains else { return usual }
    guard options.many != nil else {
      return max(usual, min(Limits.longestHintedPause, quiet / 1000))
    }
    guard hasCommitted else { return Limits.longestPauseAmongMany }
    return min(Limits.longestPauseAmongMany, max(Limits.shortestPauseAmongMany, quiet / 16))
  }

  /// Until the next look, the next beat, or a look that a hint wants and that comes too early now. Its process
  /// has a place among few: one that was not used for a while is given up.
  private func restAmongMany(_ now: Duration, _ pause: Duration) -> Duration {
    if now - lastWork >= Limits.restingWorkerTime { execution.letGo() }
    var next = min(lastPoll + pause, publisher.lastStart + pauseUntilBeat(now))
    if let wanted = desk?.nextWantedLook { next = min(next, wanted) }
    if let keep = lease.nextKeep { next = min(next, keep) }
    return max(.zero, next - now)
  }

  /// Rests on this thread.
  func wait(atMost pause: Duration) {
    guard let desk else { return environment.clock.sleep(pause) }
    wasInterrupted = desk.wait(atMost: pause)
  }

  /// Until the next look, the next beat, or until it is to be seen whether the process is to stop.
  private func rest(atMost pause: Duration) -> Duration {
    let now = environment.clock.elapsed()
    let next = min(
      lastPoll + pause - now, publisher.lastStart + pauseUntilBeat(now) - now,
      Limits.longestUnheededStop)
    // What is due waits for the beacon on its way (`isLookDue`), whose end interrupts this rest.
    let isAwaited = publisher.isUnderWay && hintedPause(now) != nil
    return max(isAwaited ? Limits.shortestRest : .zero, next)
  }

  /// From the last beat until the next one: no longer than that says. At once where who heard it without reading beacons
  /// asks no more.
  private func pauseUntilBeat(_ now: Duration) -> Duration {
    min(restingBeat(now), max(options.beat, announcedBeat))
  }

  /// The pause between two beats: the longer the longer nothing has come, where the lease allows it.
  func restingBeat(_ now: Duration) -> Duration {
    let isHeard = desk?.isAskedByStandby(at: now) ?? false
    guard let longest = lease.longestPauseBetweenBeats(isHeard: isHeard) else {
      return options.beat
    }
    if options.many != nil { return max(options.beat, min(longest, Limits.longestRestingBeat)) }
    return max(options.beat, min(longest, Limits.longestRestingBeat, (now - lastWork) / 8))
  }
}

extension StatedHints {
  /// As of now; of none where there is no desk.
  init(_ desk: HintDesk?) {
    self.init()
    guard let desk else { return }
    endpoint = desk.endpoint
    (received, useful, sent) = (desk.counts.received, desk.counts.useful, desk.counts.sent)
  }
}
