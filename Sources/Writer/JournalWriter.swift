internal import Glibc
package import SluiceJournal
package import SluiceShared

/// The writer's half of the journal's handshake: one writer id's journal, flush by flush.
///
/// A flush writes one frame, syncs it, and then reads the mark of its segment. If the mark is empty, the
/// batches are acknowledged. If it is set, an applier closed the segment, and may or may not have read
/// this frame: the same batches go under the same sequence numbers into a new segment, and the applier
/// executes them once. The applier does the reverse: it writes the mark, then reads the frames. So at
/// least one of the two sees the other, and the applier has read whatever was acknowledged.
///
/// Synchronous, makes no thread, waits only through its `Environment`: for a simulator, and for a C
/// ABI after `fork()`. Not safe to use from two threads at once.
package final class JournalWriter {
  package let store: StoreHandle
  private var layout: StoreLayout { store.layout }
  private var environment: Environment { store.environment }
  private let compressor = Compressor()

  /// Under which id batches go, and which of them are in doubt.
  private var identity = WriterIdentity()
  /// The segment being written; nil after one was closed, ended, or failed.
  private var segment: OwnSegment?
  private var segmentBytes: Int64
  private let mostSegmentBytes: Int64
  /// Told of the last batch of each frame that is durable; it need not be acknowledged.
  var onWritten: ((BatchID) -> Void)?
  /// How a flush waits on a full disk.
  var room = RoomWait()

  /// `segmentBytes`: of the first segment, and of the largest.
  package init(
    to store: StoreHandle, segmentBytes: ClosedRange<Int64> = Limits.journalSegmentBytes
  ) {
    self.segmentBytes = segmentBytes.lowerBound
    mostSegmentBytes = segmentBytes.upperBound
    self.store = store
  }

  package var writer: WriterID? { identity.journal?.writer }

  /// The segment in which something was last acknowledged.
  package var acknowledgedSegment: UInt64? { identity.journal?.acknowledged?.number }

  /// Whether new batches should get a new writer id, since rows of long silent writers are pruned. False
  /// while batches are in doubt: those go again under the present one.
  package var isOld: Bool { identity.isOld(at: environment.clock) }

  /// Takes a new writer id for new batches. Only when everything acknowledged so far is applied:
  /// the order of batches is kept within one writer id and not across two.
  package func renew() {
    guard identity.doubtful == nil else { return }
    close()
    identity.renew()
  }

  /// The name that the first batch of the next flush will have. Whoever looks for its outcome must know it
  /// before it is written. Takes a new writer id in a forked child.
  package func nextBatch() -> BatchID {
    if let journal = ownJournal,
      !(identity.doubtful.map(isExpired) ?? false) || mayWait(journal)
    {
      return journal.nextBatch
    }
    segment = nil
    return identity.take(environment).nextBatch
  }

  /// Makes the batches durable under the name `first` (of `nextBatch`) and those that follow it.
  ///
  /// `ends` says that the segment ends with them. Throws `.notSubmitted` where no write of them was
  /// ever begun; `.outcomeUnknown` where one may have landed: they are then written again before the
  /// next flush, under the same names.
  package func flush(_ batches: [[UInt8]], as first: BatchID, ends: Bool = false)
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
    do throws(FlushFailure) { try flush(listed: listed, as: first, ends: ends) } catch {
      throw error.error
    }
  }

  /// As `flush(_:as:ends:)`, under the next name, which it returns.
  @discardableResult
  package func flush(_ batches: [[UInt8]], ends: Bool = false) throws(StoreError) -> BatchID {
    let first = nextBatch()
    try flush(batches, as: first, ends: ends)
    return first
  }

  /// As `flush(_:as:ends:)`, of batches that have their length in front (`Batch.listed`): one alone is
  /// not copied. `parts`: of the only one, which they come before.
  func flush(
    listed batches: [[UInt8]], parts: PageParts? = nil, as first: BatchID, ends: Bool
  ) throws(FlushFailure) {
    guard let journal = ownJournal, first == journal.nextBatch else {
      throw .notWritten(
        StoreError(.invalid, "a flush begins with the batch that nextBatch() names"))
    }
    try settleDoubt()
    var group: BatchGroup
    do throws(StoreError) {
      group = try BatchGroup(first: first.sequence, batches, parts: parts, compressor)
    } catch {
      throw .notWritten(error)
    }
    do throws(StoreError) {
      try write(&group, ends: ends)
    } catch {
      guard group.mayHaveLanded else { throw unwritten("the batch is not in the journal", error) }
      identity.doubt(group)
      throw .inDoubt(
        error.named(
          .outcomeUnknown,
          "the batch may or may not be in the journal; ask for its outcome, or submit it again if it has a key",
          first))
    }
    identity.pass(group)
  }

  /// Ends the segment with an empty frame, so that the applier removes it without waiting for it to
  /// fall silent. Nothing depends on it, so a failure is none: the applier will retire the segment.
  package func close() {
    guard ownJournal != nil else { return }
    try? settleDoubt()
    guard let journal = ownJournal, let segment else { return }
    self.segment = nil
    let frame = segment.frame(
      first: journal.next, count: 0, [SectionContent(.batches, raw: [])], ends: true)
    try? segment.write(frame, environment)
  }

  /// Writes an empty frame, by which an applier sees that this writer lives, into a new segment where the last
  /// one is full. Nothing depends on it, so a failure is none.
  func giveSignOfLife() {
    guard identity.doubtful == nil, let journal = ownJournal, journal.acknowledged != nil else {
      return
    }
    do throws(StoreError) {
      let group = BatchGroup(emptyAt: journal.next)
      var segment = try place(group, ends: false)
      self.segment = nil
      let frame = segment.frame(first: group.first, count: 0, group.sections, ends: false)
      try segment.write(frame, environment)
      guard try !Mark.isClosed(segment.file) else { return }
      segment.accept(frame)
      self.segment = segment
    } catch {
      segment = nil
    }
  }
}

