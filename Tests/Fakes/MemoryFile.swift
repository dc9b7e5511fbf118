internal import SluiceShared

/// An open file of a `MemoryFileSystem`.
final class MemoryFile: File {
  let path: String
  private let fileSystem: MemoryFileSystem
  private let inode: UInt64
  /// Of the handle.
  private let number: UInt64
  private let access: FileAccess
  /// What is written goes to the server at once.
  private let isUncached: Bool

  private var disk: MemoryDisk { fileSystem.disk }
  private var cache: HostCache? { fileSystem.cache }

  init(
    _ fileSystem: MemoryFileSystem, inode: UInt64, number: UInt64, path: String,
    access: FileAccess, isUncached: Bool = false
  ) {
    self.fileSystem = fileSystem
    self.inode = inode
    self.number = number
    self.path = path
    self.access = access
    self.isUncached = isUncached
  }

  deinit { disk.state.withLock { $0.close(number) } }

  private func fate(
    _ action: FileOperation.Action, _ offset: Int64, _ count: Int, isBeside: Bool = false
  ) -> FileFate {
    var operation = FileOperation(action, path, offset: offset, count: count)
    operation.isBeside = isBeside
    return fileSystem.hook?(operation) ?? .done
  }

  /// Why nothing can be done with the file any more. NFS has no file without a name: its handle is
  /// stale, at once where nothing is cached, else some time or never.
  private func failure(_ now_ns: UInt64, _ state: inout MemoryDisk.State) -> StoreError? {
    // The process or the machine died.
    guard let handle = state.handles[number] else { return .posix(5, path, "closed") }
    if handle.isLost {
      cache?.counts.lostOpens += 1
      return .posix(9, path, "lost")
    }
    let isStale: Bool
    if let cache {
      isStale = cache.isStale(number, now_ns, &state)
    } else {
      let links = state.inodes[inode]?.links
      isStale = links == nil || fileSystem.network && links == 0
    }
    guard isStale else { return nil }
    cache?.counts.staleHandles += 1
    return .posix(116, path, "stale")
  }

  // MARK: Reading

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(StoreError) -> Int
  {
    try read(into: buffer, at: offset, isBeside: false)
  }

