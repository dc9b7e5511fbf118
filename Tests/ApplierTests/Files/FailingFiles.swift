import Glibc
import SluiceJournal
import SluiceShared
import Synchronization

@testable import SluiceFakes

// File systems on which something fails.

/// Fails every write after so many, as a device that is gone.
final class FailingFileSystem: HookedFileSystem, @unchecked Sendable {
  // Sendable: set before the file system is used.
  var failWritesAfter = Int.max
  private let writes = Atomic<Int>(0)

  override func fate(of operation: FileOperation) throws(StoreError) -> FileFate {
    guard operation.action == .write, operation.path.contains("/log/") else { return .done }
    if writes.wrappingAdd(1, ordering: .relaxed).newValue > failWritesAfter {
      throw StoreError(.io, "the device is gone", path: operation.path, errno: EIO)
    }
    return .done
  }
}

/// Fails every read of the log, when told to.
final class UnreadableFileSystem: HookedFileSystem, @unchecked Sendable {
  // Sendable: atomic.
  let isUnreadable = Atomic<Bool>(false)

  override func fate(of operation: FileOperation) throws(StoreError) -> FileFate {
    guard operation.action == .read, operation.path.contains("/log/"),
      isUnreadable.load(ordering: .relaxed)
    else { return .done }
    throw StoreError(.io, "read failed: Input/output error", path: operation.path, errno: EIO)
  }
}

/// Fails one write, when told to, as an NFS client that lost what this process had open.
final class ForgetfulFileSystem: HookedFileSystem, @unchecked Sendable {
  // Sendable: atomic.
  let forgets = Atomic<Bool>(false)

  override func fate(of operation: FileOperation) throws(StoreError) -> FileFate {
    guard operation.action == .write, operation.path.contains("/log/"),
      forgets.exchange(false, ordering: .relaxed)
    else { return .done }
    throw StoreError(.io, "write failed: Bad file descriptor", path: operation.path, errno: EBADF)
  }
}

/// Has room for the beginnings of log segments, and for no commit.
final class FullFileSystem: HookedFileSystem, @unchecked Sendable {
  // Sendable: atomic.
  let isFull = Atomic<Bool>(true)

  override func fate(of operation: FileOperation) throws(StoreError) -> FileFate {
    guard operation.action == .write, operation.path.contains("/log/"),
      operation.offset > Block.firstLogFrame, isFull.load(ordering: .relaxed)
    else { return .done }
    throw StoreError(
      .io, "write failed: No space left on device", path: operation.path, errno: ENOSPC)
  }
}

/// A scratch disk that has room for so many bytes, and others have the rest of it.
final class SmallScratchFileSystem: HookedFileSystem, @unchecked Sendable {
  // Sendable: what it has is constant, or under a lock.
  let isFull = Monitor(true)
  let refusals = Monitor(0)
  private let bytes: Int64
  private let others: Int64

  init(_ base: any FileSystem, bytes: Int64, others: Int64 = 0) {
    self.bytes = bytes
    self.others = others
    super.init(base)
  }

  override var scratchDiskBytes: Int64? { bytes + others }

  override var hooksScratchFiles: Bool { true }

  override func fate(of operation: FileOperation) throws(StoreError) -> FileFate {
    let path = operation.path
    guard operation.action == .write, !path.contains("/log/"), !path.contains("/checkpoints/"),
      operation.offset >= bytes, isFull.withLock({ $0 })
    else { return .done }
    refusals.withLock { $0 += 1 }
    throw StoreError(.io, "write failed: No space left on device", path: path, errno: ENOSPC)
  }
}

/// Fails every write to the journal, when told to.
final class UnwritableJournalFileSystem: HookedFileSystem, @unchecked Sendable {
  // Sendable: used by one thread.
  var isUnwritable = false

  override func fate(of operation: FileOperation) throws(StoreError) -> FileFate {
    guard isUnwritable, operation.action == .write, operation.path.hasSuffix(".seg") else {
      return .done
    }
    throw StoreError(.io, "write failed: Input/output error", path: operation.path, errno: EIO)
  }
}

/// Lets one file not be opened.
final class LockedFileSystem: HookedFileSystem, @unchecked Sendable {
  // Sendable: set before the file system is used.
  var locked = ""
  var isReadable = false
  let refusals = Monitor(0)

  override func fate(of operation: FileOperation) throws(StoreError) -> FileFate {
    guard operation.action == .open, operation.path == locked,
      !isReadable || operation.access == .write
    else { return .done }
    refusals.withLock { $0 += 1 }
    if (try? base.status(locked)) == nil {
      throw StoreError(.noSuchStore, "gone", path: locked, errno: ENOENT)
    }
    throw StoreError(.io, "open failed: Permission denied", path: locked, errno: EACCES)
  }
}

/// When told to, fails one listing; or makes one file and answers that it is there already, as where the
/// request was sent twice.
final class StumblingFileSystem: HookedFileSystem, @unchecked Sendable {
  // Sendable: used by one thread.
  enum Place { case list, create }
  var stumblesAt: Place?

  override func fate(of operation: FileOperation) throws(StoreError) -> FileFate {
    switch (operation.action, stumblesAt) {
    case (.list, .list):
      stumblesAt = nil
      throw StoreError(
        .io, "list failed: Input/output error", path: operation.path, errno: EIO)
    case (.create, .create):
      stumblesAt = nil
      return .doneButFails(
        StoreError(.io, "create failed: File exists", path: operation.path, errno: EEXIST))
    default: return .done
    }
  }
}

/// What can be asked of a file that is somebody else's.
enum FileCall: CaseIterable {
  case open, status, read, nextData, openForWriting, write, sync, link, unlink
  /// By its name, where it cannot be opened.
  case lookUp

  /// The call that an operation is, and on which file.
  static func of(_ operation: FileOperation) -> (call: FileCall, path: String)? {
    switch operation.action {
    case .open: (operation.access == .write ? .openForWriting : .open, operation.path)
    case .status: (operation.isOfOpenFile ? .status : .lookUp, operation.path)
    case .read: (.read, operation.path)
    case .nextData: (.nextData, operation.path)
    case .write: (.write, operation.path)
    case .sync: (.sync, operation.path)
    case .link: (.link, operation.from ?? "")
    case .unlink: (.unlink, operation.path)
    default: nil
    }
  }
}

/// Fails one kind of call on each of some files, always and with one error.
final class SpitefulFileSystem: HookedFileSystem, @unchecked Sendable {
  // Sendable: the plan is set before it is used, what was met is under a lock.
  var plan: [String: (call: FileCall, errno: Int32)] = [:]
  let met = Monitor(Set<String>())
  /// What else was done with these files.
  let others = Monitor(Set<FileOperation.Action>())

  override func fate(of operation: FileOperation) throws(StoreError) -> FileFate {
    guard let (call, path) = FileCall.of(operation) else {
      if plan[operation.path] != nil { others.withLock { _ = $0.insert(operation.action) } }
      return .done
    }
    guard let planned = plan[path] else { return .done }
    if planned.call == .lookUp, call == .open {
      throw StoreError(.io, "open failed", path: path, errno: EACCES)
    }
    guard planned.call == call else { return .done }
    met.withLock { _ = $0.insert(path) }
    throw StoreError(
      planned.errno == ENOENT ? .noSuchStore : .io, "\(call) failed", path: path,
      errno: planned.errno)
  }
}
