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
    let block = try file.read(Block.size, at: Block.header)
    guard
      case .header(let header, let headerChecksum) = block.withUnsafeBytes({
        JournalSegmentHeader.decode($0)
      })
    else { return [] }
    var scanner = FrameScanner(file, nonce: header.nonce)
    var offset = Block.firstJournalFrame
    var checksum = headerChecksum
    var found: [Entry] = []
    while let frame = try scanner.header(at: offset), frame.previous == checksum,
      let bytes = try scanner.section(
        .batches, of: frame, limit: Int64(Limits.journalFrameBytes)),
      let ranges = try? BatchList.ranges(bytes, count: Int(frame.count))
    {
      for (i, range) in ranges.enumerated() {
        let batch = BatchID(
          writer: header.id.writer, sequence: SequenceNumber(frame.first + UInt64(i)))
        found.append(Entry(id: batch, bytes: Array(bytes[range]), end: frame.end))
      }
      offset = frame.end
      checksum = frame.checksum
    }
    return found
  }
}
