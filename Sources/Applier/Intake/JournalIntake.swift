internal import Logging
internal import SluiceJournal
internal import SluiceShared

/// Everything that waits in `journal/`: lists it, reads what is new, in each writer's order, and
/// lets segments go when all they hold is published.
///
/// A writer's segments are read one after the other; the next only when nothing acknowledged in the
/// one before can be missing. That is so when it ended (end flag), when the sequence number that its
/// successor's header begins with has been reached, or when that header names an earlier segment as
/// the last one with anything acknowledged: the writer states there what it was acknowledged.
final class JournalIntake {
  private let layout: StoreLayout
  private let store: StoreID
  private let environment: Environment
  private let name: String
  private let log: Logger

  /// A segment silent for this long is closed and retired.
  var silence: Duration = .seconds(60)
  /// A quiet segment is read at least this often.
  static let slowestPoll: Duration = .seconds(1)
  /// A write that was begun is there after this long (measured: pieces of one for up to 55 ms).
  private static let landing: Duration = .milliseconds(200)

  private var writers: [WriterID: WriterQueue] = [:]
  /// The names taken in.
  private var known: Set<String> = []
  private var refused: Set<String> = []
  /// Of these, what a newer version of Sluice wrote.
  private var newer: Set<String> = []
  private(set) var quarantined: UInt32 = 0
  /// The names in quarantine: a move that was cut off leaves a file with both its names.
  private var asideNames: Set<String> = []
  /// Writers with a segment in quarantine: batches of theirs may be missing.
  private var damaged: Set<WriterID> = []
  /// Many reads are to be in flight at once.
  private let isNetwork: Bool
  private var turn = 0
  private var listings: UInt64 = 0
  /// What the last listing showed.
  private var listed: [String] = []
  /// The latest date of a file that was opened since it was last asked for, by the file server's clock.
  private var latestFile_ms = Int64.min
  /// Writers with a segment that could not be opened, and until when it is left alone.
  private var heldBack: [WriterID: Duration] = [:]
  /// Nothing new can come from these; to be removed once all they hold is published.
  private var finished: [JournalSegmentReader] = []
  /// Batches read and not yet taken.
  private(set) var waiting: [PendingBatch] = []
  private var taken = 0
  /// How many of them each writer has.
  private var waitingOf: [WriterID: Int] = [:]
  private(set) var waitingBytes = 0

  private struct WriterQueue {
    /// By number; the first is the one being read.
    var segments: [JournalSegmentReader] = []
    /// The highest sequence number read.
    var lastRead = SequenceNumber(0)
    var owner: UInt32
  }

  init(
    layout: StoreLayout, store: StoreID, environment: Environment, name: String, log: Logger
  ) throws(StoreError) {
    isNetwork = try environment.fileSystem.isNetwork(layout.journal)
    self.layout = layout
    self.store = store
    self.environment = environment
    self.name = name
    self.log = log
  }

  var writerCount: Int { writers.count }
  var waitingCount: Int { waiting.count - taken }
  var isIdle: Bool { waitingCount == 0 }

  /// Who has a file here, by a listing made for this and by the last one before. Both, since a writer
  /// may have another file that is removed while the second is under way, and make one that it misses.
  func writersWithFiles() throws(StoreError) -> WritersWithFiles {
    let names = Set(try environment.fileSystem.list(layout.journal)).union(listed)
    var found = WritersWithFiles()
    for name in names {
      guard let writer = StoreLayout.journalSegment(name)?.writer else { continue }
      found.all.insert(writer)
      // A file of a newer format waits for an applier to come; of a stranger's nothing is expected.
      if !refused.contains(name) || newer.contains(name) { found.waiting.insert(writer) }
    }
    return found
  }

  /// The latest date, by the file server's clock, of the files opened since this was last called; nil
  /// where none was.
  func takeLatestFile_ms() -> Int64? {
    defer { latestFile_ms = .min }
    return latestFile_ms == .min ? nil : latestFile_ms
  }

  /// Whether the batches that a writer's next ones follow may be in quarantine.
  func mayLackBatches(_ writer: WriterID) -> Bool { damaged.contains(writer) }

