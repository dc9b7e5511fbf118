import SluiceJournal
import SluiceShared

/// What is in a journal segment, read as an applier reads it, but for what that makes of it.
enum JournalContent {
  struct Entry {
    var id: BatchID
    var bytes: [UInt8]
    /// Where its frame ends.
    var end: Int64
  }

  /// The batches in the segment's whole frames, in order.
  static func batches(in file: any File) throws(StoreError) -> [Entry] {
    guard let segment = try JournalSegmentHeader.read(file) else { return [] }
    let header = segment.header
    var frames = segment.frames
    var found: [Entry] = []
    while let frame = try frames.ahead(),
      let bytes = try frames.scanner.section(
        .batches, of: frame, limit: Int64(Limits.journalFrameBytes)),
      let ranges = try? BatchList.ranges(bytes, count: Int(frame.count))
    {
      for (i, range) in ranges.enumerated() {
        let batch = BatchID(
          writer: header.id.writer, sequence: SequenceNumber(frame.first + UInt64(i)))
        found.append(Entry(id: batch, bytes: Array(bytes[range]), end: frame.end))
      }
      frames.pass(frame)
    }
    return found
  }
}
