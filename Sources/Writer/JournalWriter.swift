internal import Glibc
public import SluiceJournal
public import SluiceShared

/// The writer's half of the journal's handshake: one writer id's journal, flush by flush.
///
/// A flush writes one frame, syncs it, and then reads the mark of its segment. Empty: the batches are
/// acknowledged. Set: an applier closed the segment; it may or may not have read this frame, so the
/// same batches go under the same sequence numbers into a new segment, and it executes them once. The
/// applier does the reverse (writes the mark, then reads the frames), so at least one of the two sees
/// the other: what was acknowledged, the applier has read.
///
/// Synchronous, makes no thread, waits only through its `Environment`: for a simulator, and for a C
/// ABI after `fork()`. Not safe to use from two threads at once.
public final class JournalWriter {
  public let layout: StoreLayout
  public let store: StoreID
  let environment: Environment
  private let compressor = Compressor()

  /// The present writer id and the process that made it; nil before the first batch.
  private var identity: Identity?
  /// The sequence number of the next new batch: behind the acknowledged and the doubtful ones.
  private var next = SequenceNumber(1)
  /// The segment being written; nil after one was closed, ended, or failed.
  private var segment: OwnSegment?
  /// The highest number in a name so far; never used twice, whatever became of the file.
  private var lastNumber: UInt64 = 0
  /// The highest number of a segment whose writer was remembered when it was made.
  private var lastRemembered: UInt64 = 0
  /// The latest date that the file server gave a segment.
  private var latest_ms = Int64.min
  /// Where the acknowledged frames of this writer id end: what the next segment's header states.
  private var acknowledged: JournalSegmentHeader.Predecessor?
  private var segmentBytes: Int64
  private let mostSegmentBytes: Int64
  /// Batches whose write began and was never acknowledged. Their sequence numbers may be in the
  /// journal, so they may carry no other content, and those after them may not come first: these
  /// batches are written again, alone, before anything else. At most one group.
  private var doubtful: Group?

  /// `segmentBytes`: of the first segment, and of the largest.
  public init(
    layout: StoreLayout, store: StoreID, environment: Environment,
    segmentBytes: ClosedRange<Int64> = Limits.journalSegmentBytes
  ) {
    self.segmentBytes = segmentBytes.lowerBound
    mostSegmentBytes = segmentBytes.upperBound
    self.layout = layout
    self.store = store
    self.environment = environment
  }

  /// Failed tries of one flush: each is repeated in a new segment.
  static let mostTries = 6
  /// Segments closed under one flush. Each was silent for the applier's whole patience, so only a
  /// writer that hardly runs meets more than one; the bound is for an applier that closes at once.
  static let mostClosures = 64
  /// Beyond it a resend is not made: its writer's row may have been pruned.
  static let resendHorizon = Duration.seconds(24 * 3600)
  /// Who was silent for longer begins no segment: its row may have been pruned, which takes a week.
  static let silenceHorizon = Duration.seconds(6 * 24 * 3600)
  /// Beyond it new batches get a new writer id.
  static let oldAge = Duration.seconds(24 * 3600)

  /// The name that the first batch of the next flush will have: to be known to whoever looks for its
  /// outcome before it is written. Takes a new writer id in a forked child.
  public func nextBatch() -> BatchID {
    if let identity, identity.process == environment.processID(),
      !isExpired(doubtful) || mayWait(identity.writer)
    {
      return BatchID(writer: identity.writer, sequence: next)
    }
    let made = Moment(environment.clock)
    // A clock that is behind is known to be after the first segment.
    let date_ms = max(made.wall_ms, latest_ms)
    let writer = WriterID(time_ms: date_ms, random: environment.random)
    begin(
      Identity(
        writer: writer, process: environment.processID(), made: made, heard_ms: date_ms))
    return BatchID(writer: writer, sequence: next)
  }

  /// Makes the batches durable under the name `first` (of `nextBatch`) and those that follow it.
  ///
  /// `ends` says that the segment ends with them. Throws `.notSubmitted` where no write of them was
  /// ever begun; `.outcomeUnknown` where one may have landed: they are then written again before the
  /// next flush, under the same names.
  public func flush(_ batches: [[UInt8]], as first: BatchID, ends: Bool = false)
    throws(StoreError)
  {
    var listed: [[UInt8]] = []
    listed.reserveCapacity(batches.count)
    for batch in batches {
      var writer = ByteWriter(reserving: 4 + batch.count)
      writer.append(UInt32(batch.count))
      writer.append(raw: batch)
      listed.append(writer.bytes)
    }
    try flush(listed: listed, as: first, ends: ends)
  }

