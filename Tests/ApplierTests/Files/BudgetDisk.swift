import Glibc
import SluiceShared

@testable import SluiceFakes

/// A disk of so many bytes. Each block that is written for the first time takes some; a file that loses its last
/// name gives back those that it has.
final class BudgetDisk: HookedFileSystem, @unchecked Sendable {
  // Sendable: what changes is under a lock.
  private struct State {
    var left: Int64
    var refusals = 0
    /// Blocks that are paid for, by the file.
    var paid: [UInt64: Set<Int64>] = [:]
  }

  private static let block: Int64 = 4096
  private let total: Int64
  private let state: Monitor<State>

  init(_ base: any FileSystem, bytes: Int64) {
    total = bytes
    state = Monitor(State(left: bytes))
    super.init(base)
  }

  var refusals: Int { state.withLock { $0.refusals } }

  /// Others take all but so many bytes.
  func fill(leaving bytes: Int64) { state.withLock { $0.left = bytes } }

  override func room(in directory: String) -> DiskRoom? {
    DiskRoom(freeBytes: max(0, state.withLock { $0.left }), totalBytes: total)
  }

  override func fate(of operation: FileOperation) -> FileFate {
    switch operation.action {
    case .write where operation.isOfOpenFile && operation.count > 0: return write(operation)
    case .unlink:
      if let status = try? base.status(operation.path), status.links == 1 {
        free(status, operation)
      }
      return .done
    default: return .done
    }
  }

  private func write(_ operation: FileOperation) -> FileFate {
    // A name may be gone, and what is written then is nobody's.
    guard let status = try? base.status(operation.path) else { return .done }
    let last = (operation.offset + Int64(operation.count) - 1) / Self.block
    let blocks = Set(operation.offset / Self.block...last)
    let fits = state.withLock { state in
      let new = blocks.subtracting(state.paid[status.inode] ?? [])
      let bytes = Int64(new.count) * Self.block
      guard bytes <= state.left || bytes == 0 else {
        state.refusals += 1
        return false
      }
      state.left -= bytes
      state.paid[status.inode, default: []].formUnion(new)
      return true
    }
    guard !fits else { return .done }
    return .fails(
      StoreError(
        .io, "write failed: No space left on device", path: operation.path, errno: ENOSPC))
  }

  private func free(_ status: FileStatus, _ operation: FileOperation) {
    let data = dataBytes(of: operation.path)
    state.withLock { state in
      let paid = state.paid.removeValue(forKey: status.inode)
      state.left += max(data, Int64(paid?.count ?? 0) * Self.block)
    }
  }

  /// Of a file that was there before.
  private func dataBytes(of path: String) -> Int64 {
    guard let file = try? base.open(path, .shared) else { return 0 }
    var (bytes, place) = (Int64(0), Int64(0))
    while let data = try? file.nextData(from: place) {
      bytes += Self.block
      place = (data / Self.block + 1) * Self.block
    }
    return bytes
  }
}
