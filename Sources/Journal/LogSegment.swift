internal import Glibc
package import SluiceShared

/// One segment of the log, open for reading what its holder writes.
///
/// Frames before a published position must be whole: one that is not is read again past every cache
/// and is then damage. What lies behind is nobody's business but a claimant's.
package final class LogSegment: @unchecked Sendable {
  // Sendable: everything is set in `init`, or under a lock; `File` may be read from any thread.
  package let header: LogSegmentHeader
  /// The header block's checksum: the `previous` of the first frame.
  package let headerChecksum: UInt32
  package let file: any File
  private let checksSections: Bool
  /// What blocks 0–3 were when they were last read, and what that says: where nothing is new, it is the same.
  private let lastControl = Monitor<(blocks: [UInt8], control: Control)?>(nil)
  /// The start frame's, once it was read whole: nothing is ever written over it.
  private let knownStart: Monitor<(offset: Int64, record: StartRecord)?>

  package var number: UInt64 { header.number }

  /// Opens `path`; throws `.io` with ENOENT where the name is gone (list again).
  package init(
    path: String, store: StoreID, environment: Environment
  ) throws(StoreError) {
    let access: FileAccess = environment.makes(.sharedLog) ? .shared : .fixed
    file = try environment.fileSystem.open(path, access)
    checksSections = environment.makes(.wholeLogFrames)
    // With the blocks that come first of the frames: mostly the start frame is there.
    let head = try file.read(Self.headBytes, at: Block.header)
    var result: Result<(header: LogSegmentHeader, checksum: UInt32), StoreError> = .failure(
      StoreError(.damaged, "empty"))
    head.withUnsafeBytes { raw in
      do throws(StoreError) {
        result = .success(
          try LogSegmentHeader.decode(
            UnsafeRawBufferPointer(rebasing: raw.prefix(Block.size)), path: path, store: store))
      } catch {
        result = .failure(error)
      }
    }
    (header, headerChecksum) = try result.get()
    var scanner = FrameScanner(file, nonce: header.nonce, checksSections: checksSections)
    scanner.take(head, at: Block.header)
    let place = Block.firstLogFrame
    let isThere = head.count == Self.headBytes
    knownStart = Monitor(
      isThere ? (try? scanner.startRecord(at: place)).flatMap { $0 }.map { (place, $0) } : nil)
  }

  private static let headBytes = Int(Block.firstLogFrame - Block.header) + Block.size

  /// One that `finished` has read.
  init(
    _ file: any File, _ header: LogSegmentHeader, checksum: UInt32, start: StartRecord,
    at startFrame: Int64, _ environment: Environment
  ) {
    self.file = file
    self.header = header
    headerChecksum = checksum
    checksSections = environment.makes(.wholeLogFrames)
    knownStart = Monitor((startFrame, start))
  }

  /// Whether `other`, which has this segment's number for a name, is this segment; nil where its header
  /// cannot be read. A late claimant's file can have the name of one that was moved to `old/`.
  package func isSame(as other: any File) throws(StoreError) -> Bool? {
    let block = try other.read(Block.size, at: Block.header)
    let read = block.withUnsafeBytes { raw in
      try? LogSegmentHeader.decode(raw, path: other.path, store: header.store)
    }
    return read.map { $0.header.nonce == header.nonce }
  }

  /// The store that the segment at `path` says it is of. Throws `.damaged` where its header is not whole.
  package static func store(_ path: String, _ fileSystem: any FileSystem) throws(StoreError)
    -> StoreID
  {
    let block = try fileSystem.open(path, .shared).read(Block.size, at: Block.header)
    let id = block.withUnsafeBytes { raw -> StoreID? in
      guard SealedBlock.open(raw, seed: 0) != nil else { return nil }
      var reader = ByteReader(raw)
      guard (try? reader.take(16)) != nil else { return nil }
      return try? reader.identifier()
    }
    guard let id else {
      throw StoreError(
        .damaged, "the header of a log segment cannot be read; restore the file from a backup",
        path: path, offset: Block.header)
    }
    return id
  }

  /// A file of pages that is no segment of any log: what a replay keeps its pages in, to read them as a
  /// snapshot does.
  package init(pagesIn file: any File, store: StoreID, nonce: UInt64) {
    self.file = file
    header = LogSegmentHeader(
      store: store, number: 0, nonce: nonce, term: 0, created_ms: 0, holder: "")
    headerChecksum = 0
    checksSections = true
    knownStart = Monitor(nil)
  }

  /// Nobody writes what is in it again. (In a file of pages a replay does.)
  package var isOfLog: Bool { header.number > 0 }

  /// What blocks 0–3 say, in one read.
  package struct Control: Sendable {
    /// Somebody closed the segment, or it is gone for good.
    package var isClosed: Bool
    /// The newer of the two slots' beacons.
    package var beacon: Beacon?
    /// A slot holds something that is no whole beacon.
    package var hasUnreadableSlot: Bool
    /// The file ends within the blocks; it was made longer before it got its name.
    package var isTruncated = false

    /// The beacon, unless a newer one may stand in the slot that cannot be read. Only a release is
    /// written into both slots.
    package var believable: Beacon? {
      guard let beacon else { return nil }
      return hasUnreadableSlot && beacon.state != .released ? nil : beacon
    }
  }

  package func control() throws(StoreError) -> Control {
    do throws(StoreError) { return control(try file.read(4 * Block.size, at: 0)) } catch {
      guard error.isStaleHandle else { throw error }
      return Control(isClosed: true, beacon: nil, hasUnreadableSlot: false)
    }
  }

  /// Bytes that are read beside the blocks 0–3: what an access is metered as on EFS.
  private static let besideBytes = 32 << 10

  /// The same, and in the same round trip what stands at `offset`, which may be older than what the blocks say.
  func control(andFrames offset: Int64) throws(StoreError) -> (control: Control, frames: [UInt8]) {
    do throws(StoreError) {
      let (blocks, frames) = try file.read(
        4 * Block.size, at: 0, and: Self.besideBytes, at: offset)
      return (control(blocks), frames)
    } catch {
      guard error.isStaleHandle else { throw error }
      return (Control(isClosed: true, beacon: nil, hasUnreadableSlot: false), [])
    }
  }

  private func control(_ blocks: [UInt8]) -> Control {
    guard blocks.count == 4 * Block.size else {
      return Control(isClosed: true, beacon: nil, hasUnreadableSlot: false, isTruncated: true)
    }
    if let last = lastControl.withLock({ $0 }),
      memcmp(last.blocks, blocks, blocks.count) == 0
    {
      return last.control
    }
    let control = decoded(blocks)
    lastControl.withLock { $0 = (blocks, control) }
    return control
  }

  private func decoded(_ blocks: [UInt8]) -> Control {
    blocks.withUnsafeBytes { raw in
      func block(_ offset: Int64) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: raw[Int(offset)..<Int(offset) + Block.size])
      }
      var newest: Beacon?
      var unreadable = false
      for slot in [block(Block.beacons.0), block(Block.beacons.1)] {
        if let beacon = Beacon.decode(slot, segment: number, nonce: header.nonce) {
          if beacon.counter > newest?.counter ?? 0 { newest = beacon }
        } else if !SealedBlock.isZero(slot) {
          unreadable = true
        }
      }
      return Control(
        isClosed: Mark.isClosed(block(Block.mark)), beacon: newest, hasUnreadableSlot: unreadable)
    }
  }

  /// The slots that hold something that is no whole beacon.
  package func unreadableSlots() throws(StoreError) -> [Int64] {
    var slots: [Int64] = []
    for slot in [Block.beacons.0, Block.beacons.1] {
      let block = try file.read(Block.size, at: slot)
      let isUnreadable = block.withUnsafeBytes { raw in
        Beacon.decode(raw, segment: number, nonce: header.nonce) == nil && !SealedBlock.isZero(raw)
      }
      if isUnreadable { slots.append(slot) }
    }
    return slots
  }

  /// For a segment that has been cut off: what it published cannot be known any more.
  package func truncated() -> StoreError {
    StoreError(
      .damaged, "a log segment is cut off; restore the file from a backup", path: file.path,
      offset: Block.header + Int64(Block.size))
  }

  package func scanner() -> FrameScanner {
    FrameScanner(file, nonce: header.nonce, checksSections: checksSections)
  }

  /// What the start frame at `offset` says. Throws `.damaged` where there is none that is whole.
  package func startRecord(at offset: Int64) throws(StoreError) -> StartRecord {
    if let known = knownStart.withLock({ $0 }), known.offset == offset { return known.record }
    var scanner = scanner()
    scanner.readAhead = Block.size
    for _ in 0..<2 {
      if let record = try scanner.startRecord(at: offset) {
        knownStart.withLock { $0 = (offset, record) }
        return record
      }
      scanner.invalidate()
    }
    throw StoreError(
      .damaged, "the start frame of a log segment is damaged; restore the file from a backup",
      path: file.path, offset: offset)
  }

  /// All frames of the segment.
  package func frames() -> FrameChain {
    FrameChain(scanner(), from: Block.firstLogFrame, after: headerChecksum)
  }
}

