import Glibc
import SluiceShared

@testable import SluiceFakes

// File systems on which what is old is removed, or cannot be.

/// What another host has removed cannot be read here any more, though it is open.
final class StaleFileSystem: HookedFileSystem, @unchecked Sendable {
  // Sendable: it has no state.
  override func fate(of operation: FileOperation) -> FileFate {
    guard operation.action == .read else { return .done }
    let path = operation.path
    do throws(StoreError) { _ = try base.status(path) } catch {
      return .fails(
        StoreError(.io, "read failed: Stale file handle", path: path, errno: ESTALE))
    }
    return .done
  }
}

/// Notes what is made durable, and what loses a name.
final class RemovalNotingFileSystem: HookedFileSystem, @unchecked Sendable {
  // Sendable: what was noted is under a lock.
  private let notes = Monitor([String]())
  var noted: [String] { notes.withLock { $0 } }

  override func fate(of operation: FileOperation) -> FileFate {
    switch operation.action {
    case .syncDirectory: note("sync", operation.path, parts: 1)
    case .unlink: note("unlink", operation.path, parts: 2)
    default: break
    }
    return .done
  }

  private func note(_ what: String, _ path: String, parts count: Int) {
    let parts = path.split(separator: "/").suffix(count)
    notes.withLock { $0.append("\(what) \(parts.joined(separator: "/"))") }
  }
}

/// Has no room for a byte more in the log after some writes, until something is deleted there.
final class FillingDisk: HookedFileSystem, @unchecked Sendable {
  // Sendable: what changes is under a lock.
  private struct State {
    var writesLeft: Int
    var wasFull = false
    var hasRoom = false
  }

  private let state: Monitor<State>

  init(_ base: any FileSystem, afterWrites count: Int) {
    state = Monitor(State(writesLeft: count))
    super.init(base)
  }

  var wasFull: Bool { state.withLock { $0.wasFull } }

  override func fate(of operation: FileOperation) -> FileFate {
    guard operation.action == .write, operation.path.contains("/log/") else { return .done }
    let isFull = state.withLock { state in
      guard !state.hasRoom else { return false }
      state.writesLeft -= 1
      guard state.writesLeft < 0 else { return false }
      state.wasFull = true
      return true
    }
    guard isFull else { return .done }
    return .fails(
      StoreError(
        .io, "write failed: No space left on device", path: operation.path, errno: ENOSPC))
  }

  override func did(_ operation: FileOperation) {
    guard operation.action == .unlink, operation.path.contains("/log/old/") else { return }
    state.withLock { $0.hasRoom = true }
  }
}

/// Full for whoever writes into some directory, until something is deleted in `log/old/`.
final class ScarceDisk: HookedFileSystem, @unchecked Sendable {
  // Sendable: what changes is under a lock.
  private let part: String
  /// What it says of its room while it is full.
  private let said: DiskRoom?
  private let state = Monitor((refusals: 0, hasRoom: false))

  init(_ base: any FileSystem, for part: String, saying said: DiskRoom?) {
    (self.part, self.said) = (part, said)
    super.init(base)
  }

  var refusals: Int { state.withLock { $0.refusals } }

  override func room(in directory: String) -> DiskRoom? {
    state.withLock { $0.hasRoom } ? nil : said
  }

  override func fate(of operation: FileOperation) -> FileFate {
    guard [.create, .write].contains(operation.action), operation.path.contains(part) else {
      return .done
    }
    let isFull = state.withLock { state in
      if !state.hasRoom { state.refusals += 1 }
      return !state.hasRoom
    }
    guard isFull else { return .done }
    return .fails(
      StoreError(.io, "no room: No space left on device", path: operation.path, errno: ENOSPC))
  }

  override func did(_ operation: FileOperation) {
    guard operation.action == .unlink, operation.path.contains("/log/old/") else { return }
    state.withLock { $0.hasRoom = true }
  }
}