  /// As `flush(_:as:ends:)`, of batches that have their length in front (`Batch.listed`): one alone is
  /// not copied.
  func flush(listed batches: [[UInt8]], as first: BatchID, ends: Bool) throws(StoreError) {
    guard let identity, identity.process == environment.processID(),
      first.writer == identity.writer,
      first.sequence == next
    else {
      throw StoreError(.invalid, "a flush begins with the batch that nextBatch() names")
    }
    try resolveDoubtful()
    var group = try Group(first: next, batches, compressor)
    do throws(StoreError) {
      try write(&group, ends: ends)
    } catch {
      guard group.mayHaveLanded else {
        throw failure(.notSubmitted, "the batch is not in the journal", error, nil)
      }
      doubtful = group
      next = group.end
      throw failure(
        .outcomeUnknown,
        "the batch may or may not be in the journal; ask for its outcome, or submit it again if it has a key",
        error, first)
    }
    next = group.end
  }

  /// As `flush(_:as:ends:)`, under the next name, which it returns.
  @discardableResult
  public func flush(_ batches: [[UInt8]], ends: Bool = false) throws(StoreError) -> BatchID {
    let first = nextBatch()
    try flush(batches, as: first, ends: ends)
    return first
  }

  /// Ends the segment with an empty frame, so that the applier removes it without waiting for it to
  /// fall silent. Nothing depends on it, so a failure is none: the applier will retire the segment.
  public func close() {
    guard let identity, identity.process == environment.processID() else { return }
    try? resolveDoubtful()
    guard let segment else { return }
    self.segment = nil
    let frame = segment.frame(
      first: next, count: 0, [SectionContent(.batches, raw: [])], ends: true)
    try? segment.write(frame, environment)
  }

  /// Whether new batches should get a new writer id, since rows of long silent writers are pruned.
  public var isOld: Bool {
    guard let identity else { return false }
    return identity.made.age(environment.clock) > Self.oldAge
  }

  public var writer: WriterID? { identity?.writer }

  /// The segment in which something was last acknowledged.
  public var acknowledgedSegment: UInt64? { acknowledged?.number }

  /// Takes a new writer id for new batches. Only when everything acknowledged so far is applied:
  /// the order of batches is kept within one writer id and not across two.
  public func renew() {
    guard doubtful == nil else { return }
    close()
    identity = nil
  }
}

extension JournalWriter {
  private struct Identity {
    var writer: WriterID
    var process: Int32
    var made: Moment
    /// Whom its segments belong to; nil before the first.
    var owner: UInt32?
    /// When the first segment was made into which the last acknowledged flush went, by the file server's
    /// clock; before the first flush, the id's date.
    var heard_ms: Int64
  }

  /// Starts a journal of its own for `identity`. What an earlier id left stays to the applier: its
  /// acknowledged batches are executed, its segments retired.
  private func begin(_ identity: Identity) {
    self.identity = identity
    next = SequenceNumber(1)
    segment = nil
    lastNumber = 0
    lastRemembered = 0
    acknowledged = nil
    doubtful = nil
  }

  /// Whether batches may wait that were acknowledged: what gets another id could be executed before them.
  private func mayWait(_ writer: WriterID) -> Bool {
    guard let acknowledged else { return false }
    return (try? hasSegment(writer, upTo: acknowledged.number)) ?? true
  }

  /// A batch in doubt for longer than the applier is sure to remember its writer is never sent
  /// again, and since nothing may take its place, neither is anything else under that writer id.
  private func isExpired(_ group: Group?) -> Bool {
    guard let first = group?.firstWrite else { return false }
    return first.began.age(environment.clock) > Self.resendHorizon
  }

  private func resolveDoubtful() throws(StoreError) {
    guard var group = doubtful else { return }
    do throws(StoreError) {
      guard !isExpired(group) else {
        throw StoreError(
          .outcomeUnknown,
          "a batch in doubt is older than a day, and what was submitted before it may wait; see that an applier runs (`sluice status`) and try again, or open another writer",
          path: layout.journal)
      }
      try write(&group, ends: false)
    } catch {
      throw failure(
        .notSubmitted, "the batch is not in the journal, because an earlier one cannot be written",
        error, nil)
    }
    doubtful = nil
  }

  private func failure(
    _ code: StoreError.Code, _ what: String, _ cause: StoreError, _ batch: BatchID?
  ) -> StoreError {
    StoreError(
      code, "\(what): \(cause.message)", path: cause.path, offset: cause.offset, batch: batch,
      errno: cause.errno)
  }

