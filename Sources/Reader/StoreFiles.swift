internal import SluiceJournal
internal import SluiceShared
internal import Synchronization

/// What all snapshots of one store share: where its files are and what was found out about them.
final class StoreFiles: Sendable {
  let store: StoreHandle
  var layout: StoreLayout { store.layout }
  var environment: Environment { store.environment }
  /// A page's checksum is compared on each read.
  let checksPages: Bool
  /// Some snapshot met a file that retention removed: the next one must begin at a newer checkpoint.
  let expired = Atomic<Bool>(false)

  init(of store: StoreHandle) {
    self.store = store
    checksPages = store.environment.makes(.pageChecksum)
  }

  /// Opens the file `name`, past every cache, from the first of `directories` that lists it; throws
  /// `.snapshotExpired` where none does. (A name is never probed: NFS remembers that it was missing.)
  func reopen(_ name: String, in directories: [String]) throws(StoreError) -> any File {
    do throws(StoreError) {
      for directory in directories where try environment.fileSystem.list(directory).contains(name) {
        return try environment.fileSystem.open("\(directory)/\(name)", .shared)
      }
    } catch {
      guard error.isGone else { throw error }
    }
    throw expired("\(directories[0])/\(name)")
  }

  /// Opens `segment` anew, past every cache, wherever retention has it; throws `.snapshotExpired` where
  /// it is gone.
  func reopen(_ segment: LogSegment) throws(StoreError) -> any File {
    let name = StoreLayout.logName(segment.number)
    var unknown: (any File)?
    for directory in [layout.log, layout.oldLog] {
      do throws(StoreError) {
        guard try environment.fileSystem.list(directory).contains(name) else { continue }
        let file = try environment.fileSystem.open("\(directory)/\(name)", .shared)
        switch try segment.isSame(as: file) {
        case true?: return file
        case false?: break
        // Its header is damaged; a page's checksum says what the page is.
        case nil: unknown = unknown ?? file
        }
      } catch {
        // Moved just now, or deleted.
        guard error.isRemoval else { throw error }
      }
    }
    if let unknown { return unknown }
    throw expired("\(layout.log)/\(name)")
  }

  /// The error for a file that is gone, which also makes the next snapshot begin anew.
  func expired(_ path: String) -> StoreError {
    expired.store(true, ordering: .relaxed)
    return StoreError(
      .snapshotExpired,
      "this snapshot's files were removed by retention; begin a new read transaction", path: path)
  }
}
