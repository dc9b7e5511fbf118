internal import SluiceJournal
internal import SluiceShared

/// The journal of one writer id, as far as its writer has taken it.
///
/// `acknowledged.number <= lastNumber` and `lastRemembered <= lastNumber`; none of the numbers goes back.
struct OwnJournal {
  let writer: WriterID
  /// The process that took the id. A forked child of it is another one and takes its own.
  let process: Int32
  let made: Moment
  /// Whom its segments belong to; nil before the first.
  private(set) var owner: UInt32?
  /// When the first segment was made into which the last acknowledged flush went, by the file server's
  /// clock; before the first flush, the id's date.
  private(set) var heard_ms: Int64
  /// The sequence number of the next new batch: behind those that are acknowledged or in doubt.
  private(set) var next = SequenceNumber(1)
  /// The highest number in a segment's name so far. It is never used twice, whatever became of the file.
  private(set) var lastNumber: UInt64 = 0
  /// The highest number of a segment whose writer was remembered when it was made.
  private(set) var lastRemembered: UInt64 = 0
  /// Where the acknowledged frames end: what the next segment's header states.
  private(set) var acknowledged: JournalSegmentHeader.Predecessor?

  init(date_ms: Int64, made: Moment, _ environment: Environment) {
    writer = WriterID(time_ms: date_ms, random: environment.random)
    process = environment.processID()
    self.made = made
    heard_ms = date_ms
  }

  var nextBatch: BatchID { BatchID(writer: writer, sequence: next) }

  /// The number of the next segment to be tried, where so many names in a row were `taken`. nil: names have no room
  /// for it.
  mutating func takeNumber(behind taken: Int, _ random: () -> UInt64) -> UInt64? {
    let jumps = Limits.segmentNameJumps
    let jump = taken < 2 ? 1 : 1 + random() % jumps[min(taken - 2, jumps.count - 1)]
    guard lastNumber + jump <= Limits.journalSegmentNumber else { return nil }
    lastNumber += jump
    return lastNumber
  }

  /// Only one user's files count under an id (GUARANTEES, 2).
  mutating func belong(to user: UInt32) {
    precondition(owner == nil || owner == user, "a writer id belongs to one user")
    owner = user
  }

  /// The writer was remembered when its segment `number` was there.
  mutating func remember(at number: UInt64) {
    precondition(
      lastRemembered < number && number <= lastNumber, "segments are made in the order of names")
    lastRemembered = number
  }

  /// What went into `segment` is acknowledged up to its end, and was written first as `firstWrite` says.
  mutating func acknowledge(_ segment: OwnSegment, _ firstWrite: BatchGroup.FirstWrite) {
    let end = JournalSegmentHeader.Predecessor(number: segment.number, end: segment.end)
    if let acknowledged {
      precondition(
        (acknowledged.number, acknowledged.end) < (end.number, end.end),
        "what is acknowledged grows")
    }
    precondition(end.number <= lastNumber, "only what has a name is acknowledged")
    acknowledged = end
    // Whichever copy of the batches is executed, it is not executed before that.
    heard_ms = firstWrite.segmentMade_ms
  }

  /// New batches go behind `group`.
  mutating func pass(_ group: BatchGroup) {
    precondition(group.first == next, "a writer's sequence numbers have no gaps")
    next = group.end
  }
}
