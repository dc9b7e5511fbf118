internal import SluiceJournal
internal import SluiceShared

/// A frame's batches, decompressed and found: by whoever needs them first, or ahead of that by another thread.
final class OpenedFrame: Sendable {
  typealias Content = Result<(bytes: [UInt8], ranges: [Range<Int>]), DecodingError>

  private let content = Monitor<Content?>(nil)

  var isOpen: Bool { content.withLock { $0 != nil } }

  func content(of frame: JournalSegmentReader.Frame) -> Content {
    content.withLock { content in
      if let content { return content }
      let opened: Content
      do throws(DecodingError) { opened = .success(try frame.batches()) } catch {
        opened = .failure(error)
      }
      content = opened
      return opened
    }
  }
}

extension JournalSegmentReader.Frame {
  /// From any thread.
  func open() { _ = opened.content(of: self) }

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

/// How much is opened while the group before is executed and committed: small frames, and all together less than a group.
/// What waits counts with its decompressed bytes already (`Frame.weight`); these take their stored ones beside that.
struct RoomAhead: Sendable {
  private var bytes: Int64 = 0

  /// Whether there is room for it, which it takes then.
  mutating func takes(_ frame: JournalSegmentReader.Frame) -> Bool {
    guard frame.rawBytes <= Limits.frameBytesOpenedAhead,
      bytes + frame.rawBytes <= Limits.bytesOpenedAhead
    else { return false }
    bytes += frame.rawBytes
    return true
  }
}

/// Frames for which there is room, each once.
struct FramesAhead {
  private(set) var frames: [PendingFrame] = []
  private(set) var room = RoomAhead()
  private var known: Set<ObjectIdentifier> = []

  /// Leaves out what is too large, and what there is no room for.
  mutating func add(_ pending: PendingFrame) {
    guard known.insert(ObjectIdentifier(pending.frame.opened)).inserted,
      room.takes(pending.frame)
    else { return }
    frames.append(pending)
  }
}

extension JournalIntake {
  /// Of the batches behind the first `count` that wait, and of what was read ahead, as far as it goes.
  func framesAhead(behind count: Int, most: Int) -> FramesAhead {
    var ahead = FramesAhead()
    for batch in waiting.next(count + most, bytes: .max).dropFirst(count) { ahead.add(batch.frame) }
    for (segment, frame) in self.ahead?.found ?? [] { ahead.add(PendingFrame(segment, frame)) }
    return ahead
  }
}