  // MARK: reading

  /// Bytes of batches that are read and not executed at most, so that memory stays bounded however
  /// much waits; and of one segment in one pass, so that a busy writer does not hold up the others.
  private static let mostWaitingBytes = 2 * Limits.batchBytesPerCommit
  private static let mostBytesAtOnce: Int64 = 4 << 20
  private static let leastBytesAtOnce: Int64 = 64 << 10
  /// A writer's turn: of who has nothing waiting so many batches come behind as many of each other writer.
  private static let turnLength = 64

  /// One listing, and one read of each segment that is due. Returns whether anything was found.
  ///
  /// A listing is not one instant: of two segments made while it is under way it may show the later
  /// one only, and the batches in the earlier one would be taken for missing. So a segment is read
  /// only after a listing that began when it was known: those before it were there by then, and are
  /// known too, or were removed.
  func poll() throws(StoreError) -> Bool {
    let now = environment.clock.elapsed()
    if try list(now) { _ = try list(now) }
    // However much of others waits, a little is read of who has nothing waiting.
    let isFull = waitingBytes >= JournalIntake.mostWaitingBytes
    guard waitingBytes < JournalIntake.mostWaitingBytes * 3 / 2 else { return false }
    var due: [JournalSegmentReader] = []
    var found = false
    for queue in writers.values {
      guard let segment = queue.segments.first, segment.nextPoll <= now,
        heldBack[segment.id.writer] == nil, !isFull || waitingOf[segment.id.writer] == nil
      else { continue }
      if mayBeRead(segment) { due.append(segment) } else { found = true }
    }
    due.sort { $0.id < $1.id }
    if !due.isEmpty {
      // Everybody's turn to be first comes.
      turn = (turn + 1) % due.count
      due = Array(due[turn...] + due[..<turn])
      if !writersFirst.isEmpty {
        due =
          due.filter { writersFirst.contains($0.id.writer) }
          + due.filter { !writersFirst.contains($0.id.writer) }
      }
    }
    for piece in stride(from: 0, to: due.count, by: JournalIntake.readsInFlight) {
      let segments = due[piece..<min(piece + JournalIntake.readsInFlight, due.count)]
      let bytes = isFull ? JournalIntake.leastBytesAtOnce : JournalIntake.mostBytesAtOnce
      for (segment, frames) in zip(segments, read(Array(segments), now, bytes)) {
        if try integrate(frames, of: segment, now) { found = true }
      }
      if !isFull, waitingBytes >= JournalIntake.mostWaitingBytes { break }
    }
    return found
  }

  private func mayBeRead(_ segment: JournalSegmentReader) -> Bool {
    segment.id.number == 1 || segment.listing < listings || !environment.makes(.listAgain)
  }

  /// Whose segments are read before those of others.
  var writersFirst: Set<WriterID> = []

  /// Nothing that was in the journal when it was polled last is left out for now.
  var isComplete: Bool { isIdle && heldBack.isEmpty }

  private static let readsInFlight = 16

  /// Reads segments, many at once where each read is a round trip to a server.
  private func read(
    _ segments: [JournalSegmentReader], _ now: Duration, _ bytes: Int64 = mostBytesAtOnce
  ) -> [Result<[JournalSegmentReader.Frame], StoreError>] {
    let store = store
    guard isNetwork, segments.count > 1 else {
      return segments.map { JournalIntake.read($0, store, now, bytes) }
    }
    let results = Monitor(
      [Result<[JournalSegmentReader.Frame], StoreError>](
        repeating: .success([]), count: segments.count))
    // Each piece of work has a segment of its own.
    nonisolated(unsafe) let segments = segments
    environment.executor.concurrently(segments.count) { i in
      let result = JournalIntake.read(segments[i], store, now, bytes)
      results.withLock { $0[i] = result }
    }
    return results.withLock { $0 }
  }

