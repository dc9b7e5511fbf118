import SluiceApplier
import SluiceFakes
import SluiceJournal
import SluiceShared

/// Stores without appliers: whoever waits for an outcome leads for a moment.
extension World {
  /// The assistant of a writer's process, where this run has them.
  func assistant(_ life: Life) -> Assistant? {
    guard plan.assists else { return nil }
    return Assistant(
      store: World.layout.root, options: applierOptions(life), environment: life.environment,
      lease: { [self] in lease(life) }, isStopped: { life.isGone })
  }

  /// What kept a process from leading: as if it had ended an applier.
  func judgeAssistance(_ error: StoreError, _ life: Life) {
    guard !life.isGone else { return }
    note("\(life.name) could not assist: \(error)")
    switch error.code {
    case .notLeading, .wrongClock, .snapshotExpired: return
    default: if isFault(error) || error.isLostOpen { return }
    }
    oracle.violate(Violation(endedBy: error, "\(life.name) could not assist: \(error)"))
  }

  /// No two terms begin within a pause, as far as clocks tell how long the one before took.
  func judgePause(_ life: Life) {
    // The applier that goes on in the end waits for nobody.
    guard !life.isGone, life.name.hasPrefix("W"), let began_ns = claimsBegan[life.process.number]
    else { return }
    defer { lastAssistance_ns = max(lastAssistance_ns ?? 0, began_ns) }
    // One that stood still behind its claim tells of it when another has taken over.
    guard let before_ns = lastAssistance_ns, began_ns > before_ns, statistics[.clockJumps] == 0,
      statistics[.suspended] == 0
    else { return }
    // Clocks drift by 200 ppm each, and a beacon says whole milliseconds.
    let least_ns = Assistance().pause.inNanoseconds - 3_000_000
    let apart_ns = began_ns - before_ns
    if apart_ns < least_ns {
      oracle.violate(.assistantsInHaste, "assistants began terms \(apart_ns / 1_000_000) ms apart")
    }
  }
}
