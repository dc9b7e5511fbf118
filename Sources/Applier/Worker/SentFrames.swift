internal import SluiceJournal
internal import SluiceShared

// A request to execute, as it goes to the worker. Frames go once, as they lie in the journal, and are
// kept there for as long as the requests that follow have batches of them.
//
//   part 0   what `Session.Request` says, the frames to forget, the new frames, and runs of batches:
//            frame, first index, count
//   part 1   the stored bytes of new frames that are short, one after the other
//   part 2 … those of the others
//
// Beside a commit the worker is told which frames come next, and opens them while the commit is made durable: part 0
// says the new frames and the numbers of all that are to be opened, the others are as above. What the next request asks
// for nothing of is forgotten with it.

/// The applier's side: which frames its worker has.
struct SentFrames {
  /// Longer ones have a part of their own, and so are not copied.
  static let short = 64 << 10

  /// By what of a frame is the same wherever it is (`OpenedFrame`).
  private var numbers: [ObjectIdentifier: UInt64] = [:]
  /// What keeps the identifiers from being used again.
  private var frames: [UInt64: PendingFrame] = [:]
  private var last: UInt64 = 0
  /// Those that the worker was told to open.
  private(set) var opened: Set<UInt64> = []

  mutating func message(_ request: Session.Request) -> Channel.Message {
    var runs = ByteWriter(reserving: 64)
    var added: [(number: UInt64, frame: PendingFrame)] = []
    var needed: Set<UInt64> = []
    var runCount: UInt64 = 0
    var rest = request.batches
    while let first = rest.first {
      let frame = first.frame
      let number = number(of: frame, &added)
      needed.insert(number)
      let count = rest.prefix { $0.frame === frame }.count
      runs.append(varint: number)
      runs.append(varint: UInt64(first.index))
      runs.append(varint: UInt64(count))
      runCount += 1
      rest = rest.dropFirst(count)
    }
    var head = ByteWriter(reserving: 256 + runs.count + added.count * 64)
    append(request, to: &head)
    let forgotten = frames.keys.filter { !needed.contains($0) }
    head.append(varint: UInt64(forgotten.count))
    for number in forgotten {
      head.append(varint: number)
      if let frame = frames.removeValue(forKey: number) { forget(frame, number) }
    }
    let parts = append(added, to: &head)
    head.append(varint: runCount)
    head.append(raw: runs.bytes)
    return Channel.Message(.execute, [head.bytes] + parts)
  }

  /// Of frames that are likely to be asked for next; nil where the worker knows all that.
  mutating func message(opening ahead: [PendingFrame]) -> Channel.Message? {
    var added: [(number: UInt64, frame: PendingFrame)] = []
    let wanted = ahead.map { number(of: $0, &added) }.filter { opened.insert($0).inserted }
    guard !wanted.isEmpty else { return nil }
    var head = ByteWriter(reserving: 64 + added.count * 64)
    let parts = append(added, to: &head)
    head.append(varint: UInt64(wanted.count))
    for number in wanted { head.append(varint: number) }
    return Channel.Message(.ahead, [head.bytes] + parts)
  }

  private mutating func number(
    of frame: PendingFrame, _ added: inout [(number: UInt64, frame: PendingFrame)]
  ) -> UInt64 {
    let identity = ObjectIdentifier(frame.frame.opened)
    if let known = numbers[identity] { return known }
    last += 1
    numbers[identity] = last
    frames[last] = frame
    added.append((last, frame))
    return last
  }

  private mutating func forget(_ frame: PendingFrame, _ number: UInt64) {
    numbers[ObjectIdentifier(frame.frame.opened)] = nil
    opened.remove(number)
  }

  /// Says which frames are new; returns the parts behind the first.
  private func append(
    _ added: [(number: UInt64, frame: PendingFrame)], to head: inout ByteWriter
  ) -> [[UInt8]] {
    var together = ByteWriter()
    var parts: [[UInt8]] = []
    head.append(varint: UInt64(added.count))
    for (number, pending) in added {
      head.append(varint: number)
      head.append(pending.segmentID.writer)
      head.append(pending.segmentID.number)
      head.append(pending.owner)
      head.append(pending.group)
      pending.frame.appendHeader(to: &head)
      if pending.frame.stored.count <= SentFrames.short {
        together.append(raw: pending.frame.stored)
      } else {
        parts.append(pending.frame.stored)
      }
    }
    return [together.bytes] + parts
  }

  /// These batches are in a commit: a frame that ends with one is forgotten, here and by the worker, since
  /// it may be large and nobody asks for it again.
  mutating func finish(_ batches: ArraySlice<PendingBatch>) {
    for batch in batches where batch.isLastOfFrame {
      if let number = numbers[ObjectIdentifier(batch.frame.frame.opened)] {
        frames[number] = nil
        forget(batch.frame, number)
      }
    }
  }

  private func append(_ request: Session.Request, to head: inout ByteWriter) {
    head.append(UInt8(request.isAlone ? 1 : 0))
    head.append(request.time_ms)
    head.append(request.verdict?.rejection)
    if let verdict = request.verdict { head.append(verdict.batch) }
    head.append(request.attempts)
    head.append(request.turn?.rawValue ?? 0)
    head.append(Set(request.batches.map(\.id.writer)).filter(request.mayLackBatches))
    head.append(UInt8(request.prunesBeside == nil ? 0 : 1))
    if let writers = request.prunesBeside {
      head.append(writers.all)
      head.append(writers.waiting)
    }
  }
}