  private static func read(
    _ segment: JournalSegmentReader, _ store: StoreID, _ now: Duration, _ bytes: Int64
  ) -> Result<[JournalSegmentReader.Frame], StoreError> {
    do throws(StoreError) {
      return .success(try segment.poll(store: store, atMost: bytes, now: now))
    } catch {
      return .failure(error)
    }
  }

  /// Takes in what was read of a writer's first segment, and goes on with its next ones where that
  /// was all of it.
  private func integrate(
    _ result: Result<[JournalSegmentReader.Frame], StoreError>, of first: JournalSegmentReader,
    _ now: Duration
  ) throws(StoreError) -> Bool {
    let writer = first.id.writer
    var result = result
    var segment = first
    var found = false
    while true {
      switch result {
      case .success(let frames):
        found = found || !frames.isEmpty
        add(frames, of: segment)
        let quiet = now - segment.lastNews
        segment.nextPoll = now + min(JournalIntake.slowestPoll, quiet / 128)
        guard let queue = writers[writer] else { return found }
        do throws(StoreError) {
          guard try isDone(segment, queue, now, foundNothing: frames.isEmpty) else { return found }
          retire(writer)
        } catch {
          try refuse(segment, writer, error)
        }
      case .failure(let error): try refuse(segment, writer, error)
      }
      guard let next = writers[writer]?.segments.first, heldBack[writer] == nil else {
        return found
      }
      guard mayBeRead(next) else { return true }
      segment = next
      result = read([next], now)[0]
    }
  }

  private func add(_ frames: [JournalSegmentReader.Frame], of segment: JournalSegmentReader) {
    let writer = segment.id.writer
    var new: [PendingBatch] = []
    for frame in frames {
      if let last = writers[writer]?.lastRead, frame.last > last {
        writers[writer]?.lastRead = frame.last
      }
      let pending = PendingFrame(segment, frame)
      for index in 0..<Int(frame.count) {
        let id = BatchID(writer: writer, sequence: frame.first.advanced(by: UInt64(index)))
        new.append(PendingBatch(id: id, frame: pending, index: index))
      }
      segment.waitingBatches += Int(frame.count)
      waitingBytes += Int(frame.rawBytes)
    }
    guard !new.isEmpty else { return }
    // Nobody waits for all that another one has submitted. Who has something waiting keeps its order.
    let hadNone = waitingOf[writer] == nil
    waitingOf[writer, default: 0] += new.count
    let place = taken + waitingOf.count * JournalIntake.turnLength
    guard hadNone, place < waiting.count else { return waiting.append(contentsOf: new) }
    waiting.insert(contentsOf: new.prefix(JournalIntake.turnLength), at: place)
    waiting.append(contentsOf: new.dropFirst(JournalIntake.turnLength))
  }

  /// Whether nothing acknowledged can still come from a writer's first segment.
  private func isDone(
    _ segment: JournalSegmentReader, _ queue: WriterQueue, _ now: Duration, foundNothing: Bool
  ) throws(StoreError) -> Bool {
    if segment.isEnded { return true }
    let quiet = now - segment.lastNews
    for later in queue.segments.dropFirst() where mayBeRead(later) {
      if later.header == nil { _ = try? later.peekHeader(store) }
      guard let next = later.header else { continue }
      if queue.lastRead.next >= next.firstSequence || next.acknowledgesNothing(in: segment.id) {
        return true
      }
      // Acknowledged, says the successor, and not to be read: wait a little, then look closely.
      guard segment.isMarked ? foundNothing : quiet >= .seconds(2) else { return false }
      return try closeAndRead(segment, queue, acknowledgedUpTo: next.firstSequence)
    }
    guard segment.isMarked ? foundNothing : quiet >= silence else { return false }
    return try closeAndRead(segment, queue, acknowledgedUpTo: nil)
  }