/// A commit as its frame describes it, with what the caller asked for.
package struct Commit: Sendable {
  package var header: FrameHeader
  package var meta: CommitMeta

  package init(header: FrameHeader, meta: CommitMeta) {
    self.header = header
    self.meta = meta
  }

  package var first: TxID { TxID(header.first) }
  package var last: TxID { TxID(header.first + UInt64(header.count) - 1) }
  package var extent: LogExtent {
    LogExtent(txid: last, commits: meta.commit, time_ms: meta.time_ms)
  }
}

/// Walks the published frames of one segment in order. Where its chain ends before that, there is damage.
package struct LogCursor {
  package let segment: LogSegment
  private var chain: FrameChain
  private let end: Int64
  private let environment: Environment

  /// Behind the last frame that was read, and its checksum.
  package var offset: Int64 { chain.offset }
  package var checksum: UInt32 { chain.checksum }
  /// What was read last of the segment, all of it published where that is a frame's.
  package var lastRead: (offset: Int64, bytes: [UInt8]) { chain.scanner.lastRead }

  /// From `offset` (whose preceding frame has `checksum`) to `end`, which is published.
  package init(
    _ segment: LogSegment, from offset: Int64, checksum: UInt32, to end: Int64,
    environment: Environment
  ) {
    self.segment = segment
    self.end = end
    self.environment = environment
    chain = FrameChain(segment.scanner(), from: offset, after: checksum)
    chain.scanner.readAhead = Int(max(Int64(Block.size), min(end - offset, 256 << 10)))
  }

  /// Begins with what was read at its place already, where that is all that it goes over, and whole. Where it was
  /// read too early, or is more, it is read again.
  mutating func begin(with read: [UInt8]) {
    let count = Int(end - offset)
    guard count > 0, count <= read.count else { return }
    var ahead = chain
    ahead.scanner.take(Array(read.prefix(count)), at: offset)
    while ahead.offset < end {
      guard let frame = try? ahead.ahead(), frame.end <= end,
        (try? ahead.scanner.isWhole(frame)) == true
      else { return }
      ahead.pass(frame)
    }
    chain.scanner = ahead.scanner
  }

  /// From the segment's first frame.
  package init(_ segment: LogSegment, to end: Int64, environment: Environment) {
    self.init(
      segment, from: Block.firstLogFrame, checksum: segment.headerChecksum, to: end,
      environment: environment)
  }

  /// The next frame's header; nil at the end.
  package mutating func next() throws(StoreError) -> FrameHeader? {
    guard offset < end else { return nil }
    var header = try chain.ahead()
    if header == nil {
      chain.scanner.invalidate()
      header = try chain.ahead()
    }
    guard let header, header.end <= end else {
      guard environment.makes(.damageIsNoEnd) else { return nil }
      throw damage(at: offset, "a frame of the published log is damaged")
    }
    chain.pass(header)
    return header
  }

  /// A section of the frame just read; it must be there and whole.
  package mutating func section(_ id: SectionID, of header: FrameHeader) throws(StoreError)
    -> [UInt8]
  {
    for _ in 0..<2 {
      if let bytes = try chain.scanner.section(id, of: header, limit: Limits.commitBytes) {
        return bytes
      }
      chain.scanner.invalidate()
    }
    throw damage(at: header.offset, "section \(id.rawValue) of a published commit is damaged")
  }

  /// The frame's meta section as a commit.
  package mutating func commit(_ header: FrameHeader) throws(StoreError) -> Commit {
    let bytes = try section(.meta, of: header)
    do throws(DecodingError) {
      return Commit(header: header, meta: try CommitMeta(decoding: bytes))
    } catch {
      throw damage(at: header.offset, "a commit's description is damaged: \(error)")
    }
  }

  /// The changed pages of a commit or of a merged index, with offsets in the segment.
  package mutating func pages(of header: FrameHeader) throws(StoreError) -> [PageEntry] {
    let bytes = try section(.index, of: header)
    let base = header.section(.pages).map { header.offset + $0.offset } ?? 0
    do throws(DecodingError) { return try PageEntry.decode(bytes, base: base) } catch {
      throw damage(at: header.offset, "a page index is damaged: \(error)")
    }
  }

  package mutating func outcomes(of header: FrameHeader) throws(StoreError) -> [BatchOutcome] {
    let bytes = try section(.outcomes, of: header)
    do throws(DecodingError) { return try BatchOutcome.decode(bytes, count: header.count) } catch {
      throw damage(at: header.offset, "the outcomes of a commit are damaged: \(error)")
    }
  }

  private func damage(at offset: Int64, _ what: String) -> StoreError {
    StoreError(
      .damaged,
      "\(what); everything before it stays readable: make a checkpoint elsewhere or restore the file from a backup",
      path: segment.file.path, offset: offset)
  }
}
