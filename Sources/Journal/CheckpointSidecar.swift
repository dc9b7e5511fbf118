package import SluiceShared

// `checkpoints/<txid>.pages`: what the checkpoint `<txid>.sqlite` beside it is, and a checksum of
// each of its pages. Block 0, sealed with CRC-32C:
//
//   0  8  "SLCHECKP"
//   8  2  format version
//  10  6  zero
//  16 16  store id
//  32  8  TxID
//  40  8  commits since the store was made
//  48  8  time of the last commit, Unix milliseconds
//  56  4  page size
//  60  4  pages
//  64  8  database checksum
//  72  8  batches rejected since the store was made
//  80  …  store.json as it was then, counted UTF-8; empty where it is too long, or of an earlier version
//
// Then blocks of 1023 checksums (u32 CRC-32C of a page, in the order of pages, zeros behind the
// last), each sealed in its last four bytes with a CRC-32C that begins with the TxID.

/// The checksums of a checkpoint's pages, read block by block as they are asked for.
package final class CheckpointSidecar: Sendable {
  package struct Header: Hashable, Sendable {
    package var store: StoreID
    package var extent: LogExtent
    package var pageSize: UInt32
    package var pageCount: UInt32
    package var checksum: DatabaseChecksum
    package var rejected: UInt64
    /// The text of `store.json` when this was written: of it there is no other copy.
    package var description: String

    package init(
      store: StoreID, extent: LogExtent, pageSize: UInt32, pageCount: UInt32,
      checksum: DatabaseChecksum, rejected: UInt64, description: String = ""
    ) {
      self.store = store
      self.extent = extent
      self.pageSize = pageSize
      self.pageCount = pageCount
      self.checksum = checksum
      self.rejected = rejected
      self.description = description
    }
  }

  static let checksumsPerBlock = Block.size / 4 - 1

  package let header: Header
  package let path: String
  private let fileSystem: any FileSystem
  private let file: any File
  /// The checksums of each block that was read; nil for the others.
  private let blocks: Monitor<[[UInt32]?]>

  /// Opens the sidecar at `path`. Throws `.damaged`, `.unsupported`, `.foreign` for another store's,
  /// and `.noSuchStore` with ENOENT where the name is gone.
  package init(path: String, store: StoreID, fileSystem: any FileSystem) throws(StoreError) {
    self.path = path
    self.fileSystem = fileSystem
    file = try fileSystem.open(path, .fixed)
    var reading = Header.decode(try file.read(Block.size, at: 0))
    if reading == nil {
      reading = Header.decode(try fileSystem.open(path, .shared).read(Block.size, at: 0))
    }
    switch reading {
    case .supported(let found) where found.store == store:
      self.header = found
      let count = (Int(found.pageCount) + Self.checksumsPerBlock - 1) / Self.checksumsPerBlock
      blocks = Monitor([[UInt32]?](repeating: nil, count: count))
    case .supported(let found):
      throw StoreError(
        .foreign,
        "the checkpoint is of store \(found.store), and store.json says \(store); find out which of the two was put here from elsewhere (do the segments in log/ say \(found.store)? then it is store.json), and put the right one back",
        path: path)
    case .unsupported(let version):
      throw StoreError(
        .unsupported,
        "the checkpoint has format \(version), this Sluice knows \(formatVersion); upgrade Sluice",
        path: path)
    case nil:
      throw StoreError(
        .damaged,
        "a checkpoint's page checksums have a damaged header; remove this checkpoint if there is another, or restore the file from a backup",
        path: path, offset: 0)
    }
  }

  /// The store that the sidecar at `path` says it is of; nil where its header is not whole.
  package static func store(_ path: String, _ fileSystem: any FileSystem) throws(StoreError)
    -> StoreID?
  {
    guard
      case .supported(let header) = Header.decode(
        try fileSystem.open(path, .shared).read(Block.size, at: 0))
    else { return nil }
    return header.store
  }

  /// The last page whose checksum lies in one block with that of `page`.
  package func lastPage(besideChecksumOf page: UInt32) -> UInt32 {
    let block = (Int(page) - 1) / Self.checksumsPerBlock
    return min(header.pageCount, UInt32((block + 1) * Self.checksumsPerBlock))
  }

  /// The CRC-32C of a page, from 1 to `header.pageCount`; reads a block the first time.
  package func crc(ofPage page: UInt32) throws(StoreError) -> UInt32 {
    precondition(page >= 1 && page <= header.pageCount, "the checkpoint has no such page")
    let (number, place) = (Int(page) - 1).quotientAndRemainder(dividingBy: Self.checksumsPerBlock)
    if let crc = blocks.withLock({ $0[number]?[place] }) { return crc }
    let checksums = try load(number)
    blocks.withLock { $0[number] = checksums }
    return checksums[place]
  }

  private func load(_ number: Int) throws(StoreError) -> [UInt32] {
    let offset = Int64(number + 1) * Int64(Block.size)
    if let checksums = decode(try file.read(Block.size, at: offset)) { return checksums }
    // What the page cache holds may be damaged where the file is not.
    if let checksums = decode(try fileSystem.open(path, .shared).read(Block.size, at: offset)) {
      return checksums
    }
    throw StoreError(
      .damaged,
      "page checksums of a checkpoint are damaged; remove this checkpoint if there is another, or restore the file from a backup",
      path: path, offset: offset)
  }

  private func decode(_ block: [UInt8]) -> [UInt32]? {
    block.withUnsafeBytes { raw in
      guard let content = SealedBlock.open(raw, seed: header.extent.txid.rawValue) else {
        return nil
      }
      return (0..<Self.checksumsPerBlock).map {
        UInt32(littleEndian: content.loadUnaligned(fromByteOffset: $0 * 4, as: UInt32.self))
      }
    }
  }
}

