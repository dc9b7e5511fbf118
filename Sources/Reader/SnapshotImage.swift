internal import SluiceJournal
public import SluiceShared

/// A snapshot as a plain SQLite file.
public struct SnapshotImage: Sendable {
  private let snapshot: Snapshot
  private let environment: Environment
  private static let pieceBytes = 4 << 20

  public init(_ snapshot: Snapshot, _ environment: Environment) {
    self.snapshot = snapshot
    self.environment = environment
  }

  /// Makes `path` durable with all pages, reads it back, and compares it with the database checksum of
  /// the snapshot's commit. Returns the pages' checksums (CRC-32C). `onProgress` is told, now and then, how
  /// many bytes of the file are done: written ones first, then those that were read back. Pages that
  /// lie at the same place of the store in another state are taken from `earlier`, that one's image.
  ///
  /// Throws `.damaged` where the checksum is another one; the file is then left to the caller to remove.
  @discardableResult
  public func write(
    to path: String, mode: UInt32, reusing earlier: (file: any File, of: Snapshot)? = nil,
    onProgress: (_ written: Int64, _ proven: Int64) throws(StoreError) -> Void = { _, _ in }
  ) throws(StoreError) -> [UInt32] {
    let file = try environment.fileSystem.create(path, mode: mode)
    let buffer = UnsafeMutableRawBufferPointer.allocate(
      byteCount: Self.pieceBytes, alignment: Block.size)
    defer { buffer.deallocate() }
    let perPiece = Self.pieceBytes / snapshot.pageSize
    var checksums: [UInt32] = []
    checksums.reserveCapacity(Int(snapshot.pageCount))
    var page: UInt32 = 1
    while page <= snapshot.pageCount {
      let count = min(perPiece, Int(snapshot.pageCount - page) + 1)
      let piece = UnsafeMutableRawBufferPointer(rebasing: buffer[..<(count * snapshot.pageSize)])
      let there = try earlier?.file.read(
        into: piece, at: Int64(page - 1) * Int64(snapshot.pageSize))
      for i in 0..<count {
        let bytes = UnsafeMutableRawBufferPointer(
          rebasing: piece[i * snapshot.pageSize..<(i + 1) * snapshot.pageSize])
        let isThere =
          (i + 1) * snapshot.pageSize <= there ?? 0
          && earlier.map { snapshot.isSame(page + UInt32(i), as: $0.of) } ?? false
        try checksums.append(read(page + UInt32(i), into: bytes, isThere: isThere))
      }
      try file.write(
        UnsafeRawBufferPointer(rebasing: buffer[0..<count * snapshot.pageSize]),
        at: Int64(page - 1) * Int64(snapshot.pageSize))
      page += UInt32(count)
      try onProgress(Int64(page - 1) * Int64(snapshot.pageSize), 0)
    }
    try file.sync()
    try prove(path, buffer, onProgress)
    return checksums
  }

  /// Fills `bytes` with a page, unless that is there already; returns its checksum. That it has the right
  /// checksum does not make it the page: of so many, two have the same one day.
  private func read(
    _ page: UInt32, into bytes: UnsafeMutableRawBufferPointer, isThere: Bool
  ) throws(StoreError) -> UInt32 {
    if isThere {
      let crc = crc32c(UnsafeRawBufferPointer(bytes))
      if try crc == snapshot.crc(ofPage: page) { return crc }
    }
    try snapshot.read(page: page, into: bytes)
    return crc32c(UnsafeRawBufferPointer(bytes))
  }

  /// Reads the file at `path` and compares it with the database checksum of the snapshot; `onProgress` is
  /// told how many bytes were read. Throws `.damaged` where it is another one.
  public func prove(_ path: String, onProgress: (_ proven: Int64) -> Void = { _ in })
    throws(StoreError)
  {
    let buffer = UnsafeMutableRawBufferPointer.allocate(
      byteCount: Self.pieceBytes, alignment: Block.size)
    defer { buffer.deallocate() }
    try prove(path, buffer) { (_, proven) in onProgress(proven) }
  }

  /// Reads the file back, past the caches where there are any between here and the server.
  private func prove(
    _ path: String, _ buffer: UnsafeMutableRawBufferPointer,
    _ onProgress: (_ written: Int64, _ proven: Int64) throws(StoreError) -> Void
  ) throws(StoreError) {
    let file = try environment.fileSystem.open(path, .shared)
    let lockByte = DatabaseChecksum.lockBytePage(pageSize: snapshot.pageSize)
    var checksum = DatabaseChecksum()
    var page: UInt32 = 1
    while page <= snapshot.pageCount {
      let count = try file.read(
        into: buffer, at: Int64(page - 1) * Int64(snapshot.pageSize))
      guard count >= snapshot.pageSize else { break }
      for start in stride(
        from: 0, to: count / snapshot.pageSize * snapshot.pageSize, by: snapshot.pageSize)
      {
        let bytes = UnsafeRawBufferPointer(rebasing: buffer[start..<start + snapshot.pageSize])
        if page != lockByte { checksum.toggle(page: page, crc: crc32c(bytes)) }
        page += 1
      }
      try onProgress(snapshot.byteCount, Int64(page - 1) * Int64(snapshot.pageSize))
    }
    guard checksum == snapshot.checksum, page == snapshot.pageCount + 1 else {
      throw StoreError(
        .damaged,
        "the file's checksum is \(checksum), the log says \(snapshot.checksum) for batch \(snapshot.txid); it was not kept; if that happens again, restore the store from a backup",
        path: path)
    }
  }
}