  private func read(
    into buffer: UnsafeMutableRawBufferPointer, at offset: Int64, isBeside: Bool
  ) throws(StoreError) -> Int {
    defer { fileSystem.reply?() }
    switch fate(.read, offset, buffer.count, isBeside: isBeside) {
    case .fails(let error), .failsTorn(_, let error), .doneButFails(let error): throw error
    case .done: return try readNow(into: buffer, at: offset)
    case .torn:
      let half = buffer.count / 2 & ~511
      let first = try readNow(
        into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<half]), at: offset)
      guard first == half else { return first }
      switch fate(.readOn, offset + Int64(half), buffer.count - half) {
      case .fails(let error), .failsTorn(_, let error), .doneButFails(let error): throw error
      case .done, .torn: break
      }
      return try half
        + readNow(
          into: UnsafeMutableRawBufferPointer(rebasing: buffer[half...]), at: offset + Int64(half))
    }
  }

  func read(
    into first: UnsafeMutableRawBufferPointer, at offset: Int64,
    and second: UnsafeMutableRawBufferPointer, at secondOffset: Int64
  ) throws(StoreError) -> (Int, Int) {
    // The order in which more can go wrong.
    let after = try read(into: second, at: secondOffset)
    return (try read(into: first, at: offset, isBeside: true), after)
  }

  private func readNow(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64)
    throws(StoreError) -> Int
  {
    let now_ns = fileSystem.now_ns
    let now_ms = disk.now_ms(fileSystem.clock)
    return try disk.perform { state -> Result<Int, StoreError> in
      let failure = failure(now_ns, &state)
      if let cache, access == .fixed {
        // What is in the page cache can be read after the file has become stale.
        if let failure, failure.errno != 116 { return .failure(failure) }
        let count = cache.read(
          inode, into: buffer, at: offset, isStale: failure != nil, now_ns, state)
        return count.map { .success($0) } ?? .failure(.posix(116, path, "stale"))
      }
      if let failure { return .failure(failure) }
      // A read past the cache sends first what this machine has to send.
      if let cache, access == .shared {
        for writer in cache.writers(inode, state) { state.flush(writer, now_ms: now_ms) }
      }
      state.flush(number, now_ms: now_ms)
      return .success(state.inodes[inode]?.content.read(into: buffer, at: offset) ?? 0)
    }
  }

  /// Past the cache, as a client asks the server; what nobody has sent yet is sent before.
  func nextData(from offset: Int64) throws(StoreError) -> Int64? {
    if case .fails(let error) = fate(.read, offset, 0) { throw error }
    let now_ns = fileSystem.now_ns
    let now_ms = disk.now_ms(fileSystem.clock)
    return try disk.perform { state -> Result<Int64?, StoreError> in
      if let failure = failure(now_ns, &state) { return .failure(failure) }
      if let cache {
        for writer in cache.writers(inode, state) { state.flush(writer, now_ms: now_ms) }
      }
      state.flush(number, now_ms: now_ms)
      return .success(state.inodes[inode]?.content.nextData(from: offset))
    }
  }

  func status() throws(StoreError) -> FileStatus { try status(isFresh: false) }
  func freshStatus() throws(StoreError) -> FileStatus { try status(isFresh: true) }

  private func status(isFresh: Bool) throws(StoreError) -> FileStatus {
    let fate = fate(.status, 0, 0)
    if case .fails(let error) = fate { throw error }
    let now_ns = fileSystem.now_ns
    let status = try disk.perform { state -> Result<FileStatus, StoreError> in
      if let failure = failure(now_ns, &state) { return .failure(failure) }
      if isFresh { cache?.expire(inode) }
      let found =
        if let cache { cache.status(inode, now_ns, state) } else {
          state.inodes[inode].map { FileStatus($0, inode) }
        }
      return found.map { .success($0) } ?? .failure(.posix(116, path, "fstat"))
    }
    switch fate {
    case .doneButFails(let error), .failsTorn(_, let error): throw error
    case .done, .torn, .fails: return status
    }
  }

  // MARK: Writing

  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(StoreError) {
    var fate = fate(.write, offset, bytes.count)
    if case .fails(let error) = fate { throw error }
    defer { fileSystem.reply?() }
    guard access == .write else { throw .posix(9, path, "write") }
    var changes = MemoryFile.changes(bytes, at: offset, fate)
    if case .torn = fate, fileSystem.host != nil, !floats(fate), changes.count > 1 {
      fate = try sendHalf(of: &changes, offset, bytes.count)
    }
    let now_ns = fileSystem.now_ns
    let now_ms = disk.now_ms(fileSystem.clock)
    try disk.perform { state -> Result<Void, StoreError> in
      if let failure = failure(now_ns, &state) {
        guard case .failsTorn(_, let error) = fate else { return .failure(failure) }
        loosen(changes, &state)
        return .failure(error)
      }
      state.replaceUnlanded(of: number, offset..<offset + Int64(bytes.count), now_ms: now_ms)
      if let cache { for change in changes { cache.wrote(change, inode, state) } }
      switch fate {
      case .failsTorn(_, let error):
        loosen(changes, &state)
        cache?.distrust(inode, now_ns, state)
        return .failure(error)
      case .doneButFails(let error):
        for change in changes { state.send(change, number, now_ms: now_ms) }
        return .failure(error)
      case .done, .torn, .fails:
        if floats(fate) {
          for change in changes { state.float(change, number) }
        } else {
          for change in changes { state.send(change, number, now_ms: now_ms) }
        }
        return .success(())
      }
    }
  }

  /// Every other time sends half of the pieces, one of four halves, and takes them from `changes`.
  /// Returns what becomes of the rest.
  private func sendHalf(of changes: inout [ContentChange], _ offset: Int64, _ count: Int)
    throws(StoreError) -> FileFate
  {
    let now_ns = fileSystem.now_ns
    let order = Int(now_ns >> 8 & 7)
    guard order < 4 else { return .done }
    let middle = changes.count / 2
    let isFirst: (Int) -> Bool = {
      switch order {
      case 0: $0 < middle
      case 1: $0 >= middle
      default: $0 & 1 == order & 1
      }
    }
    let now_ms = disk.now_ms(fileSystem.clock)
    let first = changes.indices.filter(isFirst).map { changes[$0] }
    try disk.perform { state -> Result<Void, StoreError> in
      if let failure = failure(now_ns, &state) { return .failure(failure) }
      state.replaceUnlanded(of: number, offset..<offset + Int64(count), now_ms: now_ms)
      for change in first {
        cache?.wrote(change, inode, state)
        state.send(change, number, now_ms: now_ms)
      }
      return .success(())
    }
    changes = changes.indices.filter { !isFirst($0) }.map { changes[$0] }
    switch self.fate(.writeOn, offset, count) {
    case .fails(let error): return .failsTorn(pieceBytes: 0, error)
    case .torn: return .done
    case let other: return other
    }
  }

  /// On a network a write goes out when the client's cache likes; on the machine's own disk all see
  /// it at once. Without a host, as the hook has it.
  private func floats(_ fate: FileFate) -> Bool {
    if let host = fileSystem.host { return host.kind == .network && !isUncached }
    if case .torn = fate { return true }
    return false
  }

  private func loosen(_ changes: [ContentChange], _ state: inout MemoryDisk.State) {
    for change in changes {
      state.late.loose.append(
        LateWrites.Loose(
          change: change, inode: inode, host: fileSystem.host?.cache.number ?? 0, hostDied: false))
    }
  }

  private static func changes(
    _ bytes: UnsafeRawBufferPointer, at offset: Int64, _ fate: FileFate
  ) -> [ContentChange] {
    var partBytes = BlockMap.blockBytes
    switch fate {
    case .torn(let pieceBytes), .failsTorn(let pieceBytes, _): partBytes = pieceBytes
    case .done, .doneButFails, .fails: break
    }
    var changes: [ContentChange] = []
    changes.reserveCapacity(bytes.count / BlockMap.blockBytes + 1)
    for span in BlockSpans(at: offset, count: bytes.count, partBytes: partBytes) {
      let part = UnsafeRawBufferPointer(rebasing: bytes[span.start..<span.start + span.count])
      changes.append(.write(block: span.number, from: span.from, bytes: Array(part)))
    }
    return changes
  }

  func beginWriteback(_ count: Int, at offset: Int64) {}

  func sync() throws(StoreError) {
    let fate = fate(.sync, 0, 0)
    defer { fileSystem.reply?() }
    let now_ns = fileSystem.now_ns
    let now_ms = disk.now_ms(fileSystem.clock)
    try disk.perform { state -> Result<Void, StoreError> in
      switch fate {
      case .fails(let error), .failsTorn(_, let error):
        state.failSync(number)
        cache?.distrust(inode, now_ns, state)
        return .failure(error)
      case .doneButFails(let error):
        if failure(now_ns, &state) == nil { sync(now_ms, &state) }
        return .failure(error)
      case .done, .torn:
        if let failure = failure(now_ns, &state) { return .failure(failure) }
        sync(now_ms, &state)
        return .success(())
      }
    }
  }

  private func sync(_ now_ms: Int64, _ state: inout MemoryDisk.State) {
    state.sync(number, wholeFile: !fileSystem.network, now_ms: now_ms)
  }

  func resize(to size: Int64) throws(StoreError) {
    let fate = fate(.resize, size, 0)
    switch fate {
    case .fails(let error), .failsTorn(_, let error): throw error
    case .done, .torn, .doneButFails: break
    }
    guard access == .write else { throw .posix(22, path, "ftruncate") }
    let now_ns = fileSystem.now_ns
    let now_ms = disk.now_ms(fileSystem.clock)
    try disk.perform { state -> Result<Void, StoreError> in
      if let failure = failure(now_ns, &state) { return .failure(failure) }
      state.flush(number, now_ms: now_ms)
      state.send(.resize(to: size), number, now_ms: now_ms)
      cache?.resized(inode, to: size)
      if case .doneButFails(let error) = fate { return .failure(error) }
      return .success(())
    }
  }
}
