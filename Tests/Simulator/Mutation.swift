public import SluiceShared

/// The real code with one of its safety checks left out, and within how many seeds the simulator
/// must find that. One that is not found means that the simulator is blind there.
public struct Mutation: Sendable {
  public let check: SafetyCheck
  public let what: String
  /// What kind of run finds it: a whole system where it can.
  public let kind: Simulation.Kind
  /// Seeds from 1 on.
  public let seeds: UInt64
  /// False where it is found too seldom to be demanded: it is tried and told, and fails nothing.
  public let isDemanded: Bool
  /// What a violation says that the check is there to prevent; another one, or that something took too
  /// long, is not enough.
  private let signs: [String]

  private enum Sign {
    static let fork = ["two histories", "two readers saw", "the log goes from batch"]
    static let loss = ["is nowhere"]
    static let staleness = ["had been seen before", "stale,"]
    static let wrongContent = ["was shown in place of"]
    static let damage = ["is damaged"]
    static let absence = ["which is not there"]
    static let twoHolders = ["two hold the lease"]
    static let refusedPages = ["was committed, and should be refused"]
    static let poison = ["no batch is named as the cause"]
    static let gone = ["is not kept any more", "has a start frame"]
  }

  public static let all: [Mutation] = [
    Mutation(.markAfterFrame, "mark not read after a commit frame", Sign.fork + Sign.loss),
    Mutation(.markAfterFlush, "mark not read after a journal flush", Sign.loss),
    Mutation(.flushBeforeMark, "mark read before a journal flush", Sign.loss),
    Mutation(.markAfterStart, "mark not read after the start frame", Sign.fork, .log),
    Mutation(.markBeforeReading, "parent read before its mark is written", Sign.fork + Sign.loss),
    Mutation(.markDownToStart, "only the nearest segment closed", Sign.fork + Sign.loss),
    Mutation(
      .parentByStart, "parent chosen by its beacon", Sign.fork + Sign.staleness, .log,
      seeds: 16_000),
    Mutation(.checkBeforePublishing, "beacon written before the mark is read", Sign.fork),
    Mutation(
      .publishBeforeAcknowledging, "acknowledged before the beacon", Sign.fork + Sign.staleness),
    Mutation(.syncBeacon, "beacon not synced", Sign.staleness),
    // What another claimant linked is gone.
    Mutation(.claimByLink, "segment number taken as by rename", Sign.fork + Sign.loss),
    Mutation(.newSegmentAfterError, "log segment used again after a failed write", Sign.fork, .log),
    Mutation(.lookBehindMark, "reader ignores the mark", Sign.staleness),
    Mutation(.removeOnlyPublished, "journal segment removed before it is confirmed", Sign.loss),
    Mutation(.rereadAfterMark, "frames not read again after closing", Sign.loss),
    // A reader that cannot go on, with an applier at work.
    Mutation(.listNames, "names found by probing", ["none follows it"]),
    Mutation(
      .listAgain, "a later segment read before the one that a listing missed",
      ["expiredWriter", "went on without this batch"], seeds: 500, isDemanded: false),
    Mutation(.sharedLog, "log read through a kept plain descriptor", Sign.fork + Sign.staleness),
    Mutation(
      .sharedJournal, "journal read through a kept plain descriptor", Sign.loss, seeds: 8000),
    Mutation(.wholeLogFrames, "torn frame of the log accepted", Sign.damage),
    Mutation(
      .wholeJournalFrames, "torn frame of the journal accepted", ["is none that was submitted"]),
    Mutation(
      .countsAgainstBytes, "a frame's count of batches believed",
      ["cannot hold what it says"]),
    Mutation(.damageIsNoEnd, "damage taken for the end", Sign.wrongContent),
    Mutation(.pageChecksum, "page checksum not compared", Sign.wrongContent),
    Mutation(
      .indexOfThatTime, "a finished segment's index used as of an earlier batch",
      ["which is not what was there as of"]),
    Mutation(
      .placeInItsSegment, "a page's place taken for another segment's",
      Sign.damage + Sign.wrongContent),
    Mutation(
      .deduplicate, "batch executed again when it is found again", ["is in the history twice"]),
    Mutation(
      .ownWriter, "a stranger's file read under a writer's id",
      ["is none that was submitted"] + Sign.loss),
    Mutation(
      .rememberedWriter, "segment begun by a writer that may be forgotten", ["expiredWriter"]),
    // The applier itself notices these two, later, and can only end.
    Mutation(
      .autocommit, "transaction not checked after OR ROLLBACK", ["no such savepoint"]),
    Mutation(.changeCounter, "change counter stands still", ["without writing page 1"]),
    Mutation(
      .compactedPages, "what VACUUM wrote forgotten at its sync",
      Sign.wrongContent + ["database disk image is malformed", "is rejected as poisonous after"]),
    Mutation(.renewalFromRequest, "renewal counted from the reply", ["led on although"]),
    Mutation(
      .pauseBetweenAssistants, "assistants that begin terms at once", ["assistants began terms"]),
    Mutation(.syncLogDirectory, "log directory not synced", Sign.staleness + Sign.loss),
    Mutation(.syncJournalDirectory, "journal directory not synced", Sign.loss),
    Mutation(.syncCheckpointDirectory, "checkpoint directory not synced", Sign.absence),
    Mutation(
      .syncQuarantine, "quarantine not synced", ["before its name in quarantine is durable"]),
    Mutation(
      .pagesOverNewest, "transactions committed over another state than theirs",
      ["of a transaction over"]),
    Mutation(
      .turnExcludes, "others executed while a turn is out", ["was refused within its turn"]),
    Mutation(
      .turnNamed, "pages that do not name the turn that is out", ["was committed beside turn"]),
    Mutation(.turnEnds, "a turn that never ends", ["the journal still holds", "did not come"]),
    Mutation(.pagesRaiseCounter, "the change counter not compared", Sign.refusedPages),
    Mutation(
      .soundFirstPage, "page 1 not looked at", Sign.refusedPages + ["own statement failed"]),
    Mutation(.candidateSchema, "the schema not parsed", Sign.refusedPages + ["malformed"]),
    Mutation(
      .namedParts, "parts of pages taken without all of them",
      Sign.refusedPages + ["own statement failed", "malformed"]),
    Mutation(.ownPages, "pages of Sluice's own taken", Sign.refusedPages),
    Mutation(
      .connectionAsBefore, "tables that hide others stay in the TEMP schema", ["and should be"]),
    Mutation(
      .workerAtEnd, "a worker that begins where it likes",
      Sign.fork + Sign.loss + ["is in the history twice", "the log says", "the log ends at batch"]),
    Mutation(.watchAfterUncleanEnd, "nothing named after an unclean end", Sign.poison),
    Mutation(.nameBeforeExecution, "batches executed before they are named", Sign.poison),
    Mutation(.countEnds, "ends not counted over terms", Sign.poison),
    Mutation(
      .publishedCheckpoint, "a checkpoint made of what is not published",
      ["which is not published"]),
    Mutation(
      .retireBelowBeacon, "segments retired that no later beacon covers", Sign.fork + Sign.gone,
      .log),
    Mutation(.retireSuperseded, "segments retired that are needed", ["which is needed behind"]),
    Mutation(.retireLowestFirst, "segments retired from above", ["which is below it"]),
    Mutation(.retireByLink, "segments retired as by rename", Sign.gone, .log),
    Mutation(
      .deleteOnlyMoved, "segments deleted that have a name in the log still",
      ["which has no name in old/"]),
    Mutation(
      .keepTwoCheckpoints, "one checkpoint kept only", ["of the newest two checkpoints"]),
    Mutation(
      .keepForReaders, "what is superseded removed at once", ["before its readers had their time"]),
    Mutation(
      .lookAfterHint, "a hint believed", ["two outcomes", "was told to be", "came from nowhere"]),
    Mutation(.deadlineFromRequest, "a deadline counted from the reply", Sign.twoHolders, .lease),
    Mutation(.stealAfterObservation, "an item taken without observation", Sign.twoHolders, .lease),
    Mutation(.renewalByTerm, "a renewal not conditional on the term", Sign.twoHolders, .lease),
    Mutation(
      .giveBackAfterLostClaim, "an item kept after a lost claim", ["keeps the item"], .lease),
  ]

  init(
    _ check: SafetyCheck, _ what: String, _ signs: [String], _ kind: Simulation.Kind = .system,
    seeds: UInt64 = 4000, isDemanded: Bool = true
  ) {
    self.isDemanded = isDemanded
    self.kind = kind
    self.check = check
    self.what = what
    self.signs = signs
    self.seeds = seeds
  }

  /// Whether `violation` is what leaving out the check leads to.
  public func isShown(by violation: String) -> Bool { signs.contains { violation.contains($0) } }
}
