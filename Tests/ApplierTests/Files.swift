import Glibc
import SluiceJournal
import SluiceShared
import Synchronization

func makeFIFO(_ path: String) { mkfifo(path, 0o600) }

/// Fails every write after so many, as a device that is gone.
final class FailingFileSystem: ForwardingFileSystem, @unchecked Sendable {
  // Sendable: set before the file system is used.
  var failWritesAfter = Int.max
  private let writes = Atomic<Int>(0)

  override func willWrite(_ path: String, at offset: Int64) throws(StoreError) {
    guard path.contains("/log/") else { return }
    if writes.wrappingAdd(1, ordering: .relaxed).newValue > failWritesAfter {
      throw StoreError(.io, "the device is gone", path: path, errno: EIO)
    }
  }
}

/// Fails every read of the log, when told to.
final class UnreadableFileSystem: ForwardingFileSystem, @unchecked Sendable {
  // Sendable: atomic.
  let isUnreadable = Atomic<Bool>(false)

  override func willRead(_ path: String) throws(StoreError) {
    guard path.contains("/log/"), isUnreadable.load(ordering: .relaxed) else { return }
    throw StoreError(.io, "read failed: Input/output error", path: path, errno: EIO)
  }
}

/// Fails one write, when told to, as an NFS client that lost what this process had open.
final class ForgetfulFileSystem: ForwardingFileSystem, @unchecked Sendable {
  // Sendable: atomic.
  let forgets = Atomic<Bool>(false)

  override func willWrite(_ path: String, at offset: Int64) throws(StoreError) {
    if path.contains("/log/"), forgets.exchange(false, ordering: .relaxed) {
      throw StoreError(.io, "write failed: Bad file descriptor", path: path, errno: EBADF)
    }
  }
}

/// Has room for the beginnings of log segments, and for no commit.
final class FullFileSystem: ForwardingFileSystem, @unchecked Sendable {
  // Sendable: atomic.
  let isFull = Atomic<Bool>(true)

  override func willWrite(_ path: String, at offset: Int64) throws(StoreError) {
    guard path.contains("/log/"), offset > Block.firstLogFrame, isFull.load(ordering: .relaxed)
    else { return }
    throw StoreError(.io, "write failed: No space left on device", path: path, errno: ENOSPC)
  }
}

/// A scratch disk of so many bytes.
final class SmallScratchFileSystem: ForwardingFileSystem, @unchecked Sendable {
  // Sendable: what it has is constant.
  private let bytes: Int64

  init(_ base: any FileSystem, bytes: Int64) {
    self.bytes = bytes
    super.init(base)
  }

  override func scratchFile() throws(StoreError) -> any File {
    ForwardingFile(try base.scratchFile(), self)
  }

  override func willWrite(_ path: String, at offset: Int64) throws(StoreError) {
    guard !path.contains("/log/"), !path.contains("/checkpoints/"), offset >= bytes else { return }
    throw StoreError(.io, "write failed: No space left on device", path: path, errno: ENOSPC)
  }
}

/// Links into a directory and answers that the name is there, the first time; notes what names of
/// journal segments change.
final class TwiceLinkingFileSystem: ForwardingFileSystem, @unchecked Sendable {
  // Sendable: what it has is constant, but for a monitor; or set before it is used.
  let changes = Monitor<[String]>([])
  /// The process ends before the first removal of a temporary name there.
  var diesThere = false
  /// Another removes it.
  var losesIt = false
  private let directory: String

  init(_ base: any FileSystem, in directory: String) {
    self.directory = directory
    super.init(base)
  }

  override func link(_ path: String, to newPath: String) throws(StoreError) {
    try super.link(path, to: newPath)
    guard newPath.hasPrefix(directory) else { return }
    let isFirst = changes.withLock { changes in
      changes.append("link \(newPath)")
      return changes.count == 1
    }
    guard isFirst else { return }
    throw StoreError(.io, "link failed: File exists", path: newPath, errno: EEXIST)
  }

  override func create(_ path: String, mode: UInt32) throws(StoreError) -> any File {
    let file = try super.create(path, mode: mode)
    if path.hasPrefix(directory) {
      changes.withLock { $0.append("create \(path)") }
      if losesIt { try base.unlink(path) }
    }
    return file
  }

  override func unlink(_ path: String) throws(StoreError) {
    if diesThere, path.hasPrefix(directory) { throw StoreError(.io, "died", path: path) }
    if path.contains(".seg") { changes.withLock { $0.append("unlink \(path)") } }
    try super.unlink(path)
  }
}

/// Fails every write to the journal, when told to.
final class UnwritableJournalFileSystem: ForwardingFileSystem, @unchecked Sendable {
  // Sendable: used by one thread.
  var isUnwritable = false

