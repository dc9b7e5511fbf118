package import SluiceShared

/// A directory that every store has.
package struct StoreDirectory: Hashable, Sendable {
  /// Its path within the store.
  package let name: String
  package let mode: UInt32
  package let path: String
  /// The one that it lies in.
  let parent: String

  /// False where it is missing.
  package func isThere(_ fileSystem: any FileSystem) throws(StoreError) -> Bool {
    do throws(StoreError) { _ = try fileSystem.status(path) } catch {
      guard error.isNoSuchFile else { throw error }
      return false
    }
    return true
  }

  /// Makes it, durably, where it is missing.
  package func makeIfMissing(_ fileSystem: any FileSystem) throws(StoreError) {
    guard try fileSystem.makeOwnedDirectory(path, mode: mode) else { return }
    try fileSystem.syncDirectory(parent)
  }
}

extension StoreLayout {
  /// In the order in which they can be made.
  package var directories: [StoreDirectory] {
    [
      // Everybody who can enter makes files there. They are of the directory's group, which is the
      // applier's and no writer's: so nobody but their owner and the applier can read or change them
      // (mode 0660), and nobody else removes or renames them (sticky).
      StoreDirectory(name: "journal", mode: 0o3777, path: journal, parent: root),
      StoreDirectory(name: "journal/quarantine", mode: 0o755, path: quarantine, parent: journal),
      StoreDirectory(name: "log", mode: 0o755, path: log, parent: root),
      oldLogDirectory,
      StoreDirectory(name: "checkpoints", mode: 0o755, path: checkpoints, parent: root),
    ]
  }

  /// Whoever needs it makes it: copies of a store may lack it.
  package var oldLogDirectory: StoreDirectory {
    StoreDirectory(name: "log/old", mode: 0o755, path: oldLog, parent: log)
  }
}

extension FileSystem {
  /// Makes a directory that belongs to whom the one that it lies in belongs. False where it was there.
  package func makeOwnedDirectory(_ path: String, mode: UInt32) throws(StoreError) -> Bool {
    do throws(StoreError) { try makeDirectory(path, mode: mode) } catch {
      guard error.isExistingFile else { throw error }
      return false
    }
    try giveToOwner(path)
    return true
  }
}
