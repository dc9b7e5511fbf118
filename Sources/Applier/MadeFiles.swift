internal import Glibc
internal import SluiceJournal
internal import SluiceShared

/// What an `init` made so far, to be taken away when it fails: that, and nothing that was there
/// before or that others put there.
struct MadeFiles {
  let layout: StoreLayout
  let fileSystem: any FileSystem
  /// In the order in which they were made.
  private var directories: [String] = []

  /// The first database, until it has its checkpoint's name.
  static let databaseName = "new.tmp"

  init(_ layout: StoreLayout, _ fileSystem: any FileSystem) {
    self.layout = layout
    self.fileSystem = fileSystem
  }

  var hasRoot: Bool { directories.contains(layout.root) }

  mutating func directory(_ path: String, mode: UInt32) throws(StoreError) {
    try fileSystem.makeDirectory(path, mode: mode)
    directories.append(path)
  }

  /// Removes it all, and returns the error to be thrown.
  func removed(after error: StoreError) -> StoreError {
    // Of a directory that another `init` made, the files are that one's.
    if directories.contains(layout.checkpoints) {
      try? fileSystem.unlink(layout.description)
      try? fileSystem.unlink(layout.current)
    }
    for directory in directories.reversed() {
      for name in (try? fileSystem.list(directory)) ?? []
      where MadeFiles.isMade(name, in: directory, layout) {
        try? fileSystem.unlink("\(directory)/\(name)")
      }
      // A store is made by SQLite on a real file system, and its directories are removed there.
      rmdir(directory)
    }
    guard directories.contains(where: { (try? fileSystem.list($0)) != nil }) else { return error }
    var error = error
    error.message += "; what was made could not be removed: empty \(layout.root) by hand"
    return error
  }

  private static func isMade(_ name: String, in directory: String, _ layout: StoreLayout) -> Bool {
    let final = StoreLayout.temporaryTarget(name) ?? name
    switch directory {
    case layout.checkpoints:
      return name.hasPrefix(databaseName) || StoreLayout.checkpointTxID(final) != nil
        || StoreLayout.sidecarTxID(final) != nil
    case layout.log: return StoreLayout.logNumber(final) != nil
    case layout.extensions: return name.hasSuffix(".so")
    case layout.root: return StoreLayout.temporaryTarget(name) == "current.sqlite"
    default: return false
    }
  }

  /// What to do about a directory that has names in it.
  static func advice(_ names: [String]) -> String {
    StoreLayout.isStore(names) || StoreLayout.mayBeUnfinished(names)
      ? "a store is there, or what an `init` that was cut off left: `sluice status` tells which, and what was left is removed by hand"
      : "`init` wants a new or an empty one"
  }
}
