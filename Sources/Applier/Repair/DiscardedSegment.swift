package import SluiceJournal
package import SluiceShared

/// A journal segment that nobody needs in quarantine any more.
package enum DiscardedSegment {
  /// Moves the file at `path` out of the way, as a repair does; returns the directory where it lies then.
  package static func move(
    _ path: String, _ layout: StoreLayout, _ environment: Environment = .posix()
  ) throws(StoreError) -> String {
    var apart = PutApart(layout, environment)
    try apart.keep(path)
    try apart.removeNames()
    try environment.fileSystem.syncDirectory(layout.quarantine)
    return apart.directory
  }
}
