internal import CSQLite

/// Why SQLite's call on a file failed: the result code that SQLite gets.
public struct VFSFailure: Error {
  public let code: Int32
  public init(_ code: Int32) { self.code = code }
}

/// A file as SQLite sees it (`sqlite3_io_methods`), version 1: no shared memory, no mapping.
///
/// Called by one connection at a time. What is not implemented answers as a read-only file would.
public protocol VirtualFile: AnyObject {
  /// Fills `buffer`; beyond the end it fills with zeros and throws SQLITE_IOERR_SHORT_READ.
  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(VFSFailure)
  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(VFSFailure)
  func truncate(to size: Int64) throws(VFSFailure)
  func sync() throws(VFSFailure)
  func size() throws(VFSFailure) -> Int64
  /// SQLITE_LOCK_SHARED … SQLITE_LOCK_EXCLUSIVE.
  func lock(_ level: Int32) throws(VFSFailure)
  /// SQLITE_LOCK_NONE or SQLITE_LOCK_SHARED.
  func unlock(_ level: Int32) throws(VFSFailure)
  /// `sqlite3_file_control`; SQLITE_NOTFOUND for an operation that is not known.
  func control(_ operation: Int32, _ argument: UnsafeMutableRawPointer?) -> Int32
  var sectorSize: Int32 { get }
  /// SQLITE_IOCAP_ flags.
  var characteristics: Int32 { get }
  func close()
}

extension VirtualFile {
  public func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(VFSFailure) {
    throw VFSFailure(SQLITE_READONLY)
  }
  public func truncate(to size: Int64) throws(VFSFailure) { throw VFSFailure(SQLITE_READONLY) }
  public func sync() throws(VFSFailure) {}
  public func lock(_ level: Int32) throws(VFSFailure) {}
  public func unlock(_ level: Int32) throws(VFSFailure) {}
  public func control(_ operation: Int32, _ argument: UnsafeMutableRawPointer?) -> Int32 {
    SQLITE_NOTFOUND
  }
  public var sectorSize: Int32 { 4096 }
  public var characteristics: Int32 { 0 }
  public func close() {}
}

/// Opens files for SQLite (`sqlite3_vfs`). Reached from every thread that opens a connection.
public protocol VirtualFileSystem: AnyObject, Sendable {
  /// Opens a file; `flags` are SQLITE_OPEN_ flags, and so is what it returns beside the file: how
  /// the file was opened in fact.
  func open(_ name: VFSName, flags: Int32) throws(VFSFailure)
    -> (file: any VirtualFile, flags: Int32)
  func delete(_ path: String) throws(VFSFailure)
  func exists(_ path: UnsafePointer<CChar>) -> Bool
  func fullPath(_ path: String) -> String
  /// Unix milliseconds: what 'now' means in SQL.
  func currentTime_ms() -> Int64
  /// What `sqlite3_errmsg` adds for an error that came from here.
  var lastErrorText: String? { get }
}

extension VirtualFileSystem {
  public func delete(_ path: String) throws(VFSFailure) {}
  public func exists(_ path: UnsafePointer<CChar>) -> Bool { false }
  public func fullPath(_ path: String) -> String { path }
  public var lastErrorText: String? { nil }
}

/// The name of a file to be opened, with the parameters of its URI.
public struct VFSName {
  private let name: UnsafePointer<CChar>?

  init(_ name: UnsafePointer<CChar>?) { self.name = name }

  /// nil for a temporary file, and for a path that is no UTF-8: mended it would be another's.
  public var path: String? { name.flatMap { String(validatingCString: $0) } }

  /// `sqlite3_uri_parameter`. Only for the main database file.
  public func parameter(_ parameter: String) -> String? {
    sqlite3_uri_parameter(name, parameter).map { String(cString: $0) }
  }

  /// `sqlite3_uri_boolean`.
  public func flag(_ parameter: String, default value: Bool = false) -> Bool {
    sqlite3_uri_boolean(name, parameter, value ? 1 : 0) != 0
  }
}

/// Makes a Swift file system known to SQLite under a name, until this object goes.
///
/// No connection that uses it may be open then; SQLite does not check.
public final class VFSRegistration: @unchecked Sendable {
  // Sendable: nothing changes after `init`; SQLite guards its list of file systems itself.
  private let vfs: UnsafeMutablePointer<sqlite3_vfs>
  private let name: UnsafeMutablePointer<CChar>
  private let context: Unmanaged<Context>

