internal import SluiceJournal
internal import SluiceShared

/// Lets concurrent submits share flushes: while one flush is on its way the next group collects, and
/// goes out when that one is back. Nothing is delayed to make a group larger.
///
/// One at a time has the turn to flush (`baton`). A submit on an idle writer takes it and flushes
/// where it is: a change of threads costs half a flush on a local disk. Only a task whose flush may
/// take long leaves it to a thread made for that, so as not to block the cooperative pool. At the end
/// of a flush the turn goes to whoever waits first; for tasks that is the thread, which keeps it as
/// long as there is more.
final class GroupCommit: @unchecked Sendable {
  // Sendable: `state` and `signal` have their locks; `journal` belongs to whoever has the turn.
  private let state: Monitor<State>
  private let signal = Monitor(Signal.none)
  private let journal: JournalWriter
  private let poller: OutcomePoller?
  private let metrics: WriterMetrics
  private let environment: Environment

  /// Flushes up to this long run on the caller's thread: they block it no longer than any file operation.
  private static let quickFlush_ns: UInt64 = 300_000

  /// Encoded batches (`Batch.listed`) that go into one frame together, and who waits for that.
  struct Submission: Sendable {
    var batches: [[UInt8]]
    var bytes: Int
    /// Of its only batch, which has a frame to itself.
    var parts: PageParts?
    /// One a batch; none where outcomes are not followed.
    var tickets: [Ticket]
    var endsSegment = false
    var waker: Waker<Answer>
  }

  enum Answer: Sendable {
    /// The name of the submission's first batch.
    case done(Result<BatchID, StoreError>)
    /// The same for the first of several tasks, which is to answer the others. The flush thread leaves that
    /// to it, since to resume them takes longer than all else that it does between two flushes.
    case relay(Result<BatchID, StoreError>, group: [Submission])
    /// The segment is ended.
    case closed
    /// It is the waiting thread's turn to flush.
    case lead
  }

  fileprivate struct State {
    var queue: [Submission] = []
    /// Whose turn it is to flush.
    var baton = Baton()
    /// The last flush was quick, so the next one is likely to be.
    var isQuick = false
    var isClosed = false
    var closers: [Waker<Answer>] = []
    var hasThread = false
    let process: Int32
  }

  private enum Signal { case none, turn, stop }

  fileprivate typealias Turn = Runner<Answer>

  init(
    _ journal: JournalWriter, _ poller: OutcomePoller?, _ metrics: WriterMetrics,
    _ environment: Environment
  ) {
    self.metrics = metrics
    self.environment = environment
    self.journal = journal
    self.poller = poller
    if let poller {
      journal.onWritten = { poller.tell(written: $0) }
      journal.room.tell = { poller.tellFullDisk() }
    }
    state = Monitor(State(process: environment.processID()))
  }

  /// Ends the flush thread, once it has nothing to do.
  func stop() {
    signal.withLock { if case .none = $0 { $0 = .stop } }
    signal.wakeOne()
  }

  // MARK: Submitting

  /// Answers through the submission's waker, which must be a task's.
  func enqueue(_ submission: Submission) {
    let (turn, isQuick) = enter(submission)
    if isQuick, case .ownThread = turn {
      _ = flushGroup(keepsTurn: false)
    } else {
      give(turn)
    }
  }

  func submitBlocking(_ submission: (Waker<Answer>) -> Submission) -> Result<BatchID, StoreError> {
    let mailbox = Mailbox<Answer>()
    give(enter(submission(.thread(mailbox))).turn)
    return result(receive(mailbox))
  }

  func close(_ waker: Waker<Answer>) {
    let turn: Turn = state.withLock { state in
      state.startAnewAfterFork(environment.processID())
      state.isClosed = true
      state.closers.append(waker)
      return state.baton.take() ? state.firstTurn : .nobody
    }
    give(turn)
  }

  func closeBlocking() {
    let mailbox = Mailbox<Answer>()
    close(.thread(mailbox))
    _ = receive(mailbox)
  }