// MARK: Who writes

extension JournalWriter {
  /// The journal of this process's id; nil where it has none, as in a forked child.
  private var ownJournal: OwnJournal? { identity.journal(of: environment.processID()) }

  /// Whether acknowledged batches may still wait. A batch under another id could be executed before them.
  private func mayWait(_ journal: OwnJournal) -> Bool {
    guard let acknowledged = journal.acknowledged else { return false }
    return (try? hasSegment(journal.writer, upTo: acknowledged.number)) ?? true
  }

  private func hasSegment(_ writer: WriterID, upTo number: UInt64) throws(StoreError) -> Bool {
    try environment.fileSystem.list(layout.journal).compactMap(StoreLayout.journalSegment)
      .contains { $0.writer == writer && $0.number <= number }
  }

  /// The applier is sure to remember a writer for so long. A batch that was in doubt for longer is never
  /// sent again. Nothing may take its place, so nothing else is sent under that writer id either.
  private func isExpired(_ group: BatchGroup) -> Bool {
    guard let first = group.firstWrite else { return false }
    return first.began.age(environment.clock) > Limits.resendAge
  }

  private func settleDoubt() throws(FlushFailure) {
    guard var group = identity.doubtful else { return }
    do throws(StoreError) {
      guard !isExpired(group) else {
        throw StoreError(
          .outcomeUnknown,
          "a batch in doubt is older than a day, and what was submitted before it may wait; see that an applier runs (`sluice status`) and try again, or open another writer",
          path: layout.journal)
      }
      try write(&group, ends: false)
    } catch {
      throw unwritten(
        "the batch is not in the journal, because an earlier one cannot be written", error)
    }
    identity.settle(at: environment.clock)
  }

