import ArgumentParser

/// Ways to leave out what a promise rests on: each must be found.
enum Sabotage: String, CaseIterable, Sendable, ExpressibleByArgument {
  /// Journal segments are not synced. Found where power fails, as the next four are.
  case noJournalSync = "no-journal-sync"
  /// Log segments are not synced.
  case noLogSync = "no-log-sync"
  /// Checkpoints are not synced.
  case noCheckpointSync = "no-checkpoint-sync"
  /// Directories are not synced.
  case noDirectorySync = "no-directory-sync"
  /// A journal segment's length is not made durable by its sync.
  case noLengthSync = "no-length-sync"
  /// No writer and no holder finds its segment closed. Found where they pause.
  case noMarkCheck = "no-mark-check"
  /// A worker takes a batch for durable before it is submitted. Found where workers are killed.
  case earlyAcknowledgement = "early-acknowledgement"
  /// What is to die at a point crashes there of itself.
  case trap

  func leavesOutSync(of kind: String) -> Bool {
    switch self {
    case .noJournalSync: kind == "journal"
    case .noLogSync: kind.hasPrefix("log")
    case .noCheckpointSync: kind.hasPrefix("checkpoint") || kind.hasPrefix("sidecar")
    case .noDirectorySync, .noLengthSync, .noMarkCheck, .earlyAcknowledgement, .trap: false
    }
  }
}
