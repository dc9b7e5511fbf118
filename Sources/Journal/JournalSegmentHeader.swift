package import SluiceShared

// Block 1 of a journal segment, sealed with CRC-32C:
//
//   0  8  "SLJOURNL"
//   8  2  format version
//  10  6  zero
//  16 16  store id
//  32 16  writer id
//  48  8  segment number, from 1
//  56  8  nonce, seeds the checksums of the frames
//  64  8  sequence number of the first batch here
//  72  8  predecessor: its number, 0 for none
//  80  8  where the predecessor ended: offset behind its last acknowledged frame
//  88  8  when it was made, Unix milliseconds by the writer's clock
//
// The header of segment n + 1 ends segment n: what lies in n behind the stated end was never
// acknowledged there and is in n + 1 again.

package struct JournalSegmentHeader: Hashable, Sendable {
  package var store: StoreID
  package var id: JournalSegmentID
  package var nonce: UInt64
  package var firstSequence: SequenceNumber
  /// The number of the segment before this one and the offset at which it ended.
  package var predecessor: Predecessor?
  package var created_ms: Int64

  package struct Predecessor: Hashable, Sendable {
    package var number: UInt64
    package var end: Int64
    package init(number: UInt64, end: Int64) {
      self.number = number
      self.end = end
    }
  }

  package init(
    store: StoreID, id: JournalSegmentID, nonce: UInt64, firstSequence: SequenceNumber,
    predecessor: Predecessor?, created_ms: Int64
  ) {
    self.store = store
    self.id = id
    self.nonce = nonce
    self.firstSequence = firstSequence
    self.predecessor = predecessor
    self.created_ms = created_ms
  }

  /// Whether its writer was never acknowledged anything in `earlier`, a segment before this one, nor
  /// will be: a write that failed, or found the segment closed, is made again in a later one.
  package func acknowledgesNothing(in earlier: JournalSegmentID) -> Bool {
    earlier.writer == id.writer && earlier.number < id.number
      && earlier.number > predecessor?.number ?? 0
  }

  static let magic: UInt64 = 0x4C4E_5255_4F4A_4C53  // "SLJOURNL"

  package func encoded() -> [UInt8] {
    var writer = ByteWriter(reserving: Block.size)
    writer.append(Self.magic)
    writer.append(formatVersion)
    writer.append(raw: [0, 0, 0, 0, 0, 0])
    writer.append(store)
    writer.append(id.writer)
    writer.append(id.number)
    writer.append(nonce)
    writer.append(firstSequence.rawValue)
    writer.append(predecessor?.number ?? 0)
    writer.append(predecessor?.end ?? 0)
    writer.append(created_ms)
    return SealedBlock.seal(writer, seed: 0)
  }

  /// The checksum that the first frame's `previous` names.
  package static func checksum(of block: [UInt8]) -> UInt32 {
    block.withUnsafeBytes { SealedBlock.checksum(of: $0) }
  }

  package enum Reading: Sendable {
    /// Not written yet, or not whole.
    case absent
    case header(JournalSegmentHeader, checksum: UInt32)
    /// Whole, but made by a newer version.
    case unsupported(UInt16)
  }

  package static func decode(_ block: UnsafeRawBufferPointer) -> Reading {
    guard let content = SealedBlock.open(block, seed: 0) else { return .absent }
    var reader = ByteReader(content)
    do throws(DecodingError) {
      guard try reader.integer(UInt64.self) == magic else { return .absent }
      let version = try reader.integer(UInt16.self)
      guard version == formatVersion else { return .unsupported(version) }
      _ = try reader.take(6)
      let store = try reader.identifier()
      let writer = try reader.identifier()
      let number = try reader.integer(UInt64.self)
      let nonce = try reader.integer(UInt64.self)
      let first = SequenceNumber(try reader.integer(UInt64.self))
      let before = try reader.integer(UInt64.self)
      let end = try reader.integer(Int64.self)
      let created = try reader.integer(Int64.self)
      guard first.rawValue > 0, first.rawValue < UInt64(Int64.max), end >= 0 else {
        return .absent
      }
      let header = JournalSegmentHeader(
        store: store, id: JournalSegmentID(writer: writer, number: number), nonce: nonce,
        firstSequence: first,
        predecessor: before == 0 ? nil : Predecessor(number: before, end: end),
        created_ms: created)
      return .header(header, checksum: SealedBlock.checksum(of: block))
    } catch {
      return .absent
    }
  }
}