  private func unwritten(_ what: String, _ cause: StoreError) -> FlushFailure {
    let error = cause.named(.notSubmitted, what, nil)
    return identity.isForgotten ? .forgotten(error) : .notWritten(error)
  }

  /// A writer id belongs to one user; what another user's segments say under it is not executed. A process
  /// that has become another user's therefore goes on under a new id, once nothing that was acknowledged
  /// under the old one waits.
  private func checkOwner(_ made: OwnSegment) throws(StoreError) {
    guard let journal = identity.journal else { return }
    guard let owner = journal.owner, owner != made.owner else {
      return identity.change { $0.belong(to: made.owner) }
    }
    let waits = mayWait(journal)
    if !waits { identity.forget() }
    throw StoreError(
      .notSubmitted,
      "its writer's files belong to user \(owner), and this process is user \(made.owner) now; "
        + (waits
          ? "try again when what it submitted before is applied, or open another writer"
          : "a new writer takes its place"),
      path: layout.journal)
  }

  /// What is acknowledged is executed, so nothing is acknowledged of a writer that may be forgotten.
  /// Forgotten is who was silent for a week and had no file in a listing (GUARANTEES, 2). This writer has a
  /// file now. It is remembered if it was silent for less, or if it still has another file that was made
  /// while it was remembered; one that was made in a try that failed a moment ago does not count.
  ///
  /// The dates compared are of two files, both given by the file server. What time this host believes it
  /// to be does not matter: it may be a virtual machine that was suspended in mid-submit.
  private func checkRemembered(_ made: OwnSegment) throws(StoreError) {
    identity.see(made.made_ms.most)
    guard environment.makes(.rememberedWriter), let journal = identity.journal else { return }
    let silence = Duration.milliseconds(made.made_ms.most - journal.heard_ms)
    if silence > Limits.writerSilence,
      try !hasSegment(journal.writer, upTo: journal.lastRemembered)
    {
      identity.forget()
      throw StoreError(
        .notSubmitted,
        "its writer, last heard \(timestamp(journal.heard_ms)), may be forgotten by now (\(timestamp(made.made_ms.most)) by the file server's clock; by this host's, which may have to be set, \(timestamp(environment.clock.wallTime_ms()))); a new one takes its place",
        path: layout.journal)
    }
    identity.change { $0.remember(at: made.number) }
  }
}

// MARK: The handshake

extension JournalWriter {
  /// Writes `group` until it is acknowledged, each try but the first in a new segment. The old one may
  /// still receive a write that failed; and one that was closed is not ours any more.
  private func write(_ group: inout BatchGroup, ends: Bool) throws(StoreError) {
    var failure = StoreError(
      .io, "an applier closed every segment as it was written", path: layout.journal)
    var failures = 0
    var closures = 0
    var room = room
    defer { room.end() }
    repeat {
      do throws(StoreError) {
        if try writeOnce(&group, ends: ends) { return }
        closures += 1
      } catch {
        failure = error
        failures += 1
        if environment.makes(.newJournalSegmentAfterError) { segment = nil }
        guard identity.journal != nil, group.mayHaveLanded || error.mayPass else { break }
        if error.isFullDisk, room.wait(environment.clock) { continue }
        guard failures < Limits.flushTries else { break }
        environment.clock.sleep(.milliseconds(1 << (2 * min(failures - 1, 3))))
      }
    } while closures < Limits.closuresPerFlush && !isExpired(group)
    throw failure
  }

