internal import SluiceShared

// A frame, in journal and log alike. Little-endian, from a block boundary, padded to one:
//
//   0   4  "SLF1"
//   4   1  kind
//   5   1  flags: 1 = the segment ends with this frame
//   6   2  bytes of this header, its checksum included: 52 + 24 a section
//   8   8  bytes of the frame, header included, padding not
//  16   8  offset of the frame in its segment
//  24   8  first sequence number (journal) or TxID (log)
//  32   4  how many of them
//  36   4  checksum of the frame before it; of the segment's header block for the first
//  40   2  sections
//  42   6  zero
//  48  24  a section: u16 id, u8 codec, u8 zero, u32 CRC-32C of the stored bytes,
//          u64 stored bytes, u64 raw bytes
//   …   4  CRC-32C of the segment's nonce and all of the header before this field
//
// then the sections' stored bytes, one directly after the other. The header's checksum covers the
// sections' checksums, so it is the checksum of the frame, and the chain runs through it.

package enum FrameKind: UInt8, Sendable {
  case batches = 1
  case start = 2
  case commit = 3
  case index = 4
}

package enum SectionID: UInt16, Sendable {
  case batches = 1
  case meta = 2
  case index = 3
  case outcomes = 4
  case consumed = 5
  case pages = 6
  case start = 7
  case pruned = 8
  case padding = 9
  case part = 10
  case segmentHeader = 11
}

package struct FrameSection: Sendable, Hashable {
  package var id: UInt16
  package var codec: Codec
  /// CRC-32C of the stored bytes.
  package var crc: UInt32
  package var storedBytes: Int64
  package var rawBytes: Int64
  /// From the start of the frame.
  package var offset: Int64
}

package struct FrameHeader: Sendable {
  package var kind: FrameKind
  package var endsSegment: Bool
  package var headerBytes: Int
  /// Bytes of the frame without padding.
  package var length: Int64
  /// Where the frame begins in its segment.
  package var offset: Int64
  package var first: UInt64
  package var count: UInt32
  /// The checksum of the frame before it.
  package var previous: UInt32
  package var sections: [FrameSection]
  /// The frame's checksum, through which the chain runs.
  package var checksum: UInt32

  /// Where the next frame begins.
  package var end: Int64 { offset + Block.roundUp(length) }

  package func section(_ id: SectionID) -> FrameSection? { sections.first { $0.id == id.rawValue } }

  /// Whether the batches that a journal frame claims can be in it, and took their bytes of the file; not
  /// believed before that. An empty frame claims none.
  package var holdsItsBatches: Bool {
    guard count > 0 else { return true }
    guard let batches = section(.batches) else { return false }
    let size = end - offset
    return count <= UInt32(Limits.batchesPerFrame)
      && Int64(count) * Int64(BatchList.leastBytes) <= batches.rawBytes
      && Int64(count) * Int64(Limits.leastStoredBytesPerBatch) <= size
      && batches.rawBytes / Int64(Limits.mostRawBytesPerStoredByte) <= size
  }

  static let magic: UInt32 = 0x3146_4C53
  /// What each frame begins with.
  package static let firstBytes = Array("SLF1".utf8)
  static let fixedBytes = 48
  static let mostSections = 32
  /// The longest header there is.
  static let mostBytes = fixedBytes + 24 * mostSections + 4

  /// The header in `bytes`, which begin at `offset` of the segment with `nonce`; nil where there is
  /// no whole header that was written for just this place.
  package static func decode(_ bytes: UnsafeRawBufferPointer, at offset: Int64, nonce: UInt64)
    -> FrameHeader?
  {
    var reader = ByteReader(bytes)
    do throws(DecodingError) {
      guard try reader.integer(UInt32.self) == magic,
        let kind = FrameKind(rawValue: try reader.integer())
      else { return nil }
      let flags: UInt8 = try reader.integer()
      let headerBytes = Int(try reader.integer(UInt16.self))
      let length = try reader.integer(Int64.self)
      let place = try reader.integer(Int64.self)
      let first = try reader.integer(UInt64.self)
      let count = try reader.integer(UInt32.self)
      let previous = try reader.integer(UInt32.self)
      let sectionCount = Int(try reader.integer(UInt16.self))
      _ = try reader.take(6)
      guard place == offset, sectionCount <= mostSections, flags <= 1,
        headerBytes == fixedBytes + 24 * sectionCount + 4, bytes.count >= headerBytes,
        length >= headerBytes, length <= Int64.max / 4, numbersAreSound(kind, first, count)
      else { return nil }
      let covered = UnsafeRawBufferPointer(rebasing: bytes[0..<headerBytes - 4])
      let checksum = UInt32(
        littleEndian: bytes.loadUnaligned(fromByteOffset: headerBytes - 4, as: UInt32.self))
      guard crc32c(covered, continuing: seeded(nonce)) == checksum else { return nil }
      var sections: [FrameSection] = []
      sections.reserveCapacity(sectionCount)
      var position = Int64(headerBytes)
      for _ in 0..<sectionCount {
        let id: UInt16 = try reader.integer()
        guard let codec = Codec(rawValue: try reader.integer()) else { return nil }
        _ = try reader.take(1)
        let crc: UInt32 = try reader.integer()
        let stored: Int64 = try reader.integer()
        let raw: Int64 = try reader.integer()
        // Compressed is never longer than raw, so that a limit on the one is a limit on both.
        guard stored >= 0, stored <= raw, stored <= length - position,
          codec != .raw || raw == stored
        else { return nil }
        sections.append(
          FrameSection(
            id: id, codec: codec, crc: crc, storedBytes: stored, rawBytes: raw, offset: position))
        position += stored
      }
      guard position == length else { return nil }
      return FrameHeader(
        kind: kind, endsSegment: flags & 1 != 0, headerBytes: headerBytes, length: length,
        offset: offset, first: first, count: count, previous: previous, sections: sections,
        checksum: checksum)
    } catch {
      return nil
    }
  }

  /// The numbers of the frame's batches can be counted on from, and be stored by SQLite: a journal
  /// frame is somebody else's, and must not end the applier that reads it. A commit holds a batch.
  private static func numbersAreSound(_ kind: FrameKind, _ first: UInt64, _ count: UInt32) -> Bool {
    first < UInt64(Int64.max) - UInt64(count) && (kind != .commit || (first > 0 && count > 0))
  }

  /// The header's bytes and, as their last four, the frame's checksum.
  package static func encode(
    kind: FrameKind, endsSegment: Bool = false, offset: Int64, nonce: UInt64, previous: UInt32,
    first: UInt64, count: UInt32, sections: [FrameSection]
  ) -> (bytes: [UInt8], checksum: UInt32) {
    let headerBytes = fixedBytes + 24 * sections.count + 4
    var writer = ByteWriter(reserving: headerBytes)
    writer.append(magic)
    writer.append(kind.rawValue)
    writer.append(UInt8(endsSegment ? 1 : 0))
    writer.append(UInt16(headerBytes))
    writer.append(sections.reduce(Int64(headerBytes)) { $0 + $1.storedBytes })
    writer.append(offset)
    writer.append(first)
    writer.append(count)
    writer.append(previous)
    writer.append(UInt16(sections.count))
    writer.append(raw: [0, 0, 0, 0, 0, 0])
    for section in sections {
      writer.append(section.id)
      writer.append(section.codec.rawValue)
      writer.append(UInt8(0))
      writer.append(section.crc)
      writer.append(section.storedBytes)
      writer.append(section.rawBytes)
    }
    let checksum = crc32c(writer.bytes, continuing: seeded(nonce))
    writer.append(checksum)
    return (writer.bytes, checksum)
  }
}

