internal import SluiceJournal
internal import SluiceShared

/// A part of a page batch, by where it lies in its segment. It was whole when it was passed; it stays there, and is
/// read again when the batch is executed.
struct PlacedPart: Hashable {
  let offset: Int64
  let bytes: Int

  init(offset: Int64, bytes: Int) {
    self.offset = offset
    self.bytes = bytes
  }

  init(_ section: FrameSection, of frame: FrameHeader) {
    self.init(offset: frame.offset + section.offset, bytes: Int(section.storedBytes))
  }

  /// Behind the others. Of more than a batch can name only the last ones are kept: it is none of theirs.
  func add(to parts: inout [PlacedPart]) {
    if parts.count == Limits.partsPerTransaction { parts.removeFirst() }
    parts.append(self)
  }
}

extension FrameHeader {
  /// The part that an empty frame has; nil where it is only a sign of life, or what no writer makes.
  var part: FrameSection? {
    guard let section = section(.part), section.codec == .raw,
      section.storedBytes <= Int64(Limits.mostPartBytes)
    else { return nil }
    return section
  }
}

/// Reads the parts of a page batch from the file that they lie in, which is somebody else's and may have changed.
struct PartReader {
  private let parts: [PlacedPart]
  private let segment: JournalSegmentReader?
  private let owner: UInt32

  /// `journal`: the directory; nil where batches come without one.
  init(_ frame: PendingFrame, in journal: String?, _ environment: Environment) {
    parts = frame.frame.parts
    owner = frame.owner
    segment = journal.map {
      // Its second name is in quarantine.
      JournalSegmentReader(
        frame.segmentID, path: "\($0)/\(frame.segmentID.name)", names: 2, environment: environment)
    }
  }

  /// The bytes of the part at `index`; nil where there is none.
  func bytes(_ index: Int) throws(StoreError) -> [UInt8]? {
    guard let segment, parts.indices.contains(index) else { return nil }
    do throws(StoreError) {
      let file = try segment.open()
      guard segment.owner == owner else { return nil }
      return try file.read(parts[index].bytes, at: parts[index].offset)
    } catch {
      // Its owner took it away, or put another in its place.
      guard
        error.isGone || error.isForbidden || error.isAboutTheFile
      else { throw error }
      return nil
    }
  }
}
