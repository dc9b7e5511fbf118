/// The file operations that Sluice is made of, and no others: what the simulator replaces. None has a
/// default, so that nobody who stands in for them forgets one.
///
/// Rules that every caller keeps (measured on NFSv4.1): names are found by listing a directory
/// opened anew and never by probing; one file has one writing process; what others are writing is
/// opened `.shared`; nothing is replaced by rename except `current.sqlite`.
package protocol FileSystem: Sendable {
  /// Opens an existing file. Throws `.io` with `errno` (ENOENT, ELOOP for a symbolic link, …).
  func open(_ path: String, _ access: FileAccess) throws(StoreError) -> any File
  /// Creates a file that must not exist (O_EXCL) and opens it for reading and writing.
  func create(_ path: String, mode: UInt32) throws(StoreError) -> any File
  /// As `create`, for a file of which every write is whole blocks of 4 KiB and is synced at once. It
  /// gains nothing from a page cache, so on NFS it has none, and costs fewer requests.
  func createUncached(_ path: String, mode: UInt32) throws(StoreError) -> any File
  /// The names in a directory that are wanted, in no order, from a freshly opened directory. Others take no memory.
  func list(_ directory: String, where isWanted: (String) -> Bool) throws(StoreError) -> [String]
  /// link(2): gives the file a second name; exactly one of several callers wins (EEXIST).
  func link(_ path: String, to newPath: String) throws(StoreError)
  func unlink(_ path: String) throws(StoreError)
  func makeDirectory(_ path: String, mode: UInt32) throws(StoreError)
  /// Where root made a directory: gives it to whom the directory that it lies in belongs, as `create` does with
  /// files. Nothing for anybody else.
  func giveToOwner(_ directory: String) throws(StoreError)
  /// access(2): throws where this process has no right to write the file, which is not opened for that.
  func proveWritable(_ path: String) throws(StoreError)
  func setPermissions(_ path: String, mode: UInt32) throws(StoreError)
  /// fsync of a directory, so that the names in it are durable.
  func syncDirectory(_ path: String) throws(StoreError)
  /// lstat(2): the entry itself, a symbolic link not followed.
  func status(_ path: String) throws(StoreError) -> FileStatus
  /// Points the symbolic link at `path` to `target`, atomically (a new link renamed over it).
  func replaceSymbolicLink(_ path: String, target: String) throws(StoreError)
  func readSymbolicLink(_ path: String) throws(StoreError) -> String
  /// True where the path lies on a network file system, and caches must be bypassed.
  func isNetwork(_ path: String) throws(StoreError) -> Bool
  /// statvfs(3): the room on the file system that a directory is on; nil where it cannot be told.
  func room(in directory: String) -> DiskRoom?
  /// An unlinked temporary file on the local disk.
  func scratchFile() throws(StoreError) -> any File
  /// The size of the disk that these are on, whoever uses it; nil where it cannot be told.
  var scratchDiskBytes: Int64? { get }
  /// How many files this process may have open.
  var openFileLimit: Int { get }
}

extension FileSystem {
  /// All names in a directory, as `list(_:where:)`.
  package func list(_ directory: String) throws(StoreError) -> [String] {
    try list(directory) { _ in true }
  }
}

/// How a file is used, which decides how it must be opened.
package enum FileAccess: Sendable {
  /// Read while another process may be writing: past every cache (O_DIRECT) on NFS, where a plain
  /// descriptor is stale for up to 23 s. Never follows a link, never blocks.
  case shared
  /// Read, and never changing any more: through the page cache.
  case fixed
  /// Written by this process (its own file, or the mark of somebody else's) and read back.
  case write
}

/// An open file; closed when the last reference goes.
package protocol File: AnyObject, Sendable {
  var path: String { get }
  /// pread(2) until `buffer` is full or the file ends; returns the bytes read.
  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(StoreError) -> Int
  /// As two calls of `read`, the second made first or beside the other: for a file that is opened `.shared`
  /// on NFS one round trip. Throws what either does.
  func read(
    into first: UnsafeMutableRawBufferPointer, at offset: Int64,
    and second: UnsafeMutableRawBufferPointer, at secondOffset: Int64
  ) throws(StoreError) -> (Int, Int)
  /// pwrite(2) of all of `bytes`.
  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(StoreError)
  /// sync_file_range(2): the system begins to write back what was written there, and `sync` has less to wait for.
  /// Promises nothing, and says nothing of failures.
  func beginWriteback(_ count: Int, at offset: Int64)
  /// fdatasync(2): what was written is durable when this returns.
  func sync() throws(StoreError)
  /// ftruncate(2) to `size` bytes, sparse where it grows.
  func resize(to size: Int64) throws(StoreError)
  func status() throws(StoreError) -> FileStatus
  /// As `status`, asked of the file server, whatever this machine knows: one round trip. While a process here has
  /// the file open for writing, opening it again does not ask.
  func freshStatus() throws(StoreError) -> FileStatus
  /// lseek(2) with SEEK_DATA: the first offset from `offset` on at which anything may be written; all
  /// before it reads as zeros. nil where nothing is behind `offset`. `offset` itself where the file
  /// system cannot tell, as on NFSv4.1.
  func nextData(from offset: Int64) throws(StoreError) -> Int64?
}

package struct FileStatus: Sendable {
  package enum Kind: Sendable { case regular, directory, symbolicLink, other }
  package var kind: Kind
  package var size: Int64
  /// Milliseconds since 1970, the file server's clock.
  package var modified_ms: Int64
  package var owner: UInt32
  package var group: UInt32
  package var links: UInt32
  package var permissions: UInt32
  package var inode: UInt64

  package init(
    kind: Kind, size: Int64, modified_ms: Int64, owner: UInt32, links: UInt32,
    permissions: UInt32, inode: UInt64, group: UInt32 = 0
  ) {
    self.group = group
    self.kind = kind
    self.size = size
    self.modified_ms = modified_ms
    self.owner = owner
    self.links = links
    self.permissions = permissions
    self.inode = inode
  }
}

extension File {
  /// Reads up to `count` bytes at `offset`; fewer only at the end of the file.
  package func read(_ count: Int, at offset: Int64) throws(StoreError) -> [UInt8] {
    var failure: StoreError?
    let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
      do throws(StoreError) {
        filled = try read(into: UnsafeMutableRawBufferPointer(buffer), at: offset)
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    return bytes
  }

  /// Two reads that take one round trip where that can be.
  package func read(
    _ count: Int, at offset: Int64, and secondCount: Int, at secondOffset: Int64
  ) throws(StoreError) -> ([UInt8], [UInt8]) {
    var second: [UInt8] = []
    var failure: StoreError?
    let first = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
      second = [UInt8](unsafeUninitializedCapacity: secondCount) { secondBuffer, secondFilled in
        do throws(StoreError) {
          (filled, secondFilled) = try read(
            into: UnsafeMutableRawBufferPointer(buffer), at: offset,
            and: UnsafeMutableRawBufferPointer(secondBuffer), at: secondOffset)
        } catch {
          failure = error
        }
      }
    }
    if let failure { throw failure }
    return (first, second)
  }

  package func write(_ bytes: [UInt8], at offset: Int64) throws(StoreError) {
    var failure: StoreError?
    bytes.withUnsafeBytes { raw in
      do throws(StoreError) { try write(raw, at: offset) } catch { failure = error }
    }
    if let failure { throw failure }
  }
}
