import Glibc
import SluiceShared

@testable import SluiceFakes

// File systems that show something other than what is there.

func makeFIFO(_ path: String) { mkfifo(path, 0o600) }

/// Leaves names out of the first listing that would show them.
final class OverlookingFileSystem: HookedFileSystem, @unchecked Sendable {
  // Sendable: used by one thread.
  var overlooks: ((String) -> Bool)?

  override func listed(_ names: [String], in directory: String) -> [String] {
    guard let overlooks, names.contains(where: overlooks) else { return names }
    self.overlooks = nil
    return names.filter { !overlooks($0) }
  }
}

/// Shows some names in its first listing of them only.
final class OnceShowingFileSystem: HookedFileSystem, @unchecked Sendable {
  // Sendable: used by one thread.
  var isHidden: ((String) -> Bool)?
  private(set) var listings = 0

  override func listed(_ names: [String], in directory: String) -> [String] {
    guard let isHidden, names.contains(where: isHidden) else { return names }
    listings += 1
    return listings == 1 ? names : names.filter { !isHidden($0) }
  }
}

/// Links into a directory and answers that the name is there, the first time; notes what names of
/// journal segments change.
final class TwiceLinkingFileSystem: HookedFileSystem, @unchecked Sendable {
  // Sendable: what it has is constant, but for a monitor; or set before it is used.
  let changes = Monitor<[String]>([])
  /// The process ends before the first removal of a temporary name there.
  var diesThere = false
  /// Another removes it.
  var losesIt = false
  private let directory: String

  init(_ base: any FileSystem, in directory: String) {
    self.directory = directory
    super.init(base)
  }

  override func fate(of operation: FileOperation) throws(StoreError) -> FileFate {
    let path = operation.path
    switch operation.action {
    case .link where path.hasPrefix(directory):
      let isFirst = changes.withLock { changes in
        changes.append("link \(path)")
        return changes.count == 1
      }
      guard isFirst else { return .done }
      return .doneButFails(
        StoreError(.io, "link failed: File exists", path: path, errno: EEXIST))
    case .unlink:
      if diesThere, path.hasPrefix(directory) { throw StoreError(.io, "died", path: path) }
      if path.contains(".seg") { changes.withLock { $0.append("unlink \(path)") } }
      return .done
    default: return .done
    }
  }

  override func did(_ operation: FileOperation) {
    guard operation.action == .create, operation.path.hasPrefix(directory) else { return }
    changes.withLock { $0.append("create \(operation.path)") }
    if losesIt { try? base.unlink(operation.path) }
  }
}

/// Cannot tell what was never written of a file, as NFSv4.1.
final class BlindFileSystem: HookedFileSystem, @unchecked Sendable {
  // Sendable: it has nothing.
  override func told(data: Int64?, from offset: Int64) -> Int64? { offset }
}

/// Says of some files that they are another user's.
final class OwningFileSystem: HookedFileSystem, @unchecked Sendable {
  // Sendable: the owners are under a lock.
  let owners = Monitor([String: UInt32]())

  override func told(_ status: FileStatus, of path: String) -> FileStatus {
    var status = status
    if let owner = owners.withLock({ $0[path] }) { status.owner = owner }
    return status
  }
}

/// Dates files by a clock of its own, as a file server does.
final class DatingFileSystem: HookedFileSystem, @unchecked Sendable {
  // Sendable: the dates are under a lock; `creator` is set before it is used.
  /// Of who makes a file: with NFS's exclusive create it may be the client that dates it first.
  var creator: (any Clock)?
  private let clock: any Clock
  private let dates = Monitor([String: Int64]())

  init(_ base: any FileSystem, _ clock: any Clock) {
    self.clock = clock
    super.init(base)
  }

  /// Gives a file another date.
  func date(_ path: String, _ time_ms: Int64) { dates.withLock { $0[path] = time_ms } }

  override func fate(of operation: FileOperation) throws(StoreError) -> FileFate {
    switch operation.action {
    case .write, .resize: date(operation.path, clock.wallTime_ms())
    default: break
    }
    return .done
  }

  override func did(_ operation: FileOperation) {
    if operation.action == .create { date(operation.path, (creator ?? clock).wallTime_ms()) }
  }

  override func told(_ status: FileStatus, of path: String) -> FileStatus {
    var status = status
    if let date = dates.withLock({ $0[path] }) { status.modified_ms = date }
    return status
  }
}
