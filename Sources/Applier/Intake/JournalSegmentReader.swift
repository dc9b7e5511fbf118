internal import Glibc
internal import SluiceJournal
internal import SluiceShared

/// One journal segment as the applier reads it: somebody else's file, perhaps being written.
///
/// A frame that is not whole is "not yet". What is read here is applied at most once, since batches
/// are known by writer and sequence number; so reading too early or twice does no harm. The file is
/// open only while it is used: where more segments wait than may be open, it is closed and opened
/// anew, and what was read of it is remembered.
///
/// Used by one thread at a time.
final class JournalSegmentReader {
  let id: JournalSegmentID
  let path: String
  /// So many names the file may have: one, and a second in quarantine.
  var names: UInt32
  /// nil: it is not open.
  private var opened: Opened?
  var file: (any File)? { opened?.file }
  /// The file as it was first opened: another one under the name is a new one.
  private var inode: UInt64?
  /// Who owns the file; the same for all segments of a writer. 0 before it was opened.
  private(set) var owner: UInt32 = 0
  /// The same; nil before it was opened.
  var knownOwner: UInt32? { inode == nil ? nil : owner }
  private(set) var group: UInt32 = 0
  /// When it was last written before it was first opened here, by the file server's clock; not before it
  /// was made.
  private(set) var modified_ms = Int64.min
  private(set) var header: JournalSegmentHeader?
  /// Behind the last whole frame.
  private(set) var offset = Block.firstJournalFrame
  /// Of that frame, or of the header.
  private var checksum: UInt32 = 0
  /// Parts behind the last batches, for the next ones.
  private var parts: [PlacedPart] = []
  private let environment: Environment
  /// A frame with the end flag was read.
  private(set) var isEnded = false
  /// What this process has done to its mark.
  var mark = SegmentMark.untouched
  /// When something new was last found in it, and when it is to be read again (boot time).
  var lastNews: Duration
  var nextPoll: Duration = .zero
  /// When it was last used (boot time): the first to be closed is the one that rests longest.
  private(set) var lastUse: Duration = .zero
  /// What was there when it was opened was read.
  private(set) var wasRead = false
  /// What the last look left of it.
  var left = Left.nothing
  /// Its date was taken into account.
  var isDated = false
  /// The listing that first showed it.
  var listing: UInt64 = 0
  /// Batches of it that were read and are in no commit yet.
  var waitingBatches = 0
  /// The last commit that holds batches of it ends with this.
  var lastTxID = TxID.zero
  /// A frame whose header is whole and whose bytes are not, and when it is summed again.
  private var unwhole: (checksum: UInt32, pause: Duration, until: Duration)?
  /// All between the last whole frame and this is zeros.
  private var zerosUpTo: Int64 = 0

  /// What goes with the open file.
  private struct Opened {
    let file: any File
    /// Those that were not read yet; nil before the header was read.
    var frames: FrameChain?
    /// It is among those that are counted as open.
    var isCounted = false
  }

  init(_ id: JournalSegmentID, path: String, names: UInt32, environment: Environment) {
    self.id = id
    self.path = path
    self.names = names
    self.environment = environment
    lastNews = environment.clock.elapsed()
  }

  /// Opens somebody else's file with the care that asks for: no links followed, no device waited
  /// for, a regular file with one name, and the same one as before. Throws with ESTALE where another
  /// file has the name now.
  func open() throws(StoreError) -> any File {
    lastUse = environment.clock.elapsed()
    if let file { return file }
    let access: FileAccess = environment.makes(.sharedJournal) ? .shared : .fixed
    let found = try environment.fileSystem.open(path, access)
    let status = try found.status()
    guard status.kind == .regular, status.links <= names else {
      throw StoreError(
        .foreign,
        status.kind == .regular
          ? "a journal file has one name, and this one has \(status.links), so it is not read; if it is a writer's own, stop the appliers at once, remove the other names, and start them again: what its writer submits later is refused until then"
          : "a journal file must be a regular file; remove it from the journal",
        path: path)
    }
    if let inode {
      guard inode == status.inode, owner == status.owner else {
        throw StoreError(
          .io, "another file has taken the name of one that was read", path: path, errno: ESTALE)
      }
    } else {
      inode = status.inode
      owner = status.owner
      group = status.group
      modified_ms = status.modified_ms
    }
    opened = Opened(file: found, frames: header.map { chain(of: found, $0.nonce) })
    return found
  }

  private var isBounded: Bool { environment.makes(.boundedLooks) }

  /// Forgets the open file; what was read stays known.
  func closeFile() { opened = nil }

  /// False where it is not open, or was counted already.
  func takeForCounting() -> Bool {
    guard opened?.isCounted == false else { return false }
    opened?.isCounted = true
    return true
  }

