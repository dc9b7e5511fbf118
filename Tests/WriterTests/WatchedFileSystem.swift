import Glibc
import SluiceShared

@testable import SluiceFakes

enum Operation: String, Hashable {
  case create, write, sync, read, resize, unlink, syncDirectory

  init?(_ action: FileOperation.Action) { self.init(rawValue: action.rawValue) }
}

/// The real file system, which counts what is done in `journal/` and fails it when told to.
final class WatchedFileSystem: HookedFileSystem, @unchecked Sendable {
  // Sendable: what changes is under a lock.
  struct Event: Equatable {
    var operation: Operation
    /// The last part of the path.
    var name: String
    var offset: Int64 = 0
  }

  private struct State {
    var events: [Event] = []
    /// What the next calls of an operation fail with; nil: they succeed.
    var failures: [Operation: [Int32?]] = [:]
    /// What every call fails with after those.
    var permanent: [Operation: Int32] = [:]
    /// Failed writes, which may yet land.
    var flying: [(file: any File, bytes: [UInt8], offset: Int64)] = []
    /// Called before each sync, outside the lock.
    var beforeSync: (@Sendable () -> Void)?
  }

  private let state = Monitor(State())

  init() { super.init() }

  var events: [Event] { state.withLock { $0.events } }
  func count(_ operation: Operation) -> Int { events.count { $0.operation == operation } }
  func forget() { state.withLock { $0.events = [] } }

  func fail(_ operation: Operation, _ codes: Int32?...) {
    state.withLock { $0.failures[operation, default: []] += codes }
  }
  func failAlways(_ operation: Operation, _ code: Int32?) {
    state.withLock { $0.permanent[operation] = code }
  }
  func beforeSync(_ body: (@Sendable () -> Void)?) { state.withLock { $0.beforeSync = body } }

  /// The failed writes arrive.
  func landFailedWrites() throws {
    let flying = state.withLock { state in
      defer { state.flying = [] }
      return state.flying
    }
    for write in flying { try write.file.write(write.bytes, at: write.offset) }
  }

  override func fate(of operation: FileOperation) throws(StoreError) -> FileFate {
    let path = operation.path
    guard path.contains("/journal"), let watched = Operation(operation.action) else { return .done }
    if watched == .sync, let body = state.withLock({ $0.beforeSync }) { body() }
    let name = path.split(separator: "/").last.map { String($0) } ?? ""
    let offset = [.read, .write].contains(watched) ? operation.offset : 0
    let code: Int32? = state.withLock { state in
      state.events.append(Event(operation: watched, name: name, offset: offset))
      if let code = state.failures[watched]?.first {
        state.failures[watched]?.removeFirst()
        return code
      }
      return state.permanent[watched]
    }
    if let code { throw StoreError(.io, "\(watched) failed as told", path: path, errno: code) }
    return .done
  }

  override func didFail(_ bytes: UnsafeRawBufferPointer, at offset: Int64, of file: any File) {
    let copy = Array(bytes)
    state.withLock { $0.flying.append((file, copy, offset)) }
  }
}

/// rmdir(2); what is not empty stays.
func removeDirectories(_ paths: [String]) { for path in paths { rmdir(path) } }
