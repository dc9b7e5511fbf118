internal import CSystem
internal import Glibc

/// Files as the operating system has them: Linux, local or NFSv4.1.
package struct PosixFileSystem: FileSystem {
  private let scratchDirectory: Result<String, StoreError>
  private let networks = Monitor<[ExactText: Bool]>([:])

  /// `scratchDirectory` must be on a local disk; default `$TMPDIR`, else `/tmp`.
  package init(scratchDirectory: String? = nil) {
    self.scratchDirectory =
      scratchDirectory.map { .success($0) } ?? PosixFileSystem.temporaryDirectory
  }

  /// `$TMPDIR`, or `/tmp` where it is not set. Fails where it is no UTF-8: another directory than the
  /// one that was meant must not be used.
  package static var temporaryDirectory: Result<String, StoreError> {
    guard let value = getenv("TMPDIR"), value.pointee != 0 else { return .success("/tmp") }
    guard let path = String(validatingCString: value) else {
      return .failure(
        StoreError(.invalid, "TMPDIR is no UTF-8; set it to a directory whose name is"))
    }
    return .success(path)
  }

  package func open(_ path: String, _ access: FileAccess) throws(StoreError) -> any File {
    switch access {
    case .fixed:
      return PosixFile(try descriptor(path, O_RDONLY, foreign: false), path)
    case .shared:
      let direct = try isNetwork(path)
      return PosixFile(try descriptor(path, O_RDONLY, direct: direct, foreign: true), path)
    case .write:
      return try writable(path, O_RDWR)
    }
  }

  package func create(_ path: String, mode: UInt32) throws(StoreError) -> any File {
    let file = try writable(path, O_RDWR | O_CREAT | O_EXCL, mode: mode)
    try giveToOwner(file)
    try setPermissions(file, mode)
    return file
  }

  /// One descriptor with O_DIRECT where the file is on NFS: it reads past the cache what others
  /// write (the mark), as the second one of `writable` does, without an OPEN of its own. A write
  /// through it is as durable after `sync` as any: the kernel sends it before pwrite(2) returns,
  /// stable or followed by a COMMIT, and `sync` finds nothing left to send.
  package func createUncached(_ path: String, mode: UInt32) throws(StoreError) -> any File {
    guard try isNetwork(path) else { return try create(path, mode: mode) }
    let flags = O_RDWR | O_CREAT | O_EXCL
    let file = PosixFile(
      try descriptor(path, flags, mode: mode, direct: true, foreign: true), path)
    try giveToOwner(file)
    try setPermissions(file, mode)
    return file
  }

  /// The umask must not take the group's right to write marks. Whether it did costs no request to
  /// the server, which told the permissions when it made the file; setting them costs one.
  private func setPermissions(_ file: PosixFile, _ mode: UInt32) throws(StoreError) {
    guard try file.status().permissions != mode else { return }
    guard fchmod(file.descriptor, mode) == 0 else { throw posixError("fchmod", file.path) }
  }

  /// A file that this process writes. On NFS a second descriptor with O_DIRECT reads it, because a
  /// file open for writing on this host is never revalidated here.
  private func writable(_ path: String, _ flags: Int32, mode: UInt32 = 0) throws(StoreError)
    -> PosixFile
  {
    let descriptor = try descriptor(path, flags, mode: mode, foreign: true)
    let file = PosixFile(descriptor, path)
    if try isNetwork(path) {
      file.readDescriptor = try self.descriptor(path, O_RDONLY, direct: true, foreign: true)
    }
    return file
  }

  func descriptor(
    _ path: String, _ flags: Int32, mode: UInt32 = 0, direct: Bool = false, foreign: Bool
  ) throws(StoreError) -> Int32 {
    let result = csystem_open(path, flags, mode, direct ? 1 : 0, foreign ? 1 : 0)
    guard result >= 0 else { throw posixError("open", path, -result) }
    return result
  }

  package func list(_ directory: String, where isWanted: (String) -> Bool)
    throws(StoreError) -> [String]
  {
    guard let handle = opendir(directory) else { throw posixError("opendir", directory) }
    defer { closedir(handle) }
    var names: [String] = []
    while true {
      errno = 0
      guard let entry = readdir(handle) else {
        if errno != 0 { throw posixError("readdir", directory) }
        return names
      }
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != ".", name != "..", isWanted(name) { names.append(name) }
    }
  }

  package func link(_ path: String, to newPath: String) throws(StoreError) {
    guard Glibc.link(path, newPath) == 0 else { throw posixError("link", newPath) }
  }

  package func unlink(_ path: String) throws(StoreError) {
    guard Glibc.unlink(path) == 0 else { throw posixError("unlink", path) }
  }

  package func makeDirectory(_ path: String, mode: UInt32) throws(StoreError) {
    guard mkdir(path, mode_t(mode)) == 0, chmod(path, mode_t(mode)) == 0 else {
      guard errno == ENOENT else { throw posixError("mkdir", path) }
      let parent = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? ""
      throw StoreError(
        .io, "no directory can be made where none is; make \(parent) first", path: path,
        errno: ENOENT)
    }
  }

  package func proveWritable(_ path: String) throws(StoreError) {
    guard access(path, W_OK) == 0 else { throw posixError("opening for writing", path) }
  }

  package func setPermissions(_ path: String, mode: UInt32) throws(StoreError) {
    guard chmod(path, mode_t(mode)) == 0 else { throw posixError("chmod", path) }
  }

  /// On NFS a name is durable when the call that made it returns (the server may not answer before),
  /// and the client's fsync of a directory does nothing (`nfs_fsync_dir`); opening the directory for
  /// it would cost one or two requests.
  package func syncDirectory(_ path: String) throws(StoreError) {
    guard try !isNetwork(path + "/") else { return }
    let descriptor = try descriptor(path, O_RDONLY | O_DIRECTORY, foreign: false)
    defer { close(descriptor) }
    guard fsync(descriptor) == 0 else { throw posixError("fsync", path) }
  }

  package func status(_ path: String) throws(StoreError) -> FileStatus {
    var status = csystem_status()
    let result = csystem_lstat(path, &status)
    guard result == 0 else { throw posixError("lstat", path, -result) }
    return FileStatus(status)
  }

  package func replaceSymbolicLink(_ path: String, target: String) throws(StoreError) {
    let temporary = "\(path).\(hexadecimal(UInt64.random(in: .min ... .max), width: 16)).tmp"
    guard symlink(target, temporary) == 0 else { throw posixError("symlink", temporary) }
    guard rename(temporary, path) == 0 else {
      let error = posixError("rename", path)
      _ = Glibc.unlink(temporary)
      throw error
    }
  }

  package func readSymbolicLink(_ path: String) throws(StoreError) -> String {
    var failure: StoreError?
    let bytes = [UInt8](unsafeUninitializedCapacity: 4096) { buffer, filled in
      let count = buffer.withMemoryRebound(to: CChar.self) { bytes in
        bytes.baseAddress.map { readlink(path, $0, bytes.count) } ?? -1
      }
      if count < 0 { failure = posixError("readlink", path) } else { filled = count }
    }
    if let failure { throw failure }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// Asked once for each directory.
  package func isNetwork(_ path: String) throws(StoreError) -> Bool {
    let directory = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
    if let known = networks.withLock({ $0[ExactText(directory)] }) { return known }
    // Of the directory, since the file itself may be removed by now.
    let result = csystem_is_network(directory.isEmpty ? "/" : directory)
    guard result >= 0 else { throw posixError("statfs", directory, -result) }
    networks.withLock { $0[ExactText(directory)] = result == 1 }
    return result == 1
  }

  /// EFS tells 8 EiB, of which nothing is used.
  package func room(in directory: String) -> DiskRoom? {
    var disk = statvfs()
    guard statvfs(directory, &disk) == 0 else { return nil }
    func bytes(_ blocks: UInt) -> Int64 {
      let (product, isOver) = UInt64(disk.f_frsize).multipliedReportingOverflow(by: UInt64(blocks))
      return isOver ? .max : Int64(clamping: product)
    }
    return DiskRoom(freeBytes: bytes(disk.f_bavail), totalBytes: bytes(disk.f_blocks))
  }

  package func scratchFile() throws(StoreError) -> any File {
    let directory = try scratchDirectory.get()
    let descriptor = csystem_open_scratch(directory)
    guard descriptor >= 0 else {
      throw StoreError(
        .io,
        "no scratch file can be made: \(String(cString: strerror(-descriptor))); set TMPDIR to a directory on a local disk that this user may write to",
        path: directory, errno: -descriptor)
    }
    return PosixFile(descriptor, "\(directory)/(scratch)")
  }

  package var scratchDiskBytes: Int64? {
    var disk = statvfs()
    guard let directory = try? scratchDirectory.get(), statvfs(directory, &disk) == 0 else {
      return nil
    }
    return Int64(clamping: UInt64(disk.f_frsize)) * Int64(clamping: disk.f_blocks)
  }
}

extension File {
  /// The descriptor that it is written through; nil where it is none of the operating system's files.
  package var openDescriptor: Int32? { (self as? PosixFile)?.descriptor }
}

extension PosixFileSystem {
  /// Gives the file at `temporary`, which is whole and durable, the name `path`, whatever has it
  /// (rename(2)): who opens it meets the old or the new one, whole. For what lies outside of a store; within,
  /// NFS shows the old one for half a minute.
  package static func replace(_ path: String, with temporary: String) throws(StoreError) {
    guard rename(temporary, path) == 0 else { throw posixError("rename", path) }
  }

  /// A file that another process opened and passed on; closed when the last reference goes.
  package static func file(owning descriptor: Int32, path: String) -> any File {
    PosixFile(descriptor, path)
  }

  package var openFileLimit: Int { Int(clamping: csystem_open_file_limit(0)) }

  /// Raises the limit of open files to what the process may have; for a command, which calls no
  /// select(2) with a descriptor beyond 1023.
  package static func raiseOpenFileLimit() { _ = csystem_open_file_limit(1) }
}

/// One open descriptor, or two where writing and reading need different ones.
final class PosixFile: File, @unchecked Sendable {
  // Sendable: both descriptors are set before the file is handed out, and pread and pwrite may be
  // called from any thread.
  let descriptor: Int32
  fileprivate(set) var readDescriptor: Int32
  let path: String

  init(_ descriptor: Int32, _ path: String) {
    self.descriptor = descriptor
    readDescriptor = descriptor
    self.path = path
  }

  deinit {
    if readDescriptor != descriptor { close(readDescriptor) }
    close(descriptor)
  }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(StoreError) -> Int
  {
    var done = 0
    while done < buffer.count {
      let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[done...])
      let count = pread(
        readDescriptor, rest.baseAddress, rest.count, off_t(offset) + off_t(done))
      if count > 0 {
        done += count
      } else if count == 0 {
        break
      } else if errno != EINTR {
        throw posixError("read", path, offset: offset)
      }
    }
    return done
  }

  func read(
    into first: UnsafeMutableRawBufferPointer, at offset: Int64,
    and second: UnsafeMutableRawBufferPointer, at secondOffset: Int64
  ) throws(StoreError) -> (Int, Int) {
    var pieces = (
      csystem_piece(bytes: first.baseAddress, length: first.count, offset: offset, read: 0),
      csystem_piece(bytes: second.baseAddress, length: second.count, offset: secondOffset, read: 0)
    )
    let isDone = withUnsafeMutablePointer(to: &pieces) {
      $0.withMemoryRebound(to: csystem_piece.self, capacity: 2) {
        csystem_read_both(readDescriptor, $0) == 1
      }
    }
    // What came short, or failed, is read as ever, and then says why.
    func rest(_ buffer: UnsafeMutableRawBufferPointer, _ piece: csystem_piece) throws(StoreError)
      -> Int
    {
      let done = isDone ? max(0, Int(piece.read)) : 0
      guard done < buffer.count else { return done }
      return try done
        + read(
          into: UnsafeMutableRawBufferPointer(rebasing: buffer[done...]),
          at: piece.offset + Int64(done))
    }
    return (try rest(first, pieces.0), try rest(second, pieces.1))
  }

  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(StoreError) {
    var done = 0
    while done < bytes.count {
      let rest = UnsafeRawBufferPointer(rebasing: bytes[done...])
      let count = pwrite(descriptor, rest.baseAddress, rest.count, off_t(offset) + off_t(done))
      if count >= 0 {
        done += count
      } else if errno != EINTR {
        throw posixError("write", path, offset: offset)
      }
    }
  }

  func beginWriteback(_ count: Int, at offset: Int64) {
    csystem_begin_writeback(descriptor, offset, Int64(count))
  }

  func sync() throws(StoreError) {
    guard fdatasync(descriptor) == 0 else { throw posixError("fdatasync", path) }
  }

  func resize(to size: Int64) throws(StoreError) {
    guard ftruncate(descriptor, off_t(size)) == 0 else { throw posixError("ftruncate", path) }
  }

  func status() throws(StoreError) -> FileStatus {
    var status = csystem_status()
    let result = csystem_fstat(descriptor, &status)
    guard result == 0 else { throw posixError("fstat", path, -result) }
    return FileStatus(status)
  }

  func freshStatus() throws(StoreError) -> FileStatus {
    var status = csystem_status()
    let result = csystem_fresh_fstat(descriptor, &status)
    guard result == 0 else { throw posixError("statx", path, -result) }
    return FileStatus(status)
  }

  func nextData(from offset: Int64) throws(StoreError) -> Int64? {
    let result = csystem_next_data(readDescriptor, offset)
    if result == -Int64(ENXIO) { return nil }
    guard result >= 0 else {
      if result == -Int64(EINVAL) || result == -Int64(EOPNOTSUPP) { return offset }
      throw posixError("lseek", path, Int32(truncatingIfNeeded: -result), offset: offset)
    }
    return max(offset, result)
  }
}

extension FileStatus {
  init(_ status: csystem_status) {
    self.init(
      kind: status.regular != 0
        ? .regular
        : status.directory != 0 ? .directory : status.symlink != 0 ? .symbolicLink : .other,
      size: status.size, modified_ms: status.modified_ms, owner: status.uid, links: status.links,
      permissions: status.mode, inode: status.inode, group: status.gid)
  }
}

func posixError(
  _ operation: String, _ path: String, _ code: Int32 = errno, offset: Int64? = nil
) -> StoreError {
  let advice =
    switch code {
    case ENOSPC, EDQUOT: "; free space on that file system, then try again"
    case EACCES, EPERM: "; give this user the right to it"
    case EROFS: "; mount it writable"
    case EMFILE, ENFILE: "; raise the limit of open files"
    case ENOTDIR: "; a file is where a directory is expected"
    case ELOOP: "; a symbolic link is not accepted here"
    default: ""
    }
  return StoreError(
    code == ENOENT ? .noSuchStore : .io,
    "\(operation) failed: \(String(cString: strerror(code)))\(advice)", path: path, offset: offset,
    errno: code)
}
