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
///
/// Whatever a file here does is its writer's problem: its writer's batches wait, or are ignored, and
/// everybody else goes on. A device that fails as a whole fails for the log's beacon too, within a beat,
/// and that ends the term. One look takes a bounded time, however many files wait and whatever is in
/// them; who was not looked at comes first in the next.
final class JournalIntake {
  let layout: StoreLayout
  private let store: StoreID
  let environment: Environment
  private let name: String
  let log: Logger

  /// A segment silent for this long is closed and retired.
  var silence: Duration = .seconds(60)
  /// What the history knows of a writer; nil where it has no batch of it.
  var history: (WriterID) throws(StoreError) -> KnownWriter? = { (_) throws(StoreError) in nil }
  /// The file server's time; nil where it cannot be asked.
  var serverTime_ms: () -> Int64? = { nil }
  /// A quiet segment is read at least this often.
  static let slowestPoll: Duration = .seconds(1)
  /// A write that was begun is there after this long (measured: pieces of one for up to 55 ms).
  private static let landing: Duration = .milliseconds(200)

  private(set) var writers: [WriterID: WriterQueue] = [:]
  /// Of writers that had files in this term and have none now: whose they were, and the last number that
  /// was read.
  private var remembered: [WriterID: (owner: UInt32, lastRead: SequenceNumber)] = [:]
  private static let mostRemembered = 100_000
  /// The names taken in.
  private var known: Set<String> = []
  private var refused: Set<String> = []
  /// Of these, what a newer version of Sluice wrote.
  private var newer: Set<String> = []
  /// Files here that are not read.
  var ignoredCount: Int { refused.count }
  /// Batches that were found missing in this term.
  private(set) var missing: UInt64 = 0
  var quarantined: UInt32 = 0
  /// Of these, by this term.
  var quarantinedHere: UInt32 = 0
  /// The names in quarantine: a move that was cut off leaves a file with both its names.
  var asideNames: Set<String> = []
  /// Writers with a segment in quarantine: batches of theirs may be missing.
  var damaged: Set<WriterID> = []
  /// Many reads are to be in flight at once.
  private let isNetwork: Bool
  private var listings: UInt64 = 0
  /// What the last listing showed.
  private var listed: [String] = []
  /// The latest date of a file that was opened since it was last asked for, by the file server's clock.
  private var latestFile_ms = Int64.min
  /// The file server's clock, as it was asked once: its time, and this host's boot time then.
  private var serverClock: (time_ms: Int64, boot: Duration)?
  /// Writers with a file that could not be used: they are left alone for a while.
  private var heldBack = HeldBack()
  private var openFiles: OpenSegments
  private var lastComplaint: Duration?
  /// Until when nothing is summed again that was found not to be whole.
  private var nextDoubtful: Duration = .zero
  private var failedQuestion: StoreError?
  /// Nothing new can come from these; to be removed once all they hold is published.
  private var finished: [JournalSegmentReader] = []
  /// Of these, what could not be removed, and until when it is left.
  private var stuck: [String: (pause: Duration, until: Duration)] = [:]
  /// Batches read and not yet taken.
  private(set) var waiting: [PendingBatch] = []
  private var taken = 0
  /// When the look that is under way began, its listing apart (boot time).
  private var lookBegan: Duration = .zero
  /// How many of them each writer has.
  private var waitingOf: [WriterID: Int] = [:]
  private(set) var waitingBytes = 0
  /// The memory that they take.
  private var waitingWeight = 0

  struct WriterQueue {
    /// By number; the first is the one being read.
    var segments: [JournalSegmentReader] = []
    /// The highest sequence number read.
    var lastRead = SequenceNumber(0)
    /// Known once one of them was opened.
    var owner: UInt32?
    /// What the history had of it then.
    var executed: KnownWriter?
  }

