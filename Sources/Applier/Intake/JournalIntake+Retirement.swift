internal import Logging
internal import SluiceJournal
internal import SluiceShared

/// When a writer's first segment is done with, and the next one is read.
///
///     readable ── end frame, or a successor that begins behind it ──▶ finished
///         └────── a minute of silence ──▶ marked ── read again, nothing new ──▶ finished
///                                                      └── remains ──▶ also in quarantine
extension JournalIntake {
  /// Headers of later segments that are read in one look, and files opened only for whose they are.
  static let mostPeeks = 16
  /// A write that was begun is there after this long (measured: pieces of one for up to 55 ms).
  private static let landing: Duration = .milliseconds(200)

  /// Whether nothing acknowledged can still come from a writer's first segment.
  func isDone(
    _ segment: JournalSegmentReader, _ queue: JournalWriters.Queue, _ now: Duration,
    foundNothing: Bool
  ) throws(StoreError) -> Bool {
    if segment.isEnded { return true }
    let quiet = now - segment.lastNews
    var peeks = 0
    for later in queue.segments.dropFirst() where mayBeRead(later) {
      if later.header == nil {
        // Of empty files there may be any number. They say nothing, and silence is enough.
        peeks += 1
        guard peeks <= JournalIntake.mostPeeks else { break }
        peek(later)
      }
      guard let next = later.header, later.owner == segment.owner else { continue }
      if queue.lastRead.next >= next.firstSequence || next.acknowledgesNothing(in: segment.id) {
        return true
      }
      // Acknowledged, says the successor, and not to be read: wait a little, then look closely.
      guard segment.mark.isSet ? foundNothing : quiet >= .seconds(2) else { return false }
      return try closeAndRead(segment, queue, acknowledgedUpTo: next.firstSequence)
    }
    guard segment.mark.isSet ? foundNothing : quiet >= silence else { return false }
    return try closeAndRead(segment, queue, acknowledgedUpTo: nil)
  }

  /// The header of a segment before its turn.
  private func peek(_ segment: JournalSegmentReader) {
    openFiles.makeRoom(for: [segment])
    do throws(StoreError) { try segment.peekHeader(store.id) } catch {
      // What is wrong with it is told when its turn comes.
    }
    openFiles.note(segment)
  }

  /// Whether segments are on their way out, so that nothing waits for their writers.
  var isRetiring: Bool {
    let now = environment.clock.elapsed()
    return writers.all.contains { queue in
      guard let first = queue.segments.first, !isHeldBack(first.id.writer) else { return false }
      return first.mark.isSet || !first.wasRead || now - first.lastNews >= silence
        || queue.segments.dropFirst().contains { $0.header != nil }
    }
  }

  /// Retires a segment that is not ended: the mark first, *then* the frames again, because what the
  /// writer acknowledged was durable before it read the mark empty. What is still not whole goes to
  /// quarantine.
  private func closeAndRead(
    _ segment: JournalSegmentReader, _ queue: JournalWriters.Queue,
    acknowledgedUpTo next: SequenceNumber?
  ) throws(StoreError) -> Bool {
    // Behind what was due before: there may be any number of such files, of any length.
    segment.nextPoll = environment.clock.elapsed()
    if !segment.mark.isSet {
      try segment.close(by: name)
      if environment.makes(.rereadAfterMark) {
        return false  // and the next poll reads again
      }
      return true
    }
    guard budget.mayScan(segment) else { return false }
    let remains = try segment.remains()
    switch remains {
    case .unknown: return false
    case .some, .none, .tooLong: budget.didScan(segment)
    }
    if remains == .some {
      // A write that was on its way when the mark came may land between that reading and this one,
      // and in pieces: it is read as a frame then. Its writer finds the mark.
      let age = segment.mark.seesRemains(at: environment.clock.elapsed())
      if age < JournalIntake.landing { return false }
    }
    if let size = segment.lostLength() {
      log.error(
        "journal segment is shorter than what was read of it: somebody has cut it",
        metadata: ["file": "\(segment.path)", "size": "\(size)", "read": "\(segment.offset)"])
    }
    if next != nil || remains != .none {
      try quarantine.take(segment, remains, lastRead: queue.lastRead, next: next)
    }
    return true
  }

  /// Nothing new comes from a writer's first segment.
  func retire(_ writer: WriterID) {
    if let segment = writers.removeFirst(writer) { finished.add(segment) }
  }
}
