import Glibc
import SluiceJournal
import SluiceShared

@testable import SluiceFakes

/// A log disk that becomes full at one operation on a commit's frame, and stays full until somebody makes room.
final class FullLogFileSystem: HookedFileSystem, @unchecked Sendable {
  // Sendable: what changes is under a lock.

  /// What becomes of the write that finds the disk full.
  enum Kind: CaseIterable {
    case nothingLands, halfLands, allLands
  }

  struct State {
    /// Writes and syncs of commits so far, and the one that fails.
    var operations = 0
    var failsAt = Int.max
    /// That is the write of a large frame's header, which comes last and lies before all that was written.
    var failsAtHeader = false
    var lowest = Int64.max
    var failed: FileOperation?
    var isFull = false
  }

  let state = Monitor(State())
  private let kind: Kind

  init(_ base: any FileSystem, _ kind: Kind) {
    self.kind = kind
    super.init(base)
  }

  /// From the `n`th operation on, counted from now, there is no room.
  func fill(at n: Int) { state.withLock { $0 = State(failsAt: n) } }

  func fillAtHeader() { state.withLock { $0 = State(failsAtHeader: true) } }

  func makeRoom() { state.withLock { $0.isFull = false } }

  override func fate(of operation: FileOperation) throws(StoreError) -> FileFate {
    guard operation.isOfOpenFile, operation.path.contains("/log/") else { return .done }
    let isFrame = operation.action == .write && operation.offset > Block.firstLogFrame
    let (isNow, isFull) = state.withLock { state -> (Bool, Bool) in
      // Syncs count behind the first write of a commit: those before are the claim's.
      guard isFrame || operation.action == .sync && state.operations > 0 else {
        return (false, false)
      }
      state.operations += 1
      let isHeader = isFrame && operation.offset % 4096 == 0 && operation.offset < state.lowest
      if isFrame { state.lowest = min(state.lowest, operation.offset) }
      guard
        state.operations == state.failsAt
          || state.failsAtHeader && state.operations > 1 && isHeader && state.failed == nil
      else { return (false, state.isFull && isFrame) }
      (state.failed, state.isFull) = (operation, true)
      return (true, true)
    }
    guard isFull else { return .done }
    let error = StoreError(
      .io, "write failed: No space left on device", path: operation.path, errno: ENOSPC)
    guard isNow, operation.action == .write else { return .fails(error) }
    switch kind {
    case .nothingLands: return .fails(error)
    case .halfLands: return .failsTorn(pieceBytes: 4096, error)
    case .allLands: return .doneButFails(error)
    }
  }
}