extension CheckpointSidecar {
  /// Writes a sidecar with `checksums`, one a page in order, and does not sync.
  package static func write(_ header: Header, checksums: [UInt32], to file: any File)
    throws(StoreError)
  {
    precondition(checksums.count == Int(header.pageCount), "a checksum for each page")
    try file.write(header.encoded(), at: 0)
    let blocksPerWrite = 256
    var offset = Int64(Block.size)
    var done = 0
    while done < checksums.count {
      var piece: [UInt8] = []
      while done < checksums.count, piece.count < blocksPerWrite * Block.size {
        let next = min(done + checksumsPerBlock, checksums.count)
        piece += seal(checksums[done..<next], txid: header.extent.txid)
        done = next
      }
      try file.write(piece, at: offset)
      offset += Int64(piece.count)
    }
  }

  private static func seal(_ checksums: ArraySlice<UInt32>, txid: TxID) -> [UInt8] {
    var writer = ByteWriter(reserving: Block.size)
    for crc in checksums { writer.append(crc) }
    return SealedBlock.seal(writer, seed: txid.rawValue)
  }
}

extension CheckpointSidecar.Header {
  static let magic: UInt64 = 0x504B_4345_4843_4C53  // "SLCHECKP"

  func encoded() -> [UInt8] {
    var writer = ByteWriter(reserving: Block.size)
    writer.append(Self.magic)
    writer.append(formatVersion)
    writer.append(raw: [0, 0, 0, 0, 0, 0])
    writer.append(store)
    writer.append(extent.txid.rawValue)
    writer.append(extent.commits)
    writer.append(extent.time_ms)
    writer.append(pageSize)
    writer.append(pageCount)
    writer.append(checksum.value)
    writer.append(rejected)
    if description.utf8.count <= Limits.descriptionCopyBytes { writer.append(counted: description) }
    return SealedBlock.seal(writer, seed: 0)
  }

  fileprivate enum Reading {
    case supported(CheckpointSidecar.Header)
    case unsupported(UInt16)
  }

  /// nil where the block is not whole or no sidecar's.
  fileprivate static func decode(_ block: [UInt8]) -> Reading? {
    block.withUnsafeBytes { raw in
      guard let content = SealedBlock.open(raw, seed: 0) else { return nil }
      var reader = ByteReader(content)
      do throws(DecodingError) {
        guard try reader.integer(UInt64.self) == magic else { return nil }
        let version = try reader.integer(UInt16.self)
        guard version == formatVersion else { return .unsupported(version) }
        _ = try reader.take(6)
        let header = CheckpointSidecar.Header(
          store: try reader.identifier(),
          extent: LogExtent(
            txid: TxID(try reader.integer()), commits: try reader.integer(),
            time_ms: try reader.integer()),
          pageSize: try reader.integer(), pageCount: try reader.integer(),
          checksum: DatabaseChecksum(try reader.integer()), rejected: try reader.integer(),
          description: try reader.text())
        guard (512...65536).contains(header.pageSize), header.pageSize.nonzeroBitCount == 1 else {
          return nil
        }
        return .supported(header)
      } catch {
        return nil
      }
    }
  }
}