  override func willWrite(_ path: String, at offset: Int64) throws(StoreError) {
    guard isUnwritable, path.hasSuffix(".seg") else { return }
    throw StoreError(.io, "write failed: Input/output error", path: path, errno: EIO)
  }
}

/// Leaves names out of the first listing that would show them.
final class OverlookingFileSystem: ForwardingFileSystem, @unchecked Sendable {
  // Sendable: used by one thread.
  var overlooks: ((String) -> Bool)?

  override func list(_ directory: String) throws(StoreError) -> [String] {
    let names = try super.list(directory)
    guard let overlooks, names.contains(where: overlooks) else { return names }
    self.overlooks = nil
    return names.filter { !overlooks($0) }
  }
}

/// Lets one file not be opened.
final class LockedFileSystem: ForwardingFileSystem, @unchecked Sendable {
  // Sendable: set before the file system is used.
  var locked = ""
  var isReadable = false
  let refusals = Monitor(0)

  override func open(_ path: String, _ access: FileAccess) throws(StoreError) -> any File {
    guard path == locked, !isReadable || access == .write else {
      return try super.open(path, access)
    }
    refusals.withLock { $0 += 1 }
    if (try? status(path)) == nil { throw StoreError(.noSuchStore, "gone", path: path, errno: 2) }
    throw StoreError(.io, "open failed: Permission denied", path: path, errno: EACCES)
  }
}

/// Calls back before some operations.
final class HookedFileSystem: ForwardingFileSystem, @unchecked Sendable {
  // Sendable: set before the file system is used.
  var beforeOpenForWriting: (String) -> Void = { _ in }
  var beforeWriting: (String) -> Void = { _ in }

  override func willOpen(_ path: String, _ access: FileAccess) {
    if access == .write { beforeOpenForWriting(path) }
  }
  override func willWrite(_ path: String, at offset: Int64) { beforeWriting(path) }
}

/// When told to, fails one listing; or makes one file and answers that it is there already, as where the
/// request was sent twice.
final class StumblingFileSystem: ForwardingFileSystem, @unchecked Sendable {
  // Sendable: used by one thread.
  enum Place { case list, create }
  var stumblesAt: Place?

  override func list(_ directory: String) throws(StoreError) -> [String] {
    guard stumblesAt == .list else { return try super.list(directory) }
    stumblesAt = nil
    throw StoreError(.io, "list failed: Input/output error", path: directory, errno: EIO)
  }

  override func create(_ path: String, mode: UInt32) throws(StoreError) -> any File {
    let file = try super.create(path, mode: mode)
    guard stumblesAt == .create else { return file }
    stumblesAt = nil
    throw StoreError(.io, "create failed: File exists", path: path, errno: EEXIST)
  }
}

/// Shows some names in its first listing of them only.
final class OnceShowingFileSystem: ForwardingFileSystem, @unchecked Sendable {
  // Sendable: used by one thread.
  var isHidden: ((String) -> Bool)?
  private(set) var listings = 0

  override func list(_ directory: String) throws(StoreError) -> [String] {
    let names = try super.list(directory)
    guard let isHidden, names.contains(where: isHidden) else { return names }
    listings += 1
    return listings == 1 ? names : names.filter { !isHidden($0) }
  }
}

/// Lets something happen before the journal is read for the first time.
final class ReadHookFileSystem: ForwardingFileSystem, @unchecked Sendable {
  // Sendable: used by one thread.
  var beforeFirstRead: (() -> Void)?

  override func willRead(_ path: String) {
    guard path.hasSuffix(".seg"), let action = beforeFirstRead else { return }
    beforeFirstRead = nil
    action()
  }
}

/// What can be asked of a file that is somebody else's.
enum FileCall: CaseIterable {
  case open, status, read, nextData, openForWriting, write, sync, link, unlink
}

/// Fails one kind of call on each of some files, always and with one error.
final class SpitefulFileSystem: ForwardingFileSystem, @unchecked Sendable {
  // Sendable: the plan is set before it is used, what was met is under a lock.
  var plan: [String: (call: FileCall, errno: Int32)] = [:]
  let met = Monitor(Set<String>())

  override func willDo(_ call: FileCall, _ path: String) throws(StoreError) {
    guard let planned = plan[path], planned.call == call else { return }
    met.withLock { _ = $0.insert(path) }
    throw StoreError(
      planned.errno == ENOENT ? .noSuchStore : .io, "\(call) failed", path: path,
      errno: planned.errno)
  }
}

