import Glibc
import SluiceShared

@testable import SluiceFakes

// File systems that count what is asked of them.

/// Counts the bytes that are read of the journal.
final class MeteringFileSystem: HookedFileSystem, @unchecked Sendable {
  // Sendable: the count is under a lock.
  let bytes = Monitor(0)

  override func did(_ operation: FileOperation) {
    guard operation.action == .read, operation.path.hasSuffix(".seg") else { return }
    bytes.withLock { $0 += operation.count }
  }
}

/// Lets only so many journal segments be open.
final class NarrowFileSystem: HookedFileSystem, @unchecked Sendable {
  // Sendable: the counts are under a lock.
  let state = Monitor((open: 0, most: 0, refused: 0))
  private let limit: Int

  init(_ base: any FileSystem, limit: Int) {
    self.limit = limit
    super.init(base)
  }

  private func enter(_ path: String, stays: Bool) throws(StoreError) {
    let isRefused = state.withLock { state in
      guard state.open < limit else {
        state.refused += 1
        return true
      }
      if stays { state.open += 1 }
      state.most = max(state.most, state.open)
      return false
    }
    if isRefused {
      throw StoreError(.io, "open failed: Too many open files", path: path, errno: EMFILE)
    }
  }

  override func open(_ path: String, _ access: FileAccess) throws(StoreError) -> any File {
    guard path.hasSuffix(".seg") else { return try super.open(path, access) }
    try enter(path, stays: true)
    do throws(StoreError) { return try super.open(path, access) } catch {
      didClose(path)
      throw error
    }
  }

  override func fate(of operation: FileOperation) throws(StoreError) -> FileFate {
    if operation.action == .list, operation.path.hasSuffix("/journal") {
      try enter(operation.path, stays: false)
    }
    return .done
  }

  override func didClose(_ path: String) {
    if path.hasSuffix(".seg") { state.withLock { $0.open -= 1 } }
  }
}

/// Counts what is asked of a store's files.
final class CountedFileSystem: HookedFileSystem, @unchecked Sendable {
  // Sendable: the counts are under a mutex.
  struct Counts {
    var logWrites = 0
    var logSyncs = 0
    var logReads = 0
    var journalReads = 0
    var listings = 0
    var others = 0

    static func - (a: Counts, b: Counts) -> Counts {
      Counts(
        logWrites: a.logWrites - b.logWrites, logSyncs: a.logSyncs - b.logSyncs,
        logReads: a.logReads - b.logReads, journalReads: a.journalReads - b.journalReads,
        listings: a.listings - b.listings, others: a.others - b.others)
    }
  }

  private let state = Monitor(Counts())
  var counts: Counts { state.withLock { $0 } }

  override func fate(of operation: FileOperation) throws(StoreError) -> FileFate {
    let isLog = operation.path.contains("/log/")
    state.withLock { counts in
      switch operation.action {
      case .write where isLog: counts.logWrites += 1
      case .sync where isLog: counts.logSyncs += 1
      case .read where isLog: counts.logReads += 1
      case .read: counts.journalReads += 1
      case .list: counts.listings += 1
      case .write, .sync, .open: counts.others += 1
      default: break
      }
    }
    return .done
  }
}