  public init(name: String, _ fileSystem: any VirtualFileSystem) {
    self.name = duplicated(name)
    context = Unmanaged.passRetained(Context(fileSystem))
    vfs = UnsafeMutablePointer<sqlite3_vfs>.allocate(capacity: 1)
    vfs.initialize(to: makeVFS(self.name, context))
    let status = sqlite3_vfs_register(vfs, 0)
    precondition(status == SQLITE_OK, "sqlite3_vfs_register failed with \(status)")
  }

  deinit {
    sqlite3_vfs_unregister(vfs)
    vfs.deallocate()
    name.deallocate()
    context.release()
  }
}

private func duplicated(_ text: String) -> UnsafeMutablePointer<CChar> {
  let bytes = text.utf8CString
  let copy = UnsafeMutablePointer<CChar>.allocate(capacity: bytes.count)
  for (i, byte) in bytes.enumerated() { (copy + i).initialize(to: byte) }
  return copy
}

private final class Context {
  let fileSystem: any VirtualFileSystem
  init(_ fileSystem: any VirtualFileSystem) { self.fileSystem = fileSystem }
}

/// `sqlite3_file` with the Swift file behind it.
private struct FileBox {
  var base: sqlite3_file
  var file: Unmanaged<FileHandle>?
}

/// Holds the existential, so that one pointer fits behind `sqlite3_file`.
private final class FileHandle {
  let file: any VirtualFile
  init(_ file: any VirtualFile) { self.file = file }
}

private func makeVFS(_ name: UnsafePointer<CChar>, _ context: Unmanaged<Context>) -> sqlite3_vfs {
  var vfs = sqlite3_vfs()
  vfs.iVersion = 2
  vfs.szOsFile = Int32(MemoryLayout<FileBox>.size)
  vfs.mxPathname = 4096
  vfs.zName = name
  vfs.pAppData = context.toOpaque()
  vfs.xOpen = { vfs, name, raw, flags, outFlags in
    guard let vfs, let raw else { return SQLITE_MISUSE }
    let box = UnsafeMutableRawPointer(raw).assumingMemoryBound(to: FileBox.self)
    box.pointee.base.pMethods = nil
    do throws(VFSFailure) {
      let opened = try fileSystem(vfs).open(VFSName(name), flags: flags)
      box.pointee.file = Unmanaged.passRetained(FileHandle(opened.file))
      box.pointee.base.pMethods = UnsafePointer(methods)
      outFlags?.pointee = opened.flags
      return SQLITE_OK
    } catch {
      return error.code
    }
  }
  vfs.xDelete = { vfs, path, _ in
    guard let vfs, let path else { return SQLITE_MISUSE }
    do throws(VFSFailure) { try fileSystem(vfs).delete(String(cString: path)) } catch {
      return error.code
    }
    return SQLITE_OK
  }
  vfs.xAccess = { vfs, path, _, result in
    guard let vfs, let path, let result else { return SQLITE_MISUSE }
    result.pointee = fileSystem(vfs).exists(path) ? 1 : 0
    return SQLITE_OK
  }
  vfs.xFullPathname = { vfs, path, capacity, output in
    guard let vfs, let path, let output else { return SQLITE_MISUSE }
    guard let text = String(validatingCString: path) else { return SQLITE_CANTOPEN }
    let full = fileSystem(vfs).fullPath(text).utf8CString
    guard full.count <= capacity else { return SQLITE_CANTOPEN }
    for (i, byte) in full.enumerated() { output[i] = byte }
    return SQLITE_OK
  }
  // Libraries are loaded as SQLite's own file system does it; that takes no account of the VFS it is
  // called for, and SQLite calls these without looking whether they are there.
  if let base = sqlite3_vfs_find(nil) {
    vfs.xDlOpen = base.pointee.xDlOpen
    vfs.xDlError = base.pointee.xDlError
    vfs.xDlSym = base.pointee.xDlSym
    vfs.xDlClose = base.pointee.xDlClose
  }
  vfs.xRandomness = { _, count, buffer in
    guard let base = sqlite3_vfs_find(nil), let random = base.pointee.xRandomness else { return 0 }
    return random(base, count, buffer)
  }
  vfs.xSleep = { _, microseconds in
    guard let base = sqlite3_vfs_find(nil), let sleep = base.pointee.xSleep else { return 0 }
    return sleep(base, microseconds)
  }
  vfs.xCurrentTime = { vfs, result in
    guard let vfs, let result else { return SQLITE_MISUSE }
    result.pointee = Double(julian_ms(vfs)) / 86_400_000
    return SQLITE_OK
  }
  vfs.xCurrentTimeInt64 = { vfs, result in
    guard let vfs, let result else { return SQLITE_MISUSE }
    result.pointee = julian_ms(vfs)
    return SQLITE_OK
  }
  vfs.xGetLastError = { vfs, capacity, output in
    guard let vfs, let output, capacity > 0, let text = fileSystem(vfs).lastErrorText else {
      return 0
    }
    var i = 0
    for byte in text.utf8.prefix(Int(capacity) - 1) {
      output[i] = CChar(bitPattern: byte)
      i += 1
    }
    output[i] = 0
    return 0
  }
  return vfs
}

