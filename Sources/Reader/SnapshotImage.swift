internal import SluiceJournal
package import SluiceShared

/// A snapshot as a plain SQLite file.
package struct SnapshotImage: Sendable {
  private let snapshot: Snapshot
  private let environment: Environment
  private let width: Int

  /// `width`: pieces of 4 MiB that there is memory for. Of two one is read while the other is written, and so many
  /// are read back at a time.
  package init(_ snapshot: Snapshot, _ environment: Environment, width: Int = 1) {
    self.snapshot = snapshot
    self.environment = environment
    self.width = width
  }

  /// Makes `path` durable with all pages, reads it back, and compares it with the database checksum of
  /// the snapshot's commit. Returns the pages' checksums (CRC-32C). `onProgress` is told, now and then, how
  /// many bytes of the file are done: written ones first, then those that were read back. Pages that
  /// lie at the same place of the store in another state are taken from `earlier`, that one's image.
  ///
  /// Throws `.damaged` where the checksum is another one; the file is then left to the caller to remove.
  @discardableResult
  package func write(
    to path: String, mode: UInt32, reusing earlier: (file: any File, of: Snapshot)? = nil,
    onProgress: (_ written: Int64, _ proven: Int64) throws(StoreError) -> Void = { _, _ in }
  ) throws(StoreError) -> [UInt32] {
    let file = try environment.fileSystem.create(path, mode: mode)
    let pieces = SnapshotPieces(snapshot, environment, width: width)
    var checksums: [UInt32] = []
    checksums.reserveCapacity(Int(snapshot.pageCount))
    try pieces.inOrder { done throws(StoreError) in
      try onProgress(done, 0)
    } read: { piece throws(StoreError) in
      var known = [UInt32?](repeating: nil, count: piece.count)
      if let earlier { known = try self.known(piece, of: earlier) }
      checksums += try piece.neighbours.read(from: piece.first, into: piece.bytes, known: known)
    } write: { piece throws(StoreError) in
      try file.write(UnsafeRawBufferPointer(piece.bytes), at: piece.offset)
      file.beginWriteback(piece.bytes.count, at: piece.offset)
    }
    try file.sync()
    try prove(path, pieces) { proven throws(StoreError) in
      try onProgress(snapshot.byteCount, proven)
    }
    return checksums
  }

  /// Fills a piece from an earlier image; the checksums of those pages that are the same in this one. That one has
  /// the right checksum does not make it the page: of so many, two have the same one day.
  private func known(_ piece: SnapshotPieces.Piece, of earlier: (file: any File, of: Snapshot))
    throws(StoreError) -> [UInt32?]
  {
    let there = try earlier.file.read(into: piece.bytes, at: piece.offset)
    var known = [UInt32?](repeating: nil, count: piece.count)
    for i in 0..<min(piece.count, there / snapshot.pageSize) {
      let page = piece.first + UInt32(i)
      guard snapshot.isSame(page, as: earlier.of) else { continue }
      let crc = crc32c(piece.page(i))
      if try crc == snapshot.crc(ofPage: page) { known[i] = crc }
    }
    return known
  }

  /// Reads the file at `path` and compares it with the database checksum of the snapshot; `onProgress` is
  /// told how many bytes were read. Throws `.damaged` where it is another one.
  package func prove(_ path: String, onProgress: (_ proven: Int64) -> Void = { _ in })
    throws(StoreError)
  {
    try prove(path, SnapshotPieces(snapshot, environment, width: width)) { onProgress($0) }
  }

  /// Reads the file back, past the caches where there are any between here and the server.
  private func prove(
    _ path: String, _ pieces: SnapshotPieces,
    _ onProgress: (_ proven: Int64) throws(StoreError) -> Void
  ) throws(StoreError) {
    let file = try environment.fileSystem.open(path, .shared)
    let lockByte = DatabaseChecksum.lockBytePage(pageSize: snapshot.pageSize)
    let proven = Monitor((checksum: DatabaseChecksum(), pages: 0))
    try pieces.forEach(onProgress) { piece throws(StoreError) in
      let count = try file.read(into: piece.bytes, at: piece.offset) / snapshot.pageSize
      var checksum = DatabaseChecksum()
      for i in 0..<count where piece.first + UInt32(i) != lockByte {
        checksum.toggle(page: piece.first + UInt32(i), crc: crc32c(piece.page(i)))
      }
      proven.withLock {
        $0.checksum.toggle(checksum)
        $0.pages += count
      }
    }
    let (checksum, pages) = proven.withLock { $0 }
    guard checksum == snapshot.checksum, pages == Int(snapshot.pageCount) else {
      throw StoreError(
        .damaged,
        "the file's checksum is \(checksum), the log says \(snapshot.checksum) for batch \(snapshot.txid); it was not kept; if that happens again, restore the store from a backup",
        path: path)
    }
  }
}