  /// Retires a segment that is not ended: the mark first, *then* the frames again, because what the
  /// writer acknowledged was durable before it read the mark empty. What is still not whole goes to
  /// quarantine.
  private func closeAndRead(
    _ segment: JournalSegmentReader, _ queue: WriterQueue, acknowledgedUpTo next: SequenceNumber?
  ) throws(StoreError) -> Bool {
    if !segment.isMarked {
      try segment.close(by: name, environment: environment)
      segment.nextPoll = .zero
      if environment.makes(.rereadAfterMark) {
        return false  // and the next poll reads again
      }
      return true
    }
    let hasRemains = try segment.hasRemains()
    if hasRemains {
      // A write that was on its way when the mark came may land between that reading and this one,
      // and in pieces: it is read as a frame then. Its writer finds the mark.
      let now = environment.clock.elapsed()
      let since = segment.remainsSince ?? now
      segment.remainsSince = since
      if now - since < JournalIntake.landing {
        segment.nextPoll = .zero
        return false
      }
    }
    if next != nil || hasRemains {
      damaged.insert(segment.id.writer)
      try quarantine(segment)
    }
    return true
  }

  private func retire(_ writer: WriterID) {
    guard let segment = writers[writer]?.segments.removeFirst() else { return }
    finished.append(segment)
    if writers[writer]?.segments.isEmpty == true { writers[writer] = nil }
  }

  // MARK: the listing

  /// Takes in what is new. Returns whether some of it must not be read before the next listing.
  private func list(_ now: Duration) throws(StoreError) -> Bool {
    let names = try environment.fileSystem.list(layout.journal).sorted()
    listings += 1
    listed = names
    var mustListAgain = false
    let new = names.compactMap { name -> (name: String, id: JournalSegmentID)? in
      guard !known.contains(name), !refused.contains(name),
        let id = StoreLayout.journalSegment(name)
      else { return nil }
      return (name, id)
    }
    var opened = openAtOnce(new.filter { heldBack[$0.id.writer] == nil })
    for (name, id) in new {
      if let until = heldBack[id.writer], until > now { continue }
      do throws(StoreError) {
        let segment: JournalSegmentReader
        if let early = opened.removeValue(forKey: name) {
          segment = early
        } else {
          segment = try open(id, name)
        }
        latestFile_ms = max(latestFile_ms, segment.modified_ms)
        known.insert(name)
        heldBack[id.writer] = nil
        segment.listing = listings
        add(segment)
        mustListAgain = mustListAgain || !mayBeRead(segment)
      } catch {
        if error.isNoSuchFile { continue }
        guard error.isAboutTheFile else {
          // The file may be in order: what follows it waits until it can be opened.
          if heldBack.updateValue(now + .seconds(1), forKey: id.writer) == nil {
            log.error(
              "journal file cannot be opened, its writer's batches wait",
              metadata: ["error": "\(error)"])
          }
          continue
        }
        ignore(name, error)
      }
    }
    // What could not be opened may be gone by now.
    heldBack = heldBack.filter { $0.value > now }
    return mustListAgain
  }

  /// Opens files side by side, where each is some round trips to a server, as many as a new term finds.
  /// What cannot be opened so is left out, to be looked at by itself.
  private func openAtOnce(_ new: [(name: String, id: JournalSegmentID)])
    -> [String: JournalSegmentReader]
  {
    guard isNetwork, new.count > 1 else { return [:] }
    let results = Monitor([String: JournalSegmentReader]())
    let (layout, environment, asideNames) = (layout, environment, asideNames)
    for start in stride(from: 0, to: new.count, by: JournalIntake.readsInFlight) {
      let piece = Array(new[start..<min(start + JournalIntake.readsInFlight, new.count)])
      environment.executor.concurrently(piece.count) { i in
        let (name, id) = piece[i]
        // Each piece of work makes a segment of its own, which is used by one thread from then on.
        nonisolated(unsafe) let segment = try? JournalSegmentReader(
          id, path: "\(layout.journal)/\(name)", names: asideNames.contains(name) ? 2 : 1,
          environment: environment)
        if let segment { results.withLock { $0[name] = segment } }
      }
    }
    return results.withLock { $0 }
  }

  private func ignore(_ name: String, _ error: StoreError) {
    refused.insert(name)
    if error.code == .unsupported { newer.insert(name) }
    log.error("journal file ignored", metadata: ["error": "\(error)"])
  }