  init(
    layout: StoreLayout, store: StoreID, environment: Environment, name: String, openFiles: Int,
    log: Logger
  ) throws(StoreError) {
    self.openFiles = OpenSegments(most: openFiles)
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

  /// Memory of batches that are read and not executed at most, so that it stays bounded however much
  /// waits; and of one segment in one pass, so that a busy writer does not hold up the others.
  private static let mostWaitingWeight = 2 * Limits.batchBytesPerCommit
  private static let mostBytesAtOnce: Int64 = 4 << 20
  private static let leastBytesAtOnce: Int64 = 64 << 10
  /// Of one segment in one look: as much as a look's time is enough for. A term's first look is a small one,
  /// since nothing is executed before its end, and it may find hours of batches that are in the history.
  private var bytesAtOnce = JournalIntake.leastBytesAtOnce
  private static let readsInFlight = 16
  private static let mostPeeks = 16
  /// One look goes on to the next segments for this long.
  private static let longestLook: Duration = .milliseconds(100)
  /// A writer's turn: of who has nothing waiting so many batches come behind as many of each other writer.
  private static let turnLength = 4

  private typealias Reading = Result<JournalSegmentReader.News, StoreError>

  /// One listing, and one read of each segment that is due, as far as a look's time goes. Returns
  /// whether anything was found, or is still to be looked at.
  ///
  /// A listing is not one instant: of two segments made while it is under way it may show the later
  /// one only, and the batches in the earlier one would be taken for missing. So a segment is read
  /// only after a listing that began when it was known: those before it were there by then, and are
  /// known too, or were removed.
  func poll() throws(StoreError) -> Bool {
    let now = environment.clock.elapsed()
    heldBack.goOn(now)
    if try list() { _ = try list() }
    // However much of others waits, a little is read of who has nothing waiting.
    let isCrowded = isFull
    guard waitingWeight < JournalIntake.mostWaitingWeight * 3 / 2 else { return false }
    lookBegan = environment.clock.elapsed()
    var due: [JournalSegmentReader] = []
    var found = false
    for queue in writers.values {
      guard let segment = queue.segments.first, segment.nextPoll <= now,
        !heldBack.has(segment.id.writer), !isCrowded || waitingOf[segment.id.writer] == nil
      else { continue }
      if mayBeRead(segment) { due.append(segment) } else { found = true }
    }
    // Who waits longest for a look comes first; of those that were never looked at, the oldest; before
    // all, whose batches terms ended in.
    func place(_ segment: JournalSegmentReader) -> (Int, Duration, JournalSegmentID) {
      (writersFirst.contains(segment.id.writer) ? 0 : 1, segment.nextPoll, segment.id)
    }
    due.sort { place($0) < place($1) }
    // What takes long is read alone and last, one in a look, so that nobody else waits for two.
    var heavy = due.filter { $0.isHeavy || $0.isDoubtful }
    let light = due.filter { !($0.isHeavy || $0.isDoubtful) }
    let bytes = isCrowded ? JournalIntake.leastBytesAtOnce : bytesAtOnce
    let largest = due.count == 1 ? .max : JournalIntake.mostBytesAtOnce
    var isCut = false
    let atOnce = min(JournalIntake.readsInFlight, openFiles.atOnce)
    for piece in stride(from: 0, to: light.count, by: atOnce) {
      // The first are read however long the listing took.
      isCut = isFull && !isCrowded || piece > 0 && isLookOver
      if isCut { break }
      let segments = Array(light[piece..<min(piece + atOnce, light.count)])
      openFiles.makeRoom(for: segments)
      for (segment, news) in zip(segments, read(segments, now, bytes, largest: largest)) {
        openFiles.note(segment)
        if try integrate(news, of: segment, now) { found = true }
        if segment.isHeavy { heavy.append(segment) }
      }
    }
    adaptToTime()
    // Also where others' batches fill the memory, and the look was one at whom they leave nothing.
    if !isFull || isCrowded, let segment = nextHeavy(heavy) {
      openFiles.makeRoom(for: [segment])
      let began = environment.clock.elapsed()
      let news = read([segment], now, largest: .max)[0]
      openFiles.note(segment)
      segment.isHeavy = false
      if try integrate(news, of: segment, now) { found = true }
      let end = environment.clock.elapsed()
      if segment.isDoubtful { nextDoubtful = end + (end - began) * 4 }
    }
    return found || isCut
  }

  /// What was summed in vain takes a fifth of the time at most.
  private func nextHeavy(_ segments: [JournalSegmentReader]) -> JournalSegmentReader? {
    let now = environment.clock.elapsed()
    return segments.filter { !$0.isDoubtful || nextDoubtful <= now }
      .min { ($0.nextPoll, $0.id) < ($1.nextPoll, $1.id) }
  }

  private var isLookOver: Bool {
    environment.makes(.boundedLooks)
      && environment.clock.elapsed() - lookBegan >= JournalIntake.longestLook
  }

  /// The next look at each segment may be twice as long where this one left time, and half as long where not.
  private func adaptToTime() {
    if isLookOver {
      bytesAtOnce = max(JournalIntake.leastBytesAtOnce, bytesAtOnce / 2)
    } else {
      bytesAtOnce = min(JournalIntake.mostBytesAtOnce, bytesAtOnce * 2)
    }
  }

  private var isFull: Bool { waitingWeight >= JournalIntake.mostWaitingWeight }

  private func mayBeRead(_ segment: JournalSegmentReader) -> Bool {
    segment.id.number == 1 || segment.listing < listings || !environment.makes(.listAgain)
  }

  /// Whose segments are read before those of others.
  var writersFirst: Set<WriterID> = []

  /// What was and will not be applied of what this term has found.
  var leftBehind: LeftBehind {
    LeftBehind(
      ignored: ignoredCount, missing: missing, heldBack: heldBack.count,
      quarantined: quarantinedHere)
  }

  /// Nothing that was in the journal when it was polled last is left out for now.
  var isComplete: Bool { isIdle && heldBack.isEmpty }

  /// Reads segments, many at once where each read is a round trip to a server.
  private func read(
    _ segments: [JournalSegmentReader], _ now: Duration, _ bytes: Int64? = nil, largest: Int64
  ) -> [Reading] {
    let store = store
    let bytes = bytes ?? bytesAtOnce
    guard isNetwork, segments.count > 1 else {
      return segments.map { JournalIntake.read($0, store, now, bytes, largest) }
    }
    let results = Monitor([Reading](repeating: .success(.init()), count: segments.count))
    // Each piece of work has a segment of its own.
    nonisolated(unsafe) let segments = segments
    environment.executor.concurrently(segments.count) { i in
      let result = JournalIntake.read(segments[i], store, now, bytes, largest)
      results.withLock { $0[i] = result }
    }
    return results.withLock { $0 }
  }

  private static func read(
    _ segment: JournalSegmentReader, _ store: StoreID, _ now: Duration, _ bytes: Int64,
    _ largest: Int64
  ) -> Reading {
    do throws(StoreError) {
      return .success(
        try segment.poll(store: store, atMost: bytes, largest: largest, now: now))
    } catch {
      return .failure(error)
    }
  }

  /// Takes in what was read of a writer's first segment, and goes on with its next ones where that
  /// was all of it.
  private func integrate(
    _ first: Reading, of firstSegment: JournalSegmentReader, _ now: Duration
  ) throws(StoreError) -> Bool {
    let writer = firstSegment.id.writer
    var result = first
    var segment = firstSegment
    var found = false
    while true {
      do throws(StoreError) {
        let news = try result.get()
        guard try belongs(segment) else { return true }
        found = found || !news.frames.isEmpty
        try add(news.frames, of: segment)
        segment.isHeavy = news.wantsMore
        let quiet = now - segment.lastNews
        if news.isComplete {
          segment.nextPoll = now + min(JournalIntake.slowestPoll, quiet / 128)
        } else if let until = segment.doubtfulUntil {
          segment.nextPoll = until
        } else if !news.wantsMore {
          segment.nextPoll = now
        }
        let foundNothing = news.frames.isEmpty && news.isComplete
        guard let queue = writers[writer],
          try isDone(segment, queue, now, foundNothing: foundNothing)
        else {
          if quiet < silence { heldBack.worked(writer) }
          return found
        }
        heldBack.worked(writer)
        retire(writer)
      } catch {
        if let failedQuestion { throw failedQuestion }
        if hasSecondNameInQuarantine(segment, error) {
          result = read([segment], now, largest: JournalIntake.mostBytesAtOnce)[0]
          continue
        }
        refuse(segment, error)
      }
      guard let next = writers[writer]?.segments.first, !heldBack.has(writer) else {
        return found
      }
      guard mayBeRead(next), next !== segment else { return true }
      guard !isLookOver else { return true }
      segment = next
      openFiles.makeRoom(for: [next])
      result = read([next], now, largest: JournalIntake.mostBytesAtOnce)[0]
      openFiles.note(next)
    }
  }

  private func add(_ frames: [JournalSegmentReader.Frame], of segment: JournalSegmentReader)
    throws(StoreError)
  {
    let writer = segment.id.writer
    var new: [PendingBatch] = []
    for frame in frames {
      try nameMissing(before: frame, of: segment)
      if let last = writers[writer]?.lastRead, frame.last > last {
        writers[writer]?.lastRead = frame.last
      }
      let repeats = repeats(in: frame, of: segment)
      guard repeats < Int(frame.count) else { continue }
      let pending = PendingFrame(segment, frame)
      for index in repeats..<Int(frame.count) {
        new.append(PendingBatch(pending, index))
      }
      segment.waitingBatches += Int(frame.count) - repeats
      waitingBytes += Int(frame.rawBytes)
      waitingWeight += Int(frame.weight)
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

  /// How many of a frame's batches, its first ones, were in the history when this term found their writer.
  ///
  /// A live segment is read from its beginning by each term: mostly that is what was executed long ago. Its
  /// outcomes are there, so it need not wait for its turn to be found a repeat; whatever comes twice later
  /// does. The segment can go when the commit that this was asked after is published, like any other.
  private func repeats(in frame: JournalSegmentReader.Frame, of segment: JournalSegmentReader)
    -> Int
  {
    guard environment.makes(.deduplicate),
      let executed = writers[segment.id.writer]?.executed, frame.first <= executed.sequence
    else { return 0 }
    segment.lastTxID = max(segment.lastTxID, executed.asOf)
    return Int(min(UInt64(frame.count), executed.sequence.rawValue - frame.first.rawValue + 1))
  }

  /// Says which batches a frame follows that are neither read nor in the history.
  private func nameMissing(
    before frame: JournalSegmentReader.Frame, of segment: JournalSegmentReader
  ) throws(StoreError) {
    let writer = segment.id.writer
    var last = writers[writer]?.lastRead ?? SequenceNumber(0)
    guard frame.first > last.next else { return }
    // A new term has not read what is in the history.
    last = max(last, remembered[writer]?.lastRead ?? SequenceNumber(0))
    guard frame.first > last.next else { return }
    last = max(
      last, try ask { () throws(StoreError) in try history(writer)?.sequence ?? SequenceNumber(0) })
    guard frame.first > last.next else { return }
    let count = frame.first.rawValue - last.next.rawValue
    missing = missing.addingReportingOverflow(count).partialValue
    log.error(
      "batches are missing in the journal",
      metadata: [
        "writer": "\(writer)", "first": "\(last.next)", "last": "\(frame.first.rawValue - 1)",
        "before": "\(segment.path)",
      ])
  }

  /// Whether nothing acknowledged can still come from a writer's first segment.
  private func isDone(
    _ segment: JournalSegmentReader, _ queue: WriterQueue, _ now: Duration, foundNothing: Bool
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
      guard segment.isMarked ? foundNothing : quiet >= .seconds(2) else { return false }
      return try closeAndRead(segment, queue, acknowledgedUpTo: next.firstSequence)
    }
    guard segment.isMarked ? foundNothing : quiet >= silence else { return false }
    return try closeAndRead(segment, queue, acknowledgedUpTo: nil)
  }

  /// The header of a segment before its turn.
  private func peek(_ segment: JournalSegmentReader) {
    openFiles.makeRoom(for: [segment])
    do throws(StoreError) { try segment.peekHeader(store) } catch {
      // What is wrong with it is told when its turn comes.
    }
    openFiles.note(segment)
  }

  /// Whether segments are on their way out, so that nothing waits for their writers.
  var isRetiring: Bool {
    let now = environment.clock.elapsed()
    return writers.contains { writer, queue in
      guard let first = queue.segments.first, !heldBack.has(writer) else { return false }
      return first.isMarked || !first.wasRead || now - first.lastNews >= silence
        || queue.segments.dropFirst().contains { $0.header != nil }
    }
  }

  /// Retires a segment that is not ended: the mark first, *then* the frames again, because what the
  /// writer acknowledged was durable before it read the mark empty. What is still not whole goes to
  /// quarantine.
  private func closeAndRead(
    _ segment: JournalSegmentReader, _ queue: WriterQueue, acknowledgedUpTo next: SequenceNumber?
  ) throws(StoreError) -> Bool {
    if !segment.isMarked {
      try segment.close(by: name)
      segment.nextPoll = .zero
      if environment.makes(.rereadAfterMark) {
        return false  // and the next poll reads again
      }
      return true
    }
    let remains = try segment.remains()
    switch remains {
    case .unknown:
      segment.nextPoll = .zero
      return false
    case .some:
      // A write that was on its way when the mark came may land between that reading and this one,
      // and in pieces: it is read as a frame then. Its writer finds the mark.
      let now = environment.clock.elapsed()
      let since = segment.remainsSince ?? now
      segment.remainsSince = since
      if now - since < JournalIntake.landing {
        segment.nextPoll = .zero
        return false
      }
    case .none, .tooLong: break
    }
    if let size = segment.lostLength() {
      log.error(
        "journal segment is shorter than what was read of it: somebody has cut it",
        metadata: ["file": "\(segment.path)", "size": "\(size)", "read": "\(segment.offset)"])
    }
    if next != nil || remains != .none {
      damaged.insert(segment.id.writer)
      try quarantine(segment, remains, lastRead: queue.lastRead, next: next)
    }
    return true
  }

  private func retire(_ writer: WriterID) {
    guard let segment = removeFirst(writer) else { return }
    // Of a file that is open here NFS only hides the name when it is removed.
    segment.closeFile()
    finished.append(segment)
  }

  /// Takes a writer's first segment out of its queue.
  @discardableResult
  private func removeFirst(_ writer: WriterID) -> JournalSegmentReader? {
    guard var queue = writers[writer], !queue.segments.isEmpty else { return nil }
    let segment = queue.segments.removeFirst()
    keep(queue, of: writer)
    return segment
  }

  private func keep(_ queue: WriterQueue, of writer: WriterID) {
    writers[writer] = queue.segments.isEmpty ? nil : queue
    guard queue.segments.isEmpty, let owner = queue.owner else { return }
    if remembered.count >= JournalIntake.mostRemembered { remembered = [:] }
    let last = max(queue.lastRead, remembered[writer]?.lastRead ?? SequenceNumber(0))
    remembered[writer] = (owner, last)
  }

  // MARK: whose files they are

  /// Whether a segment that was opened belongs to its writer's owner: the one of the files from which
  /// batches were executed before, or of the first file. Of another one's nothing is read.
  private func belongs(_ segment: JournalSegmentReader) throws(StoreError) -> Bool {
    if !segment.isDated {
      segment.isDated = true
      latestFile_ms = max(latestFile_ms, segment.modified_ms)
      segment.lastNews = environment.clock.elapsed() - age(segment.modified_ms)
    }
    guard let owner = try owner(of: segment.id.writer, orElse: segment.owner) else { return true }
    guard owner != segment.owner, environment.makes(.ownWriter) else { return true }
    // Told to its writer: it finds the segment closed.
    do throws(StoreError) { try segment.close(by: name) } catch {
      // It may be no file that can be written.
    }
    ignore(
      segment,
      StoreError(
        .foreign, "it belongs to user \(segment.owner), its writer to \(owner)", path: segment.path)
    )
    return false
  }

  private func owner(of writer: WriterID, orElse first: UInt32) throws(StoreError) -> UInt32? {
    if let owner = writers[writer]?.owner { return owner }
    let executed = try ask { () throws(StoreError) in try history(writer) }
    let owner = executed?.owner ?? remembered[writer]?.owner ?? first
    writers[writer]?.owner = owner
    writers[writer]?.executed = executed
    return owner
  }

  /// What the database says. Where it cannot, that is no file's fault.
  private func ask<R>(_ question: () throws(StoreError) -> R) throws(StoreError) -> R {
    do throws(StoreError) { return try question() } catch {
      failedQuestion = error
      throw error
    }
  }

  /// How long ago, by the file server's clock, a file of this date was written.
  private func age(_ modified_ms: Int64) -> Duration {
    // The server is asked only where it matters.
    let modified_ms = max(0, modified_ms)
    let most = Duration.milliseconds(environment.clock.wallTime_ms() - modified_ms)
    guard most >= silence else { return .zero }
    let now = environment.clock.elapsed()
    if serverClock == nil, let time_ms = serverTime_ms() { serverClock = (time_ms, now) }
    guard let serverClock else { return .zero }
    let server_ms = serverClock.time_ms + (now - serverClock.boot).wholeMilliseconds
    return .milliseconds(min(max(0, server_ms - modified_ms), 86_400_000))
  }

  // MARK: the listing

  /// Takes in what is new. Returns whether some of it must not be read before the next listing.
  private func list() throws(StoreError) -> Bool {
    let names: [String]
    do throws(StoreError) { names = try environment.fileSystem.list(layout.journal).sorted() } catch
    {
      guard error.isTooManyFiles else { throw error }
      complain("too many open files: the journal is not looked at for a while", error)
      openFiles.shrink()
      return false
    }
    listings += 1
    listed = names
    if !refused.isEmpty {
      refused.formIntersection(names)
      newer.formIntersection(refused)
    }
    var mustListAgain = false
    for name in names where !known.contains(name) && !refused.contains(name) {
      guard let id = StoreLayout.journalSegment(name), !heldBack.hasGone(name) else { continue }
      known.insert(name)
      let segment = JournalSegmentReader(
        id, path: "\(layout.journal)/\(name)", names: asideNames.contains(name) ? 2 : 1,
        environment: environment)
      segment.listing = listings
      add(segment)
      mustListAgain = mustListAgain || !mayBeRead(segment)
    }
    return mustListAgain
  }

  private func add(_ segment: JournalSegmentReader) {
    var queue = writers[segment.id.writer] ?? WriterQueue()
    let place = queue.segments.firstIndex { $0.id > segment.id } ?? queue.segments.count
    queue.segments.insert(segment, at: place)
    writers[segment.id.writer] = queue
  }

  /// Passes over a segment for good.
  private func ignore(_ segment: JournalSegmentReader, _ error: StoreError) {
    let name = StoreLayout.journalName(segment.id)
    forget(segment)
    refused.insert(name)
    if error.code == .unsupported { newer.insert(name) }
    log.error("journal file ignored", metadata: ["error": "\(error)"])
  }

  /// Takes a segment out of its queue. What is listed under its name again is a new one.
  private func forget(_ segment: JournalSegmentReader) {
    segment.closeFile()
    known.remove(StoreLayout.journalName(segment.id))
    guard var queue = writers[segment.id.writer] else { return }
    queue.segments.removeAll { $0 === segment }
    keep(queue, of: segment.id.writer)
  }

  /// A file with a second name is a stranger's, unless that name is in quarantine: an applier that was
  /// moving it there may have made it after quarantine was last looked at.
  private func hasSecondNameInQuarantine(_ segment: JournalSegmentReader, _ error: StoreError)
    -> Bool
  {
    guard error.code == .foreign, segment.file == nil, segment.names == 1,
      (try? countQuarantine()) != nil
    else { return false }
    guard asideNames.contains(StoreLayout.journalName(segment.id)) else { return false }
    segment.names = 2
    return true
  }

  /// What becomes of a segment that cannot be used, and of its writer.
  private func refuse(_ segment: JournalSegmentReader, _ error: StoreError) {
    let writer = segment.id.writer
    let now = environment.clock.elapsed()
    segment.nextPoll = now
    if error.isStaleHandle || error.isNoSuchFile {
      // Removed: by another applier, which means published, or by a writer that could not begin it. Or
      // its name is another file's now, and is taken in anew.
      heldBack.noteGone(StoreLayout.journalName(segment.id), now)
      return forget(segment)
    }
    if error.isTooManyFiles {
      complain("too many open files: segments are opened anew for each look", error)
      openFiles.shrink()
      segment.nextPoll = now + .milliseconds(100)
      return
    }
    // Not open any more, for whatever reason: it is opened anew.
    segment.closeFile()
    if error.isAboutTheFile || isStrangers(segment) { return ignore(segment, error) }
    if error.isLostOpen { return }
    // The file may be in order: what follows it waits until it can be used.
    if heldBack.holdBack(writer, error, now) {
      log.error(
        error.isForbidden
          ? "journal file must be readable and writable to the applier, its writer's batches wait"
          : "journal file cannot be used, its writer's batches wait",
        metadata: ["error": "\(error)"])
    }
  }

  /// Whether a file that cannot be opened is not its writer's: that must not wait for it.
  private func isStrangers(_ segment: JournalSegmentReader) -> Bool {
    guard environment.makes(.ownWriter), segment.file == nil,
      let status = try? environment.fileSystem.status(segment.path)
    else { return false }
    guard status.kind == .regular else { return true }
    let writer = segment.id.writer
    guard
      let owner = writers[writer]?.owner ?? (try? history(writer))?.owner
        ?? remembered[writer]?.owner
    else { return false }
    return owner != status.owner
  }

  /// Once a minute.
  private func complain(_ what: Logger.Message, _ error: StoreError) {
    let now = environment.clock.elapsed()
    if let lastComplaint, now - lastComplaint < .seconds(60) { return }
    lastComplaint = now
    log.error(what, metadata: ["error": "\(error)"])
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
      batch.frame.segment?.waitingBatches -= 1
      waitingOf[batch.id.writer, default: 0] -= 1
      if waitingOf[batch.id.writer] == 0 { waitingOf[batch.id.writer] = nil }
      batch.frame.segment?.lastTxID = txid
      if batch.isLastOfFrame {
        waitingBytes -= Int(batch.frame.frame.rawBytes)
        waitingWeight -= Int(batch.frame.frame.weight)
      }
    }
    taken += count
    if taken == waiting.count {
      waiting.removeAll(keepingCapacity: true)
      taken = 0
    } else if taken * 2 >= waiting.count || holdsMuch {
      // What was taken holds its frame, and the file.
      waiting.removeFirst(taken)
      taken = 0
    }
  }

  /// What was taken is large; the last one stands for those with it.
  private var holdsMuch: Bool {
    taken > 0 && waiting[taken - 1].frame.frame.rawBytes > JournalIntake.mostBytesAtOnce
  }

  /// How long the oldest batch has waited.
  var age_ms: UInt64 {
    guard !isIdle, let oldest = waiting[taken].frame.segment?.lastNews else { return 0 }
    return UInt64(max(0, (environment.clock.elapsed() - oldest).wholeMilliseconds))
  }

  // MARK: removing

  /// Removes the finished segments whose content is all in commits up to `txid`, which is published.
  func remove(published txid: TxID) throws(StoreError) {
    guard !finished.isEmpty else { return }
    var kept: [JournalSegmentReader] = []
    let now = environment.clock.elapsed()
    for segment in finished {
      let isPublished = segment.waitingBatches == 0 && segment.lastTxID <= txid
      let isStuck = stuck[segment.path].map { $0.until > now } ?? false
      guard !isStuck, isPublished || !environment.makes(.removeOnlyPublished) else {
        kept.append(segment)
        continue
      }
      do throws(StoreError) { try environment.fileSystem.unlink(segment.path) } catch {
        // ENOENT: removed already, or the reply to a first try was lost.
        if !error.isNoSuchFile {
          keep(segment, error, now)
          kept.append(segment)
          continue
        }
      }
      known.remove(StoreLayout.journalName(segment.id))
      stuck[segment.path] = nil
    }
    finished = kept
  }

  /// A file that cannot be removed: tried again, ever more seldom. All it holds is published.
  private func keep(_ segment: JournalSegmentReader, _ error: StoreError, _ now: Duration) {
    let pause = stuck[segment.path].map { min($0.pause * 2, HeldBack.longestPause) }
    if pause == nil {
      log.error(
        "journal segment cannot be removed; all its batches are applied",
        metadata: ["error": "\(error)"])
    }
    stuck[segment.path] = (pause ?? .seconds(1), now + (pause ?? .seconds(1)))
  }
}

/// What the history has of a writer.
struct KnownWriter {
  /// Whose files its are.
  var owner: UInt32
  /// Of its last batch.
  var sequence: SequenceNumber
  /// The commit that this was found after ends with this.
  var asOf: TxID
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

  /// EMFILE or ENFILE.
  fileprivate var isTooManyFiles: Bool { errno == 24 || errno == 23 }

  /// The file itself is at fault, and stays so: none of ours, from a newer version, a symbolic link.
  fileprivate var isAboutTheFile: Bool {
    code == .foreign || code == .unsupported || errno == 40  // ELOOP
  }
}