/// A section on its way into a frame: its stored bytes and what the header says of them.
package struct SectionContent: Sendable {
  package var id: SectionID
  package var codec: Codec
  package var stored: [UInt8]
  package var rawBytes: Int64

  package init(_ id: SectionID, raw bytes: [UInt8]) {
    self.id = id
    codec = .raw
    stored = bytes
    rawBytes = Int64(bytes.count)
  }

  /// Compressed where that saves at least a block, since a frame is padded to blocks.
  package init(_ id: SectionID, _ bytes: [UInt8], compressor: Compressor, level: Int32 = 1) {
    self.init(id, raw: bytes)
    guard bytes.count > Block.size else { return }
    var output: [UInt8] = []
    let smaller = bytes.withUnsafeBytes { compressor.append($0, level: level, to: &output) }
    guard smaller, output.count + Block.size <= bytes.count else { return }
    codec = .zstd
    stored = output
  }

  func header(at offset: Int64) -> FrameSection {
    FrameSection(
      id: id.rawValue, codec: codec, crc: crc32c(stored), storedBytes: Int64(stored.count),
      rawBytes: rawBytes, offset: offset)
  }
}

/// A frame ready to be written with one `pwrite`.
package struct EncodedFrame: Sendable {
  /// Padded to whole blocks.
  package var bytes: [UInt8]
  package var header: FrameHeader

  package init(
    kind: FrameKind, endsSegment: Bool = false, offset: Int64, nonce: UInt64, previous: UInt32,
    first: UInt64, count: UInt32, sections: [SectionContent]
  ) {
    let headerBytes = FrameHeader.fixedBytes + 24 * sections.count + 4
    var described: [FrameSection] = []
    var position = Int64(headerBytes)
    for section in sections {
      described.append(section.header(at: position))
      position += Int64(section.stored.count)
    }
    let (head, checksum) = FrameHeader.encode(
      kind: kind, endsSegment: endsSegment, offset: offset, nonce: nonce, previous: previous,
      first: first, count: count, sections: described)
    var writer = ByteWriter(reserving: Block.roundUp(Int(position)))
    writer.append(raw: head)
    for section in sections { writer.append(raw: section.stored) }
    writer.pad(to: Block.size)
    bytes = writer.bytes
    header = FrameHeader(
      kind: kind, endsSegment: endsSegment, headerBytes: headerBytes, length: position,
      offset: offset, first: first, count: count, previous: previous, sections: described,
      checksum: checksum)
  }
}
