import SluiceFakes
import SluiceJournal
import SluiceShared

extension World {
  private static let intruder: UInt32 = 3000

  /// What a frame of such a file may be.
  private enum Frame: CaseIterable {
    case good
    /// Whole, and its batch says nothing.
    case senseless
    /// Whole, and its batches section is no list of batches.
    case malformed
    /// Whole, and begins far behind the one before.
    case gap
    // Behind these nothing is read.
    case lyingCount
    case lyingSize
    /// Its header alone: what it claims is a hole.
    case hole
    case junk

    var isBelieved: Bool {
      switch self {
      case .good, .senseless, .malformed, .gap: true
      case .lyingCount, .lyingSize, .hole, .junk: false
      }
    }
  }

  /// Somebody who may make files in the journal makes one that keeps to nothing, under an id of its own.
  func intrude() {
    guard passed_ns == 0 else { return }
    let date_ms = machines[0].clock.wallTime_ms() - Int64(scheduler.random.below(3_600_000))
    let writer = WriterID(time_ms: date_ms, random: { [self] in scheduler.random.next() })
    let id = JournalSegmentID(writer: writer, number: 1 + UInt64(scheduler.random.below(2)))
    let name = StoreLayout.journalName(id)
    let path = "\(World.layout.journal)/\(name)"
    // What a newer version wrote, or another store's, stays for somebody to look at.
    let isForeign = scheduler.random.chance(0.1)
    if isForeign { forged.insert(name) }
    var (bytes, last) = content(id, isForeign: isForeign)
    if scheduler.random.chance(0.1) { bytes = [UInt8](bytes.prefix(Block.size + 100)) }
    intruders[writer] = last
    let size = [
      Int64(bytes.count), 65536, Limits.largestJournalSegment,
      Limits.mostJournalSegmentBytes + 4096,
    ][scheduler.random.below(4)]
    let files = MemoryFileSystem(
      disk, clock: SimulatedClock(scheduler), client: .max, owner: World.intruder)
    do throws(StoreError) {
      let file = try files.create(path, mode: 0o660)
      try file.write(bytes, at: 0)
      if size > bytes.count { try file.resize(to: size) }
      if scheduler.random.chance(0.1) { try file.write([1], at: size - 1) }
      try file.sync()
      try files.syncDirectory(World.layout.journal)
      note("an intruder makes \(name), of which \(last) is the last batch that counts")
      count(.intruded)
    } catch {
      oracle.violate(.trialFailed, "an intrusion failed: \(error)")
    }
  }

  private func content(_ id: JournalSegmentID, isForeign: Bool) -> ([UInt8], SequenceNumber) {
    let store = isForeign ? StoreID(high: 1, low: 2) : observer.store.id
    let nonce = scheduler.random.next()
    let header = JournalSegmentHeader(
      store: store, id: id, nonce: nonce, firstSequence: SequenceNumber(1), predecessor: nil,
      created_ms: 1)
    let block = header.encoded()
    var bytes = [UInt8](repeating: 0, count: Block.size) + block
    var previous = JournalSegmentHeader.checksum(of: block)
    var next: UInt64 = 1
    var last: UInt64 = 0
    var isBelieved = !isForeign
    for _ in 0..<scheduler.random.below(5) {
      let kind = Frame.allCases[scheduler.random.below(Frame.allCases.count)]
      let (frame, count) = frame(kind, next, nonce, previous, at: Int64(bytes.count))
      isBelieved = isBelieved && kind.isBelieved
      previous = frame.header.checksum
      next = frame.header.first + count
      if isBelieved { last = next - 1 }
      isBelieved = isBelieved && !frame.header.endsSegment
      switch kind {
      case .junk:
        bytes += (0..<(1 + scheduler.random.below(9000))).map { _ in
          UInt8(truncatingIfNeeded: scheduler.random.next())
        }
        bytes += [UInt8](repeating: 0, count: -bytes.count & (Block.size - 1))
      case .hole:
        bytes += frame.bytes.prefix(Block.size)
        bytes += [UInt8](repeating: 0, count: frame.bytes.count - Block.size)
      default: bytes += frame.bytes
      }
    }
    return (bytes, SequenceNumber(last))
  }

  /// The frame, and how many numbers it takes.
  private func frame(
    _ kind: Frame, _ next: UInt64, _ nonce: UInt64, _ previous: UInt32, at offset: Int64
  ) -> (EncodedFrame, UInt64) {
    var first = next
    var count: UInt32 = 1
    var section: SectionContent
    switch kind {
    case .good, .gap, .junk:
      let batch = (try? Batch([Batch.Statement("SELECT 'intruder'")]).encoded()) ?? []
      section = SectionContent(.batches, raw: World.listed(batch))
      if kind == .gap { first += UInt64(1 + scheduler.random.below(1000)) }
    case .senseless: section = SectionContent(.batches, raw: World.listed([9, 200, 1, 1, 1]))
    case .malformed:
      count = UInt32(1 + scheduler.random.below(100))
      section = SectionContent(.batches, raw: [UInt8](repeating: 9, count: 4000))
    case .lyingCount:
      count = [2000, 60_000][scheduler.random.below(2)]
      section = SectionContent(.batches, raw: [UInt8](repeating: 0, count: 4 * 500))
    case .lyingSize:
      section = SectionContent(
        .batches, [UInt8](repeating: 0, count: 3_000_000), compressor: Compressor())
    case .hole:
      let size = [40_000, 400_000][scheduler.random.below(2)]
      section = SectionContent(.batches, raw: [UInt8](repeating: 1, count: size))
    }
    let frame = EncodedFrame(
      kind: .batches, endsSegment: scheduler.random.chance(0.1), offset: offset, nonce: nonce,
      previous: previous, first: first, count: count, sections: [section])
    return (frame, UInt64(count))
  }

  private static func listed(_ batch: [UInt8]) -> [UInt8] {
    var list = ByteWriter()
    list.append(UInt32(batch.count))
    list.append(raw: batch)
    return list.bytes
  }
}
