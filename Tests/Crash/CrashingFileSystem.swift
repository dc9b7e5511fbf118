import Glibc
import SluiceJournal
import SluiceShared

/// Real files with a named point before and after each operation that changes something, and in the
/// middle of those that have one.
final class CrashingFileSystem: FileSystem {
  fileprivate let script: CrashScript
  fileprivate let sabotage: Sabotage?
  private let base = PosixFileSystem()

  init(_ script: CrashScript, _ sabotage: Sabotage?) {
    self.script = script
    self.sabotage = sabotage
  }

  private func perform<R>(
    _ action: CrashPoint.Action, _ path: String, _ place: String? = nil,
    _ body: () throws(StoreError) -> R
  ) throws(StoreError) -> R {
    let kind = place ?? StorePlace.kind(of: path)
    script.reach(.before, action, kind)
    let result = try body()
    script.reach(.after, action, kind)
    return result
  }

  func open(_ path: String, _ access: FileAccess) throws(StoreError) -> any File {
    CrashingFile(try base.open(path, access), self)
  }

  func create(_ path: String, mode: UInt32) throws(StoreError) -> any File {
    try perform(.create, path) { () throws(StoreError) in
      CrashingFile(try base.create(path, mode: mode), self)
    }
  }

  func createUncached(_ path: String, mode: UInt32) throws(StoreError) -> any File {
    try perform(.create, path) { () throws(StoreError) in
      CrashingFile(try base.createUncached(path, mode: mode), self)
    }
  }

  func link(_ path: String, to newPath: String) throws(StoreError) {
    try perform(.link, newPath) { () throws(StoreError) in try base.link(path, to: newPath) }
  }

  func unlink(_ path: String) throws(StoreError) {
    // The end of a move to quarantine is another step than the removal of what is published.
    let isQuarantine = StorePlace.kind(of: path) == "journal" && (try? base.status(path).links) == 2
    try perform(.unlink, path, isQuarantine ? "journal-quarantine" : nil) { () throws(StoreError) in
      try base.unlink(path)
    }
  }

  func makeDirectory(_ path: String, mode: UInt32) throws(StoreError) {
    try perform(.makeDirectory, path) { () throws(StoreError) in
      try base.makeDirectory(path, mode: mode)
    }
  }

  func giveToOwner(_ directory: String) throws(StoreError) { try base.giveToOwner(directory) }

  func proveWritable(_ path: String) throws(StoreError) { try base.proveWritable(path) }

  func setPermissions(_ path: String, mode: UInt32) throws(StoreError) {
    try perform(.setPermissions, path) { () throws(StoreError) in
      try base.setPermissions(path, mode: mode)
    }
  }

  func syncDirectory(_ path: String) throws(StoreError) {
    try perform(.syncDirectory, path) { () throws(StoreError) in
      if sabotage != .noDirectorySync { try base.syncDirectory(path) }
    }
  }

  func replaceSymbolicLink(_ path: String, target: String) throws(StoreError) {
    try perform(.replaceSymbolicLink, path) { () throws(StoreError) in
      if script.isDue(CrashPoint(.mid, .replaceSymbolicLink, StorePlace.kind(of: path))) {
        // The new link made, and not yet in its place.
        _ = symlink(target, "\(path).\(hexadecimal(UInt64(getpid()), width: 16)).tmp")
        script.meetFate()
      }
      try base.replaceSymbolicLink(path, target: target)
    }
  }

  func list(_ directory: String, where isWanted: (String) -> Bool)
    throws(StoreError) -> [String]
  { try base.list(directory, where: isWanted) }
  func status(_ path: String) throws(StoreError) -> FileStatus { try base.status(path) }
  func readSymbolicLink(_ path: String) throws(StoreError) -> String {
    try base.readSymbolicLink(path)
  }
  func isNetwork(_ path: String) throws(StoreError) -> Bool { try base.isNetwork(path) }
  func scratchFile() throws(StoreError) -> any File { try base.scratchFile() }
  func room(in directory: String) -> DiskRoom? { base.room(in: directory) }
  var scratchDiskBytes: Int64? { base.scratchDiskBytes }
  var openFileLimit: Int { base.openFileLimit }
}

private final class CrashingFile: File {
  private let base: any File
  private let owner: CrashingFileSystem
  private let kind: String
  /// What was written last is what a sync is for.
  private let lastWritten: Monitor<String>

  init(_ base: any File, _ owner: CrashingFileSystem) {
    self.base = base
    self.owner = owner
    kind = StorePlace.kind(of: base.path)
    lastWritten = Monitor(kind)
  }

  var path: String { base.path }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(StoreError) -> Int
  {
    // `Mark.isClosed` reads one block; whoever reads a segment of others reads more, or its header.
    guard offset == Block.mark, buffer.count == Block.size, kind == "journal" || kind == "log"
    else { return try base.read(into: buffer, at: offset) }
    owner.script.reach(.before, .readMark, kind)
    let count = try base.read(into: buffer, at: offset)
    if owner.sabotage == .noMarkCheck { buffer.initializeMemory(as: UInt8.self, repeating: 0) }
    owner.script.reach(.after, .readMark, kind)
    return owner.sabotage == .noMarkCheck ? buffer.count : count
  }

  func read(
    into first: UnsafeMutableRawBufferPointer, at offset: Int64,
    and second: UnsafeMutableRawBufferPointer, at secondOffset: Int64
  ) throws(StoreError) -> (Int, Int) {
    (try read(into: first, at: offset), try read(into: second, at: secondOffset))
  }

  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(StoreError) {
    let place = StorePlace.part(of: kind, at: offset).map { "\(kind)-\($0)" } ?? kind
    let script = owner.script
    script.reach(.before, .write, place)
    if let plan = script.plan, script.isDue(CrashPoint(.mid, .write, place)) {
      let landed = plan.landedBytes(of: bytes.count)
      try base.write(UnsafeRawBufferPointer(rebasing: bytes[..<landed]), at: offset)
      script.meetFate()
      try base.write(
        UnsafeRawBufferPointer(rebasing: bytes[landed...]), at: offset + Int64(landed))
    } else {
      try base.write(bytes, at: offset)
    }
    lastWritten.withLock { $0 = place }
    script.reach(.after, .write, place)
  }

  func beginWriteback(_ count: Int, at offset: Int64) { base.beginWriteback(count, at: offset) }

  func sync() throws(StoreError) {
    let place = lastWritten.withLock { $0 }
    owner.script.reach(.before, .sync, place)
    if owner.sabotage?.leavesOutSync(of: kind) != true { try base.sync() }
    owner.script.reach(.after, .sync, place)
  }

  func resize(to size: Int64) throws(StoreError) {
    owner.script.reach(.before, .resize, kind)
    try base.resize(to: size)
    owner.script.reach(.after, .resize, kind)
  }

  func status() throws(StoreError) -> FileStatus { try base.status() }
  func freshStatus() throws(StoreError) -> FileStatus { try base.freshStatus() }
  func nextData(from offset: Int64) throws(StoreError) -> Int64? {
    try base.nextData(from: offset)
  }
}
