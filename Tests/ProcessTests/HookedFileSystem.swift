import Glibc
import SluiceFakes
import SluiceShared
import Synchronization

/// Real files, with a say in what becomes of each operation.
final class HookedFileSystem: FileSystem {
  private let base = PosixFileSystem()
  fileprivate let hook: FileHook

  /// `hook` is called before each operation, on the thread that makes it, and may wait. Of the fates
  /// it may choose `.done`, `.fails` and, of a write whose first half lands, `.failsTorn`.
  init(_ hook: @escaping FileHook) { self.hook = hook }

  private func ask(_ action: FileOperation.Action, _ path: String) throws(StoreError) {
    if case .fails(let error) = hook(FileOperation(action, path)) { throw error }
  }

  func open(_ path: String, _ access: FileAccess) throws(StoreError) -> any File {
    try ask(.open, path)
    return HookedFile(try base.open(path, access), self)
  }
  func create(_ path: String, mode: UInt32) throws(StoreError) -> any File {
    try ask(.create, path)
    return HookedFile(try base.create(path, mode: mode), self)
  }
  func list(_ directory: String) throws(StoreError) -> [String] {
    try ask(.list, directory)
    return try base.list(directory)
  }
  func link(_ path: String, to newPath: String) throws(StoreError) {
    try ask(.link, newPath)
    try base.link(path, to: newPath)
  }
  func unlink(_ path: String) throws(StoreError) {
    try ask(.unlink, path)
    try base.unlink(path)
  }
  func makeDirectory(_ path: String, mode: UInt32) throws(StoreError) {
    try ask(.makeDirectory, path)
    try base.makeDirectory(path, mode: mode)
  }
  func setPermissions(_ path: String, mode: UInt32) throws(StoreError) {
    try ask(.setPermissions, path)
    try base.setPermissions(path, mode: mode)
  }
  func syncDirectory(_ path: String) throws(StoreError) {
    try ask(.syncDirectory, path)
    try base.syncDirectory(path)
  }
  func status(_ path: String) throws(StoreError) -> FileStatus { try base.status(path) }
  func replaceSymbolicLink(_ path: String, target: String) throws(StoreError) {
    try ask(.replaceSymbolicLink, path)
    try base.replaceSymbolicLink(path, target: target)
  }
  func readSymbolicLink(_ path: String) throws(StoreError) -> String {
    try base.readSymbolicLink(path)
  }
  func isNetwork(_ path: String) throws(StoreError) -> Bool { try base.isNetwork(path) }
  func scratchFile() throws(StoreError) -> any File {
    HookedFile(try base.scratchFile(), self)
  }
}

private final class HookedFile: File {
  private let base: any File
  private let owner: HookedFileSystem

  init(_ base: any File, _ owner: HookedFileSystem) {
    self.base = base
    self.owner = owner
  }

  var path: String { base.path }

  private func ask(
    _ action: FileOperation.Action, offset: Int64 = 0, count: Int = 0
  ) throws(StoreError) {
    let operation = FileOperation(action, path, offset: offset, count: count)
    if case .fails(let error) = owner.hook(operation) { throw error }
  }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(StoreError) -> Int
  {
    try ask(.read, offset: offset, count: buffer.count)
    return try base.read(into: buffer, at: offset)
  }
  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(StoreError) {
    switch owner.hook(FileOperation(.write, path, offset: offset, count: bytes.count)) {
    case .fails(let error): throw error
    case .failsTorn(_, let error):
      // Blocks arrive whole.
      let landed = bytes.count / 2 & ~4095
      try base.write(UnsafeRawBufferPointer(rebasing: bytes[..<landed]), at: offset)
      throw error
    default: try base.write(bytes, at: offset)
    }
  }
  func sync() throws(StoreError) {
    try ask(.sync)
    try base.sync()
  }
  func resize(to size: Int64) throws(StoreError) {
    try ask(.resize)
    try base.resize(to: size)
  }
  func status() throws(StoreError) -> FileStatus { try base.status() }
  func nextData(from offset: Int64) throws(StoreError) -> Int64? {
    try base.nextData(from: offset)
  }
}

extension Environment {
  /// The real environment, with `hook` between it and the files.
  static func hooked(_ hook: @escaping FileHook) -> Environment {
    var environment = Environment.posix()
    environment.fileSystem = HookedFileSystem(hook)
    return environment
  }
}

/// A device that fails: at the n-th operation that changes something, and from then on where the
/// fault lasts.
final class FailingDevice: Sendable {
  private let count = Atomic<Int>(0)
  private let isRepaired = Atomic<Bool>(false)
  private let place: Int
  private let lasts: Bool
  private let code: Int32

  init(at place: Int, lasts: Bool, _ code: Int32) {
    self.place = place
    self.lasts = lasts
    self.code = code
  }

  var hasFailed: Bool { count.load(ordering: .relaxed) >= place }

  func repair() { isRepaired.store(true, ordering: .relaxed) }

  var environment: Environment { .hooked { [self] in fate($0) } }

  private func fate(_ operation: FileOperation) -> FileFate {
    switch operation.action {
    case .create, .link, .syncDirectory, .write, .sync, .resize, .replaceSymbolicLink: break
    default: return .done
    }
    guard !isRepaired.load(ordering: .relaxed) else { return .done }
    let now = count.wrappingAdd(1, ordering: .relaxed).newValue
    guard now == place || (lasts && now > place) else { return .done }
    let error = StoreError(
      .io, "\(operation.action) failed: \(String(cString: strerror(code)))", path: operation.path,
      errno: code)
    return operation.action == .write && now % 2 == 0
      ? .failsTorn(pieceBytes: 0, error) : .fails(error)
  }
}