  private func receive(_ mailbox: Mailbox<Answer>) -> Answer {
    while true {
      let answer = mailbox.take(environment.clock)
      guard case .lead = answer else { return answer }
      _ = flushGroup(keepsTurn: false)
    }
  }

  private func enter(_ submission: Submission) -> (turn: Turn, isQuick: Bool) {
    let entered: (Turn, Bool)? = state.withLock { state in
      state.startAnewAfterFork(environment.processID())
      guard !state.isClosed else { return nil }
      state.queue.append(submission)
      return state.baton.take() ? (state.firstTurn, state.isQuick) : (.nobody, false)
    }
    if let entered { return entered }
    poller?.discharge(submission.tickets)
    submission.waker.answer(
      .done(.failure(StoreError(.notSubmitted, "the writer is closed; open another one"))))
    return (.nobody, false)
  }

  // MARK: The turn

  private func give(_ turn: Turn) {
    switch turn {
    case .nobody, .holder: break
    case .thread(let mailbox): mailbox.put(.lead)
    case .ownThread:
      let needsThread = state.withLock { state in
        defer { state.hasThread = true }
        return !state.hasThread
      }
      signal.withLock { $0 = .turn }
      if needsThread { environment.executor.detach { self.serve() } } else { signal.wakeOne() }
    }
  }

  private func serve() {
    while true {
      let stops = signal.wait { signal -> Bool? in
        switch signal {
        case .none: return nil
        case .turn:
          signal = .none
          return false
        case .stop: return true
        }
      }
      if stops { return }
      while flushGroup(keepsTurn: true) {}
    }
  }

  /// Flushes one group; true where the caller keeps the turn and there is more to do.
  private func flushGroup(keepsTurn: Bool) -> Bool {
    let (group, closers) = state.withLock { $0.takeGroup() }
    let begin = environment.clock.bootTime_ns()
    let result = group.isEmpty ? nil : write(group)
    if !closers.isEmpty { journal.close() }
    // The turn goes on before anybody is answered: the next flush need not wait for that.
    let isQuick = environment.clock.bootTime_ns() - begin <= Self.quickFlush_ns
    let turn: Turn = state.withLock { state in
      state.isQuick = isQuick
      guard !state.queue.isEmpty || !state.closers.isEmpty else {
        return state.baton.pass(to: .nobody)
      }
      return state.baton.pass(to: keepsTurn ? .holder : state.nextTurn)
    }
    give(turn)
    if let result { answer(group, result) }
    for closer in closers { closer.answer(.closed) }
    if case .holder = turn { return true }
    return false
  }

  private func write(_ group: [Submission]) -> Result<BatchID, StoreError> {
    poller?.keepUp(waits: journal.isOld)
    // A writer that follows no outcomes does not know what waits: it keeps its id until that is forgotten.
    if let poller, journal.isOld, let writer = journal.writer, !poller.isWaiting(for: writer) {
      journal.renew()
    }
    let first = journal.nextBatch()
    poller?.expect(first, group.flatMap(\.tickets))
    do throws(FlushFailure) {
      try flush(group, as: first)
      return .success(first)
    } catch {
      guard case .forgotten = error else { return fail(first, error) }
    }
    // Nothing of the group was written. Nothing that came before under that id waits, or it would have a
    // file in the journal; what came under an earlier id was applied before this one was taken. So a new
    // id, dated by the file server, goes on in order.
    let second = journal.nextBatch()
    poller?.rename(first, to: second)
    do throws(FlushFailure) {
      try flush(group, as: second)
      return .success(second)
    } catch {
      return fail(second, error)
    }
  }

  private func flush(_ group: [Submission], as first: BatchID) throws(FlushFailure) {
    let batches = group.flatMap(\.batches)
    guard !batches.isEmpty else { return journal.giveSignOfLife() }
    try journal.flush(
      listed: batches, parts: group.first?.parts, as: first,
      ends: group.last?.endsSegment ?? false)
    metrics.flushed(batches.count, group.reduce(0) { $0 + $1.bytes })
    if let segment = journal.acknowledgedSegment {
      poller?.acknowledge(first, batches.count, in: segment)
    }
  }

