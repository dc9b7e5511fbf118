internal import SluiceJournal
internal import SluiceShared

/// Segments that are read while a group is executed, so that the next one need not wait for it. Where batches are
/// executed in this process their frames are opened, too, and those that wait behind the group; a child process opens
/// them itself (`ChildWorker.commit`).
///
/// Until it is taken in they are touched by nobody else: what the term does meanwhile is to execute, to commit and
/// to publish. What was read is no part of the intake before that, so a term that ends forgets it.
struct LookAhead {
  let segments: [JournalSegmentReader]
  fileprivate let work: any StartedWork
  fileprivate let readings: Monitor<(all: [JournalIntake.Reading], time: Duration)>

  /// Those of the frames that were read for which there is room.
  fileprivate static func open(_ readings: [JournalIntake.Reading], in room: RoomAhead) {
    var room = room
    for case .success(let news) in readings {
      for frame in news.frames where room.takes(frame) { frame.open() }
    }
  }

  /// The frames that were read; none before all were.
  var found: [(segment: JournalSegmentReader, frame: JournalSegmentReader.Frame)] {
    guard work.isDone else { return [] }
    return zip(segments, readings.withLock { $0.all }).flatMap { segment, reading in
      ((try? reading.get())?.frames ?? []).map { (segment, $0) }
    }
  }
}

extension JournalIntake {
  /// What is only opened is in nobody's way when it is.
  var mayLookAhead: Bool {
    ahead.map { $0.segments.isEmpty && $0.work.isDone } ?? true
  }

  /// Begins to read what is said or known to be there: of `hinted` writers, and of segments of which a look left
  /// some. Nothing else, so no read is made for nothing. Returns the writers whose segments are read.
  ///
  /// One at a time, and only as much as a look may find. What is written off, large, or not whole waits for a
  /// look of its own. `opening`: the frames that are opened meanwhile, and as many of those that are read as there is
  /// room for; nil: none.
  func lookAhead(at hinted: Set<WriterID>, opening: FramesAhead?) -> Set<WriterID> {
    guard mayLookAhead else { return [] }
    let room = (Limits.waitingBytes - waiting.weight) / Int(budget.bytes)
    let most = min(JournalIntake.readsInFlight, openFiles.atOnce, room)
    let now = environment.clock.elapsed()
    var due = writers.all.compactMap(\.segments.first).filter { segment in
      (segment.holdsMore || hinted.contains(segment.id.writer)) && mayBeRead(segment)
        && !(segment.left == .large || segment.isDoubtful || segment.mark.isSet)
        && !isHeldBack(segment.id.writer)
    }
    due.sort { ($0.nextPoll, $0.id) < ($1.nextPoll, $1.id) }
    let segments = Array(due.prefix(max(0, most)))
    let frames = opening?.frames.map(\.frame) ?? []
    guard !segments.isEmpty || !frames.isEmpty else { return [] }
    openFiles.makeRoom(for: segments)
    let reading = reading(now, budget.bytes, largest: LookBudget.mostBytes)
    let readings = Monitor<(all: [Reading], time: Duration)>(([], .zero))
    let clock = environment.clock
    // Nobody else touches them until the work is waited for.
    nonisolated(unsafe) let read = segments
    let roomAhead = opening?.room
    let work = environment.executor.start {
      for frame in frames { frame.open() }
      let all = read.isEmpty ? [] : reading(read)
      if let roomAhead { LookAhead.open(all, in: roomAhead) }
      readings.withLock { $0 = (all, clock.elapsed() - now) }
    }
    ahead = LookAhead(segments: segments, work: work, readings: readings)
    return Set(segments.map(\.id.writer))
  }

  /// Takes in what was read ahead; returns whether it found anything.
  func takeAhead() throws(StoreError) -> Bool {
    guard let look = ahead else { return false }
    ahead = nil
    look.work.wait()
    let (readings, time) = look.readings.withLock { $0 }
    budget.begin()
    let now = environment.clock.elapsed()
    var found = false
    var isMoreThere = false
    for (segment, news) in zip(look.segments, readings) {
      openFiles.note(segment)
      if case .success(let news) = news, news.left == .more { isMoreThere = true }
      if try integrate(news, of: segment, now) { found = true }
    }
    if isMoreThere { budget.adapt(to: time) }
    return found
  }

  /// The term is over: what was read ahead is forgotten.
  func dropAhead() {
    ahead?.work.wait()
    ahead = nil
  }
}
