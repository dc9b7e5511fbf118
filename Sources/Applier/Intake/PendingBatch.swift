internal import SluiceJournal
internal import SluiceShared

extension JournalSegmentReader.Frame {
  /// Its batches, as they are stored.
  var section: SectionContent {
    var section = SectionContent(.batches, raw: stored)
    section.codec = codec
    section.rawBytes = rawBytes
    return section
  }
}

/// A frame that was read and not yet executed.
final class PendingFrame {
  /// Where it was read from; nil in a child process, which is sent the frame alone.
  let segment: JournalSegmentReader?
  let segmentID: JournalSegmentID
  let owner: UInt32
  let group: UInt32
  /// When it was, as far as is known (boot time); nil in a child process.
  let found: Duration?
  private(set) var frame: JournalSegmentReader.Frame
  /// nil before its first batch was asked for. Decoding may be what ends the process: see `Leader.lookAhead` for when
  /// it is done before.
  private var opened: OpenedFrame.Content?

  init(_ segment: JournalSegmentReader, _ frame: JournalSegmentReader.Frame) {
    self.segment = segment
    segmentID = segment.id
    owner = segment.owner
    group = segment.group
    found = segment.lastNews
    self.frame = frame
  }

  init(
    _ segment: JournalSegmentID, owner: UInt32, group: UInt32 = 0,
    _ frame: JournalSegmentReader.Frame
  ) {
    self.group = group
    self.segment = nil
    found = nil
    segmentID = segment
    self.owner = owner
    self.frame = frame
  }

  /// More than is kept for a while after its last batch was taken.
  var isLarge: Bool { frame.rawBytes > LookBudget.mostBytes }

  /// It was opened, and its batches are not what its header says.
  var isBroken: Bool { if case .failure = opened { true } else { false } }

  /// So that nobody has to wait for it who asks for its batches.
  func open() {
    guard opened == nil else { return }
    opened = frame.opened.content(of: frame)
    // The applier has them: a child process needs no more of them than what came out.
    if isOpen, segment == nil, frame.codec == .zstd { frame.stored = [] }
  }

  var isOpen: Bool { if case .success = opened { true } else { false } }

  /// The bytes of the batch at `index`.
  func withBatch<R>(
    _ index: Int, _ body: (Result<UnsafeRawBufferPointer, DecodingError>) -> R
  ) -> R {
    open()
    switch opened {
    case .success(let (bytes, ranges)):
      return bytes.withUnsafeBytes {
        body(.success(UnsafeRawBufferPointer(rebasing: $0[ranges[index]])))
      }
    case .failure(let error): return body(.failure(error))
    case nil: return body(.failure(DecodingError("not opened")))
    }
  }
}

/// One batch on its way into the history.
struct PendingBatch {
  let id: BatchID
  let frame: PendingFrame
  let index: Int
  /// Of the turn that it is planned in, itself among them (`WaitingBatches`).
  var leftOfTurn = WaitingBatches.turnLength

  init(_ frame: PendingFrame, _ index: Int) {
    id = BatchID(
      writer: frame.segmentID.writer,
      sequence: frame.frame.first.advanced(by: UInt64(index)))
    self.frame = frame
    self.index = index
  }

  /// Whose file it is from.
  var owner: UInt32 { frame.owner }
  /// What stands for all batches of a frame that cannot be read: the last one.
  var standsForFrame: PendingBatch {
    PendingBatch(frame, Int(frame.frame.count) - 1)
  }

  var isLastOfFrame: Bool { index == Int(frame.frame.count) - 1 }
  /// About how many bytes it takes.
  var bytes: Int { Int(frame.frame.rawBytes) / max(1, Int(frame.frame.count)) }
}