  /// The frames that were not read yet.
  private func chain(of file: any File, _ nonce: UInt64) -> FrameChain {
    let scanner = FrameScanner(
      file, nonce: nonce, checksSections: environment.makes(.wholeJournalFrames))
    return FrameChain(scanner, from: offset, after: checksum)
  }

  /// A whole frame of batches, still as it was stored.
  struct Frame {
    let first: SequenceNumber
    let count: UInt32
    let end: Int64
    /// The batches section, decompressed when the frame is opened.
    var stored: [UInt8]
    let codec: Codec
    /// At most `mostRawBytes`, whatever the frame says: they are added up before it is opened.
    let rawBytes: Int64
    /// What comes before it of a page batch.
    var parts: [PlacedPart] = []
    /// Its batches, once somebody has opened it; the same for all copies of this.
    let opened = OpenedFrame()

    /// One more than a frame may have, and so refused.
    static let mostRawBytes = Int64(Limits.journalFrameBytes) + 1
    /// What is kept of a batch beside its bytes, until it is executed.
    private static let bytesPerBatch: Int64 = 64

    var last: SequenceNumber { SequenceNumber(first.rawValue + UInt64(count) - 1) }

    /// About the memory that it takes while it waits.
    var weight: Int64 { rawBytes + Int64(count) * Frame.bytesPerBatch }
  }

  /// Bytes read at once.
  private static let smallestRead = 16 << 10
  private static let largestRead = 1 << 20

  /// Reads what is new from the server: whole frames in order, at most about `bytes` of them, and none
  /// that is stored in more than `largest` bytes.
  func poll(store: StoreID, atMost bytes: Int64, largest: Int64 = .max, now: Duration)
    throws(StoreError) -> News
  {
    _ = try open()
    opened?.frames?.scanner.invalidate()
    var news = News()
    if header == nil {
      guard try readHeader(store) else {
        wasRead = true
        return news
      }
    }
    var total: Int64 = 0
    let start = offset
    opened?.frames?.scanner.readAhead = JournalSegmentReader.smallestRead
    while !isEnded {
      guard total < bytes || !isBounded else {
        news.left = .more
        break
      }
      let step: Step
      do throws(StoreError) { step = try nextFrame(largest) } catch {
        // What was read is taken in first; the error comes again.
        guard !news.frames.isEmpty || offset > start else { throw error }
        news.left = .more
        break
      }
      switch step {
      case .frame(let frame):
        // As much at once as was found so far: a new term reads whole segments, and each read is a
        // round trip; a term that is up to date reads no further than there is something.
        opened?.frames?.scanner.readAhead = min(
          max(JournalSegmentReader.smallestRead, Int(offset - start)),
          JournalSegmentReader.largestRead)
        if let frame { news.frames.append(frame) }
        total += max(frame?.weight ?? parts.last.map { Int64($0.bytes) } ?? 0, 4096)
        // What a new term finds is as old as the file's date.
        if wasRead { lastNews = now }
        continue
      case .nothing: break
      case .tooLarge: news.left = .large
      case .notAgainYet:
        news.left = .more
        wasRead = true
      }
      break
    }
    if news.left == .nothing { wasRead = true }
    opened?.frames?.scanner.invalidate()
    return news
  }

  /// Reads the header of a segment that is not read yet.
  func peekHeader(_ store: StoreID) throws(StoreError) { _ = try readHeader(store) }

  /// Reads the first frames with it, for which one round trip is enough then.
  private func readHeader(_ store: StoreID) throws(StoreError) -> Bool {
    let file = try open()
    let read = try file.read(
      Block.size + JournalSegmentReader.smallestRead, at: Block.header)
    let block = Array(read.prefix(Block.size))
    switch block.withUnsafeBytes({ JournalSegmentHeader.decode($0) }) {
    case .absent: return false
    case .unsupported(let version):
      throw StoreError(
        .unsupported,
        "a writer uses format \(version), this applier knows \(formatVersion); upgrade the applier",
        path: path)
    case .header(let decoded, let sum):
      guard decoded.store == store else {
        throw StoreError(
          .foreign,
          "this journal file says it is of store \(decoded.store), and store.json says \(store); it is not read: find out which was put here from elsewhere, and move a journal file back to where it belongs, since it may hold what was acknowledged",
          path: path)
      }
      guard decoded.id == id else {
        throw StoreError(
          .foreign,
          "this journal file has another file's name: it says it is \(StoreLayout.journalName(decoded.id)); it is not read: give it that name again, since it may hold what was acknowledged",
          path: path)
      }
      header = decoded
      checksum = sum
      opened?.frames = chain(of: file, decoded.nonce)
      opened?.frames?.scanner.take(Array(read.dropFirst(Block.size)), at: Block.firstJournalFrame)
      return true
    }
  }

  private enum Step {
    /// nil: an end frame without batches.
    case frame(Frame?)
    /// Nothing whole there.
    case nothing
    /// Something that takes more than was allowed for.
    case tooLarge
    /// What was found not to be whole a moment ago.
    case notAgainYet
  }

