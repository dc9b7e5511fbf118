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
  /// When it was last written, by the file server's clock; in Unix milliseconds.
  package let modified_ms: Int64
  private let file: any File

  /// Opens the segment `id` in quarantine; throws `.noSuchStore` with ENOENT where there is none.
  package init(_ id: JournalSegmentID, _ layout: StoreLayout, _ fileSystem: any FileSystem)
    throws(StoreError)
  {
    self.id = id
    path = "\(layout.quarantine)/\(StoreLayout.journalName(id))"
    file = try fileSystem.open(path, .shared)
    let status = try file.status()
    (size, modified_ms) = (status.size, status.modified_ms)
  }

  /// Passes each batch that can be read to `body`, in the order of the file.
  package func read(_ body: (Held) throws -> Void) throws -> Reach {
    guard var frames = try frames() else { return .nothing }
    while let frame = try frames.next() {
      for i in frame.places.indices { try body(frame.held(i)) }
    }
    return frames.reach
  }

  /// The frames that are whole; nil where the header is damaged.
  package func frames() throws(StoreError) -> Frames? {
    guard let (header, chain) = try JournalSegmentHeader.read(file), header.id == id else {
      return nil
    }
    return Frames(header, chain, end: min(size, Limits.mostJournalSegmentBytes))
  }

  /// Where from `offset` on the first byte is that is no zero, to its block; nil where there is none.
  package func data(from offset: Int64) throws(StoreError) -> Int64? {
    var place = offset
    while let data = try file.nextData(from: place) {
      place = data
      let piece = try file.read(1 << 20, at: place)
      if let first = piece.firstIndex(where: { $0 != 0 }) {
        return max(offset, (place + Int64(first)) / Int64(Block.size) * Int64(Block.size))
      }
      guard piece.count == 1 << 20 else { return nil }
      place += Int64(piece.count)
    }
    return nil
  }
}

extension QuarantinedSegment {
  /// A frame of which all is there.
  package struct Frame {
    private let header: FrameHeader
    private let writer: WriterID
    private let bytes: [UInt8]
    /// Of its batches, in order; none where they cannot be told apart.
    package let places: [Range<Int>]
    package let isChained: Bool

    fileprivate init(
      _ header: FrameHeader, _ writer: WriterID, _ bytes: [UInt8], isChained: Bool
    ) {
      self.header = header
      self.writer = writer
      self.bytes = bytes
      self.isChained = isChained
      places = (try? BatchList.ranges(bytes, count: Int(header.count))) ?? []
    }

    package var first: SequenceNumber { SequenceNumber(header.first) }
    /// How many batches it claims.
    package var count: UInt32 { header.count }
    package var offset: Int64 { header.offset }
    package var end: Int64 { header.end }
    package var endsSegment: Bool { header.endsSegment }

    package func held(_ i: Int) -> Held {
      Held(
        batch: BatchID(writer: writer, sequence: first.advanced(by: UInt64(i))),
        content: try? bytes[places[i]].withUnsafeBytes { try Batch(decoding: $0) },
        offset: offset, isChained: isChained, bytes: places[i].count)
    }
  }

  /// Goes through the whole frames in the order of the file.
  ///
  /// Who wrote the file may have meant harm. What a frame claims is held against its bytes, as an applier
  /// does, and frames of which only the header is there are summed for `Limits.bytesSummedInVain` at most.
  package struct Frames {
    package let header: JournalSegmentHeader
    private var chain: FrameChain
    private let end: Int64
    private var isChained = true
    private var offset: Int64
    private var inVain: Int64 = 0
    /// How far it came.
    package private(set) var reach = Reach.end

    fileprivate init(_ header: JournalSegmentHeader, _ chain: FrameChain, end: Int64) {
      self.header = header
      self.chain = chain
      self.end = end
      self.chain.scanner.readAhead = 1 << 20
      offset = chain.offset
    }

    package mutating func next() throws(StoreError) -> Frame? {
      while offset < end {
        guard let frame = try chain.scanner.header(at: offset), frame.kind == .batches,
          frame.end <= Limits.mostJournalSegmentBytes, frame.holdsItsBatches
        else {
          passBlock()
          continue
        }
        guard inVain <= Limits.bytesSummedInVain else {
          reach = .offset(offset)
          return nil
        }
        guard
          let bytes = try chain.scanner.section(
            .batches, of: frame, limit: Int64(Limits.journalFrameBytes))
        else {
          inVain += frame.length
          passBlock()
          continue
        }
        isChained = isChained && frame.previous == chain.checksum
        if isChained { chain.pass(frame) }
        offset = frame.end
        return Frame(frame, header.id.writer, bytes, isChained: isChained)
      }
      return nil
    }

    private mutating func passBlock() {
      isChained = false
      offset += Int64(Block.size)
    }
  }
}
