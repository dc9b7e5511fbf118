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

  public static let all: [Mutation] = [
    Mutation(.markAfterFrame, "mark not read after a commit frame"),
    Mutation(.markAfterFlush, "mark not read after a journal flush"),
    Mutation(.markAfterStart, "mark not read after the start frame", .log),
    Mutation(.markBeforeReading, "parent read before its mark is written"),
    Mutation(.markDownToStart, "only the nearest segment closed"),
    Mutation(.parentByStart, "parent chosen by its beacon", .log, seeds: 6000),
    Mutation(.checkBeforePublishing, "beacon written before the mark is read"),
    Mutation(.publishBeforeAcknowledging, "acknowledged before the beacon", .log),
    Mutation(.claimByLink, "segment number taken as by rename"),
    Mutation(.newSegmentAfterError, "segment used again after a failed write", .log),
    Mutation(.lookBehindMark, "reader ignores the mark"),
    Mutation(.removeOnlyPublished, "journal segment removed before it is confirmed"),
    Mutation(.rereadAfterMark, "frames not read again after closing"),
    Mutation(.listNames, "names found by probing"),
    Mutation(.sharedDescriptor, "what others write read through a kept plain descriptor"),
    Mutation(.wholeFrames, "torn frame accepted"),
    Mutation(.damageIsNoEnd, "damage taken for the end"),
    Mutation(.pageChecksum, "page checksum not compared"),
    Mutation(.deduplicate, "batch executed again when it is found again"),
    Mutation(.autocommit, "transaction not checked after OR ROLLBACK"),
    Mutation(.changeCounter, "change counter stands still"),
    Mutation(.renewalFromRequest, "renewal counted from the reply"),
    Mutation(.syncDirectory, "directory not synced"),
  ]

  init(
    _ check: SafetyCheck, _ what: String, _ kind: Simulation.Kind = .system, seeds: UInt64 = 2000
  ) {
    self.kind = kind
    self.check = check
    self.what = what
    self.seeds = seeds
  }
}
