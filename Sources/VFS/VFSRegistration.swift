internal import CSQLite

/// Makes a Swift file system known to an SQLite library under a name, until this object goes.
///
/// No connection that uses it may be open then; SQLite does not check.
package final class VFSRegistration: @unchecked Sendable {
  // Sendable: nothing changes after `init`; SQLite guards its list of file systems itself.
  private let vfs: UnsafeMutablePointer<sqlite3_vfs>
  private let name: UnsafeMutablePointer<CChar>
  private let context: Unmanaged<Context>
  private let calls: SQLiteCalls

  /// Throws SQLite's code where it does not take it.
  package init(name: String, _ fileSystem: any VirtualFileSystem, _ calls: SQLiteCalls)
    throws(VFSFailure)
  {
    self.calls = calls
    self.name = duplicated(name)
    context = Unmanaged.passRetained(Context(fileSystem, calls))
    vfs = UnsafeMutablePointer<sqlite3_vfs>.allocate(capacity: 1)
    vfs.initialize(to: makeVFS(self.name, context))
    let status = calls.table.pointee.vfs_register(vfs, 0)
    guard status == SQLITE_OK else { throw VFSFailure(status) }
  }

  deinit {
    _ = calls.table.pointee.vfs_unregister(vfs)
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

/// What stands behind `pAppData`: all that a registration knows, so that nothing is known to two.
private final class Context {
  let fileSystem: any VirtualFileSystem
  let calls: SQLiteCalls
  /// The library's own, for what is handed on to it.
  let base: UnsafeMutablePointer<sqlite3_vfs>?

  init(_ fileSystem: any VirtualFileSystem, _ calls: SQLiteCalls) {
    self.fileSystem = fileSystem
    self.calls = calls
    base = calls.defaultFileSystem
  }
}

/// SQLite hands a file system to each of its functions.
@inline(__always)
private func contextOf(_ vfs: UnsafeMutablePointer<sqlite3_vfs>) -> Context {
  Unmanaged<Context>.fromOpaque(vfs.pointee.pAppData).takeUnretainedValue()
}

private func makeVFS(_ name: UnsafePointer<CChar>, _ retained: Unmanaged<Context>) -> sqlite3_vfs {
  let base = retained.takeUnretainedValue().base
  var vfs = sqlite3_vfs()
  vfs.iVersion = 2
  // A file that is handed on lies in the same place as one of ours.
  vfs.szOsFile = max(FileBox.size, base?.pointee.szOsFile ?? 0)
  vfs.mxPathname = max(4096, base?.pointee.mxPathname ?? 0)
  vfs.zName = name
  vfs.pAppData = retained.toOpaque()
  setNames(&vfs)
  // Libraries are loaded as SQLite's own file system does it; that takes no account of the VFS it is
  // called for, and SQLite calls these without looking whether they are there.
  if let base {
    vfs.xDlOpen = base.pointee.xDlOpen
    vfs.xDlError = base.pointee.xDlError
    vfs.xDlSym = base.pointee.xDlSym
    vfs.xDlClose = base.pointee.xDlClose
  }
  setSurroundings(&vfs)
  return vfs
}

/// What has to do with names of files.
private func setNames(_ vfs: inout sqlite3_vfs) {
  vfs.xOpen = { vfs, name, raw, flags, outFlags in
    guard let vfs, let raw else { return SQLITE_MISUSE }
    let context = contextOf(vfs)
    raw.pointee.pMethods = nil
    do throws(VFSFailure) {
      guard
        let opened = try context.fileSystem.open(VFSName(name, context.calls), flags: flags)
      else {
        guard let base = context.base else { return SQLITE_CANTOPEN }
        return base.pointee.xOpen(base, name, raw, flags, outFlags)
      }
      FileBox.put(opened.file, raw)
      outFlags?.pointee = opened.flags
      return SQLITE_OK
    } catch {
      return error.code
    }
  }
  vfs.xDelete = { vfs, path, syncs in
    guard let vfs, let path else { return SQLITE_MISUSE }
    let context = contextOf(vfs)
    if let base = context.base, context.fileSystem.isElsewhere(path) {
      return base.pointee.xDelete(base, path, syncs)
    }
    do throws(VFSFailure) { try context.fileSystem.delete(String(cString: path)) } catch {
      return error.code
    }
    return SQLITE_OK
  }
  vfs.xAccess = { vfs, path, flags, result in
    guard let vfs, let path, let result else { return SQLITE_MISUSE }
    let context = contextOf(vfs)
    if let base = context.base, context.fileSystem.isElsewhere(path) {
      return base.pointee.xAccess(base, path, flags, result)
    }
    result.pointee = context.fileSystem.exists(path) ? 1 : 0
    return SQLITE_OK
  }
  vfs.xFullPathname = { vfs, path, capacity, output in
    guard let vfs, let path, let output else { return SQLITE_MISUSE }
    let context = contextOf(vfs)
    guard let full = context.fileSystem.fullPath(path)?.utf8CString else {
      guard let base = context.base else { return SQLITE_CANTOPEN }
      return base.pointee.xFullPathname(base, path, capacity, output)
    }
    guard full.count <= capacity else { return SQLITE_CANTOPEN }
    for (i, byte) in full.enumerated() { output[i] = byte }
    return SQLITE_OK
  }
}

/// Chance, time and errors.
private func setSurroundings(_ vfs: inout sqlite3_vfs) {
  vfs.xRandomness = { vfs, count, buffer in
    guard let vfs, let base = contextOf(vfs).base else { return 0 }
    return base.pointee.xRandomness(base, count, buffer)
  }
  vfs.xSleep = { vfs, microseconds in
    if OwedSleep.takes(microseconds) { return microseconds }
    guard let vfs, let base = contextOf(vfs).base else { return 0 }
    return base.pointee.xSleep(base, microseconds)
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
    guard let vfs, let output, capacity > 0,
      let text = contextOf(vfs).fileSystem.lastErrorText
    else { return 0 }
    var i = 0
    for byte in text.utf8.prefix(Int(capacity) - 1) {
      output[i] = CChar(bitPattern: byte)
      i += 1
    }
    output[i] = 0
    return 0
  }
}

/// Milliseconds since noon of November 24, 4714 B.C., which is how SQLite counts time.
private func julian_ms(_ vfs: UnsafeMutablePointer<sqlite3_vfs>) -> Int64 {
  contextOf(vfs).fileSystem.currentTime_ms() + 210_866_760_000_000
}
