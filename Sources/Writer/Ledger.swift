internal import SluiceJournal
internal import SluiceShared

/// One own batch on its way to its outcome. The receipt holds it, so an outcome is kept for as long
/// as somebody can ask for it, and no longer.
final class Ticket: @unchecked Sendable {
  // Sendable: after `init` every field is touched only under the lock of the one `OutcomePoller`
  // that the ticket was made for.

  /// What the batch counts for in its writer's backlog; 0 when it does not count any more.
  fileprivate(set) var bytes: Int
  let backlog: Backlog
  fileprivate(set) var result: Result<AppliedOutcome, StoreError>?
  /// Who waits for `result`, as the poller numbers them.
  var waiters: [Int] = []

  init(bytes: Int, backlog: Backlog) {
    self.bytes = bytes
    self.backlog = backlog
  }
}

/// How much of one writer's is submitted and not applied yet: `bytes` is the sum of its tickets'.
final class Backlog: @unchecked Sendable {
  // Sendable: `bytes` is touched only under the lock of the writer's `OutcomePoller`.
  var bytes = 0
  let limit: Int

  init(limit: Int) { self.limit = limit }
}

/// The own batches that have no outcome yet, by writer, in the order of their sequence numbers.
struct Ledger {
  /// `tickets[i]` is the batch `first + i`, without gaps; those before `done` are settled and nil.
  private struct Row {
    private(set) var first: UInt64
    private(set) var tickets: [Ticket?] = []
    /// `done <= tickets.count`.
    private(set) var done = 0
    /// In which segment those up to a number were acknowledged, and not in a later one; both rise.
    private(set) var segments: [(through: UInt64, segment: UInt64)] = []

    var next: UInt64 { first + UInt64(tickets.count) }
    var isEmpty: Bool { done == tickets.count }
    /// The number of the oldest without an outcome.
    var oldest: UInt64 { first + UInt64(done) }

    init(first: UInt64) { self.first = first }

    mutating func append(_ new: [Ticket], from sequence: UInt64) {
      precondition(sequence == next, "a writer's sequence numbers have no gaps")
      for ticket in new { tickets.append(ticket) }
    }

    mutating func takeLast() -> Ticket? {
      isEmpty ? nil : tickets.popLast() ?? nil
    }

    /// Those up to `through` are acknowledged in `segment`, at the latest.
    mutating func acknowledge(through: UInt64, in segment: UInt64) {
      let oldest = oldest
      segments.removeAll { $0.through < oldest }
      if segments.last?.segment == segment { segments.removeLast() }
      if let last = segments.last {
        precondition(
          last.through < through && last.segment < segment,
          "a writer's segments follow each other as its batches do")
      }
      segments.append((through, segment))
    }

    mutating func takeFirst() -> (sequence: UInt64, ticket: Ticket)? {
      guard !isEmpty, let ticket = tickets[done] else { return nil }
      tickets[done] = nil
      done += 1
      defer {
        if done >= 1024, done > tickets.count / 2 {
          tickets.removeFirst(done)
          first += UInt64(done)
          done = 0
        }
      }
      return (first + UInt64(done - 1), ticket)
    }
  }

  private var rows: [WriterID: Row] = [:]
  /// Writers of whom batches may wait whose outcomes cannot be found any more.
  private var lost: Set<WriterID> = []

  var isEmpty: Bool { rows.isEmpty }
  var writers: Set<WriterID> { Set(rows.keys) }
  /// Whether batches of the writer may wait.
  func has(_ writer: WriterID) -> Bool { rows[writer] != nil || lost.contains(writer) }

  /// To be called before the batches are written: their outcome can come at once.
  mutating func expect(_ first: BatchID, _ tickets: [Ticket]) {
    var row = rows.removeValue(forKey: first.writer) ?? Row(first: first.sequence.rawValue)
    row.append(tickets, from: first.sequence.rawValue)
    rows[first.writer] = row
  }

  /// The batches from `first` on were certainly not written.
  mutating func withdraw(from first: BatchID) { discharge(remove(from: first)) }

  /// The batches from `first` on were certainly not written, and are about to be, under another name.
  mutating func rename(_ first: BatchID, to other: BatchID) {
    let tickets = remove(from: first)
    if tickets.isEmpty {
      // They have failed meanwhile: `fail` took them out.
      lost.insert(other.writer)
    } else {
      expect(other, tickets)
    }
  }

  private mutating func remove(from first: BatchID) -> [Ticket] {
    guard var row = rows.removeValue(forKey: first.writer) else { return [] }
    var removed: [Ticket] = []
    while row.next > first.sequence.rawValue, let ticket = row.takeLast() {
      removed.append(ticket)
    }
    if !row.isEmpty { rows[first.writer] = row }
    return removed.reversed()
  }

