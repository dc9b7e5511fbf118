internal import CSQLite

/// `sqlite3_file` with the Swift file behind it.
struct FileBox {
  private var base: sqlite3_file
  private var file: Unmanaged<FileHandle>?

  static var size: Int32 { Int32(MemoryLayout<FileBox>.size) }

  /// Makes `raw`, which SQLite allocated with `size` bytes or more, this file.
  static func put(_ file: any VirtualFile, _ raw: UnsafeMutablePointer<sqlite3_file>) {
    let box = UnsafeMutableRawPointer(raw).assumingMemoryBound(to: FileBox.self)
    box.pointee.file = Unmanaged.passRetained(FileHandle(file))
    box.pointee.base.pMethods = UnsafePointer(methods)
  }

  @inline(__always)
  fileprivate static func attempt(
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

  fileprivate static func close(_ raw: UnsafeMutablePointer<sqlite3_file>?) -> Int32 {
    let status = attempt(raw) { file in file.close() }
    if let raw {
      let box = UnsafeMutableRawPointer(raw).assumingMemoryBound(to: FileBox.self)
      box.pointee.file?.release()
      box.pointee.file = nil
    }
    return status
  }
}

/// Holds the existential, so that one pointer fits behind `sqlite3_file`.
private final class FileHandle {
  let file: any VirtualFile
  init(_ file: any VirtualFile) { self.file = file }
}

/// One table of methods for all files; it lives as long as the process.
nonisolated(unsafe) private let methods: UnsafeMutablePointer<sqlite3_io_methods> = {
  var table = sqlite3_io_methods()
  table.iVersion = 1
  table.xClose = { raw in FileBox.close(raw) }
  table.xRead = { raw, buffer, count, offset in
    FileBox.attempt(raw) { file throws(VFSFailure) in
      try file.read(
        into: UnsafeMutableRawBufferPointer(start: buffer, count: Int(count)), at: offset)
    }
  }
  table.xWrite = { raw, bytes, count, offset in
    FileBox.attempt(raw) { file throws(VFSFailure) in
      try file.write(UnsafeRawBufferPointer(start: bytes, count: Int(count)), at: offset)
    }
  }
  table.xTruncate = { raw, size in
    FileBox.attempt(raw) { file throws(VFSFailure) in try file.truncate(to: size) }
  }
  table.xSync = { raw, _ in
    FileBox.attempt(raw) { file throws(VFSFailure) in try file.sync() }
  }
  table.xFileSize = { raw, size in
    FileBox.attempt(raw) { file throws(VFSFailure) in size?.pointee = try file.size() }
  }
  table.xLock = { raw, level in
    FileBox.attempt(raw) { file throws(VFSFailure) in try file.lock(level) }
  }
  table.xUnlock = { raw, level in
    FileBox.attempt(raw) { file throws(VFSFailure) in try file.unlock(level) }
  }
  table.xCheckReservedLock = { _, result in
    result?.pointee = 0
    return SQLITE_OK
  }
  table.xFileControl = { raw, operation, argument in
    var status = SQLITE_NOTFOUND
    let reached = FileBox.attempt(raw) { file in status = file.control(operation, argument) }
    return reached == SQLITE_OK ? status : reached
  }
  table.xSectorSize = { raw in
    var size: Int32 = 4096
    _ = FileBox.attempt(raw) { file in size = file.sectorSize }
    return size
  }
  table.xDeviceCharacteristics = { raw in
    var flags: Int32 = 0
    _ = FileBox.attempt(raw) { file in flags = file.characteristics }
    return flags
  }
  let pointer = UnsafeMutablePointer<sqlite3_io_methods>.allocate(capacity: 1)
  pointer.initialize(to: table)
  return pointer
}()