@inline(__always)
private func fileSystem(_ vfs: UnsafeMutablePointer<sqlite3_vfs>) -> any VirtualFileSystem {
  Unmanaged<Context>.fromOpaque(vfs.pointee.pAppData)._withUnsafeGuaranteedRef { $0.fileSystem }
}

/// Milliseconds since noon of November 24, 4714 B.C., which is how SQLite counts time.
private func julian_ms(_ vfs: UnsafeMutablePointer<sqlite3_vfs>) -> Int64 {
  fileSystem(vfs).currentTime_ms() + 210_866_760_000_000
}

@inline(__always)
private func attempt(
  _ raw: UnsafeMutablePointer<sqlite3_file>?,
  _ body: (any VirtualFile) throws(VFSFailure) -> Void
) -> Int32 {
  guard let raw else { return SQLITE_MISUSE }
  let box = UnsafeMutableRawPointer(raw).assumingMemoryBound(to: FileBox.self)
  guard let handle = box.pointee.file else { return SQLITE_MISUSE }
  do throws(VFSFailure) {
    try body(handle._withUnsafeGuaranteedRef { $0.file })
    return SQLITE_OK
  } catch {
    return error.code
  }
}

/// One table of methods for all files; it lives as long as the process.
nonisolated(unsafe) private let methods: UnsafeMutablePointer<sqlite3_io_methods> = {
  var table = sqlite3_io_methods()
  table.iVersion = 1
  table.xClose = { raw in
    let status = attempt(raw) { file in file.close() }
    if let raw {
      let box = UnsafeMutableRawPointer(raw).assumingMemoryBound(to: FileBox.self)
      box.pointee.file?.release()
      box.pointee.file = nil
    }
    return status
  }
  table.xRead = { raw, buffer, count, offset in
    attempt(raw) { file throws(VFSFailure) in
      try file.read(
        into: UnsafeMutableRawBufferPointer(start: buffer, count: Int(count)), at: offset)
    }
  }
  table.xWrite = { raw, bytes, count, offset in
    attempt(raw) { file throws(VFSFailure) in
      try file.write(UnsafeRawBufferPointer(start: bytes, count: Int(count)), at: offset)
    }
  }
  table.xTruncate = { raw, size in
    attempt(raw) { file throws(VFSFailure) in try file.truncate(to: size) }
  }
  table.xSync = { raw, _ in attempt(raw) { file throws(VFSFailure) in try file.sync() } }
  table.xFileSize = { raw, size in
    attempt(raw) { file throws(VFSFailure) in size?.pointee = try file.size() }
  }
  table.xLock = { raw, level in
    attempt(raw) { file throws(VFSFailure) in try file.lock(level) }
  }
  table.xUnlock = { raw, level in
    attempt(raw) { file throws(VFSFailure) in try file.unlock(level) }
  }
  table.xCheckReservedLock = { _, result in
    result?.pointee = 0
    return SQLITE_OK
  }
  table.xFileControl = { raw, operation, argument in
    var status = SQLITE_NOTFOUND
    let reached = attempt(raw) { file in status = file.control(operation, argument) }
    return reached == SQLITE_OK ? status : reached
  }
  table.xSectorSize = { raw in
    var size: Int32 = 4096
    _ = attempt(raw) { file in size = file.sectorSize }
    return size
  }
  table.xDeviceCharacteristics = { raw in
    var flags: Int32 = 0
    _ = attempt(raw) { file in flags = file.characteristics }
    return flags
  }
  let pointer = UnsafeMutablePointer<sqlite3_io_methods>.allocate(capacity: 1)
  pointer.initialize(to: table)
  return pointer
}()