  /// The batches from `first` on may never get an outcome: they must not hold up others.
  func doubt(from first: BatchID) -> [(BatchID, Ticket)] {
    guard let row = rows[first.writer] else { return [] }
    return row.tickets.enumerated().compactMap { (i, ticket) in
      let sequence = SequenceNumber(row.first + UInt64(i))
      guard sequence >= first.sequence, let ticket else { return nil }
      release(ticket)
      return (BatchID(writer: first.writer, sequence: sequence), ticket)
    }
  }

  /// Records an outcome and returns the tickets that have a result now. Since a writer's batches are
  /// executed in order, one with a lower number that has none yet was passed over.
  mutating func settle(_ applied: AppliedBatch) -> [Ticket] {
    let writer = applied.batch.writer
    let sequence = applied.batch.sequence.rawValue
    guard var row = rows.removeValue(forKey: writer) else { return [] }
    // All that came before it has been executed too.
    lost.remove(writer)
    var settled: [Ticket] = []
    while row.oldest <= sequence, let (own, ticket) = row.takeFirst() {
      if own == sequence {
        ticket.result = .success(applied.outcome)
      } else {
        ticket.result = .failure(
          StoreError(
            .damaged,
            "the applier went on without this batch, because its frame cannot be read; `sluice status` names the file in quarantine",
            batch: BatchID(writer: writer, sequence: SequenceNumber(own))))
      }
      release(ticket)
      settled.append(ticket)
    }
    if !row.isEmpty { rows[writer] = row }
    return settled
  }

  /// The batches up to the one that is `count` behind `first` are acknowledged in this segment, at the
  /// latest.
  mutating func acknowledge(_ first: BatchID, _ count: Int, in segment: UInt64) {
    guard var row = rows.removeValue(forKey: first.writer) else { return }
    row.acknowledge(through: first.sequence.rawValue + UInt64(count) - 1, in: segment)
    rows[first.writer] = row
  }

  /// Each writer's oldest batch without an outcome, of those that are acknowledged; nil where there are more
  /// writers than `most`.
  func oldest(ofAtMost most: Int) -> [BatchID]? {
    guard rows.count <= most else { return nil }
    return rows.compactMap { writer, row in
      guard !row.isEmpty, row.segments.contains(where: { $0.through >= row.oldest }) else {
        return nil
      }
      return BatchID(writer: writer, sequence: SequenceNumber(row.oldest))
    }
    .sorted { $0.writer < $1.writer }
  }

  /// The segment in which each writer's oldest batch without an outcome was acknowledged.
  var oldestSegments: [(id: JournalSegmentID, through: SequenceNumber)] {
    rows.compactMap { writer, row in
      guard !row.isEmpty, let place = row.segments.first(where: { $0.through >= row.oldest })
      else { return nil }
      return (
        JournalSegmentID(writer: writer, number: place.segment), SequenceNumber(place.through)
      )
    }
  }

  /// The batches of a segment up to `through` will get no outcome: the segment is gone, and the history
  /// does not have them.
  mutating func lose(_ id: JournalSegmentID, through: SequenceNumber) -> [Ticket] {
    guard var row = rows.removeValue(forKey: id.writer) else { return [] }
    var settled: [Ticket] = []
    while row.oldest <= through.rawValue, let (own, ticket) = row.takeFirst() {
      ticket.result = .failure(
        StoreError(
          .damaged,
          "this batch is lost and was not executed: its journal segment is gone, and the history does not have it. Where its frame was damaged on the disk, the segment is in journal/quarantine (\(StoreLayout.journalName(id))); submit it again",
          batch: BatchID(writer: id.writer, sequence: SequenceNumber(own))))
      release(ticket)
      settled.append(ticket)
    }
    if !row.isEmpty { rows[id.writer] = row }
    return settled
  }

  /// Gives every batch the result `error`: their outcomes cannot be found any more.
  mutating func fail(_ error: StoreError) -> [Ticket] {
    let tickets = rows.values.flatMap { $0.tickets.compactMap { $0 } }
    for ticket in tickets {
      ticket.result = .failure(error)
      release(ticket)
    }
    lost.formUnion(rows.keys)
    rows = [:]
    return tickets
  }

  /// Takes back what was counted for batches that are not expected.
  func discharge(_ tickets: [Ticket]) {
    for ticket in tickets { release(ticket) }
  }

  private func release(_ ticket: Ticket) {
    precondition(ticket.bytes <= ticket.backlog.bytes, "a backlog is the sum of its tickets")
    ticket.backlog.bytes -= ticket.bytes
    ticket.bytes = 0
  }
}
