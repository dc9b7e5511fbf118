import SluiceShared
import Synchronization

/// The real files, and a record of how much each sync in journal and log had to write.
struct RecordingFileSystem: FileSystem {
  let base = PosixFileSystem()
  let record = Record()
  /// Nothing is written to files made here, nor read of them: what is left is what a processor does.
  var hasNoDisk = false

  final class Record: Sendable {
    private let sizes = Mutex<[Int]>([])
    func note(_ count: Int) { sizes.withLock { $0.append(count) } }

    /// The sizes noted since this was last called.
    func take() -> [Int] {
      sizes.withLock { sizes in
        defer { sizes = [] }
        return sizes
      }
    }
  }

  func create(_ path: String, mode: UInt32) throws(StoreError) -> any File {
    RecordingFile(try base.create(path, mode: mode), record, hasNoDisk)
  }
  func createUncached(_ path: String, mode: UInt32) throws(StoreError) -> any File {
    RecordingFile(try base.createUncached(path, mode: mode), record, hasNoDisk)
  }

  func open(_ path: String, _ access: FileAccess) throws(StoreError) -> any File {
    let file = try base.open(path, access)
    return access == .write ? RecordingFile(file, record, false) : file
  }
  func list(_ directory: String, where isWanted: (String) -> Bool)
    throws(StoreError) -> [String]
  { try base.list(directory, where: isWanted) }
  func link(_ path: String, to newPath: String) throws(StoreError) {
    try base.link(path, to: newPath)
  }
  func unlink(_ path: String) throws(StoreError) { try base.unlink(path) }
  func makeDirectory(_ path: String, mode: UInt32) throws(StoreError) {
    try base.makeDirectory(path, mode: mode)
  }
  func giveToOwner(_ directory: String) throws(StoreError) { try base.giveToOwner(directory) }
  func proveWritable(_ path: String) throws(StoreError) { try base.proveWritable(path) }
  func setPermissions(_ path: String, mode: UInt32) throws(StoreError) {
    try base.setPermissions(path, mode: mode)
  }
  func syncDirectory(_ path: String) throws(StoreError) { try base.syncDirectory(path) }
  func status(_ path: String) throws(StoreError) -> FileStatus { try base.status(path) }
  func replaceSymbolicLink(_ path: String, target: String) throws(StoreError) {
    try base.replaceSymbolicLink(path, target: target)
  }
  func readSymbolicLink(_ path: String) throws(StoreError) -> String {
    try base.readSymbolicLink(path)
  }
  func isNetwork(_ path: String) throws(StoreError) -> Bool { try base.isNetwork(path) }
  func scratchFile() throws(StoreError) -> any File { try base.scratchFile() }
  func room(in directory: String) -> DiskRoom? { base.room(in: directory) }
  var scratchDiskBytes: Int64? { base.scratchDiskBytes }
  var openFileLimit: Int { base.openFileLimit }
}

private final class RecordingFile: File {
  private let base: any File
  private let record: RecordingFileSystem.Record
  private let hasNoDisk: Bool
  private let unsynced = Mutex(0)

  init(_ base: any File, _ record: RecordingFileSystem.Record, _ hasNoDisk: Bool) {
    self.base = base
    self.record = record
    self.hasNoDisk = hasNoDisk
  }

  var path: String { base.path }
  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(StoreError) -> Int
  {
    guard hasNoDisk else { return try base.read(into: buffer, at: offset) }
    buffer.initializeMemory(as: UInt8.self, repeating: 0)
    return buffer.count
  }
  func read(
    into first: UnsafeMutableRawBufferPointer, at offset: Int64,
    and second: UnsafeMutableRawBufferPointer, at secondOffset: Int64
  ) throws(StoreError) -> (Int, Int) {
    try base.read(into: first, at: offset, and: second, at: secondOffset)
  }
  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(StoreError) {
    unsynced.withLock { $0 += bytes.count }
    if !hasNoDisk { try base.write(bytes, at: offset) }
  }
  func beginWriteback(_ count: Int, at offset: Int64) { base.beginWriteback(count, at: offset) }
  func sync() throws(StoreError) {
    let count = unsynced.withLock { count in
      defer { count = 0 }
      return count
    }
    if base.path.contains("/log/") || base.path.contains("/journal/") { record.note(count) }
    if !hasNoDisk { try base.sync() }
  }
  func resize(to size: Int64) throws(StoreError) { try base.resize(to: size) }
  func status() throws(StoreError) -> FileStatus { try base.status() }
  func freshStatus() throws(StoreError) -> FileStatus { try base.freshStatus() }
  func nextData(from offset: Int64) throws(StoreError) -> Int64? {
    try base.nextData(from: offset)
  }
}