/// Counts the bytes that are read of the journal.
final class MeteringFileSystem: ForwardingFileSystem, @unchecked Sendable {
  // Sendable: the count is under a lock.
  let bytes = Monitor(0)
  override func didRead(_ path: String, _ count: Int) {
    if path.hasSuffix(".seg") { bytes.withLock { $0 += count } }
  }
}

/// Lets only so many journal segments be open.
final class NarrowFileSystem: ForwardingFileSystem, @unchecked Sendable {
  // Sendable: the counts are under a lock.
  let state = Monitor((open: 0, most: 0, refused: 0))
  private let limit: Int

  init(_ base: any FileSystem, limit: Int) {
    self.limit = limit
    super.init(base)
  }

  private func enter(_ path: String, stays: Bool) throws(StoreError) {
    let isRefused = state.withLock { state in
      guard state.open < limit else {
        state.refused += 1
        return true
      }
      if stays { state.open += 1 }
      state.most = max(state.most, state.open)
      return false
    }
    if isRefused {
      throw StoreError(.io, "open failed: Too many open files", path: path, errno: EMFILE)
    }
  }

  override func open(_ path: String, _ access: FileAccess) throws(StoreError) -> any File {
    guard path.hasSuffix(".seg") else { return try super.open(path, access) }
    try enter(path, stays: true)
    do throws(StoreError) { return try super.open(path, access) } catch {
      didClose(path)
      throw error
    }
  }

  override func list(_ directory: String) throws(StoreError) -> [String] {
    if directory.hasSuffix("/journal") { try enter(directory, stays: false) }
    return try super.list(directory)
  }

  override func didClose(_ path: String) {
    if path.hasSuffix(".seg") { state.withLock { $0.open -= 1 } }
  }
}

/// Cannot tell what was never written of a file, as NFSv4.1.
final class BlindFileSystem: ForwardingFileSystem, @unchecked Sendable {
  // Sendable: it has nothing.
  override var isBlind: Bool { true }
}

/// Says of some files that they are another user's.
final class OwningFileSystem: ForwardingFileSystem, @unchecked Sendable {
  // Sendable: the owners are under a lock.
  let owners = Monitor([String: UInt32]())

  override func told(_ status: FileStatus, of path: String) -> FileStatus {
    var status = status
    if let owner = owners.withLock({ $0[path] }) { status.owner = owner }
    return status
  }
}

/// Passes everything on to another file system.
class ForwardingFileSystem: FileSystem, @unchecked Sendable {
  // Sendable: subclasses say why.
  let base: any FileSystem

  init(_ base: any FileSystem) { self.base = base }

  func willWrite(_ path: String, at offset: Int64) throws(StoreError) {}
  func willSync(_ path: String) {}
  func willResize(_ path: String) {}
  func willRead(_ path: String) throws(StoreError) {}
  func didRead(_ path: String, _ count: Int) {}
  func willDo(_ call: FileCall, _ path: String) throws(StoreError) {}
  func didClose(_ path: String) {}
  var isBlind: Bool { false }
  func willOpen(_ path: String, _ access: FileAccess) {}
  /// What is told of a file.
  func told(_ status: FileStatus, of path: String) -> FileStatus { status }

  func open(_ path: String, _ access: FileAccess) throws(StoreError) -> any File {
    willOpen(path, access)
    try willDo(access == .write ? .openForWriting : .open, path)
    return ForwardingFile(try base.open(path, access), self)
  }
  func create(_ path: String, mode: UInt32) throws(StoreError) -> any File {
    ForwardingFile(try base.create(path, mode: mode), self)
  }
  func list(_ directory: String) throws(StoreError) -> [String] { try base.list(directory) }
  func link(_ path: String, to newPath: String) throws(StoreError) {
    try willDo(.link, path)
    try base.link(path, to: newPath)
  }
  func unlink(_ path: String) throws(StoreError) {
    try willDo(.unlink, path)
    try base.unlink(path)
  }
  func makeDirectory(_ path: String, mode: UInt32) throws(StoreError) {
    try base.makeDirectory(path, mode: mode)
  }
  func setPermissions(_ path: String, mode: UInt32) throws(StoreError) {
    try base.setPermissions(path, mode: mode)
  }
  func syncDirectory(_ path: String) throws(StoreError) { try base.syncDirectory(path) }
  func status(_ path: String) throws(StoreError) -> FileStatus {
    told(try base.status(path), of: path)
  }
  func replaceSymbolicLink(_ path: String, target: String) throws(StoreError) {
    try base.replaceSymbolicLink(path, target: target)
  }
  func readSymbolicLink(_ path: String) throws(StoreError) -> String {
    try base.readSymbolicLink(path)
  }
  func isNetwork(_ path: String) throws(StoreError) -> Bool { try base.isNetwork(path) }
  func scratchFile() throws(StoreError) -> any File { try base.scratchFile() }
  var openFileLimit: Int { base.openFileLimit }
}

