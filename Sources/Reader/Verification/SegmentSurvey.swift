internal import SluiceJournal
internal import SluiceShared

/// The frames of a segment up to a published position; where one is damaged, the next one that is whole is
/// looked for at the beginning of each block.
///
/// Nothing else looks like a frame: its checksum begins with the segment's nonce and holds its place.
struct SegmentSurvey {
  enum Found {
    /// `isChained`: it names the frame before it.
    case frame(FrameHeader, isChained: Bool)
    /// Where no frame is.
    case gap(offset: Int64, length: Int64)
  }

  /// What a commit's sections say, as far as they are whole.
  struct Parts {
    var meta: CommitMeta?
    var entries: [PageEntry]?
    /// A whole section that says what cannot be.
    var unsound: String?
  }

  var scanner: FrameScanner
  private let segment: LogSegment
  private let end: Int64
  private var offset = Block.firstLogFrame
  /// What the next frame has to name; nil behind a gap.
  private var checksum: UInt32?
  private var told: Int64 = 0
  private var window: [UInt8] = []
  private var windowOffset: Int64 = 0
  private static let windowBytes = 1 << 20

  init(_ segment: LogSegment, end: Int64) {
    self.segment = segment
    self.end = end
    checksum = segment.headerChecksum
    scanner = segment.scanner()
  }

  mutating func next() throws(StoreError) -> Found? {
    guard offset < end else { return nil }
    if let frame = try header(at: offset) {
      let isChained = checksum == nil || checksum == frame.previous
      checksum = frame.checksum
      offset = frame.end
      return .frame(frame, isChained: isChained)
    }
    let start = offset
    while offset < end {
      offset += Int64(Block.size)
      if try header(at: offset) != nil { break }
    }
    checksum = nil
    return .gap(offset: start, length: offset - start)
  }

  private mutating func header(at offset: Int64) throws(StoreError) -> FrameHeader? {
    for _ in 0..<2 {
      if let frame = try scanner.header(at: offset), frame.end <= end { return frame }
      // Only a first block that looks like one is worth a second look.
      let block = try scanner.firstBlock(at: offset)
      guard block.starts(with: FrameHeader.firstBytes) else { return nil }
      scanner.invalidate()
    }
    return nil
  }

  /// The batch that the frame goes on with which comes next; nil at the end.
  mutating func nextTxID() throws(StoreError) -> TxID? {
    guard offset < end, let frame = try header(at: offset) else { return nil }
    return frame.kind == .commit ? TxID(frame.first) : TxID(frame.first).next
  }

  /// Bytes of the segment that were passed since this was asked last.
  mutating func takeBytes() -> Int {
    defer { told = offset }
    return Int(offset - told)
  }

  mutating func parts(of frame: FrameHeader) throws(StoreError) -> Parts {
    var parts = Parts()
    let base = frame.section(.pages).map { frame.offset + $0.offset } ?? 0
    let meta = try scanner.section(.meta, of: frame, limit: Limits.commitBytes)
    let index = try scanner.section(.index, of: frame, limit: Limits.commitBytes)
    let outcomes = try scanner.section(.outcomes, of: frame, limit: Limits.commitBytes)
    let batches = try scanner.section(.batches, of: frame, limit: Limits.commitBytes)
    let consumed = try scanner.section(.consumed, of: frame, limit: Limits.commitBytes)
    do throws(DecodingError) {
      if let meta { parts.meta = try CommitMeta(decoding: meta) }
      if let index { parts.entries = try PageEntry.decode(index, base: base) }
      if let outcomes { _ = try BatchOutcome.decode(outcomes, count: frame.count) }
      if let batches { _ = try BatchList.ranges(batches, count: Int(frame.count)) }
      if let consumed { _ = try ConsumedThrough.decode(consumed) }
    } catch {
      parts.unsound = "\(error)"
    }
    return parts
  }

  /// The entries whose pages are not what they say.
  mutating func damagedPages(_ entries: [PageEntry], pageSize: Int) throws(StoreError)
    -> [PageEntry]
  {
    let workspace = PageWorkspace.take()
    defer { PageWorkspace.give(workspace) }
    let page = UnsafeMutableRawBufferPointer(rebasing: workspace.page[0..<pageSize])
    var damaged: [PageEntry] = []
    for entry in entries {
      let count = Int(entry.storedBytes)
      guard count <= pageSize, try covers(entry.offset, count) else {
        damaged.append(entry)
        continue
      }
      let start = Int(entry.offset - windowOffset)
      let isWhole = window.withUnsafeBytes { raw in
        let stored = UnsafeRawBufferPointer(rebasing: raw[start..<start + count])
        if count == pageSize { return crc32c(stored) == entry.crc }
        return workspace.decompressor.decompress(stored, into: page)
          && crc32c(UnsafeRawBufferPointer(page)) == entry.crc
      }
      if !isWhole { damaged.append(entry) }
    }
    return damaged
  }

  private mutating func covers(_ place: Int64, _ count: Int) throws(StoreError) -> Bool {
    if place >= windowOffset, place + Int64(count) <= windowOffset + Int64(window.count) {
      return true
    }
    window = try segment.file.read(max(Self.windowBytes, count), at: place)
    windowOffset = place
    return window.count >= count
  }
}
