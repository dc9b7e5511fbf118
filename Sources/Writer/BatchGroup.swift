internal import SluiceJournal
internal import SluiceShared

/// Batches that are written together, in one frame.
struct BatchGroup {
  /// The first try to write them.
  struct FirstWrite {
    let began: Moment
    /// When the segment was made that it went into, by the file server's clock.
    let segmentMade_ms: Int64
  }

  let first: SequenceNumber
  let count: UInt32
  let sections: [SectionContent]
  /// What comes before them, in frames of its own.
  let parts: PageParts?
  /// nil until a write of them begins; does not change any more then.
  private(set) var firstWrite: FirstWrite?

  var mayHaveLanded: Bool { firstWrite != nil }
  /// The sequence number behind them.
  var end: SequenceNumber { first.advanced(by: UInt64(count)) }
  var last: SequenceNumber { first.advanced(by: UInt64(count) - 1) }
  var mostFrameBytes: Int { Block.roundUp(sections.reduce(256) { $0 + $1.stored.count }) }

  /// Of the segment, by the parts at most: each has a block for its header, and is whole blocks.
  var mostPartsBytes: Int {
    parts?.list.reduce(0) { $0 + Block.roundUp($1.bytes) + Block.size } ?? 0
  }

  /// `batches` with their length in front (`Batch.listed`). Throws `.limit` where they do not fit a frame.
  init(
    first: SequenceNumber, _ batches: [[UInt8]], parts: PageParts? = nil, _ compressor: Compressor
  ) throws(StoreError) {
    self.parts = parts
    let bytes = batches.reduce(0) { $0 + $1.count }
    guard !batches.isEmpty, batches.count <= Limits.batchesPerFrame,
      bytes <= Limits.journalBatchesBytes
    else {
      throw StoreError(
        .limit,
        "a flush takes 1 to \(Limits.batchesPerFrame) batches of at most \(Limits.journalBatchesBytes) bytes, this one \(batches.count) of \(bytes)"
      )
    }
    self.first = first
    count = UInt32(batches.count)
    var content = ByteWriter()
    if batches.count == 1 {
      // Not copied: it may be as large as a frame.
      content.bytes = batches[0]
    } else {
      content.bytes.reserveCapacity(bytes)
      for batch in batches { content.append(raw: batch) }
    }
    sections = Self.padded(
      SectionContent(.batches, content.bytes, compressor: compressor), count: batches.count)
  }

  /// None, in front of `first`.
  init(emptyAt first: SequenceNumber) {
    self.first = first
    count = 0
    sections = [SectionContent(.batches, raw: [])]
    parts = nil
  }

  /// To be called before each write of them. Returns what is known of the first.
  mutating func willBeWritten(to segment: OwnSegment, _ clock: any Clock) -> FirstWrite {
    let known =
      firstWrite ?? FirstWrite(began: Moment(clock), segmentMade_ms: segment.made_ms.least)
    firstWrite = known
    return known
  }

  /// What compresses very well is padded: an applier does so much for each byte of a file, and no more.
  private static func padded(_ batches: SectionContent, count: Int) -> [SectionContent] {
    let least = max(
      count * Limits.leastStoredBytesPerBatch,
      Int(batches.rawBytes) / Limits.mostRawBytesPerStoredByte)
    let missing = least - batches.stored.count
    guard missing > 0, least > Block.size else { return [batches] }
    return [batches, SectionContent(.padding, raw: [UInt8](repeating: 0, count: missing))]
  }
}
