internal import SluiceShared

/// The unit of every file: writes start and end at its multiples, so that each is one stable WRITE.
package enum Block {
  package static let size = 4096
  /// Block 0 of every segment: written by whoever closes it, never by its owner.
  package static let mark: Int64 = 0
  /// Block 1 of every segment.
  package static let header: Int64 = 4096
  /// Blocks 2 and 3 of a log segment: two slots used in turn.
  package static let beacons: (Int64, Int64) = (8192, 12288)
  /// Where frames begin in a journal segment and in a log segment.
  package static let firstJournalFrame: Int64 = 8192
  package static let firstLogFrame: Int64 = 16384

  package static func roundUp(_ count: Int64) -> Int64 { (count + 4095) & ~4095 }
  package static func roundUp(_ count: Int) -> Int { (count + 4095) & ~4095 }
}

/// A block with a checksum in its last four bytes; what is shorter is filled with zeros.
struct SealedBlock {
  static func seal(_ content: ByteWriter, seed: UInt64) -> [UInt8] {
    precondition(content.count <= Block.size - 4, "a block's content is at most 4092 bytes")
    var block = content
    block.append(raw: [UInt8](repeating: 0, count: Block.size - 4 - block.count))
    let crc = block.bytes.withUnsafeBytes { crc32c($0, continuing: seeded(seed)) }
    block.append(crc)
    return block.bytes
  }

  /// The content of a block that is whole, else nil.
  static func open(_ block: UnsafeRawBufferPointer, seed: UInt64) -> UnsafeRawBufferPointer? {
    guard block.count == Block.size else { return nil }
    let content = UnsafeRawBufferPointer(rebasing: block[0..<Block.size - 4])
    let stored = UInt32(littleEndian: block.loadUnaligned(fromByteOffset: 4092, as: UInt32.self))
    return crc32c(content, continuing: seeded(seed)) == stored ? content : nil
  }

  /// The block's own checksum. (A CRC over all of a sealed block, its checksum included, is the same
  /// for every block.)
  static func checksum(of block: UnsafeRawBufferPointer) -> UInt32 {
    UInt32(littleEndian: block.loadUnaligned(fromByteOffset: 4092, as: UInt32.self))
  }

  /// Eight bytes at a time: it is on the way of every flush, and byte by byte takes 2.5 µs a block.
  static func isZero(_ block: UnsafeRawBufferPointer) -> Bool {
    var bits: UInt64 = 0
    let words = block.count & ~7
    var i = 0
    while i < words {
      bits |= block.loadUnaligned(fromByteOffset: i, as: UInt64.self)
      i += 8
    }
    for i in words..<block.count { bits |= UInt64(block[i]) }
    return bits == 0
  }
}

/// A CRC that begins with a nonce: what was written for another segment does not match.
func seeded(_ nonce: UInt64) -> UInt32 {
  var little = nonce.littleEndian
  return withUnsafeBytes(of: &little) { crc32c($0) }
}

/// The version of every format here; a file with a higher one is refused.
package let formatVersion: UInt16 = 1
