internal import SluiceJournal
internal import SluiceShared

/// One journal segment as the applier reads it: somebody else's file, perhaps being written.
///
/// A frame that is not whole is "not yet". What is read here is applied at most once, since batches
/// are known by writer and sequence number; so reading too early or twice does no harm.
///
/// Used by one thread at a time.
final class JournalSegmentReader {
  let id: JournalSegmentID
  let path: String
  let file: any File
  /// Who owns the file; the same for all segments of a writer.
  let owner: UInt32
  /// When it was last written before it was opened here, by the file server's clock; not before it was
  /// made.
  let modified_ms: Int64
  private(set) var header: JournalSegmentHeader?
  private(set) var offset = Block.firstJournalFrame
  private var checksum: UInt32 = 0
  private var scanner: FrameScanner
  private let checksSections: Bool
  /// A frame with the end flag was read.
  private(set) var isEnded = false
  /// This process closed it.
  private(set) var isMarked = false
  /// When something behind the last whole frame of a closed segment was first seen (boot time).
  var remainsSince: Duration?
  /// When something new was last found in it, and when it is to be read again (boot time).
  var lastNews: Duration
  var nextPoll: Duration = .zero
  /// The listing that first showed it.
  var listing: UInt64 = 0
  /// Batches of it that were read and are in no commit yet.
  var waitingBatches = 0
  /// The last commit that holds batches of it ends with this.
  var lastTxID = TxID.zero

  /// Opens somebody else's file with the care that asks for: no links followed, no device waited
  /// for, a regular file with one name.
  init(_ id: JournalSegmentID, path: String, names: UInt32, environment: Environment)
    throws(StoreError)
  {
    self.id = id
    self.path = path
    let access: FileAccess = environment.makes(.sharedJournal) ? .shared : .fixed
    file = try environment.fileSystem.open(path, access)
    let status = try file.status()
    guard status.kind == .regular, status.links <= names else {
      throw StoreError(
        .foreign,
        "a journal file must be a regular file with one name; remove it from the journal",
        path: path)
    }
    owner = status.owner
    modified_ms = status.modified_ms
    checksSections = environment.makes(.wholeJournalFrames)
    scanner = FrameScanner(file, nonce: 0)
    lastNews = environment.clock.elapsed()
  }

  /// A whole frame of batches, still as it was stored.
  struct Frame {
    let first: SequenceNumber
    let count: UInt32
    let end: Int64
    /// The batches section, decompressed when the frame is opened.
    let stored: [UInt8]
    let codec: Codec
    /// At most `mostRawBytes`, whatever the frame says: they are added up before it is opened.
    let rawBytes: Int64

    /// One more than a frame may have, and so refused.
    static let mostRawBytes = Int64(Limits.journalFrameBytes) + 1

    var last: SequenceNumber { SequenceNumber(first.rawValue + UInt64(count) - 1) }

    /// The frame's batches; throws where they are not what the header says.
    func batches() throws(DecodingError) -> (bytes: [UInt8], ranges: [Range<Int>]) {
      var bytes = stored
      if codec == .zstd {
        guard rawBytes <= Int64(Limits.journalFrameBytes),
          let raw = stored.withUnsafeBytes({
            Decompressor().decompress($0, count: Int(rawBytes))
          })
        else { throw DecodingError("its batches cannot be decompressed") }
        bytes = raw
      }
      return (bytes, try BatchList.ranges(bytes, count: Int(count)))
    }
  }

  /// Bytes read at once.
  private static let smallestRead = 16 << 10
  private static let largestRead = 1 << 20