  /// Writes `group` until it is acknowledged, each try but the first in a new segment: after a
  /// failed write or sync the old one may still receive that write, and a closed one is not ours.
  private func write(_ group: inout Group, ends: Bool) throws(StoreError) {
    var failure = StoreError(
      .io, "an applier closed every segment as it was written", path: layout.journal)
    var failures = 0
    var closures = 0
    repeat {
      do throws(StoreError) {
        if try writeOnce(&group, ends: ends) { return }
        closures += 1
      } catch {
        failure = error
        failures += 1
        if environment.makes(.newJournalSegmentAfterError) { segment = nil }
        guard identity != nil, group.mayHaveLanded || error.mayPass, failures < Self.mostTries
        else { break }
        environment.clock.sleep(.milliseconds(1 << (2 * min(failures - 1, 3))))
      }
    } while closures < Self.mostClosures && !isExpired(group)
    throw failure
  }

  /// One round of the handshake; false where the segment was closed.
  private func writeOnce(_ group: inout Group, ends: Bool) throws(StoreError) -> Bool {
    var (segment, frame) = try place(group, ends: ends)
    let firstWrite =
      group.firstWrite
      ?? FirstWrite(began: Moment(environment.clock), segmentMade_ms: segment.made_ms.least)
    group.firstWrite = firstWrite
    var isClosed = false
    if !environment.makes(.flushBeforeMark) { isClosed = try Mark.isClosed(segment.file) }
    try segment.write(frame, environment)
    if environment.makes(.markAfterFlush), environment.makes(.flushBeforeMark) {
      isClosed = try Mark.isClosed(segment.file)
    }
    if isClosed {
      self.segment = nil
      return false
    }
    segment.accept(frame)
    acknowledged = .init(number: segment.number, end: segment.end)
    // Whichever copy is executed, it is not executed before that.
    identity?.heard_ms = firstWrite.segmentMade_ms
    self.segment = ends ? nil : segment
    return true
  }

  /// The segment that takes the frame, with room behind it for the empty frame that ends a segment.
  private func place(_ group: Group, ends: Bool) throws(StoreError) -> (OwnSegment, EncodedFrame) {
    func frame(in segment: OwnSegment) -> EncodedFrame {
      segment.frame(first: group.first, count: group.count, group.sections, ends: ends)
    }
    // So that the segment's date says when its writer was heard, within a day; and one that was retired
    // long ago is not written behind its mark.
    if let segment, segment.made.age(environment.clock) > Self.oldAge { self.segment = nil }
    if let segment {
      let frame = frame(in: segment)
      if segment.end + Int64(frame.bytes.count + Block.size) <= segment.size {
        return (segment, frame)
      }
      segmentBytes = min(segmentBytes * 2, mostSegmentBytes)
    }
    segment = nil
    let made = try makeSegment(first: group.first, room: group.mostFrameBytes + Block.size)
    do throws(StoreError) {
      try checkOwner(made)
      try checkRemembered(made)
    } catch {
      made.discard(environment)
      throw error
    }
    segment = made
    return (made, frame(in: made))
  }

  /// A writer id belongs to one user: what another one's segments say under it is not executed. So a
  /// process that has become another user's goes on under a new one, as soon as what was acknowledged
  /// before does not wait any more.
  private func checkOwner(_ made: OwnSegment) throws(StoreError) {
    guard var identity else { return }
    if let owner = identity.owner, owner != made.owner {
      let waits = mayWait(identity.writer)
      if !waits { self.identity = nil }
      throw StoreError(
        .notSubmitted,
        "its writer's files belong to user \(owner), and this process is user \(made.owner) now; "
          + (waits
            ? "try again when what it submitted before is applied, or open another writer"
            : "a new writer takes its place"),
        path: layout.journal)
    }
    identity.owner = made.owner
    self.identity = identity
  }

  /// What is acknowledged is executed, so nothing is acknowledged of a writer that may be forgotten: of
  /// one that was silent for a week and had no file in a listing (GUARANTEES, 2). Now that this one has
  /// a file it was silent for less, or has had another file until now: one that was made when it was
  /// remembered, and not in a try that failed a moment ago.
  ///
  /// Two files' dates are compared, which the file server gave both, so that it does not matter how late
  /// this host believes it to be: it may be a virtual machine that was suspended in mid-submit.
  private func checkRemembered(_ made: OwnSegment) throws(StoreError) {
    latest_ms = max(latest_ms, made.made_ms.most)
    guard environment.makes(.rememberedWriter), let identity else { return }
    let silence = Duration.milliseconds(made.made_ms.most - identity.heard_ms)
    if silence > Self.silenceHorizon, try !hasSegment(identity.writer, upTo: lastRemembered) {
      self.identity = nil
      throw forgotten(identity, made)
    }
    lastRemembered = made.number
  }

