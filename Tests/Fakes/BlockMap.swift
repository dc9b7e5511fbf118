internal import Glibc

/// The blocks of a file; one that is missing is a hole.
///
/// Copies share what neither of them changes.
struct BlockMap {
  typealias Block = [UInt8]
  static let blockBytes = 4096

  private var blocks: [Block?] = []

  /// The number behind the last block.
  var end: Int { blocks.count }

  subscript(number: Int) -> Block? {
    get { number < blocks.count ? blocks[number] : nil }
    set {
      if number >= blocks.count {
        if newValue == nil { return }
        blocks += [Block?](repeating: nil, count: number + 1 - blocks.count)
      }
      blocks[number] = newValue
    }
  }

  mutating func write(_ bytes: [UInt8], to number: Int, from: Int) {
    if bytes.count == BlockMap.blockBytes {
      self[number] = bytes
      return
    }
    var block = self[number] ?? Block(repeating: 0, count: BlockMap.blockBytes)
    // Held once, it is changed in place.
    self[number] = nil
    BlockMap.overwrite(&block, from: from, with: bytes)
    self[number] = block
  }

  mutating func removeAll(from number: Int) {
    if number < blocks.count { blocks.removeLast(blocks.count - number) }
  }

  /// Fills `buffer` with what is at `offset`, holes as zeros.
  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) {
    for span in BlockSpans(at: offset, count: buffer.count) {
      BlockMap.copy(self[span.number], span, into: buffer)
    }
  }

  static func copy(_ block: Block?, _ span: BlockSpan, into buffer: UnsafeMutableRawBufferPointer) {
    let target = UnsafeMutableRawBufferPointer(
      rebasing: buffer[span.start..<span.start + span.count])
    guard let block else {
      // `initializeMemory` takes thirty times as long in a debug build.
      if let base = target.baseAddress { memset(base, 0, target.count) }
      return
    }
    block.withUnsafeBytes {
      target.copyMemory(
        from: UnsafeRawBufferPointer(rebasing: $0[span.from..<span.from + span.count]))
    }
  }

  static func overwrite(_ block: inout Block, from: Int, with bytes: [UInt8]) {
    block.withUnsafeMutableBytes { target in
      bytes.withUnsafeBytes {
        UnsafeMutableRawBufferPointer(rebasing: target[from..<from + $0.count])
          .copyMemory(from: $0)
      }
    }
  }
}

/// The part of a range of bytes that lies in one block.
struct BlockSpan {
  /// The block.
  var number: Int
  /// Where in the block.
  var from: Int
  /// Where in the range.
  var start: Int
  var count: Int
}

/// A range of bytes, block by block, in parts of at most `partBytes`.
struct BlockSpans: Sequence, IteratorProtocol {
  private let offset: Int
  private let count: Int
  private let partBytes: Int
  private var place = 0

  init(at offset: Int64, count: Int, partBytes: Int = BlockMap.blockBytes) {
    self.offset = Int(offset)
    self.count = count
    self.partBytes = partBytes > 0 ? partBytes : BlockMap.blockBytes
  }

  mutating func next() -> BlockSpan? {
    guard place < count else { return nil }
    let (number, from) = (offset + place).quotientAndRemainder(dividingBy: BlockMap.blockBytes)
    let length = Swift.min(
      count - place, BlockMap.blockBytes - from, partBytes - place % partBytes)
    defer { place += length }
    return BlockSpan(number: number, from: from, start: place, count: length)
  }
}
