import SluiceShared

@testable import SluiceJournal

/// Files of 4 KiB blocks in a form that a fuzzer can work on: without the zeros that fill the blocks.
///
///     u16 n, then n bytes, filled up with zeros to whole blocks; and again, until the input ends
///
/// So a mutation meets a field and not padding, and an inserted byte does not move all that follows.
enum PackedBlocks {
  /// Two bytes make a block: without a bound most inputs are nothing but large.
  static let mostBytes = 20 * Block.size

  static func unpack(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
    var reader = ByteReader(bytes)
    var file = ByteWriter(reserving: 16 << 10)
    while file.count < mostBytes, let count = try? reader.integer(UInt16.self) {
      let piece = (try? reader.take(min(Int(count), reader.remaining))) ?? bytes
      file.append(raw: piece)
      if piece.isEmpty { file.append(UInt8(0)) }
      file.pad(to: Block.size)
    }
    return file.bytes
  }

  /// Blocks in `sealed` lose their checksums, which stand far behind what they cover; `Repair` makes
  /// them again.
  static func pack(_ file: [UInt8], sealed: [Int64]) -> [UInt8] {
    var file = file
    for offset in sealed where Int(offset) + Block.size <= file.count {
      let end = Int(offset) + Block.size
      file.replaceSubrange(end - 4..<end, with: [0, 0, 0, 0])
    }
    var packed = ByteWriter()
    var start = 0
    while start < file.count {
      // Blocks that are full to the end belong to what follows them.
      var end = min(start + Block.size, file.count)
      while file[end - 1] != 0, end < file.count, end - start < 14 * Block.size {
        end = min(end + Block.size, file.count)
      }
      let used = (file[start..<end].lastIndex { $0 != 0 } ?? start - 1) + 1
      packed.append(UInt16(used - start))
      packed.append(raw: Array(file[start..<used]))
      start = end
    }
    return packed.bytes
  }
}

/// What the first byte of an input asks for.
struct FuzzMode: OptionSet {
  let rawValue: UInt8
  /// Checksums are set right, so that what lies behind them is reached.
  static let repairsChecksums = FuzzMode(rawValue: 1)
  /// So are places, lengths and chaining: what a frame says of where it stands.
  static let repairsPlaces = FuzzMode(rawValue: 2)
  /// The rest is the file as it is, not packed blocks.
  static let isPlain = FuzzMode(rawValue: 4)

  /// Of a log segment: it is taken over, not read.
  static let isClaimed = FuzzMode(rawValue: 16)

  static let combinations: [FuzzMode] = [
    [], .repairsChecksums, [.repairsChecksums, .repairsPlaces],
  ]
}

/// The mode, and the rest of the input.
func takeMode(_ input: UnsafeRawBufferPointer) -> (FuzzMode, UnsafeRawBufferPointer)? {
  guard let first = input.first else { return nil }
  return (FuzzMode(rawValue: first), UnsafeRawBufferPointer(rebasing: input[1...]))
}

/// A file of blocks as the input describes it.
func blocks(_ input: UnsafeRawBufferPointer) -> (FuzzMode, [UInt8])? {
  guard let (mode, rest) = takeMode(input) else { return nil }
  return (mode, mode.contains(.isPlain) ? Array(rest) : PackedBlocks.unpack(rest))
}
