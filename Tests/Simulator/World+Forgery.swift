import SluiceFakes
import SluiceJournal
import SluiceShared

extension World {
  private static let stranger: UInt32 = 2000

  /// A user of another's rights makes a whole segment under the id of a writer of which something was
  /// executed: its next batch, one of long ago, or one far ahead.
  func forge() {
    let now_ms = machines[0].clock.wallTime_ms()
    let recent = UInt64(max(0, now_ms - 5 * 24 * 3_600_000)) << 16
    // Of whom it was told lately what became of a batch: it has a row, and keeps it.
    var last: [WriterID: SequenceNumber] = [:]
    for batch in oracle.outcomes.keys where batch.writer.high >= recent {
      last[batch.writer] = max(last[batch.writer] ?? batch.sequence, batch.sequence)
    }
    let writers = last.keys.sorted()
    guard !writers.isEmpty, passed_ns == 0 else { return }
    let writer = writers[scheduler.random.below(writers.count)]
    guard let sequence = last[writer] else { return }
    let first = [sequence.next, sequence, sequence.advanced(by: 1000)][scheduler.random.below(3)]
    let names = disk.names(in: World.layout.journal).compactMap(StoreLayout.journalSegment)
    let highest = names.filter { $0.writer == writer }.map(\.number).max() ?? 0
    let number =
      scheduler.random.chance(0.5) ? highest + 1 : 900 + UInt64(scheduler.random.below(9))
    let id = JournalSegmentID(writer: writer, number: number)
    let name = StoreLayout.journalName(id)
    guard !disk.names(in: World.layout.journal).contains(name) else { return }
    forged.insert(name)
    do throws(StoreError) {
      try writeForgery(id, first, to: "\(World.layout.journal)/\(name)")
      note("a stranger makes \(name) with batch \(first)")
      count(.forged)
    } catch {
      oracle.violate(.trialFailed, "a forgery failed: \(error)")
    }
  }

  private func writeForgery(_ id: JournalSegmentID, _ first: SequenceNumber, to path: String)
    throws(StoreError)
  {
    let header = JournalSegmentHeader(
      store: observer.store.id, id: id, nonce: 1, firstSequence: first, predecessor: nil,
      created_ms: 1)
    let block = header.encoded()
    let batch = try Batch([Batch.Statement("SELECT 'forged'")]).encoded()
    var content = ByteWriter(reserving: 64)
    content.append(UInt32(batch.count))
    content.append(raw: batch)
    let frame = EncodedFrame(
      kind: .batches, endsSegment: scheduler.random.chance(0.5), offset: Block.firstJournalFrame,
      nonce: 1, previous: JournalSegmentHeader.checksum(of: block), first: first.rawValue, count: 1,
      sections: [SectionContent(.batches, raw: content.bytes)])
    let files = MemoryFileSystem(
      disk, clock: SimulatedClock(scheduler), client: .max, owner: World.stranger)
    let file = try files.create(path, mode: 0o660)
    try file.write(block + frame.bytes, at: Block.header)
    try file.resize(to: 65536)
    try file.sync()
    try files.syncDirectory(World.layout.journal)
  }
}