  /// One round of the handshake; false where the segment was closed.
  private func writeOnce(_ group: inout BatchGroup, ends: Bool) throws(StoreError) -> Bool {
    var segment = try place(group, ends: ends)
    if let parts = group.parts, try !write(parts, of: group, to: &segment) {
      self.segment = nil
      return false
    }
    let frame = segment.frame(first: group.first, count: group.count, group.sections, ends: ends)
    let firstWrite = group.willBeWritten(to: segment, environment.clock)
    var isClosed = false
    if !environment.makes(.flushBeforeMark) { isClosed = try Mark.isClosed(segment.file) }
    try segment.write(frame, environment)
    // Whoever is told has read it by the time that the mark is read here.
    onWritten?(BatchID(writer: segment.writer, sequence: group.last))
    if environment.makes(.markAfterFlush), environment.makes(.flushBeforeMark) {
      isClosed = try Mark.isClosed(segment.file)
    }
    if isClosed {
      self.segment = nil
      return false
    }
    segment.accept(frame)
    identity.change { $0.acknowledge(segment, firstWrite) }
    self.segment = ends ? nil : segment
    return true
  }

  /// Writes the parts of a page batch, each in an empty frame: without the batch they are nothing. False where the
  /// segment was closed.
  private func write(_ parts: PageParts, of group: BatchGroup, to segment: inout OwnSegment)
    throws(StoreError) -> Bool
  {
    var isOpen = true
    var behind = segment
    try parts.forEach { (bytes) throws(StoreError) in
      let sections = [SectionContent(.batches, raw: []), SectionContent(.part, raw: bytes)]
      let frame = behind.frame(first: group.first, count: 0, sections, ends: false)
      try behind.write(frame, environment)
      behind.accept(frame)
      isOpen = try !Mark.isClosed(behind.file)
      return isOpen
    }
    segment = behind
    return isOpen
  }

  /// The segment that takes the group, with room behind it for the empty frame that ends a segment.
  private func place(_ group: BatchGroup, ends: Bool) throws(StoreError) -> OwnSegment {
    let room = group.mostPartsBytes + group.mostFrameBytes + Block.size
    // A segment's date is to say, within a day, when its writer was heard. And one that was retired long
    // ago is not written behind its mark.
    if let segment, segment.made.age(environment.clock) > Limits.writerAge { self.segment = nil }
    if let segment {
      if segment.end + Int64(room) <= segment.size { return segment }
      segmentBytes = min(segmentBytes * 2, mostSegmentBytes)
    }
    segment = nil
    let made = try makeSegment(first: group.first, room: room)
    do throws(StoreError) {
      try checkOwner(made)
      try checkRemembered(made)
    } catch {
      made.discard(environment)
      throw error
    }
    segment = made
    return made
  }

  private func makeSegment(first: SequenceNumber, room: Int) throws(StoreError) -> OwnSegment {
    let size = max(segmentBytes, Block.roundUp(Block.firstJournalFrame + Int64(room)))
    for taken in 0..<Limits.segmentNameTries {
      var number: UInt64?
      identity.change { number = $0.takeNumber(behind: taken, environment.random) }
      guard let journal = identity.journal else { throw StoreError(.invalid, "no writer id") }
      guard let number else { throw hasNoNumbers() }
      let header = JournalSegmentHeader(
        store: store.id, id: JournalSegmentID(writer: journal.writer, number: number),
        nonce: environment.random(), firstSequence: first, predecessor: journal.acknowledged,
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
      .io,
      "the names of \(Limits.segmentNameTries) new journal segments in a row were taken; see whose files are in the journal under this writer's id, and try again",
      path: layout.journal)
  }

  /// Others have made so many files under its id that there is no number for one more.
  private func hasNoNumbers() -> StoreError {
    StoreError(
      .io,
      "journal segments of this writer have no more numbers; open another writer when what was submitted is applied",
      path: layout.journal)
  }
}

extension StoreError {
  /// The same failure, as `what` and `code` have it.
  fileprivate func named(_ code: Code, _ what: String, _ batch: BatchID?) -> StoreError {
    StoreError(
      code, "\(what): \(message)", path: path, offset: offset, batch: batch, errno: errno)
  }

  /// Whether trying again soon may help where nothing was written yet.
  fileprivate var mayPass: Bool {
    switch errno {
    case EACCES, EPERM, EROFS, ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG: false
    default: true
    }
  }
}
