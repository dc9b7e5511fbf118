import ArgumentParser

/// Ways to leave out what a promise rests on: each must be found.
enum Sabotage: String, CaseIterable, Sendable, ExpressibleByArgument {
  /// Files are never synced. Found where power fails.
  case noSync = "no-sync"
  /// Directories are never synced. Found where power fails.
  case noDirectorySync = "no-directory-sync"
  /// No writer and no holder finds its segment closed. Found where they pause.
  case noMarkCheck = "no-mark-check"
  /// A worker takes a batch for durable before it is submitted. Found where workers are killed.
  case earlyAcknowledgement = "early-acknowledgement"
}