  private func nextFrame(_ largest: Int64) throws(StoreError) -> Step {
    guard let found = try opened?.frames?.ahead(), found.kind == .batches,
      found.length <= Int64(Limits.journalFrameBytes),
      found.end <= Limits.mostJournalSegmentBytes,
      found.holdsItsBatches || !environment.makes(.countsAgainstBytes)
    else { return .nothing }
    var frame: Frame?
    if let section = found.count > 0 ? found.section(.batches) : found.part {
      if let unwhole, isBounded, unwhole.checksum == found.checksum,
        environment.clock.elapsed() < unwhole.until
      {
        return .notAgainYet
      }
      guard section.storedBytes <= largest else { return .tooLarge }
      let began = environment.clock.elapsed()
      guard let stored = try opened?.frames?.scanner.stored(section, of: found) else {
        doubt(found, section, since: began)
        return .nothing
      }
      if found.count > 0 {
        frame = Frame(
          first: SequenceNumber(found.first), count: found.count, end: found.end, stored: stored,
          codec: section.codec, rawBytes: min(section.rawBytes, Frame.mostRawBytes), parts: parts)
        parts = []
      } else {
        PlacedPart(section, of: found).add(to: &parts)
      }
    }
    opened?.frames?.pass(found)
    offset = found.end
    checksum = found.checksum
    isEnded = found.endsSegment
    unwhole = nil
    return .frame(frame)
  }

  /// Below it a frame is summed at each look: that costs no more than the look.
  private static let smallFrame: Int64 = 256 << 10
  private static let longestPause = Duration.seconds(30)

  /// A frame of which some is missing is most likely being written, and there in a moment. One that
  /// stays so is summed ever more seldom.
  private func doubt(_ found: FrameHeader, _ section: FrameSection, since began: Duration) {
    guard section.storedBytes > JournalSegmentReader.smallFrame else { return }
    let now = environment.clock.elapsed()
    var pause = max(.milliseconds(2), (now - began) * 4)
    if let unwhole, unwhole.checksum == found.checksum {
      pause = min(max(pause, unwhole.pause * 2), JournalSegmentReader.longestPause)
    }
    unwhole = (found.checksum, pause, now + pause)
  }

  /// Whether its next frame was summed and found not to be whole, and until when that is believed.
  var isDoubtful: Bool { unwhole != nil }
  /// There was more of it than was read.
  var holdsMore: Bool { left == .more && !isDoubtful }
  var doubtfulUntil: Duration? { unwhole?.until }

  /// Closes the segment for its writer. What the writer acknowledged before is read by the next
  /// poll; what it flushes later it will not acknowledge.
  func close(by name: String) throws(StoreError) {
    guard !mark.isSet else { return }
    // Only a mark that is there counts here. To the segment's owner a file too short to have one is
    // closed; but an owner that has just made the file, and not yet given it its size, would find
    // an empty mark after all, and acknowledge into a file that is being removed.
    let block = try open().read(Block.size, at: Block.mark)
    if mark.isInDoubt || block.isZero {
      mark.begin()
      let writable = try environment.fileSystem.open(path, .write)
      try Mark.write(to: writable, by: name, time_ms: environment.clock.wallTime_ms())
    }
    mark.finish()
    // It is summed once more, since its write may have ended before the mark.
    unwhole = nil
    zerosUpTo = 0
  }

  enum Remains {
    case none
    /// A torn or damaged write, nobody can tell.
    case some
    /// It goes on behind the longest segment that there is.
    case tooLong
    /// Not everything was looked at.
    case unknown
  }

  /// Bytes that one look for remains reads at most, and as many as a look's time is enough for.
  private static let mostScannedAtOnce: Int64 = 16 << 20

  /// Whether anything lies behind the last whole frame. Goes on where it stopped the last time.
  func remains() throws(StoreError) -> Remains {
    let file = try open()
    guard try file.read(1, at: Limits.mostJournalSegmentBytes).isEmpty else { return .tooLong }
    var place = max(zerosUpTo, header == nil ? Block.header : offset)
    let end = isBounded ? place + JournalSegmentReader.mostScannedAtOnce : .max
    let began = environment.clock.elapsed()
    while place < end {
      guard let data = try file.nextData(from: place) else { return .none }
      place = data
      let piece = try file.read(1 << 20, at: place)
      guard piece.isZero else { return .some }
      place += Int64(piece.count)
      if piece.count < 1 << 20 { return .none }
      if LookBudget.isOver(since: began, environment) { break }
    }
    zerosUpTo = place
    return .unknown
  }

  /// How long the file is, where that is less than was read of it.
  func lostLength() -> Int64? {
    guard let size = try? open().status().size, size < offset, header != nil else { return nil }
    return size
  }
}
