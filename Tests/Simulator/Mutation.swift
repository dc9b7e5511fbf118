package import SluiceShared

/// The real code with one of its safety checks left out, and within how many seeds the simulator
/// must find that. One that is not found means that the simulator is blind there.
package struct Mutation: Sendable {
  package let check: SafetyCheck
  package let what: String
  /// What kind of run finds it: a whole system where it can.
  package let kind: Simulation.Kind
  /// Seeds from 1 on.
  package let seeds: UInt64
  /// False where it is found too seldom to be demanded: it is tried and told, and fails nothing.
  package let isDemanded: Bool
  /// The kinds of violations that the check is there to prevent; another one, or that something took too
  /// long, is not enough.
  package let signs: Set<Violation.Kind>

  private typealias Signs = [Violation.Kind]
  private static let fork: Signs = [.twoHistories, .twoContents, .publishedIsGone]
  private static let loss: Signs = [.lost]
  private static let damage: Signs = [.endedByDamage, .publishedIsGone]
  private static let unsoundPages: Signs = [.unsoundPagesCommitted]
  private static let corruption: Signs = [.corruptDatabase, .endedBySQLite, .endedByDamage]
  private static let poison: Signs = [.noCauseNamed]
  private static let gone: Signs = [.endedByExpiry, .endedByDamage]

  package static let all: [Mutation] = [
    Mutation(.markAfterFrame, "mark not read after a commit frame", fork + loss),
    Mutation(.markAfterFlush, "mark not read after a journal flush", loss),
    Mutation(.flushBeforeMark, "mark read before a journal flush", loss),
    Mutation(.markAfterStart, "mark not read after the start frame", fork, .log),
    Mutation(.markBeforeReading, "parent read before its mark is written", fork + loss),
    Mutation(.markDownToStart, "only the nearest segment closed", fork + loss),
    Mutation(
      .parentByStart, "parent chosen by its beacon", fork + [.staleRead], .log,
      seeds: 16_000),
    Mutation(.checkBeforePublishing, "beacon written before the mark is read", fork),
    Mutation(
      .publishBeforeAcknowledging, "acknowledged before the beacon",
      fork + [.staleRead, .newsFromNowhere]),
    Mutation(.syncBeacon, "beacon not synced", [.staleRead]),
    // What another claimant linked is gone.
    Mutation(.claimByLink, "segment number taken as by rename", fork + loss),
    Mutation(.newSegmentAfterError, "log segment used again after a failed write", fork, .log),
    Mutation(.lookBehindMark, "reader ignores the mark", [.staleRead]),
    Mutation(.removeOnlyPublished, "journal segment removed before it is confirmed", loss),
    Mutation(.rereadAfterMark, "frames not read again after closing", loss),
    // A reader that cannot go on, with an applier at work.
    Mutation(.listNames, "names found by probing", [.endedByDamage]),
    Mutation(
      .listAgain, "a later segment read before the one that a listing missed",
      [.writerForgotten, .endedByDamage], seeds: 500, isDemanded: false),
    Mutation(.sharedLog, "log read through a kept plain descriptor", fork + [.staleRead]),
    Mutation(
      .sharedJournal, "journal read through a kept plain descriptor", loss, seeds: 8000),
    Mutation(.wholeLogFrames, "torn frame of the log accepted", damage),
    Mutation(
      .wholeJournalFrames, "torn frame of the journal accepted", [.neverSubmitted]),
    Mutation(
      .countsAgainstBytes, "a frame's count of batches believed",
      [.overstatedFrame]),
    Mutation(.damageIsNoEnd, "damage taken for the end", [.damageShown]),
    Mutation(.pageChecksum, "page checksum not compared", [.damageShown]),
    Mutation(
      .indexOfThatTime, "a finished segment's index used as of an earlier batch",
      [.wrongPast]),
    Mutation(
      .placeInItsSegment, "a page's place taken for another segment's",
      damage + [.damageShown]),
    Mutation(
      .deduplicate, "batch executed again when it is found again", [.executedTwice]),
    Mutation(
      .ownWriter, "a stranger's file read under a writer's id",
      [.neverSubmitted] + loss),
    Mutation(
      .rememberedWriter, "segment begun by a writer that may be forgotten", [.writerForgotten]),
    // The applier itself notices these two, later, and can only end.
    Mutation(
      .autocommit, "transaction not checked after OR ROLLBACK", [.endedBySQLite]),
    Mutation(.changeCounter, "change counter stands still", [.endedBySQLite]),
    Mutation(
      .compactedPages, "what VACUUM wrote forgotten at its sync",
      [.damageShown] + [.corruptDatabase, .endedBySQLite, .unduePoison]),
    Mutation(
      .ownPageSize, "a state's page size taken from its checkpoint",
      damage + corruption + [.damageShown]),
    Mutation(.renewalFromRequest, "renewal counted from the reply", [.ledWithoutLease]),
    Mutation(
      .silenceSinceAnswer, "claimed from who answers hints", [.claimedTooEarly]),
    Mutation(
      .pauseBetweenAssistants, "assistants that begin terms at once", [.assistantsInHaste]),
    Mutation(.syncLogDirectory, "log directory not synced", [.staleRead] + loss),
    Mutation(.syncJournalDirectory, "journal directory not synced", loss),
    Mutation(.syncCheckpointDirectory, "checkpoint directory not synced", [.currentLeadsNowhere]),
    Mutation(
      .syncQuarantine, "quarantine not synced", [.removedBeforeQuarantine]),
    Mutation(
      .pagesOverNewest, "transactions committed over another state than theirs",
      [.committedOverOther]),
    Mutation(
      .turnExcludes, "others executed while a turn is out", [.refusedInTurn]),
    Mutation(
      .turnNamed, "pages that do not name the turn that is out", [.committedBesideTurn]),
    Mutation(.turnEnds, "a turn that never ends", [.notDrained, .didNotCome]),
    Mutation(.pagesRaiseCounter, "the change counter not compared", unsoundPages),
    Mutation(
      .soundFirstPage, "page 1 not looked at", unsoundPages + [.endedBySQLite]),
    Mutation(.candidateSchema, "the schema not parsed", unsoundPages + corruption),
    Mutation(
      .namedParts, "parts of pages taken without all of them",
      unsoundPages + corruption),
    Mutation(.ownPages, "pages of Sluice's own taken", unsoundPages),
    Mutation(
      .connectionAsBefore, "tables that hide others stay in the TEMP schema",
      [.wrongOutcome, .unsoundPagesCommitted]),
    Mutation(
      .workerAtEnd, "a worker that begins where it likes",
      fork + loss + [.executedTwice, .toldOtherwise, .endedByDamage]),
    Mutation(.watchAfterUncleanEnd, "nothing named after an unclean end", poison),
    Mutation(.nameBeforeExecution, "batches executed before they are named", poison),
    Mutation(.countEnds, "ends not counted over terms", poison),
    Mutation(
      .publishedCheckpoint, "a checkpoint made of what is not published",
      [.unpublishedCheckpoint]),
    Mutation(
      .retireBelowBeacon, "segments retired that no later beacon covers", fork + gone,
      .log),
    Mutation(.retireSuperseded, "segments retired that are needed", [.neededSegmentRemoved]),
    Mutation(.retireLowestFirst, "segments retired from above", [.segmentRemovedFromAbove]),
    Mutation(.retireByLink, "segments retired as by rename", gone, .log),
    Mutation(
      .deleteOnlyMoved, "segments deleted that have a name in the log still",
      [.uncoveredSegmentRemoved]),
    Mutation(
      .keepTwoCheckpoints, "one checkpoint kept only", [.checkpointRemoved]),
    Mutation(
      .keepForReaders, "what is superseded removed at once", [.removedTooEarly]),
    Mutation(
      .lookAfterHint, "a hint's outcome believed by a writer",
      [.twoOutcomes, .toldOtherwise, .outcomeFromNowhere]),
    Mutation(.readAfterHint, "a hint's batch taken by the leader for executed", loss),
    Mutation(
      .lookAfterRelease, "a hint's release believed by a standby", [.claimedTooEarly]),
    Mutation(.lookAfterNews, "a hint's TxID believed by who follows", [.newsFromNowhere]),
    Mutation(.deadlineFromRequest, "a deadline counted from the reply", [.twoHolders], .lease),
    Mutation(.stealAfterObservation, "an item taken without observation", [.twoHolders], .lease),
    Mutation(.renewalByTerm, "a renewal not conditional on the term", [.twoHolders], .lease),
    Mutation(
      .giveBackAfterLostClaim, "an item kept after a lost claim", [.itemKept], .lease),
  ]

  init(
    _ check: SafetyCheck, _ what: String, _ signs: [Violation.Kind],
    _ kind: Simulation.Kind = .system,
    seeds: UInt64 = 4000, isDemanded: Bool = true
  ) {
    self.isDemanded = isDemanded
    self.kind = kind
    self.check = check
    self.what = what
    self.signs = Set(signs)
    self.seeds = seeds
  }

  /// Whether `violation` is what leaving out the check leads to.
  package func isShown(by violation: Violation) -> Bool { signs.contains(violation.kind) }
}
