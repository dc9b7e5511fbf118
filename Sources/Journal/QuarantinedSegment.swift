package import SluiceShared

/// A journal segment in quarantine, for people: each whole frame that is in it, also behind a damage, where no
/// applier reads.
///
/// Nothing else looks like a frame: its checksum begins with the segment's nonce and holds its place.
package struct QuarantinedSegment {
  /// A batch that can be read.
  package struct Held: Sendable {
    package var batch: BatchID
    /// As it was submitted; nil where it cannot be decoded.
    package var content: Batch?
    /// Where its frame begins.
    package var offset: Int64
    /// Its frame continues those before it, so that appliers read it, too.
    package var isChained: Bool
    /// Its own, before compression.
    package var bytes: Int
  }

  /// How far a segment could be read.
  package enum Reach: Sendable, Equatable {
    case end
    /// Up to this offset: so much behind it claims to be a frame and is none that the rest was left.
    case offset(Int64)
    /// Not at all: its header is damaged.
    case nothing
  }

  package let id: JournalSegmentID
  package let path: String
  /// Bytes of the file.
  package let size: Int64
  private let file: any File

  /// Opens the segment `id` in quarantine; throws `.noSuchStore` with ENOENT where there is none.
  package init(_ id: JournalSegmentID, _ layout: StoreLayout, _ fileSystem: any FileSystem)
    throws(StoreError)
  {
    self.id = id
    path = "\(layout.quarantine)/\(StoreLayout.journalName(id))"
    file = try fileSystem.open(path, .shared)
    size = try file.status().size
  }

  /// Passes each batch that can be read to `body`, in the order of the file.
  ///
  /// Who wrote the file may have meant harm. What a frame claims is held against its bytes, as an applier
  /// does, and frames of which only the header is there are summed for `Limits.bytesSummedInVain` at most.
  package func read(_ body: (Held) throws -> Void) throws -> Reach {
    guard let (header, frames) = try JournalSegmentHeader.read(file), header.id == id else {
      return .nothing
    }
    var chain = frames
    chain.scanner.readAhead = 1 << 20
    var isChained = true
    var offset = chain.offset
    var inVain: Int64 = 0
    let end = min(size, Limits.mostJournalSegmentBytes)
    while offset < end {
      guard let frame = try chain.scanner.header(at: offset), frame.kind == .batches,
        frame.end <= Limits.mostJournalSegmentBytes, frame.holdsItsBatches
      else {
        isChained = false
        offset += Int64(Block.size)
        continue
      }
      guard inVain <= Limits.bytesSummedInVain else { return .offset(offset) }
      guard
        let bytes = try chain.scanner.section(
          .batches, of: frame, limit: Int64(Limits.journalFrameBytes))
      else {
        inVain += frame.length
        isChained = false
        offset += Int64(Block.size)
        continue
      }
      isChained = isChained && frame.previous == chain.checksum
      if isChained { chain.pass(frame) }
      try pass(bytes, of: frame, isChained: isChained, body)
      offset = frame.end
    }
    return .end
  }

  private func pass(
    _ bytes: [UInt8], of frame: FrameHeader, isChained: Bool, _ body: (Held) throws -> Void
  ) throws {
    let places = (try? BatchList.ranges(bytes, count: Int(frame.count))) ?? []
    for (i, place) in places.enumerated() {
      try body(
        Held(
          batch: BatchID(
            writer: id.writer, sequence: SequenceNumber(frame.first).advanced(by: UInt64(i))),
          content: try? bytes[place].withUnsafeBytes { try Batch(decoding: $0) },
          offset: frame.offset, isChained: isChained, bytes: place.count))
    }
  }
}
