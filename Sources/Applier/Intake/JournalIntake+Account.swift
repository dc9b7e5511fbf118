internal import SluiceJournal
internal import SluiceShared

/// What is told of the journal.
extension JournalIntake {
  var writerCount: Int { writers.count }
  /// Files here that are not read.
  var ignoredCount: Int { names.ignoredCount }
  /// Writers whose batches wait for the right to use a file, or for room on the scratch disk.
  var unusableCount: Int { heldBack.forbiddenCount + withoutRoom.knownCount }

  /// What was and will not be applied of what this term has found.
  var leftBehind: LeftBehind {
    LeftBehind(
      ignored: ignoredCount, missing: missing, heldBack: heldBack.count + withoutRoom.count,
      quarantined: quarantine.countHere)
  }

  /// How long the oldest batch has waited.
  var age_ms: UInt64 {
    let oldest = waiting.firsts.compactMap { $0.frame.segment?.lastNews }.min()
    guard let oldest else { return 0 }
    return UInt64(max(0, (environment.clock.elapsed() - oldest).wholeMilliseconds))
  }
}
