internal import SluiceJournal
internal import SluiceShared

/// A journal segment that this process writes.
///
/// Made as an empty file of its full size, under its own name; its header goes into the same write as
/// its first frame, so that a segment costs one flush more than none.
struct OwnSegment {
  let file: any File
  let size: Int64
  /// When the file was made, by this host's clocks.
  let made: Moment
  /// And by the file server's: not later than it was, and not earlier. Two dates, since with NFS's exclusive
  /// create the first can be another where the client could not set it.
  let made_ms: (least: Int64, most: Int64)
  /// Whom the file belongs to, as the file server has it.
  let owner: UInt32
  /// Behind the last acknowledged frame.
  private(set) var end = Block.firstJournalFrame
  /// The chain: of the last acknowledged frame, or of the header.
  private var checksum: UInt32
  private let header: JournalSegmentHeader
  private let headerBlock: [UInt8]
  private let directory: String

  var number: UInt64 { header.id.number }
  var writer: WriterID { header.id.writer }
  private var isFirstFrame: Bool { end == Block.firstJournalFrame }

  /// Makes the file. Throws `.io` with EEXIST where the name is taken.
  init(
    _ header: JournalSegmentHeader, size: Int64, in layout: StoreLayout,
    _ environment: Environment
  ) throws(StoreError) {
    let path = "\(layout.journal)/\(StoreLayout.journalName(header.id))"
    made = Moment(environment.clock)
    file = try environment.fileSystem.createUncached(path, mode: 0o660)
    do throws(StoreError) {
      let status = try file.status()
      owner = status.owner
      let first_ms = status.modified_ms
      try file.resize(to: size)
      let last_ms = try file.status().modified_ms
      made_ms = (min(first_ms, last_ms), max(first_ms, last_ms))
    } catch {
      // Nothing was written to it and nobody can have relied on it; if it stays, it stays empty.
      try? environment.fileSystem.unlink(path)
      throw error
    }
    self.header = header
    self.size = size
    directory = layout.journal
    headerBlock = header.encoded()
    checksum = JournalSegmentHeader.checksum(of: headerBlock)
  }

  /// The frame that would come next.
  func frame(first: SequenceNumber, count: UInt32, _ sections: [SectionContent], ends: Bool)
    -> EncodedFrame
  {
    EncodedFrame(
      kind: .batches, endsSegment: ends, offset: end, nonce: header.nonce, previous: checksum,
      first: first.rawValue, count: count, sections: sections)
  }

  /// Beyond it a first frame is not copied to go with the header in one write.
  private static let mostTogether = 1 << 20

  /// Writes `frame` durably: one write (two for a large first frame), one sync, and for the first frame the directory's sync.
  func write(_ frame: EncodedFrame, _ environment: Environment) throws(StoreError) {
    if isFirstFrame, frame.bytes.count <= OwnSegment.mostTogether {
      try file.write(headerBlock + frame.bytes, at: Block.header)
    } else if isFirstFrame {
      // The header last: until it is there, nothing is.
      try file.write(frame.bytes, at: frame.header.offset)
      try file.write(headerBlock, at: Block.header)
    } else {
      try file.write(frame.bytes, at: frame.header.offset)
    }
    try file.sync()
    if isFirstFrame, environment.makes(.syncJournalDirectory) {
      try environment.fileSystem.syncDirectory(directory)
    }
  }

  /// Removes it, to which nothing was written.
  func discard(_ environment: Environment) {
    try? environment.fileSystem.unlink(file.path)
  }

  /// The handshake succeeded: the chain goes on behind `frame`.
  mutating func accept(_ frame: EncodedFrame) {
    end = frame.header.end
    checksum = frame.header.checksum
  }
}
