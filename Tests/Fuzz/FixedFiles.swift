import SluiceShared

/// An open file that holds what the fuzzer made.
final class FixedFile: File {
  let path: String
  private let content: [UInt8]

  init(_ content: [UInt8], path: String) {
    self.content = content
    self.path = path
  }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(StoreError) -> Int
  {
    // As pread(2): EINVAL.
    guard offset >= 0 else { throw StoreError(.io, "negative offset", path: path, errno: 22) }
    guard offset < Int64(content.count) else { return 0 }
    let count = min(buffer.count, content.count - Int(offset))
    content.withUnsafeBytes {
      buffer.copyMemory(
        from: UnsafeRawBufferPointer(rebasing: $0[Int(offset)..<Int(offset) + count]))
    }
    return count
  }

  func read(
    into first: UnsafeMutableRawBufferPointer, at offset: Int64,
    and second: UnsafeMutableRawBufferPointer, at secondOffset: Int64
  ) throws(StoreError) -> (Int, Int) {
    (try read(into: first, at: offset), try read(into: second, at: secondOffset))
  }

  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(StoreError) {}
  func beginWriteback(_ count: Int, at offset: Int64) {}
  func sync() throws(StoreError) {}
  func nextData(from offset: Int64) throws(StoreError) -> Int64? { offset }
  func resize(to size: Int64) throws(StoreError) {}
  func status() throws(StoreError) -> FileStatus { FixedFiles.status(.regular, content.count) }
  func freshStatus() throws(StoreError) -> FileStatus { try status() }
}

/// A few files that never change: just what a decoder that opens its own file needs.
final class FixedFiles: FileSystem {
  let files: [String: [UInt8]]

  init(_ files: [String: [UInt8]]) { self.files = files }

  static func status(_ kind: FileStatus.Kind, _ count: Int) -> FileStatus {
    FileStatus(
      kind: kind, size: Int64(count), modified_ms: 0, owner: 0, links: 1, permissions: 0o600,
      inode: 1)
  }

  func open(_ path: String, _ access: FileAccess) throws(StoreError) -> any File {
    guard let content = files[path] else { throw StoreError(.io, "gone", path: path, errno: 2) }
    return FixedFile(content, path: path)
  }

  func list(_ directory: String, where isWanted: (String) -> Bool)
    throws(StoreError) -> [String]
  {
    files.keys.compactMap { path in
      guard path.hasPrefix(directory + "/") else { return nil }
      let name = path.dropFirst(directory.count + 1)
      return name.contains("/") || !isWanted(String(name)) ? nil : String(name)
    }
  }

  func status(_ path: String) throws(StoreError) -> FileStatus {
    try open(path, .fixed).status()
  }

  func isNetwork(_ path: String) throws(StoreError) -> Bool { false }

  func create(_ path: String, mode: UInt32) throws(StoreError) -> any File { throw refusal(path) }
  func createUncached(_ path: String, mode: UInt32) throws(StoreError) -> any File {
    throw refusal(path)
  }
  func link(_ path: String, to newPath: String) throws(StoreError) { throw refusal(path) }
  func unlink(_ path: String) throws(StoreError) { throw refusal(path) }
  func makeDirectory(_ path: String, mode: UInt32) throws(StoreError) { throw refusal(path) }
  func giveToOwner(_ directory: String) throws(StoreError) { throw refusal(directory) }
  func proveWritable(_ path: String) throws(StoreError) { throw refusal(path) }
  func setPermissions(_ path: String, mode: UInt32) throws(StoreError) { throw refusal(path) }
  func syncDirectory(_ path: String) throws(StoreError) {}
  func replaceSymbolicLink(_ path: String, target: String) throws(StoreError) {
    throw refusal(path)
  }
  func readSymbolicLink(_ path: String) throws(StoreError) -> String { throw refusal(path) }
  func scratchFile() throws(StoreError) -> any File { throw refusal("scratch") }
  func room(in directory: String) -> DiskRoom? { nil }
  var scratchDiskBytes: Int64? { nil }

  var openFileLimit: Int { 1024 }

  private func refusal(_ path: String) -> StoreError {
    StoreError(.io, "nothing is changed here", path: path, errno: 30)
  }
}

/// A clock on which every wait is over at once, so that patience costs the fuzzer nothing.
final class EagerClock: Clock {
  private let time = Monitor<UInt64>(1_000_000_000)

  func wallTime_ms() -> Int64 { 1_700_000_000_000 + Int64(bootTime_ns() / 1_000_000) }
  func bootTime_ns() -> UInt64 { time.withLock { $0 } }
  func sleep(_ duration: Duration) {
    time.withLock { $0 += UInt64(max(0, duration.inSeconds) * 1e9) }
  }
}

func fixedEnvironment(_ files: [String: [UInt8]]) -> Environment {
  Environment(
    fileSystem: FixedFiles(files), clock: EagerClock(), executor: InlineExecutor(), random: { 7 })
}
