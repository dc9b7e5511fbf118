package import SluiceShared

// Block 1 of a log segment, sealed with CRC-32C:
//
//   0  8  "SLUICLOG"
//   8  2  format version
//  10  6  zero
//  16 16  store id
//  32  8  segment number, from 1
//  40  8  nonce, seeds the checksums of frames and beacons
//  48  8  term: which applier's turn to lead; a rotation keeps it
//  56  8  when it was made, Unix milliseconds
//  64  …  holder, counted UTF-8

package struct LogSegmentHeader: Hashable, Sendable {
  package var store: StoreID
  package var number: UInt64
  package var nonce: UInt64
  package var term: UInt64
  package var created_ms: Int64
  /// Who made it, for people; at most 255 bytes.
  package var holder: String

  package init(
    store: StoreID, number: UInt64, nonce: UInt64, term: UInt64, created_ms: Int64, holder: String
  ) {
    self.store = store
    self.number = number
    self.nonce = nonce
    self.term = term
    self.created_ms = created_ms
    self.holder = holder
  }

  static let magic: UInt64 = 0x474F_4C43_4955_4C53  // "SLUICLOG"

  package func encoded() -> [UInt8] { SealedBlock.seal(content(), seed: 0) }

  /// The same without the block around it: what the segment's last frame says of it.
  func copied() -> [UInt8] { content().bytes }

  private func content() -> ByteWriter {
    var writer = ByteWriter(reserving: Block.size)
    writer.append(Self.magic)
    writer.append(formatVersion)
    writer.append(raw: [0, 0, 0, 0, 0, 0])
    writer.append(store)
    writer.append(number)
    writer.append(nonce)
    writer.append(term)
    writer.append(created_ms)
    writer.append(counted: String(decoding: holder.utf8.prefix(255), as: UTF8.self))
    return writer
  }

  /// What `copied` made, and the checksum of the block that it is a copy of; nil where it was made otherwise.
  static func decode(copied: [UInt8]) -> (header: LogSegmentHeader, checksum: UInt32)? {
    let header = copied.withUnsafeBytes { raw -> LogSegmentHeader? in
      var reader = ByteReader(raw)
      return try? LogSegmentHeader(from: &reader)
    }
    guard let header, header.copied() == copied else { return nil }
    return (header, header.encoded().withUnsafeBytes { SealedBlock.checksum(of: $0) })
  }

  private init(from reader: inout ByteReader) throws(DecodingError) {
    _ = try reader.take(16)
    self.init(
      store: try reader.identifier(), number: try reader.integer(), nonce: try reader.integer(),
      term: try reader.integer(), created_ms: try reader.integer(), holder: try reader.text())
  }

  /// The header and its checksum, which the first frame's `previous` names. Throws `.damaged`,
  /// `.unsupported` or, for another store's, `.foreign`.
  static func decode(_ block: UnsafeRawBufferPointer, path: String, store: StoreID)
    throws(StoreError) -> (header: LogSegmentHeader, checksum: UInt32)
  {
    func refusal(_ code: StoreError.Code, _ what: String) -> StoreError {
      StoreError(
        code, "the header of a log segment cannot be read: \(what)", path: path,
        offset: Block.header)
    }
    guard let content = SealedBlock.open(block, seed: 0) else {
      throw refusal(.damaged, "its checksum does not match; restore the file from a backup")
    }
    let found = UInt64(littleEndian: content.loadUnaligned(as: UInt64.self))
    guard found == magic else { throw refusal(.damaged, "it is no log segment's") }
    let version = UInt16(littleEndian: content.loadUnaligned(fromByteOffset: 8, as: UInt16.self))
    guard version == formatVersion else {
      throw refusal(
        .unsupported, "it has format \(version), this Sluice knows \(formatVersion); upgrade Sluice"
      )
    }
    let header: LogSegmentHeader
    do throws(DecodingError) {
      var reader = ByteReader(content)
      header = try LogSegmentHeader(from: &reader)
    } catch {
      throw refusal(.damaged, "\(error)")
    }
    // Both are counted on from.
    guard header.number < UInt64(Int64.max), header.term < UInt64(Int64.max) else {
      throw refusal(.damaged, "its number or its term cannot be meant")
    }
    guard header.store == store else {
      throw refusal(
        .foreign,
        "it is of store \(header.store), and store.json says \(store); find out which of the two was put here from elsewhere (do the other segments and the checkpoints say \(header.store)? then it is store.json), put the right one back, and remove nothing"
      )
    }
    return (header, SealedBlock.checksum(of: block))
  }
}