/// The worker's side.
struct ReceivedFrames {
  private var frames: [UInt64: PendingFrame] = [:]

  /// The request in a message; nil where it is none.
  mutating func request(_ message: Channel.Message) -> Session.Request? {
    var held = frames
    let request = message.read(0) { (reader) throws(DecodingError) -> Session.Request in
      var request = try ReceivedFrames.request(&reader)
      for _ in 0..<(try reader.count()) { held[try reader.varint()] = nil }
      try ReceivedFrames.addFrames(of: message, &reader, to: &held)
      var batches: [PendingBatch] = []
      for _ in 0..<(try reader.count()) {
        let number = try reader.varint()
        let first = Int(try reader.varint())
        let count = Int(try reader.varint())
        guard let frame = held[number], first + count <= Int(frame.frame.count) else {
          throw DecodingError("batches of no frame")
        }
        for index in first..<first + count {
          batches.append(PendingBatch(frame, index))
        }
      }
      request.batches = batches[...]
      return request
    }
    frames = held
    return request
  }

  /// Opens what is told to come next; false where the message is none.
  mutating func open(_ message: Channel.Message) -> Bool {
    var held = frames
    let wanted = message.read(0) { (reader) throws(DecodingError) -> [PendingFrame] in
      try ReceivedFrames.addFrames(of: message, &reader, to: &held)
      var wanted: [PendingFrame] = []
      for _ in 0..<(try reader.count()) {
        guard let frame = held[try reader.varint()] else { throw DecodingError("no frame") }
        wanted.append(frame)
      }
      return wanted
    }
    guard let wanted else { return false }
    frames = held
    for frame in wanted { frame.open() }
    return true
  }

  private static func addFrames(
    of message: Channel.Message, _ reader: inout ByteReader, to held: inout [UInt64: PendingFrame]
  ) throws(DecodingError) {
    var nextPart = 2
    var together = 0
    for _ in 0..<(try reader.count()) {
      let number = try reader.varint()
      let segment = JournalSegmentID(
        writer: try reader.identifier(), number: try reader.integer())
      let owner: UInt32 = try reader.integer()
      let group: UInt32 = try reader.integer()
      let frame = try JournalSegmentReader.Frame(from: &reader) {
        (count) throws(DecodingError) in
        if count > SentFrames.short {
          nextPart += 1
          guard message.parts.indices.contains(nextPart - 1) else {
            throw DecodingError("a frame is missing")
          }
          return message.parts[nextPart - 1]
        }
        guard message.parts.count > 1, together + count <= message.parts[1].count else {
          throw DecodingError("a frame is missing")
        }
        together += count
        return Array(message.parts[1][together - count..<together])
      }
      held[number] = PendingFrame(segment, owner: owner, group: group, frame)
    }
  }

  /// See `SentFrames.finish`.
  mutating func finish(_ batches: ArraySlice<PendingBatch>) {
    let finished = Set(batches.lazy.filter(\.isLastOfFrame).map { ObjectIdentifier($0.frame) })
    guard !finished.isEmpty else { return }
    frames = frames.filter { !finished.contains(ObjectIdentifier($0.value)) }
  }

  private static func request(_ reader: inout ByteReader) throws(DecodingError) -> Session.Request {
    let isAlone = try reader.flag()
    var request = Session.Request(batches: [], isAlone: isAlone, time_ms: try reader.integer())
    if let rejection = try reader.rejection() {
      request.verdict = Session.Verdict(batch: try reader.batchID(), rejection: rejection)
    }
    request.attempts = try reader.integer()
    let turn: UInt64 = try reader.integer()
    request.turn = turn == 0 ? nil : TxID(turn)
    let lacking = try reader.writers()
    request.mayLackBatches = { lacking.contains($0) }
    if try reader.flag() {
      request.prunesBeside = WritersWithFiles(
        all: try reader.writers(), waiting: try reader.writers())
    }
    return request
  }
}

extension JournalSegmentReader.Frame {
  fileprivate func appendHeader(to writer: inout ByteWriter) {
    writer.append(first.rawValue)
    writer.append(count)
    writer.append(end)
    writer.append(codec.rawValue)
    writer.append(rawBytes)
    writer.append(varint: UInt64(stored.count))
    writer.append(varint: UInt64(parts.count))
    for part in parts {
      writer.append(part.offset)
      writer.append(varint: UInt64(part.bytes))
    }
  }

  fileprivate init(
    from reader: inout ByteReader, stored: (Int) throws(DecodingError) -> [UInt8]
  ) throws(DecodingError) {
    let first = SequenceNumber(try reader.integer())
    let count: UInt32 = try reader.integer()
    let end: Int64 = try reader.integer()
    guard let codec = Codec(rawValue: try reader.integer()) else { throw DecodingError("codec") }
    let rawBytes: Int64 = try reader.integer()
    let storedBytes = Int(try reader.varint())
    var parts: [PlacedPart] = []
    for _ in 0..<(try reader.count()) {
      parts.append(PlacedPart(offset: try reader.integer(), bytes: Int(try reader.varint())))
    }
    self.init(
      first: first, count: count, end: end, stored: try stored(storedBytes), codec: codec,
      rawBytes: rawBytes, parts: parts)
  }
}