  private func fail(_ first: BatchID, _ failure: FlushFailure) -> Result<BatchID, StoreError> {
    var error = failure.error
    switch failure {
    case .inDoubt:
      poller?.doubt(from: first)
      error.batch = first
    case .notWritten, .forgotten:
      poller?.withdraw(from: first)
      error.batch = nil
    }
    return .failure(error)
  }

  /// Answers the threads of a group and its first task, which answers the other tasks.
  private func answer(_ group: [Submission], _ result: Result<BatchID, StoreError>) {
    var passed: UInt64 = 0
    var first: (continuation: Waker<Answer>, result: Result<BatchID, StoreError>)?
    for submission in group {
      switch submission.waker {
      case .thread(let mailbox): mailbox.put(.done(result.advanced(by: passed)))
      case .task: if first == nil { first = (submission.waker, result.advanced(by: passed)) }
      }
      passed += UInt64(submission.batches.count)
    }
    guard let first else { return }
    first.continuation.answer(group.count == 1 ? .done(first.result) : .relay(result, group: group))
  }

  /// What a submit came to. Passes a relayed answer on to the other tasks of its group.
  func result(_ answer: Answer) -> Result<BatchID, StoreError> {
    switch answer {
    case .lead, .closed: preconditionFailure("a submit is answered with what it came to")
    case .done(let result): return result
    case .relay(let result, let group):
      var own: Result<BatchID, StoreError>?
      var passed: UInt64 = 0
      for submission in group {
        if case .task = submission.waker {
          let result = result.advanced(by: passed)
          if own == nil { own = result } else { submission.waker.answer(.done(result)) }
        }
        passed += UInt64(submission.batches.count)
      }
      return own ?? result
    }
  }
}

extension Result<BatchID, StoreError> {
  /// For the submission that begins `count` batches behind the group's first.
  fileprivate func advanced(by count: UInt64) -> Self {
    map { $0.advanced(by: count) }.mapError { error in
      var error = error
      error.batch = error.batch?.advanced(by: count)
      return error
    }
  }
}

extension BatchID {
  /// The name `count` batches later in the same writer's order.
  func advanced(by count: UInt64) -> BatchID {
    BatchID(writer: writer, sequence: sequence.advanced(by: count))
  }
}

extension GroupCommit.State {
  /// In a forked child: those who had the turn, or waited for it, live on in the parent only.
  mutating func startAnewAfterFork(_ present: Int32) {
    guard process != present else { return }
    self = GroupCommit.State(isClosed: isClosed, process: present)
  }

  /// Who gets the turn: the flush thread where there is one, since it keeps it while there is more;
  /// else the thread that waits first.
  var nextTurn: GroupCommit.Turn { hasThread ? .ownThread : firstTurn }

  /// Who gets the turn of an idle writer: the thread that asks, or the flush thread where a task does.
  var firstTurn: GroupCommit.Turn {
    if case .thread(let mailbox) = queue.first?.waker ?? closers.first { return .thread(mailbox) }
    return .ownThread
  }

  /// What fits one frame, from the front; closers when nothing is before them.
  mutating func takeGroup() -> ([GroupCommit.Submission], [Waker<GroupCommit.Answer>]) {
    var bytes = 0
    var batches = 0
    var count = 0
    for submission in queue {
      bytes += submission.bytes
      batches += submission.batches.count
      guard
        count == 0
          || (bytes <= Limits.journalBatchesBytes && batches <= Limits.batchesPerFrame
            && submission.parts == nil)
      else { break }
      count += 1
      if submission.endsSegment || submission.parts != nil { break }
    }
    var group: [GroupCommit.Submission] = []
    if count == queue.count {
      swap(&group, &queue)
    } else {
      group = Array(queue[0..<count])
      queue.removeFirst(count)
    }
    var done: [Waker<GroupCommit.Answer>] = []
    if queue.isEmpty { swap(&done, &closers) }
    return (group, done)
  }
}
