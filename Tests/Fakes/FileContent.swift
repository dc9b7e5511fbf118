/// What a file holds at the server, and what of it a loss of power may take back.
struct FileContent {
  /// A block that was changed since it was last made durable.
  private struct Unsettled {
    var stable: BlockMap.Block?
    /// A sync failed: no later one on that machine makes it durable.
    var isForgotten = false
    /// What the block was after the file had been cut, which is as durable as the size.
    var cut: BlockMap.Block??
  }

  private(set) var blocks = BlockMap()
  private(set) var size: Int64 = 0
  private var unsettled: [Int: Unsettled] = [:]
  /// Whether any of them was cut.
  private var hasCuts = false
  /// The size on the disk, where it is another.
  private var stableSize: Int64?

  var isStable: Bool { unsettled.isEmpty && stableSize == nil }

  // MARK: What clients do

  /// Reads as much as there is at `offset`; returns how much that is.
  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) -> Int {
    guard offset < size, offset >= 0 else { return 0 }
    let count = Int(min(Int64(buffer.count), size - offset))
    blocks.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<count]), at: offset)
    return count
  }

  /// Where the first block that is no hole begins, or `offset` within it.
  func nextData(from offset: Int64) -> Int64? {
    guard offset < size else { return nil }
    let first = Int(offset / Int64(BlockMap.blockBytes))
    guard first < blocks.end else { return nil }
    for number in first..<blocks.end where blocks[number] != nil {
      return max(offset, Int64(number) * Int64(BlockMap.blockBytes))
    }
    return nil
  }

  mutating func write(_ bytes: [UInt8], to number: Int, from: Int) {
    unsettle(number)
    blocks.write(bytes, to: number, from: from)
    let end = Int64(number * BlockMap.blockBytes + from + bytes.count)
    if end > size { setSize(end) }
  }

  mutating func resize(to newSize: Int64) {
    if newSize < size {
      let last = Int((newSize + Int64(BlockMap.blockBytes) - 1) / Int64(BlockMap.blockBytes))
      if last < blocks.end {
        for number in last..<blocks.end where blocks[number] != nil { unsettle(number) }
      }
      let from = Int(newSize % Int64(BlockMap.blockBytes))
      if from > 0, blocks[last - 1] != nil { unsettle(last - 1) }
      cut(to: newSize)
      for number in unsettled.keys where number >= last || number == last - 1 && from > 0 {
        unsettled[number]?.cut = .some(blocks[number])
        hasCuts = true
      }
    }
    if newSize != size { setSize(newSize) }
  }

  private mutating func setSize(_ newSize: Int64) {
    if stableSize == nil { stableSize = size }
    size = newSize
    if stableSize == size { stableSize = nil }
  }

  private mutating func unsettle(_ number: Int) {
    if unsettled[number] == nil {
      unsettled[number] = Unsettled(stable: blocks[number])
    } else {
      unsettled[number]?.isForgotten = false
    }
  }

  /// Frees what lies behind `end`: where the file grows again, it has zeros.
  private mutating func cut(to end: Int64) {
    let last = Int((end + Int64(BlockMap.blockBytes) - 1) / Int64(BlockMap.blockBytes))
    blocks.removeAll(from: last)
    let from = Int(end % Int64(BlockMap.blockBytes))
    if from > 0, blocks[last - 1] != nil {
      blocks.write(
        [UInt8](repeating: 0, count: BlockMap.blockBytes - from), to: last - 1, from: from)
    }
  }

  /// Behind everybody's back.
  mutating func damage(at offset: Int64, _ change: (inout UInt8) -> Void) {
    guard offset >= 0, offset < size else { return }
    let (number, from) = Int(offset).quotientAndRemainder(dividingBy: BlockMap.blockBytes)
    var byte = blocks[number]?[from] ?? 0
    change(&byte)
    blocks.write([byte], to: number, from: from)
  }

  // MARK: Durability

  /// The block is on the disk.
  mutating func settle(_ number: Int) {
    if !unsettled.isEmpty { unsettled[number] = nil }
  }

  /// The size is on the disk.
  mutating func settleSize() {
    stableSize = nil
    guard hasCuts else { return }
    for number in Array(unsettled.keys) {
      guard let old = unsettled[number], let cut = old.cut else { continue }
      unsettled[number] =
        cut == blocks[number] ? nil : Unsettled(stable: cut, isForgotten: old.isForgotten)
    }
    hasCuts = false
  }

  /// All that no sync has failed for is on the disk.
  mutating func settle() {
    stableSize = nil
    guard !unsettled.isEmpty else { return }
    settleSize()
    unsettled = unsettled.filter(\.value.isForgotten)
  }

  /// A sync that was to make the block durable has failed.
  mutating func forget(_ number: Int) { unsettled[number]?.isForgotten = true }

  /// All that there is, is on the disk.
  mutating func becomeStable() {
    unsettled = [:]
    stableSize = nil
  }

  /// What is on the disk for certain.
  func stable() -> FileContent {
    guard !isStable else { return self }
    var random = SeededRandom(seed: 0)
    var copy = self
    copy.losePower(&random, surviving: 0)
    return copy
  }

  /// What was not durable is lost, in whole or block by block; `surviving` is the probability that
  /// a block had reached the disk all the same.
  mutating func losePower(_ random: inout SeededRandom, surviving: Double) {
    guard !isStable else { return }
    let newSize = stableSize.map { random.chance(surviving) ? size : $0 } ?? size
    for number in unsettled.keys.sorted() {
      guard let old = unsettled[number] else { continue }
      let isFreed = newSize > size && Int64((number + 1) * BlockMap.blockBytes) > size
      if isFreed || !random.chance(surviving) {
        blocks[number] = old.stable
      } else if random.chance(0.1) {
        tear(number, old.stable, &random)
      }
    }
    size = newSize
    cut(to: newSize)
    becomeStable()
  }

  /// The disk had written some sectors of the block.
  private mutating func tear(
    _ number: Int, _ stable: BlockMap.Block?, _ random: inout SeededRandom
  ) {
    let sectors = 1 + random.below(BlockMap.blockBytes / 512 - 1)
    let old = stable ?? BlockMap.Block(repeating: 0, count: BlockMap.blockBytes)
    guard blocks[number] != nil else { return }
    blocks.write(Array(old[(sectors * 512)...]), to: number, from: sectors * 512)
  }

  var bytes: [UInt8] {
    [UInt8](unsafeUninitializedCapacity: Int(size)) { buffer, filled in
      filled = read(into: UnsafeMutableRawBufferPointer(buffer), at: 0)
    }
  }
}
