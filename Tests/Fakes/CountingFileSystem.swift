public import SluiceShared

/// Any file system, with what was done to each path counted.
public final class CountingFileSystem: FileSystem, Sendable {
  private let base: any FileSystem
  private let counted = Monitor([FileOperation.Action: [String: Int]]())

  public init(_ base: any FileSystem) { self.base = base }

  /// How often `action` was done, to paths that contain `part`; to all without it.
  public func count(_ action: FileOperation.Action, _ part: String? = nil) -> Int {
    counted.withLock { counted in
      (counted[action] ?? [:]).reduce(0) { sum, entry in
        part.map { entry.key.contains($0) } ?? true ? sum + entry.value : sum
      }
    }
  }

  /// Every operation on every path.
  public var total: Int {
    counted.withLock { $0.values.reduce(0) { $0 + $1.values.reduce(0, +) } }
  }

  public func reset() { counted.withLock { $0 = [:] } }

  fileprivate func note(_ action: FileOperation.Action, _ path: String) {
    counted.withLock { $0[action, default: [:]][path, default: 0] += 1 }
  }

  public func open(_ path: String, _ access: FileAccess) throws(StoreError) -> any File {
    note(.open, path)
    return CountingFile(try base.open(path, access), self)
  }

  public func create(_ path: String, mode: UInt32) throws(StoreError) -> any File {
    note(.create, path)
    return CountingFile(try base.create(path, mode: mode), self)
  }

  public func list(_ directory: String) throws(StoreError) -> [String] {
    note(.list, directory)
    return try base.list(directory)
  }

  public func link(_ path: String, to newPath: String) throws(StoreError) {
    note(.link, newPath)
    try base.link(path, to: newPath)
  }

  public func unlink(_ path: String) throws(StoreError) {
    note(.unlink, path)
    try base.unlink(path)
  }

  public func makeDirectory(_ path: String, mode: UInt32) throws(StoreError) {
    note(.makeDirectory, path)
    try base.makeDirectory(path, mode: mode)
  }

  public func setPermissions(_ path: String, mode: UInt32) throws(StoreError) {
    note(.setPermissions, path)
    try base.setPermissions(path, mode: mode)
  }

  public func syncDirectory(_ path: String) throws(StoreError) {
    note(.syncDirectory, path)
    try base.syncDirectory(path)
  }

  public func status(_ path: String) throws(StoreError) -> FileStatus {
    note(.status, path)
    return try base.status(path)
  }

  public func replaceSymbolicLink(_ path: String, target: String) throws(StoreError) {
    note(.replaceSymbolicLink, path)
    try base.replaceSymbolicLink(path, target: target)
  }

  public func readSymbolicLink(_ path: String) throws(StoreError) -> String {
    note(.readSymbolicLink, path)
    return try base.readSymbolicLink(path)
  }

  public func isNetwork(_ path: String) throws(StoreError) -> Bool { try base.isNetwork(path) }

  public func scratchFile() throws(StoreError) -> any File { try base.scratchFile() }
}

private final class CountingFile: File {
  private let base: any File
  private let counter: CountingFileSystem

  init(_ base: any File, _ counter: CountingFileSystem) {
    self.base = base
    self.counter = counter
  }

  var path: String { base.path }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(StoreError) -> Int
  {
    counter.note(.read, path)
    return try base.read(into: buffer, at: offset)
  }

  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(StoreError) {
    counter.note(.write, path)
    try base.write(bytes, at: offset)
  }

  func sync() throws(StoreError) {
    counter.note(.sync, path)
    try base.sync()
  }

  func resize(to size: Int64) throws(StoreError) {
    counter.note(.resize, path)
    try base.resize(to: size)
  }

  func status() throws(StoreError) -> FileStatus {
    counter.note(.status, path)
    return try base.status()
  }
}
