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
  let store: StoreHandle
  var layout: StoreLayout { store.layout }
  var environment: Environment { store.environment }
  let name: String
  let log: Logger

  /// A segment silent for this long is closed and retired.
  var silence: Duration = .seconds(60)
  /// The file server's time; nil where it cannot be asked.
  var serverTime_ms: () -> Int64? = { nil }
  /// Whose segments are read before those of others.
  var writersFirst: Set<WriterID> = []
  /// Who has the turn: all others wait for its next batch.
  var turnHolder: WriterID?
  /// A quiet segment is read at least this often …
  private static let slowestPoll: Duration = .seconds(1)
  /// … or that, and not more often, where hints tell of what is new.
  var hintedPause: Duration?
  /// Told of a writer's batches up to one that were read.
  var onRead: ((BatchID) -> Void)?
  /// Told of each batch that was taken, and the last TxID of its commit.
  var onTaken: ((BatchID, TxID) -> Void)?

  var names = JournalNames()
  let writers: JournalWriters
  /// Writers with a file that could not be used: they are left alone for a while.
  var heldBack = HeldBack()
  /// Writers with a batch for which the scratch disk had no room.
  var withoutRoom = HeldBack()
  var quarantine: Quarantine
  /// Batches read and not yet taken.
  var waiting = WaitingBatches()
  var finished: FinishedSegments
  var openFiles: OpenSegments
  var budget: LookBudget
  /// What is being read beside the execution of a group.
  var ahead: LookAhead?
  /// Many reads are to be in flight at once.
  private let isNetwork: Bool
  /// Batches that were found missing in this term.
  private(set) var missing: UInt64 = 0
  /// The latest date of a file that was opened since it was last asked for, by the file server's clock.
  var latestFile_ms = Int64.min
  /// The file server's clock, as it was asked once: its time, and this host's boot time then.
  private var serverClock: (time_ms: Int64, boot: Duration)?
  var lastComplaint: Duration?
  /// What is told of single files, of which anybody may make any number.
  var fileComplaints = FileComplaints()
  private(set) var lastListing = Duration.zero
  /// When the last look began: what was durable by then was looked for (boot time).
  private(set) var lookBegan = Duration.zero

  init(of store: StoreHandle, name: String, openFiles: Int, log: Logger) throws(StoreError) {
    let environment = store.environment
    self.openFiles = OpenSegments(most: openFiles)
    isNetwork = try store.fileSystem.isNetwork(store.layout.journal)
    self.store = store
    self.name = name
    self.log = log
    writers = JournalWriters(environment)
    quarantine = Quarantine(store.layout, environment, log)
    finished = FinishedSegments(environment, log)
    budget = LookBudget(environment)
  }

  /// What the history knows of a writer; nil where it has no batch of it.
  var history: (WriterID) throws(StoreError) -> KnownWriter? {
    get { writers.history }
    set { writers.history = newValue }
  }

  var isIdle: Bool { waiting.isEmpty }

  // MARK: reading

  static let readsInFlight = 16

  typealias Reading = Result<JournalSegmentReader.News, StoreError>

  /// One listing, and one read of each segment that is due, as far as a look's time goes. Returns
  /// whether anything was found, or is still to be looked at.
  ///
  /// A listing is not one instant: of two segments made while it is under way it may show the later
  /// one only, and the batches in the earlier one would be taken for missing. So a segment is read
  /// only after a listing that began when it was known: those before it were there by then, and are
  /// known too, or were removed.
  func poll(lists: Bool = true) throws(StoreError) -> Bool {
    let now = environment.clock.elapsed()
    heldBack.goOn(now)
    withoutRoom.goOn(now)
    tellLeftOut(now)
    if lists, try list(now) { _ = try list(now) }
    lookBegan = now
    let isCrowded = isFull
    budget.begin()
    var due: [JournalSegmentReader] = []
    var found = false
    for queue in writers.all {
      guard let segment = queue.segments.first, segment.nextPoll <= now,
        !isHeldBack(segment.id.writer)
      else { continue }
      if mayBeRead(segment) { due.append(segment) } else { found = true }
    }
    due = withRoom(inOrder(due))
    // What takes long is read alone and last, one in a look, so that nobody else waits for two.
    var heavy = due.filter { $0.left == .large || $0.isDoubtful }
    let light = due.filter { !($0.left == .large || $0.isDoubtful) }
    let bytes = isCrowded ? LookBudget.leastBytes : budget.bytes
    let largest = due.count == 1 ? .max : LookBudget.mostBytes
    var isCut = false
    // Of a segment there is more than was read in this look, and how long the longest piece of it took.
    var isMoreThere = false
    var longestPiece = Duration.zero
    let atOnce = min(JournalIntake.readsInFlight, openFiles.atOnce)
    for piece in stride(from: 0, to: light.count, by: atOnce) {
      // The first are read however long the listing took.
      isCut = isFull && !isCrowded || piece > 0 && budget.isOver
      if isCut { break }
      let segments = light[piece..<min(piece + atOnce, light.count)].filter { hasRoom(for: $0) }
      openFiles.makeRoom(for: segments)
      let began = environment.clock.elapsed()
      for (segment, news) in zip(segments, read(segments, now, bytes, largest: largest)) {
        openFiles.note(segment)
        if case .success(let news) = news, news.left == .more { isMoreThere = true }
        if try integrate(news, of: segment, now) { found = true }
        if segment.left == .large { heavy.append(segment) }
      }
      longestPiece = max(longestPiece, environment.clock.elapsed() - began)
    }
    if isMoreThere, !isCrowded { budget.adapt(to: longestPiece) }
    // Also where others' batches fill the memory, and the look was one at whom they leave nothing.
    if !isFull || isCrowded, let segment = nextHeavy(heavy) {
      openFiles.makeRoom(for: [segment])
      let began = environment.clock.elapsed()
      let news = read([segment], now, largest: .max)[0]
      openFiles.note(segment)
      segment.left = .nothing
      if try integrate(news, of: segment, now) { found = true }
      if segment.isDoubtful { budget.didDoubt(since: began) }
    }
    return found || isCut
  }

  /// Of what takes long the holder's comes first, and nobody else's before its time.
  private func heavyPlace(_ segment: JournalSegmentReader) -> (Int, Duration, JournalSegmentID) {
    (segment.id.writer == turnHolder ? 0 : 1, segment.nextPoll, segment.id)
  }

  private func nextHeavy(_ segments: [JournalSegmentReader]) -> JournalSegmentReader? {
    segments.filter { !$0.isDoubtful || budget.mayDoubt }
      .min { heavyPlace($0) < heavyPlace($1) }
  }

  /// Reads segments, many at once where each read is a round trip to a server.
  private func read(
    _ segments: [JournalSegmentReader], _ now: Duration, _ bytes: Int64? = nil, largest: Int64
  ) -> [Reading] {
    reading(now, bytes ?? budget.bytes, largest: largest)(segments)
  }

  /// How segments are read; from any thread, of which each has segments of its own.
  func reading(_ now: Duration, _ bytes: Int64, largest: Int64)
    -> @Sendable (
      [JournalSegmentReader]
    ) -> [Reading]
  {
    { [store = store.id, isNetwork, executor = environment.executor] segments in
      guard isNetwork, segments.count > 1 else {
        return segments.map { JournalIntake.read($0, store, now, bytes, largest) }
      }
      let results = Monitor([Reading](repeating: .success(.init()), count: segments.count))
      // Each piece of work has a segment of its own.
      nonisolated(unsafe) let segments = segments
      executor.concurrently(segments.count) { i in
        let result = JournalIntake.read(segments[i], store, now, bytes, largest)
        results.withLock { $0[i] = result }
      }
      return results.withLock { $0 }
    }
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
  func integrate(
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
        segment.left = news.left
        let quiet = now - segment.lastNews
        if news.left == .nothing {
          segment.nextPoll =
            now + (hintedPause ?? min(JournalIntake.slowestPoll, max(.zero, quiet / 128)))
        } else if let until = segment.doubtfulUntil {
          segment.nextPoll = until
        } else if news.left == .more {
          segment.nextPoll = now
        }
        let foundNothing = news.frames.isEmpty && news.left == .nothing
        guard let queue = writers[writer],
          try isDone(segment, queue, now, foundNothing: foundNothing)
        else {
          if quiet < silence { heldBack.forget(writer) }
          return found
        }
        heldBack.forget(writer)
        retire(writer)
      } catch {
        if let failure = writers.failedQuestion { throw failure }
        if hasSecondNameInQuarantine(segment, error) {
          result = read([segment], now, largest: LookBudget.mostBytes)[0]
          continue
        }
        refuse(segment, error)
      }
      guard let next = writers[writer]?.segments.first, !isHeldBack(writer) else {
        return found
      }
      guard mayBeRead(next), next !== segment else { return true }
      guard !budget.isOver, hasRoom(for: next) else { return true }
      segment = next
      openFiles.makeRoom(for: [next])
      result = read([next], now, largest: LookBudget.mostBytes)[0]
      openFiles.note(next)
    }
  }

  private func add(_ frames: [JournalSegmentReader.Frame], of segment: JournalSegmentReader)
    throws(StoreError)
  {
    let writer = segment.id.writer
    for frame in frames {
      if let lost = try writers.missing(before: frame, of: writer) {
        // The numbers are whatever its writer says, up to 2⁶⁴.
        missing += min(lost.upperBound - lost.lowerBound + 1, Limits.missingAtOnce)
        complain(
          .missing, "batches are missing in the journal",
          [
            "writer": "\(writer)", "first": "\(lost.lowerBound)", "last": "\(lost.upperBound)",
            "before": "\(segment.path)",
          ])
      }
      writers.didRead(frame, of: writer)
      onRead?(BatchID(writer: writer, sequence: frame.last))
      let repeats = writers.repeats(in: frame, of: segment)
      guard repeats < Int(frame.count) else { continue }
      waiting.append(PendingFrame(segment, frame), from: repeats)
      segment.waitingBatches += Int(frame.count) - repeats
    }
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
    let owner = try writers.owner(of: segment.id.writer, orElse: segment.owner)
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
  private func list(_ now: Duration) throws(StoreError) -> Bool {
    lastListing = now
    let listing: [String]
    do throws(StoreError) {
      listing = try environment.fileSystem.list(layout.journal, where: JournalNames.isWanted)
    } catch {
      guard error.isTooManyFiles else { throw error }
      complain("too many open files: the journal is not looked at for a while", error)
      openFiles.shrink()
      return false
    }
    var mustListAgain = false
    for id in names.take(listing, now) {
      let segment = JournalSegmentReader(
        id, path: "\(layout.journal)/\(id.name)", names: quarantine.has(id) ? 2 : 1,
        environment: environment)
      segment.listing = names.listings
      // First come, first looked at: there may be any number of new ones, and they may be called as their makers like.
      segment.nextPoll = now
      writers.add(segment)
      mustListAgain = mustListAgain || !mayBeRead(segment)
    }
    return mustListAgain
  }

  /// The next batches, as far as they are `wanted`, without taking them: see `WaitingBatches`.
  func next(
    _ most: Int, bytes: Int, while wanted: (PendingBatch) -> Bool = { _ in true }
  ) -> ArraySlice<PendingBatch> {
    waiting.next(most, bytes: bytes, while: wanted)
  }

  /// A commit took `time`, most of it for `batch`, where that is given: see `WaitingBatches`.
  func charge(_ batch: PendingBatch?, _ time: Duration) {
    waiting.charge(batch.map { ($0.id.writer, $0.owner) }, time)
  }

  /// The same where it was no batch that took the time, but a turn of this writer, whose files are `owner`'s.
  func charge(_ writer: WriterID, of owner: UInt32, _ time: Duration) {
    waiting.charge((writer, owner), time)
  }

  func bringForward(_ wanted: (BatchID) -> Bool) -> Bool { waiting.bringForward(wanted) }

  /// Takes the next `count` batches out; they are in the commit that ends with `txid`, or in
  /// earlier ones.
  func take(_ count: Int, in txid: TxID) {
    for _ in 0..<count {
      guard let batch = waiting.takeFirst() else { return }
      onTaken?(batch.id, txid)
      withoutRoom.forget(batch.id.writer)
      batch.frame.segment?.waitingBatches -= 1
      batch.frame.segment?.lastTxID = txid
    }
    waiting.planAnew()
  }

  /// Removes the finished segments whose content is all in published commits, as far as a look's time goes.
  /// Returns whether there are more of them.
  @discardableResult
  func remove(published: PublishedTxID) -> Bool {
    for segment in finished.remove(published: published) { names.forget(segment.id) }
    return finished.isCut
  }
}
