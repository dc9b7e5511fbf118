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
  /// What tells that a promise was broken, and not only that something took too long.
  private let shows: [String]

  /// Somebody saw or was told what is not so.
  private static let breaches = [
    "had been seen before", "two readers saw", "was shown", "two histories", "is nowhere", "stale,",
    "is in the history twice", "is none that was submitted", "the log goes from batch",
  ]

  public static let all: [Mutation] = [
    Mutation(.markAfterFrame, "mark not read after a commit frame"),
    Mutation(.markAfterFlush, "mark not read after a journal flush"),
    Mutation(.markAfterStart, "mark not read after the start frame", .log),
    Mutation(.markBeforeReading, "parent read before its mark is written"),
    Mutation(.markDownToStart, "only the nearest segment closed"),
    Mutation(.parentByStart, "parent chosen by its beacon", .log, seeds: 6000),
    Mutation(.checkBeforePublishing, "beacon written before the mark is read"),
    Mutation(.publishBeforeAcknowledging, "acknowledged before the beacon"),
    Mutation(.claimByLink, "segment number taken as by rename"),
    Mutation(.newSegmentAfterError, "segment used again after a failed write", .log),
    Mutation(.lookBehindMark, "reader ignores the mark"),
    Mutation(.removeOnlyPublished, "journal segment removed before it is confirmed"),
    Mutation(.rereadAfterMark, "frames not read again after closing"),
    // A reader that cannot go on, with an applier at work (promise 5).
    Mutation(.listNames, "names found by probing", shows: "none follows it"),
    Mutation(
      .listAgain, "a later segment read before the one that a listing missed",
      shows: "expiredWriter", "went on without this batch"),
    Mutation(.sharedDescriptor, "what others write read through a kept plain descriptor"),
    Mutation(.wholeFrames, "torn frame accepted"),
    Mutation(.damageIsNoEnd, "damage taken for the end"),
    Mutation(.pageChecksum, "page checksum not compared"),
    Mutation(.deduplicate, "batch executed again when it is found again"),
    // The applier itself notices these two, later, and can only end.
    Mutation(.autocommit, "transaction not checked after OR ROLLBACK", shows: "no such savepoint"),
    Mutation(.changeCounter, "change counter stands still", shows: "without writing page 1"),
    Mutation(.renewalFromRequest, "renewal counted from the reply", shows: "led on although"),
    Mutation(.syncDirectory, "directory not synced"),
  ]

  init(
    _ check: SafetyCheck, _ what: String, _ kind: Simulation.Kind = .system, seeds: UInt64 = 2000,
    shows: String...
  ) {
    self.kind = kind
    self.check = check
    self.what = what
    self.seeds = seeds
    self.shows = shows.isEmpty ? Mutation.breaches : shows
  }

  /// Whether `violation` is what leaving out the check leads to.
  public func isShown(by violation: String) -> Bool { shows.contains { violation.contains($0) } }
}
