package import SluiceShared

/// Any file system, and a say in what becomes of each operation.
///
/// It passes every requirement on by itself, `createUncached` included: what a test runs on is what it
/// wraps. A test gives a closure, or overrides the hooks; both run on the thread of the operation, and
/// may wait.
package class HookedFileSystem: FileSystem, @unchecked Sendable {
  // Sendable: what it has is constant; a subclass says it of its own.
  package let base: any FileSystem
  private let hook: FileHook

  /// Of a write that `failsTorn` the first half lands, in whole blocks; what else is `torn` is done.
  package init(
    _ base: any FileSystem = PosixFileSystem(), _ hook: @escaping FileHook = { _ in .done }
  ) {
    self.base = base
    self.hook = hook
  }

  // MARK: Hooks

  /// Asked before each operation; what it throws is what the operation fails with.
  package func fate(of operation: FileOperation) throws(StoreError) -> FileFate { hook(operation) }
  /// Told after each that was done; of a read, with the bytes that there were.
  package func did(_ operation: FileOperation) {}
  /// The last reference to an open file went.
  package func didClose(_ path: String) {}
  /// What is told of a file, and of a directory.
  package func told(_ status: FileStatus, of path: String) -> FileStatus { status }
  package func listed(_ names: [String], in directory: String) -> [String] { names }
  /// Where nothing was ever written, as far as the file system can tell.
  package func told(data: Int64?, from offset: Int64) -> Int64? { data }
  /// A write failed, and nothing of it has landed.
  package func didFail(_ bytes: UnsafeRawBufferPointer, at offset: Int64, of file: any File) {}
  /// Scratch files are no part of a store; mostly nobody asks.
  package var hooksScratchFiles: Bool { false }

  fileprivate func perform<R>(
    _ operation: FileOperation, _ body: () throws(StoreError) -> R
  ) throws(StoreError) -> R {
    switch try fate(of: operation) {
    case .fails(let error), .failsTorn(_, let error): throw error
    case .doneButFails(let error):
      _ = try body()
      did(operation)
      throw error
    case .done, .torn:
      let result = try body()
      did(operation)
      return result
    }
  }

  // MARK: FileSystem

  package func open(_ path: String, _ access: FileAccess) throws(StoreError) -> any File {
    var operation = FileOperation(.open, path)
    operation.access = access
    return try perform(operation) { () throws(StoreError) in
      HookedFile(try base.open(path, access), self)
    }
  }

  package final func create(_ path: String, mode: UInt32) throws(StoreError) -> any File {
    try make(path, mode: mode, isUncached: false)
  }
  package final func createUncached(_ path: String, mode: UInt32) throws(StoreError) -> any File {
    try make(path, mode: mode, isUncached: true)
  }
  /// Both ways to make a file.
  package func make(_ path: String, mode: UInt32, isUncached: Bool) throws(StoreError) -> any File {
    try perform(FileOperation(.create, path)) { () throws(StoreError) in
      HookedFile(
        isUncached
          ? try base.createUncached(path, mode: mode) : try base.create(path, mode: mode), self)
    }
  }

  package func list(_ directory: String, where isWanted: (String) -> Bool)
    throws(StoreError) -> [String]
  {
    let names = try perform(FileOperation(.list, directory)) { () throws(StoreError) in
      try base.list(directory)
    }
    return listed(names, in: directory).filter(isWanted)
  }

  package func link(_ path: String, to newPath: String) throws(StoreError) {
    var operation = FileOperation(.link, newPath)
    operation.from = path
    try perform(operation) { () throws(StoreError) in try base.link(path, to: newPath) }
  }

  package func unlink(_ path: String) throws(StoreError) {
    try perform(FileOperation(.unlink, path)) { () throws(StoreError) in try base.unlink(path) }
  }

  package func makeDirectory(_ path: String, mode: UInt32) throws(StoreError) {
    try perform(FileOperation(.makeDirectory, path)) { () throws(StoreError) in
      try base.makeDirectory(path, mode: mode)
    }
  }

  package func giveToOwner(_ directory: String) throws(StoreError) {
    try base.giveToOwner(directory)
  }

  package func proveWritable(_ path: String) throws(StoreError) { try base.proveWritable(path) }

  package func setPermissions(_ path: String, mode: UInt32) throws(StoreError) {
    try perform(FileOperation(.setPermissions, path)) { () throws(StoreError) in
      try base.setPermissions(path, mode: mode)
    }
  }

  package func syncDirectory(_ path: String) throws(StoreError) {
    try perform(FileOperation(.syncDirectory, path)) { () throws(StoreError) in
      try base.syncDirectory(path)
    }
  }

  package func status(_ path: String) throws(StoreError) -> FileStatus {
    let status = try perform(FileOperation(.status, path)) { () throws(StoreError) in
      try base.status(path)
    }
    return told(status, of: path)
  }

  package func replaceSymbolicLink(_ path: String, target: String) throws(StoreError) {
    try perform(FileOperation(.replaceSymbolicLink, path)) { () throws(StoreError) in
      try base.replaceSymbolicLink(path, target: target)
    }
  }

  package func readSymbolicLink(_ path: String) throws(StoreError) -> String {
    try perform(FileOperation(.readSymbolicLink, path)) { () throws(StoreError) in
      try base.readSymbolicLink(path)
    }
  }

  package func isNetwork(_ path: String) throws(StoreError) -> Bool { try base.isNetwork(path) }

  package func scratchFile() throws(StoreError) -> any File {
    let file = try perform(FileOperation(.scratchFile, "(scratch)")) { () throws(StoreError) in
      try base.scratchFile()
    }
    return hooksScratchFiles ? HookedFile(file, self) : file
  }

  package func room(in directory: String) -> DiskRoom? { base.room(in: directory) }

  package var scratchDiskBytes: Int64? { base.scratchDiskBytes }

  package var openFileLimit: Int { base.openFileLimit }
}

