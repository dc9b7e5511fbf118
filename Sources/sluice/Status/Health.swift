import ArgumentParser
import SluiceShared

/// What is wrong with a store, as an exit code and a sentence. What is worse comes first.
struct Health {
  var code: ExitCode
  var message: String

  /// nil: nothing is wrong.
  init?(_ status: StoreStatus) {
    let store = status.store.printable
    if status.quarantined > 0 || status.backlog.ignored > 0 {
      code = .damaged
      message =
        "\(store): \(status.quarantined) journal segments are in quarantine and \(status.backlog.ignored) files in the journal are ignored or cannot be used: what they hold is not applied; see the applier's log and docs/OPERATIONS.md"
      return
    }
    let waiting =
      "\(status.backlog.batches) batches wait, the oldest for \(status.backlog.oldest_ms) ms"
    switch status.state {
    case .silent:
      code = .noApplier
      message =
        "\(store): the applier \(status.holder.printable) has been silent for \(status.beatAge_ms) ms and no other has taken over; \(waiting); start an applier"
    case .released, .none:
      guard status.backlog.batches > 0 else { return nil }
      code = .noApplier
      message = "\(store): no applier leads, and \(waiting); start an applier"
    case .active:
      guard status.backlog.batches > 0, status.backlog.oldest_ms > Limits.longestHealthyWait_ms
      else {
        return nil
      }
      code = .tryAgain
      message =
        "\(store): \(waiting), although \(status.holder.printable) leads; see its log, and the file server"
    }
  }
}
