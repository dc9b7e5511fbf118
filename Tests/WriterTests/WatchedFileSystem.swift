import Glibc
import SluiceShared

enum Operation: Hashable { case create, write, sync, read, resize, unlink, syncDirectory }

/// The real file system, which counts what is done in `journal/` and fails it when told to.
final class WatchedFileSystem: FileSystem {
  struct Event: Equatable {
    var operation: Operation
    /// The last part of the path.
    var name: String
    var offset: Int64 = 0
  }

  fileprivate struct State {
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

  private let base = PosixFileSystem()
  fileprivate let state = Monitor(State())

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

  fileprivate func note(_ operation: Operation, _ path: String, _ offset: Int64 = 0)
    throws(StoreError)
  {
    guard path.contains("/journal") else { return }
    let name = path.split(separator: "/").last.map { String($0) } ?? ""
    let code: Int32? = state.withLock { state in
      state.events.append(Event(operation: operation, name: name, offset: offset))
      if let code = state.failures[operation]?.first {
        state.failures[operation]?.removeFirst()
        return code
      }
      return state.permanent[operation]
    }
    if let code { throw StoreError(.io, "\(operation) failed as told", path: path, errno: code) }
  }

  func open(_ path: String, _ access: FileAccess) throws(StoreError) -> any File {
    WatchedFile(try base.open(path, access), self)
  }
  func create(_ path: String, mode: UInt32) throws(StoreError) -> any File {
    try note(.create, path)
    return WatchedFile(try base.create(path, mode: mode), self)
  }
  func list(_ directory: String) throws(StoreError) -> [String] { try base.list(directory) }
  func link(_ path: String, to newPath: String) throws(StoreError) {
    try base.link(path, to: newPath)
  }
  func unlink(_ path: String) throws(StoreError) {
    try note(.unlink, path)
    try base.unlink(path)
  }
  func makeDirectory(_ path: String, mode: UInt32) throws(StoreError) {
    try base.makeDirectory(path, mode: mode)
  }
  func setPermissions(_ path: String, mode: UInt32) throws(StoreError) {
    try base.setPermissions(path, mode: mode)
  }
  func syncDirectory(_ path: String) throws(StoreError) {
    try note(.syncDirectory, path)
    try base.syncDirectory(path)
  }
  func status(_ path: String) throws(StoreError) -> FileStatus { try base.status(path) }
  func replaceSymbolicLink(_ path: String, target: String) throws(StoreError) {
    try base.replaceSymbolicLink(path, target: target)
  }
  func readSymbolicLink(_ path: String) throws(StoreError) -> String {
    try base.readSymbolicLink(path)
  }
  func isNetwork(_ path: String) throws(StoreError) -> Bool { try base.isNetwork(path) }
  func scratchFile() throws(StoreError) -> any File { try base.scratchFile() }
}

private final class WatchedFile: File {
  private let base: any File
  private let files: WatchedFileSystem

  init(_ base: any File, _ files: WatchedFileSystem) {
    self.base = base
    self.files = files
  }

  var path: String { base.path }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(StoreError) -> Int
  {
    try files.note(.read, path, offset)
    return try base.read(into: buffer, at: offset)
  }
  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(StoreError) {
    do throws(StoreError) { try files.note(.write, path, offset) } catch {
      let copy = Array(bytes)
      files.state.withLock { $0.flying.append((base, copy, offset)) }
      throw error
    }
    try base.write(bytes, at: offset)
  }
  func sync() throws(StoreError) {
    if path.contains("/journal"), let body = files.state.withLock({ $0.beforeSync }) { body() }
    try files.note(.sync, path)
    try base.sync()
  }
  func resize(to size: Int64) throws(StoreError) {
    try files.note(.resize, path)
    try base.resize(to: size)
  }
  func status() throws(StoreError) -> FileStatus { try base.status() }
}

/// rmdir(2); what is not empty stays.
func removeDirectories(_ paths: [String]) { for path in paths { rmdir(path) } }
