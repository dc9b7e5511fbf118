internal import SluiceShared

/// An open file of a `MemoryFileSystem`.
final class MemoryFile: File {
  let path: String
  private let fileSystem: MemoryFileSystem
  private let inode: UInt64
  private let number: UInt64
  private let isWritable: Bool
  private let isScratch: Bool

  init(
    _ fileSystem: MemoryFileSystem, inode: UInt64, number: UInt64, path: String, isWritable: Bool
  ) {
    self.fileSystem = fileSystem
    self.inode = inode
    self.number = number
    self.path = path
    self.isWritable = isWritable
    isScratch = path == "(scratch)"
  }

  deinit {
    fileSystem.disk.state.withLock { state in
      // close(2) does not lose what was written; it lands some time.
      for i in state.afloat.indices where state.afloat[i].file == number {
        state.afloat[i].file = nil
      }
      state.open[inode, default: 1] -= 1
      state.removeIfUnused(inode)
    }
  }

  private func fate(_ action: FileOperation.Action, _ offset: Int64, _ count: Int) -> FileFate {
    guard !isScratch, let hook = fileSystem.hook else { return .done }
    return hook(FileOperation(action, path, offset: offset, count: count))
  }

  /// NFS has no file without a name: its handle is stale.
  private func staleness(_ state: MemoryDisk.State) -> StoreError? {
    guard fileSystem.network, !isScratch, state.inodes[inode]?.links == 0 else { return nil }
    return .posix(116, path, "stale")
  }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(StoreError) -> Int
  {
    switch fate(.read, offset, buffer.count) {
    case .fails(let error), .failsTorn(_, let error), .doneButFails(let error): throw error
    case .done: return try readNow(into: buffer, at: offset)
    case .torn:
      let half = buffer.count / 2 & ~511
      let first = try readNow(
        into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<half]), at: offset)
      guard first == half else { return first }
      if case .fails(let error) = fate(.readOn, offset + Int64(half), buffer.count - half) {
        throw error
      }
      return try half
        + readNow(
          into: UnsafeMutableRawBufferPointer(rebasing: buffer[half...]), at: offset + Int64(half))
    }
  }

  private func readNow(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64)
    throws(StoreError) -> Int
  {
    let bytes = try fileSystem.disk.perform { state -> Result<[UInt8], StoreError> in
      if let error = staleness(state) { return .failure(error) }
      // Reading one's own file writes back first.
      state.flush(file: number)
      return .success(state.read(inode, at: offset, count: buffer.count))
    }
    buffer.copyBytes(from: bytes)
    return bytes.count
  }

  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(StoreError) {
    let fate = fate(.write, offset, bytes.count)
    if case .fails(let error) = fate { throw error }
    guard isWritable else { throw .posix(9, path, "write") }
    let content = Array(bytes)
    try fileSystem.disk.perform { state -> Result<Void, StoreError> in
      if let error = staleness(state) { return .failure(error) }
      state.replaceAfloat(of: number, offset..<offset + Int64(content.count))
      switch fate {
      case .torn(let pieceBytes):
        state.float(content, at: offset, pieceBytes, inode, number, fileSystem.client)
      case .failsTorn(let pieceBytes, let error):
        state.float(content, at: offset, pieceBytes, inode, nil, fileSystem.client)
        return .failure(error)
      case .doneButFails(let error):
        state.write(inode, at: offset, content)
        return .failure(error)
      case .done, .fails:
        state.write(inode, at: offset, content)
      }
      return .success(())
    }
  }

  func sync() throws(StoreError) {
    let fate = fate(.sync, 0, 0)
    try fileSystem.disk.perform { state -> Result<Void, StoreError> in
      switch fate {
      case .fails(let error), .failsTorn(_, let error):
        for i in state.afloat.indices where state.afloat[i].file == number {
          state.afloat[i].file = nil
        }
        return .failure(error)
      case .doneButFails(let error):
        state.flush(file: number)
        return .failure(error)
      case .done, .torn:
        if let error = staleness(state) { return .failure(error) }
        state.flush(file: number)
        return .success(())
      }
    }
  }

  func resize(to size: Int64) throws(StoreError) {
    if case .fails(let error) = fate(.resize, size, 0) { throw error }
    try fileSystem.disk.perform { state -> Result<Void, StoreError> in
      if let error = staleness(state) { return .failure(error) }
      state.flush(file: number)
      let last = (size + Int64(MemoryDisk.blockBytes) - 1) / Int64(MemoryDisk.blockBytes)
      if let old = state.inodes[inode]?.size, old > size {
        let blocks = state.inodes[inode]?.blocks.filter { $0.key < last }
        state.inodes[inode]?.blocks = blocks ?? [:]
        let rest = Int(last * Int64(MemoryDisk.blockBytes) - size)
        if rest > 0, state.inodes[inode]?.blocks[last - 1] != nil {
          state.write(inode, at: size, [UInt8](repeating: 0, count: rest))
        }
      }
      state.inodes[inode]?.size = size
      return .success(())
    }
  }

  func status() throws(StoreError) -> FileStatus {
    if case .fails(let error) = fate(.status, 0, 0) { throw error }
    return try fileSystem.disk.perform { state -> Result<FileStatus, StoreError> in
      if let error = staleness(state) { return .failure(error) }
      guard let found = state.inodes[inode] else { return .failure(.posix(116, path, "fstat")) }
      return .success(FileStatus(found, inode))
    }
  }
}

extension MemoryDisk.State {
  /// What an open file wrote before and now writes again is replaced in its cache, not sent twice.
  fileprivate mutating func replaceAfloat(of file: UInt64, _ range: Range<Int64>) {
    guard !afloat.isEmpty else { return }
    var kept: [MemoryDisk.Piece] = []
    for piece in afloat {
      let place = piece.offset..<piece.offset + Int64(piece.bytes.count)
      if piece.file == file, place.overlaps(range) {
        if place.clamped(to: range) != place { land(piece) }
      } else {
        kept.append(piece)
      }
    }
    afloat = kept
  }

  fileprivate mutating func float(
    _ bytes: [UInt8], at offset: Int64, _ pieceBytes: Int, _ inode: UInt64, _ file: UInt64?,
    _ client: UInt64
  ) {
    for start in stride(from: 0, to: bytes.count, by: pieceBytes) {
      let piece = Array(bytes[start..<min(bytes.count, start + pieceBytes)])
      afloat.append(
        MemoryDisk.Piece(
          inode: inode, offset: offset + Int64(start), bytes: piece, file: file, client: client))
    }
  }
}