  /// A file with a second name is a stranger's, unless that name is in quarantine: an applier that was
  /// moving it there may have made it after quarantine was last looked at.
  private func open(_ id: JournalSegmentID, _ name: String) throws(StoreError)
    -> JournalSegmentReader
  {
    let path = "\(layout.journal)/\(name)"
    if !asideNames.contains(name) {
      do throws(StoreError) {
        return try JournalSegmentReader(id, path: path, names: 1, environment: environment)
      } catch {
        guard error.code == .foreign else { throw error }
        try countQuarantine()
        guard asideNames.contains(name) else { throw error }
      }
    }
    return try JournalSegmentReader(id, path: path, names: 2, environment: environment)
  }

  private func add(_ segment: JournalSegmentReader) {
    let writer = segment.id.writer
    var queue = writers[writer] ?? WriterQueue(owner: segment.owner)
    guard queue.owner == segment.owner else {
      log.error(
        "journal file ignored: it belongs to user \(segment.owner), its writer to \(queue.owner)",
        metadata: ["file": "\(segment.path)"])
      refused.insert(StoreLayout.journalName(segment.id))
      return
    }
    let place = queue.segments.firstIndex { $0.id > segment.id } ?? queue.segments.count
    queue.segments.insert(segment, at: place)
    writers[writer] = queue
  }

  private func refuse(_ segment: JournalSegmentReader, _ writer: WriterID, _ error: StoreError)
    throws(StoreError)
  {
    guard !error.isStaleHandle, !error.isNoSuchFile else {
      // Removed: by another applier, which means published, or by a writer that could not begin it.
      writers[writer]?.segments.removeFirst()
      if writers[writer]?.segments.isEmpty == true { writers[writer] = nil }
      return
    }
    if error.isForbidden {
      // Others go on. It may be read again, and closed, when its permissions are set right.
      heldBack[writer] = environment.clock.elapsed() + .seconds(30)
      log.error(
        "journal file must be readable and writable to the applier, its writer's batches wait",
        metadata: ["error": "\(error)"])
      return
    }
    guard error.isAboutTheFile else { throw error }
    ignore(StoreLayout.journalName(segment.id), error)
    writers[writer]?.segments.removeFirst()
    if writers[writer]?.segments.isEmpty == true { writers[writer] = nil }
  }

  // MARK: taking

  /// The next batches, at most `count` of them and `bytes`, without taking them.
  func next(_ count: Int, bytes: Int) -> ArraySlice<PendingBatch> {
    var end = taken
    var total = 0
    while end < waiting.count, end - taken < count {
      let size = waiting[end].bytes
      guard total == 0 || total + size <= bytes else { break }
      total += size
      end += 1
    }
    return waiting[taken..<end]
  }

  /// Moves what `isWanted` before all others; false where nothing of it waits. Only what a writer's
  /// other waiting batches are to follow may be wanted, or are repeats of what is in the history.
  func bringForward(_ isWanted: (BatchID) -> Bool) -> Bool {
    let wanted = waiting[taken...].filter { isWanted($0.id) }
    guard !wanted.isEmpty else { return false }
    let others = waiting[taken...].filter { !isWanted($0.id) }
    waiting.replaceSubrange(taken..., with: wanted + others)
    return true
  }

  /// Takes the next `count` batches out; they are in the commit that ends with `txid`, or in
  /// earlier ones.
  func take(_ count: Int, in txid: TxID) {
    for batch in waiting[taken..<taken + count] {
      let segment = batch.frame.segment
      segment.waitingBatches -= 1
      waitingOf[batch.id.writer, default: 0] -= 1
      if waitingOf[batch.id.writer] == 0 { waitingOf[batch.id.writer] = nil }
      segment.lastTxID = txid
      if batch.isLastOfFrame { waitingBytes -= Int(batch.frame.frame.rawBytes) }
    }
    taken += count
    if taken == waiting.count {
      waiting.removeAll(keepingCapacity: true)
      taken = 0
    } else if taken * 2 >= waiting.count {
      // What was taken holds its frame, and the file.
      waiting.removeFirst(taken)
      taken = 0
    }
  }