  private func hasSegment(_ writer: WriterID, upTo number: UInt64) throws(StoreError) -> Bool {
    try environment.fileSystem.list(layout.journal).compactMap(StoreLayout.journalSegment)
      .contains { $0.writer == writer && $0.number <= number }
  }

  private func forgotten(_ identity: Identity, _ made: OwnSegment) -> StoreError {
    StoreError(
      .notSubmitted,
      "its writer, last heard \(timestamp(identity.heard_ms)), may be forgotten by now (\(timestamp(made.made_ms.most)) by the file server's clock; by this host's, which may have to be set, \(timestamp(environment.clock.wallTime_ms()))); a new one takes its place",
      path: layout.journal)
  }

  private func makeSegment(first: SequenceNumber, room: Int) throws(StoreError) -> OwnSegment {
    guard let identity else { throw StoreError(.invalid, "no writer id") }
    let size = max(segmentBytes, Block.roundUp(Block.firstJournalFrame + Int64(room)))
    for _ in 0..<Self.mostTries {
      lastNumber += 1
      let header = JournalSegmentHeader(
        store: store, id: JournalSegmentID(writer: identity.writer, number: lastNumber),
        nonce: environment.random(), firstSequence: first, predecessor: acknowledged,
        created_ms: environment.clock.wallTime_ms())
      do throws(StoreError) {
        return try OwnSegment(header, size: size, in: layout, environment)
      } catch {
        // After a server's failover EEXIST may be the answer to our own create, repeated. The file
        // has no header yet that could tell, so it is left empty and the next number taken.
        guard error.isExistingFile else { throw error }
      }
    }
    throw StoreError(
      .io, "the names of \(Self.mostTries) new journal segments in a row were taken",
      path: layout.journal)
  }
}

private struct FirstWrite {
  let began: Moment
  /// When the segment was made that it went into, by the file server's clock.
  let segmentMade_ms: Int64
}

/// Batches that are written together, in one frame.
private struct Group {
  let first: SequenceNumber
  let count: UInt32
  let sections: [SectionContent]
  /// nil until a write of them begins.
  var firstWrite: FirstWrite?

  var mayHaveLanded: Bool { firstWrite != nil }
  var end: SequenceNumber { first.advanced(by: UInt64(count)) }
  var mostFrameBytes: Int { Block.roundUp(sections.reduce(256) { $0 + $1.stored.count }) }

  init(first: SequenceNumber, _ batches: [[UInt8]], _ compressor: Compressor) throws(StoreError) {
    let bytes = batches.reduce(0) { $0 + $1.count }
    guard !batches.isEmpty, batches.count <= Limits.batchesPerFrame,
      bytes <= Limits.journalBatchesBytes
    else {
      throw StoreError(
        .limit,
        "a flush takes 1 to \(Limits.batchesPerFrame) batches of at most \(Limits.journalBatchesBytes) bytes, this one \(batches.count) of \(bytes)"
      )
    }
    self.first = first
    count = UInt32(batches.count)
    var content = ByteWriter()
    if batches.count == 1 {
      content.bytes = batches[0]
    } else {
      content.bytes.reserveCapacity(bytes)
      for batch in batches { content.append(raw: batch) }
    }
    sections = Group.padded(
      SectionContent(.batches, content.bytes, compressor: compressor), count: batches.count)
  }

  /// What compresses very well is padded: an applier does so much for each byte of a file, and no more.
  private static func padded(_ batches: SectionContent, count: Int) -> [SectionContent] {
    let least = max(
      count * Limits.leastStoredBytesPerBatch,
      Int(batches.rawBytes) / Limits.mostRawBytesPerStoredByte)
    let missing = least - batches.stored.count
    guard missing > 0, least > Block.size else { return [batches] }
    return [batches, SectionContent(.padding, raw: [UInt8](repeating: 0, count: missing))]
  }
}

/// A point in time on both clocks, since the wall clock jumps and the other may stand still while a
/// virtual machine is frozen.
struct Moment {
  let wall_ms: Int64
  let boot_ns: UInt64

  init(_ clock: any Clock) {
    wall_ms = clock.wallTime_ms()
    boot_ns = clock.bootTime_ns()
  }

  func age(_ clock: any Clock) -> Duration {
    max(
      .milliseconds(clock.wallTime_ms() - wall_ms),
      .nanoseconds(Int64(clock.bootTime_ns() - boot_ns)))
  }
}

extension StoreError {
  /// Whether trying again soon may help where nothing was written yet.
  fileprivate var mayPass: Bool {
    switch errno {
    case EACCES, EPERM, EROFS, ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG: false
    default: true
    }
  }
}
