internal import SluiceJournal
internal import SluiceShared

/// A checkpoint to be copied: its database, each page compared with its checksum on the way, and the file
/// of these checksums.
struct CheckpointCopy {
  let sidecar: CheckpointSidecar
  private let database: any File
  private let sidecarFile: any File
  let sidecarBytes: Int64
  private let environment: Environment
  private static let pieceBytes = 4 << 20

  var txid: TxID { sidecar.header.extent.txid }
  var byteCount: Int64 { Int64(sidecar.header.pageCount) * Int64(sidecar.header.pageSize) }

  /// The newest checkpoint that is whole by its header and not later than `last`. Throws with ENOENT where
  /// it was removed just now.
  init(of store: StoreHandle, upTo last: TxID) throws(StoreError) {
    let (layout, fileSystem) = (store.layout, store.fileSystem)
    guard let txid = try CheckpointListing(of: store).newest(upTo: last) else {
      throw StoreError(
        .damaged,
        "the store has no checkpoint to begin a copy with; make one (`sluice checkpoint`)",
        path: layout.checkpoints)
    }
    let path = layout.sidecar(of: txid)
    sidecar = try CheckpointSidecar(path: path, store: store.id, fileSystem: fileSystem)
    guard sidecar.header.extent.txid == txid else {
      throw StoreError(
        .damaged, "a checkpoint's page checksums are those of batch \(sidecar.header.extent.txid)",
        path: path, offset: 32)
    }
    sidecarFile = try fileSystem.open(path, .fixed)
    sidecarBytes = try sidecarFile.status().size
    database = try fileSystem.open(layout.database(of: txid), .fixed)
    environment = store.environment
  }

  /// Passes the database's bytes on in pieces.
  func readDatabase(_ body: ([UInt8], Int64) throws(StoreError) -> Void) throws(StoreError) {
    try pages(of: database, body)
  }

  /// Passes the bytes of the page checksums on.
  func readSidecar(_ body: ([UInt8], Int64) throws(StoreError) -> Void) throws(StoreError) {
    var offset: Int64 = 0
    while offset < sidecarBytes {
      let count = Int(min(sidecarBytes - offset, Int64(Self.pieceBytes)))
      let piece = try sidecarFile.read(count, at: offset)
      guard piece.count == count else { throw damage(sidecar.path, offset) }
      try body(piece, offset)
      offset += Int64(count)
    }
  }

  /// Makes both files in `directory`, and proves them there. The page checksums get their name first: a
  /// database without them is no checkpoint.
  func write(to directory: String, onProgress: (Int64) throws(StoreError) -> Void)
    throws(StoreError)
  {
    let fileSystem = environment.fileSystem
    let names = [StoreLayout.sidecarName(txid), StoreLayout.checkpointName(txid)]
    let made = names.map { "\(directory)/\(StoreLayout.temporaryName($0, environment.random()))" }
    defer { for path in made { try? fileSystem.unlink(path) } }
    let sums = try fileSystem.create(made[0], mode: 0o444)
    try readSidecar { (piece, offset) throws(StoreError) in try sums.write(piece, at: offset) }
    try sums.sync()
    try proveSidecar(fileSystem.open(made[0], .shared))
    let file = try fileSystem.create(made[1], mode: 0o444)
    try readDatabase { (piece, offset) throws(StoreError) in
      try file.write(piece, at: offset)
      try onProgress(Int64(piece.count))
    }
    try file.sync()
    try pages(of: fileSystem.open(made[1], .shared)) { (piece, _) throws(StoreError) in
      try onProgress(Int64(piece.count))
    }
    // Their names are durable first: by them it is known that page checksums alone are half a copy.
    try fileSystem.syncDirectory(directory)
    try link(made[0], to: "\(directory)/\(names[0])")
    do throws(StoreError) {
      try fileSystem.syncDirectory(directory)
      try link(made[1], to: "\(directory)/\(names[1])")
    } catch {
      // Alone it would look like what is left of a lost checkpoint.
      try? fileSystem.unlink("\(directory)/\(names[0])")
      try? fileSystem.syncDirectory(directory)
      throw error
    }
    try fileSystem.syncDirectory(directory)
  }

  /// The page checksums as they lie in the copy are those of the store.
  private func proveSidecar(_ copy: any File) throws(StoreError) {
    guard environment.makes(.provenCopy) else { return }
    try readSidecar { (piece, offset) throws(StoreError) in
      guard try copy.read(piece.count, at: offset) == piece else {
        throw StoreError(
          .damaged,
          "the page checksums of a checkpoint are read back from the copy as others than were written; check the file system that the copy is on",
          path: copy.path, offset: offset)
      }
    }
  }

  private func link(_ temporary: String, to path: String) throws(StoreError) {
    do throws(StoreError) { try environment.fileSystem.link(temporary, to: path) } catch {
      // Of an earlier copy, which says the same.
      guard error.isExistingFile else { throw error }
    }
  }

  private func pages(
    of file: any File, _ body: ([UInt8], Int64) throws(StoreError) -> Void
  ) throws(StoreError) {
    let size = Int(sidecar.header.pageSize)
    let count = sidecar.header.pageCount
    var page: UInt32 = 1
    while page <= count {
      let pages = min(UInt32(Self.pieceBytes / size), count - page + 1)
      let offset = Int64(page - 1) * Int64(size)
      let piece = try file.read(Int(pages) * size, at: offset)
      guard piece.count == Int(pages) * size else { throw damage(file.path, offset) }
      for i in 0..<pages {
        let start = Int(i) * size
        let crc = piece.withUnsafeBytes {
          crc32c(UnsafeRawBufferPointer(rebasing: $0[start..<start + size]))
        }
        guard try crc == sidecar.crc(ofPage: page + i) else {
          throw damage(file.path, offset + Int64(start))
        }
      }
      try body(piece, offset)
      page += pages
    }
  }

  private func damage(_ path: String, _ offset: Int64) -> StoreError {
    StoreError(
      .damaged,
      "a checkpoint is not what its page checksums say, so it is not copied; see what `sluice verify` says of the store",
      path: path, offset: offset)
  }
}