  /// How long the oldest batch has waited since it was read.
  var age_ms: UInt64 {
    guard !isIdle else { return 0 }
    let oldest = waiting[taken].frame.segment.lastNews
    return UInt64(max(0, (environment.clock.elapsed() - oldest).wholeMilliseconds))
  }

  // MARK: removing

  /// Removes the finished segments whose content is all in commits up to `txid`, which is published.
  func remove(published txid: TxID) throws(StoreError) {
    guard !finished.isEmpty else { return }
    var kept: [JournalSegmentReader] = []
    var paths: [String] = []
    for segment in finished {
      let isPublished = segment.waitingBatches == 0 && segment.lastTxID <= txid
      guard isPublished || !environment.makes(.removeOnlyPublished) else {
        kept.append(segment)
        continue
      }
      paths.append(segment.path)
      known.remove(StoreLayout.journalName(segment.id))
    }
    // Closed before they are removed: of a file that is open here NFS only hides the name.
    finished = kept
    for path in paths {
      do throws(StoreError) { try environment.fileSystem.unlink(path) } catch {
        // ENOENT: removed already, or the reply to a first try was lost.
        if !error.isNoSuchFile { throw error }
      }
    }
  }

  // MARK: quarantine

  /// Moves a segment with remains aside, by link and unlink, for people to look at.
  private func quarantine(_ segment: JournalSegmentReader) throws(StoreError) {
    let target = "\(layout.quarantine)/\(StoreLayout.journalName(segment.id))"
    do throws(StoreError) { try environment.fileSystem.link(segment.path, to: target) } catch {
      if !error.isExistingFile { throw error }
      // Of somebody who may have died before it was answered, so that a file server may lose it still
      // (on NFS the sync below asks for nothing).
      try changeQuarantine(beside: target)
    }
    if environment.makes(.syncQuarantine) {
      try environment.fileSystem.syncDirectory(layout.quarantine)
    }
    quarantined += 1
    asideNames.insert(StoreLayout.journalName(segment.id))
    log.error(
      "journal segment put into quarantine: a torn or damaged write lies behind its last whole frame",
      metadata: [
        "file": "\(target)", "offset": "\(segment.offset)",
        "lastSequence": "\(writers[segment.id.writer]?.lastRead.description ?? "0")",
      ])
  }

  /// An answered change of the directory brings those before it along. It is not made by one more name
  /// of a segment, which would be a stranger's if this process died before it is removed.
  private func changeQuarantine(beside target: String) throws(StoreError) {
    let fileSystem = environment.fileSystem
    let temporary = StoreLayout.temporaryName(target, environment.random())
    do throws(StoreError) {
      _ = try fileSystem.createUncached(temporary, mode: 0o600)
      try fileSystem.unlink(temporary)
    } catch {
      // Made, and an answer: EEXIST to a request sent again, since nobody else has this name; or another
      // applier has removed it, who takes it for left behind.
      guard error.isExistingFile || error.isNoSuchFile || error.isStaleHandle else { throw error }
      if error.isExistingFile { try? fileSystem.unlink(temporary) }
    }
  }

  /// Looks what lies in quarantine, at the beginning of a term.
  func countQuarantine() throws(StoreError) {
    let segments = try environment.fileSystem.list(layout.quarantine)
      .compactMap(StoreLayout.journalSegment)
    quarantined = UInt32(segments.count)
    damaged = Set(segments.map(\.writer))
    asideNames = Set(segments.map(StoreLayout.journalName))
  }
}

/// Writers that are not forgotten, since they have files in the journal.
struct WritersWithFiles {
  var all: Set<WriterID> = []
  /// Of these, those with a file whose batches are or will be executed.
  var waiting: Set<WriterID> = []
}

extension StoreError {
  /// EACCES or EPERM.
  fileprivate var isForbidden: Bool { errno == 13 || errno == 1 }

  /// The file itself is at fault, and stays so: none of ours, from a newer version, a symbolic link.
  fileprivate var isAboutTheFile: Bool {
    code == .foreign || code == .unsupported || errno == 40  // ELOOP
  }
}