private final class HookedFile: File {
  private let base: any File
  private let owner: HookedFileSystem

  init(_ base: any File, _ owner: HookedFileSystem) {
    self.base = base
    self.owner = owner
  }

  deinit { owner.didClose(base.path) }

  var path: String { base.path }

  private func operation(
    _ action: FileOperation.Action, at offset: Int64 = 0, count: Int = 0
  ) -> FileOperation {
    var operation = FileOperation(action, path, offset: offset, count: count)
    operation.isOfOpenFile = true
    return operation
  }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(StoreError) -> Int
  {
    var operation = operation(.read, at: offset, count: buffer.count)
    switch try owner.fate(of: operation) {
    case .fails(let error), .failsTorn(_, let error), .doneButFails(let error): throw error
    case .done, .torn: break
    }
    operation.count = try base.read(into: buffer, at: offset)
    owner.did(operation)
    return operation.count
  }

  func read(
    into first: UnsafeMutableRawBufferPointer, at offset: Int64,
    and second: UnsafeMutableRawBufferPointer, at secondOffset: Int64
  ) throws(StoreError) -> (Int, Int) {
    (try read(into: first, at: offset), try read(into: second, at: secondOffset))
  }

  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(StoreError) {
    let operation = operation(.write, at: offset, count: bytes.count)
    let fate: FileFate
    do throws(StoreError) { fate = try owner.fate(of: operation) } catch {
      owner.didFail(bytes, at: offset, of: base)
      throw error
    }
    switch fate {
    case .fails(let error):
      owner.didFail(bytes, at: offset, of: base)
      throw error
    case .failsTorn(_, let error):
      // Blocks arrive whole.
      let landed = bytes.count / 2 & ~4095
      try base.write(UnsafeRawBufferPointer(rebasing: bytes[..<landed]), at: offset)
      throw error
    case .doneButFails(let error):
      try base.write(bytes, at: offset)
      owner.did(operation)
      throw error
    case .done, .torn:
      try base.write(bytes, at: offset)
      owner.did(operation)
    }
  }

  func beginWriteback(_ count: Int, at offset: Int64) { base.beginWriteback(count, at: offset) }

  func sync() throws(StoreError) {
    try owner.perform(operation(.sync)) { () throws(StoreError) in try base.sync() }
  }

  func resize(to size: Int64) throws(StoreError) {
    try owner.perform(operation(.resize, at: size)) { () throws(StoreError) in
      try base.resize(to: size)
    }
  }

  func status() throws(StoreError) -> FileStatus {
    let status = try owner.perform(operation(.status)) { () throws(StoreError) in
      try base.status()
    }
    return owner.told(status, of: path)
  }

  func freshStatus() throws(StoreError) -> FileStatus {
    let status = try owner.perform(operation(.status)) { () throws(StoreError) in
      try base.freshStatus()
    }
    return owner.told(status, of: path)
  }

  func nextData(from offset: Int64) throws(StoreError) -> Int64? {
    let data = try owner.perform(operation(.nextData, at: offset)) { () throws(StoreError) in
      try base.nextData(from: offset)
    }
    return owner.told(data: data, from: offset)
  }
}
