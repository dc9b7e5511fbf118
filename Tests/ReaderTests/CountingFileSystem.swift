import Glibc
import SluiceShared

@testable import SluiceFakes

/// The real files, with every operation counted; `onRead` runs before each read. A file made stale
/// is one that another NFS client removed.
final class CountingFileSystem: HookedFileSystem, @unchecked Sendable {
  // Sendable: what changes is under locks.
  struct Counts: Equatable {
    var opens = 0
    var lists = 0
    var reads = 0
    var statuses = 0
    /// Anything that a read-only mount refuses.
    var changes = 0
    var total: Int { opens + lists + reads + statuses + changes }
  }

  private let counted = Monitor(Counts())
  private let readHook = Monitor<(@Sendable (String, Int64) -> Void)?>(nil)
  private let stale = Monitor<Set<String>>([])

  init() { super.init() }

  func makeStale(_ path: String) { _ = stale.withLock { $0.insert(path) } }

  var counts: Counts { counted.withLock { $0 } }
  func reset() { counted.withLock { $0 = Counts() } }
  func onRead(_ hook: (@Sendable (String, Int64) -> Void)?) { readHook.withLock { $0 = hook } }

  override func fate(of operation: FileOperation) throws(StoreError) -> FileFate {
    counted.withLock { counts in
      switch operation.action {
      case .open: counts.opens += 1
      case .list: counts.lists += 1
      case .read, .readSymbolicLink: counts.reads += 1
      case .status, .nextData: counts.statuses += 1
      case .scratchFile: break
      default: counts.changes += 1
      }
    }
    guard operation.action == .read else { return .done }
    readHook.withLock { $0 }?(operation.path, operation.offset)
    if stale.withLock({ $0.contains(operation.path) }) {
      throw StoreError(
        .io, "stale", path: operation.path, offset: operation.offset, errno: ESTALE)
    }
    return .done
  }
}