private final class ForwardingFile: File, @unchecked Sendable {
  // Sendable: both are constant.
  let base: any File
  let owner: ForwardingFileSystem

  init(_ base: any File, _ owner: ForwardingFileSystem) {
    self.base = base
    self.owner = owner
  }

  var path: String { base.path }
  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(StoreError) -> Int
  {
    try owner.willRead(path)
    try owner.willDo(.read, path)
    let count = try base.read(into: buffer, at: offset)
    owner.didRead(path, count)
    return count
  }
  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(StoreError) {
    try owner.willWrite(path, at: offset)
    try owner.willDo(.write, path)
    try base.write(bytes, at: offset)
  }
  func sync() throws(StoreError) {
    owner.willSync(path)
    try owner.willDo(.sync, path)
    try base.sync()
  }
  func resize(to size: Int64) throws(StoreError) {
    owner.willResize(path)
    try base.resize(to: size)
  }
  func status() throws(StoreError) -> FileStatus {
    try owner.willDo(.status, path)
    return owner.told(try base.status(), of: path)
  }
  deinit { owner.didClose(path) }
  func nextData(from offset: Int64) throws(StoreError) -> Int64? {
    try owner.willDo(.nextData, path)
    return owner.isBlind ? offset : try base.nextData(from: offset)
  }
}

/// Dates files by a clock of its own, as a file server does.
final class DatingFileSystem: ForwardingFileSystem, @unchecked Sendable {
  // Sendable: the dates are under a lock; `creator` is set before it is used.
  /// Of who makes a file: with NFS's exclusive create it may be the client that dates it first.
  var creator: (any Clock)?
  private let clock: any Clock
  private let dates = Monitor([String: Int64]())

  init(_ base: any FileSystem, _ clock: any Clock) {
    self.clock = clock
    super.init(base)
  }

  /// Gives a file another date.
  func date(_ path: String, _ time_ms: Int64) { dates.withLock { $0[path] = time_ms } }

  override func create(_ path: String, mode: UInt32) throws(StoreError) -> any File {
    let file = try super.create(path, mode: mode)
    date(path, (creator ?? clock).wallTime_ms())
    return file
  }

  override func willWrite(_ path: String, at offset: Int64) { date(path, clock.wallTime_ms()) }
  override func willResize(_ path: String) { date(path, clock.wallTime_ms()) }

  override func told(_ status: FileStatus, of path: String) -> FileStatus {
    var status = status
    if let date = dates.withLock({ $0[path] }) { status.modified_ms = date }
    return status
  }
}

/// Counts what is asked of a store's files.
final class CountedFileSystem: ForwardingFileSystem, @unchecked Sendable {
  // Sendable: the counts are under a mutex.
  struct Counts {
    var logWrites = 0
    var logSyncs = 0
    var logReads = 0
    var journalReads = 0
    var listings = 0
    var others = 0

    static func - (a: Counts, b: Counts) -> Counts {
      Counts(
        logWrites: a.logWrites - b.logWrites, logSyncs: a.logSyncs - b.logSyncs,
        logReads: a.logReads - b.logReads, journalReads: a.journalReads - b.journalReads,
        listings: a.listings - b.listings, others: a.others - b.others)
    }
  }

  private let state = Monitor(Counts())
  var counts: Counts { state.withLock { $0 } }

  override func willWrite(_ path: String, at offset: Int64) {
    state.withLock { if path.contains("/log/") { $0.logWrites += 1 } else { $0.others += 1 } }
  }
  override func willSync(_ path: String) {
    state.withLock { if path.contains("/log/") { $0.logSyncs += 1 } else { $0.others += 1 } }
  }
  override func willRead(_ path: String) {
    state.withLock { if path.contains("/log/") { $0.logReads += 1 } else { $0.journalReads += 1 } }
  }
  override func willOpen(_ path: String, _ access: FileAccess) { state.withLock { $0.others += 1 } }
  override func list(_ directory: String) throws(StoreError) -> [String] {
    state.withLock { $0.listings += 1 }
    return try super.list(directory)
  }
}

/// Lets something happen before a directory is listed.
final class ListingFileSystem: ForwardingFileSystem, @unchecked Sendable {
  // Sendable: what it has is constant.
  private let willList: @Sendable (String) -> Void

  init(_ base: any FileSystem, _ willList: @escaping @Sendable (String) -> Void) {
    self.willList = willList
    super.init(base)
  }

  override func list(_ directory: String) throws(StoreError) -> [String] {
    willList(directory)
    return try super.list(directory)
  }
}