  /// Reads what is new from the server. Returns whole frames in order, at most about `bytes` of
  /// them; none where there is nothing new.
  func poll(store: StoreID, atMost bytes: Int64, now: Duration) throws(StoreError) -> [Frame] {
    scanner.invalidate()
    if header == nil {
      guard try readHeader(store) else { return [] }
    }
    var frames: [Frame] = []
    var total: Int64 = 0
    let start = offset
    scanner.readAhead = JournalSegmentReader.smallestRead
    while !isEnded, total < bytes, let frame = try nextFrame() {
      // As much at once as was found so far: a new term reads whole segments, and each read is a
      // round trip; a term that is up to date reads no further than there is something.
      scanner.readAhead = min(
        max(JournalSegmentReader.smallestRead, Int(offset - start)),
        JournalSegmentReader.largestRead)
      if let frame {
        frames.append(frame)
        total += max(frame.rawBytes, 512)
      }
      lastNews = now
    }
    scanner.invalidate()
    return frames
  }

  /// Reads the header of a segment that is not read yet.
  func peekHeader(_ store: StoreID) throws(StoreError) { _ = try readHeader(store) }

  private func readHeader(_ store: StoreID) throws(StoreError) -> Bool {
    let block = try file.read(Block.size, at: Block.header)
    switch block.withUnsafeBytes({ JournalSegmentHeader.decode($0) }) {
    case .absent: return false
    case .unsupported(let version):
      throw StoreError(
        .unsupported,
        "a writer uses format \(version), this applier knows \(formatVersion); upgrade the applier",
        path: path)
    case .header(let decoded, let sum):
      guard decoded.store == store, decoded.id == id else {
        throw StoreError(
          .foreign,
          "this journal file says it is \(decoded.id) of store \(decoded.store), and store.json says \(store); it is not read: find out which was put here from elsewhere, and move a journal file back to where it belongs, since it may hold what was acknowledged",
          path: path)
      }
      header = decoded
      checksum = sum
      scanner = FrameScanner(file, nonce: decoded.nonce, checksSections: checksSections)
      return true
    }
  }

  /// nil: nothing whole there. `.some(nil)`: an end frame without batches.
  private func nextFrame() throws(StoreError) -> Frame?? {
    guard let found = try scanner.header(at: offset), found.kind == .batches,
      found.previous == checksum, found.length <= Int64(Limits.journalFrameBytes),
      found.count <= UInt32(Limits.batchesPerFrame)
    else { return nil }
    var frame: Frame?
    if found.count > 0 {
      guard let section = found.section(.batches) else { return nil }
      guard let stored = try scanner.stored(section, of: found) else { return nil }
      frame = Frame(
        first: SequenceNumber(found.first), count: found.count, end: found.end, stored: stored,
        codec: section.codec, rawBytes: min(section.rawBytes, Frame.mostRawBytes))
    }
    offset = found.end
    checksum = found.checksum
    isEnded = found.endsSegment
    return .some(frame)
  }

  /// Closes the segment for its writer. What the writer acknowledged before is read by the next
  /// poll; what it flushes later it will not acknowledge.
  func close(by name: String, environment: Environment) throws(StoreError) {
    guard !isMarked else { return }
    // Only a mark that is there counts here. To the segment's owner a file too short to have one is
    // closed; but an owner that has just made the file, and not yet given it its size, would find
    // an empty mark after all, and acknowledge into a file that is being removed.
    let block = try file.read(Block.size, at: Block.mark)
    if !block.contains(where: { $0 != 0 }) {
      let writable = try environment.fileSystem.open(path, .write)
      try Mark.write(to: writable, by: name, time_ms: environment.clock.wallTime_ms())
    }
    isMarked = true
  }

  /// Whether anything lies behind the last whole frame: a torn or damaged write, nobody can tell.
  func hasRemains() throws(StoreError) -> Bool {
    try anything(from: header == nil ? Block.header : offset)
  }

  private func anything(from start: Int64) throws(StoreError) -> Bool {
    var place = start
    while true {
      let piece = try file.read(1 << 20, at: place)
      if piece.contains(where: { $0 != 0 }) { return true }
      if piece.count < 1 << 20 { return false }
      place += Int64(piece.count)
    }
  }
}
