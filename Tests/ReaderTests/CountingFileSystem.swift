import SluiceShared

/// The real files, with every operation counted; `onRead` runs before each read. A file made stale
/// is one that another NFS client removed.
final class CountingFileSystem: FileSystem {
  struct Counts: Equatable {
    var opens = 0
    var lists = 0
    var reads = 0
    var statuses = 0
    /// Anything that a read-only mount refuses.
    var changes = 0
    var total: Int { opens + lists + reads + statuses + changes }
  }

  private let base = PosixFileSystem()
  private let counted = Monitor(Counts())
  private let readHook = Monitor<(@Sendable (String, Int64) -> Void)?>(nil)

  private let stale = Monitor<Set<String>>([])

  func makeStale(_ path: String) { _ = stale.withLock { $0.insert(path) } }

  var counts: Counts { counted.withLock { $0 } }
  func reset() { counted.withLock { $0 = Counts() } }
  func onRead(_ hook: (@Sendable (String, Int64) -> Void)?) { readHook.withLock { $0 = hook } }

  private func count(_ path: any (WritableKeyPath<Counts, Int> & Sendable)) {
    counted.withLock { $0[keyPath: path] += 1 }
  }

  func open(_ path: String, _ access: FileAccess) throws(StoreError) -> any File {
    count(\.opens)
    return CountingFile(try base.open(path, access), self)
  }
  func create(_ path: String, mode: UInt32) throws(StoreError) -> any File {
    count(\.changes)
    return try base.create(path, mode: mode)
  }
  func list(_ directory: String) throws(StoreError) -> [String] {
    count(\.lists)
    return try base.list(directory)
  }
  func link(_ path: String, to newPath: String) throws(StoreError) {
    count(\.changes)
    try base.link(path, to: newPath)
  }
  func unlink(_ path: String) throws(StoreError) {
    count(\.changes)
    try base.unlink(path)
  }
  func makeDirectory(_ path: String, mode: UInt32) throws(StoreError) {
    count(\.changes)
    try base.makeDirectory(path, mode: mode)
  }
  func setPermissions(_ path: String, mode: UInt32) throws(StoreError) {
    count(\.changes)
    try base.setPermissions(path, mode: mode)
  }
  func syncDirectory(_ path: String) throws(StoreError) {
    count(\.changes)
    try base.syncDirectory(path)
  }
  func status(_ path: String) throws(StoreError) -> FileStatus {
    count(\.statuses)
    return try base.status(path)
  }
  func replaceSymbolicLink(_ path: String, target: String) throws(StoreError) {
    count(\.changes)
    try base.replaceSymbolicLink(path, target: target)
  }
  func readSymbolicLink(_ path: String) throws(StoreError) -> String {
    count(\.reads)
    return try base.readSymbolicLink(path)
  }
  func isNetwork(_ path: String) throws(StoreError) -> Bool { try base.isNetwork(path) }
  func scratchFile() throws(StoreError) -> any File { try base.scratchFile() }

  private final class CountingFile: File {
    private let base: any File
    private let counter: CountingFileSystem
    var path: String { base.path }

    init(_ base: any File, _ counter: CountingFileSystem) {
      self.base = base
      self.counter = counter
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(StoreError)
      -> Int
    {
      counter.count(\.reads)
      counter.readHook.withLock { $0 }?(path, offset)
      if counter.stale.withLock({ $0.contains(path) }) {
        throw StoreError(.io, "stale", path: path, offset: offset, errno: 116)
      }
      return try base.read(into: buffer, at: offset)
    }
    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(StoreError) {
      counter.count(\.changes)
      try base.write(bytes, at: offset)
    }
    func sync() throws(StoreError) {
      counter.count(\.changes)
      try base.sync()
    }
    func resize(to size: Int64) throws(StoreError) {
      counter.count(\.changes)
      try base.resize(to: size)
    }
    func status() throws(StoreError) -> FileStatus {
      counter.count(\.statuses)
      return try base.status()
    }
  }
}
