internal import SluiceHints
internal import SluiceJournal
internal import SluiceShared

/// Looks for the outcomes of this process's batches: one per process and store, shared by all
/// writers of that store, so that a thousand who wait cost one reader.
///
/// Who looks: a thread that waits for an outcome itself, or, where only tasks wait, a thread made for it, which ends when
/// nobody has waited for a second. One at a time has the turn (`baton`); it alone uses `follower`.
final class OutcomePoller: @unchecked Sendable {
  // Sendable: `state` has its lock; `follower` belongs to whoever holds `baton`.
  private let state: Monitor<State>
  private var follower: OutcomeFollower
  private let store: StoreHandle
  private var environment: Environment { store.environment }
  /// To the applier.
  private let line: HintLine

  fileprivate struct State {
    var ledger = Ledger()
    /// Batches of which a write may have landed, by name, for those who ask; the oldest first.
    var doubtful: [(batch: BatchID, ticket: Ticket)] = []
    var waiters = Waiters()
    var pace: LookPace
    /// Whose turn it is to look.
    var baton = Baton()
    /// Who has it waits for a hint: a new waiter interrupts that.
    var listens = false
  }

  private typealias Turn = Runner<Answer>

  /// What is waited for.
  enum Subject: Sendable {
    case outcome(Ticket)
    /// That a writer's backlog is under its limit.
    case room(Backlog)

    /// Under the poller's lock.
    var isReady: Bool {
      switch self {
      case .outcome(let ticket): ticket.result != nil
      case .room(let backlog): backlog.bytes < backlog.limit
      }
    }
  }

  enum Answer: Sendable {
    /// Look again: the subject is there.
    case ready
    case timedOut, cancelled
    case failed(StoreError)
    /// It is the waiting thread's turn to look.
    case lead
  }

  init(of store: StoreHandle) throws(StoreError) {
    self.store = store
    line = HintLine(store.environment)
    follower = try OutcomeFollower(Log(of: store))
    state = Monitor(State(pace: LookPace(looked_ns: store.environment.clock.bootTime_ns())))
  }

  private static let mostDoubtful = 65_536
  private static let attempts = 5  // Retention may remove a file while it is read.
  private static let linger = Duration.seconds(1)
  private static let shortLook = Duration.milliseconds(50)
}

// MARK: What a writer tells

extension OutcomePoller {
  /// Counts `bytes` into the backlog, unless that is at its limit.
  func admit(_ bytes: Int, _ backlog: Backlog) -> Bool {
    state.withLock { _ in
      guard backlog.bytes < backlog.limit else { return false }
      backlog.bytes += bytes
      return true
    }
  }

  /// Takes back what `admit` counted for batches that were never expected.
  func discharge(_ tickets: [Ticket]) { state.withLock { $0.ledger.discharge(tickets) } }

  /// To be called shortly before each flush. `waits`: gives the look a moment to end, so that what is
  /// settled by now is mostly known when this returns.
  func keepUp(waits: Bool = false) {
    let now = environment.clock.bootTime_ns()
    let (looks, nothingExpected) = state.withLock { state in
      guard state.pace.isStale(at: now), state.baton.take() else { return (false, false) }
      return (true, state.ledger.isEmpty)
    }
    guard looks else { return }
    if nothingExpected || !environment.executor.startsThreads {
      // One read, now: the follower is to stand before the batch that is about to be written.
      look()
      passTurn()
    } else {
      environment.executor.detach { self.serve() }
      guard waits else { return }
      _ = environment.clock.wait(on: state, atMost: Self.shortLook) {
        $0.pace.looked_ns >= now ? () : nil
      }
    }
  }

  func expect(_ first: BatchID, _ tickets: [Ticket]) {
    state.withLock { $0.ledger.expect(first, tickets) }
  }

  /// The batches from `first` on are acknowledged in a segment with this number.
  func acknowledge(_ first: BatchID, _ count: Int, in segment: UInt64) {
    state.withLock { $0.ledger.acknowledge(first, count, in: segment) }
  }

  /// A batch is durable, and all before it of its writer. It need not be acknowledged: who is told looks.
  func tell(written batch: BatchID) { line.tell(written: batch) }

  /// A write has found no room on the disk.
  func tellFullDisk() { line.tellFullDisk() }

  func rename(_ first: BatchID, to other: BatchID) {
    state.withLock { $0.ledger.rename(first, to: other) }
  }

  func withdraw(from first: BatchID) { state.withLock { $0.ledger.withdraw(from: first) } }

  func doubt(from first: BatchID) {
    state.withLock { state in
      state.doubtful += state.ledger.doubt(from: first).map { (batch: $0.0, ticket: $0.1) }
      state.doubtful.removeFirst(max(0, state.doubtful.count - Self.mostDoubtful))
    }
  }

  func ticket(ofDoubtful batch: BatchID) -> Ticket? {
    state.withLock { state in state.doubtful.last { $0.batch == batch }?.ticket }
  }

  func isWaiting(for writer: WriterID) -> Bool { state.withLock { $0.ledger.has(writer) } }

  /// The outcome that `ticket` has, if it has one.
  func result(of ticket: Ticket) -> Result<AppliedOutcome, StoreError>? {
    state.withLock { _ in ticket.result }
  }

  func bytes(of backlog: Backlog) -> Int { state.withLock { _ in backlog.bytes } }
}

// MARK: Waiting

extension OutcomePoller {
  /// Waits in the calling thread, which looks itself where nobody else does. `isNew` false: it goes on to wait
  /// for what it has waited for, so this is no reason to look at once, and often.
  func waitBlocking(for subject: Subject, atMost timeout: Duration?, isNew: Bool = true) -> Answer {
    let mailbox = Mailbox<Answer>()
    let waiter = state.withLock { $0.waiters.takeNumber() }
    add(waiter, subject, .thread(mailbox), timeout, isNew: isNew)
    while true {
      let answer = mailbox.take(environment.clock)
      guard case .lead = answer else { return answer }
      // Who is told looks when there is something to see.
      var end = line.isRelied || !isNew ? pause() : .due
      while true {
        look(after: end)
        if !state.withLock({ $0.waiters.has(waiter) }) { break }
        end = pause()
      }
      passTurn()
    }
  }

  func wait(for subject: Subject, atMost timeout: Duration?) async -> Answer {
    let waiter = state.withLock { $0.waiters.takeNumber() }
    return await withTaskCancellationHandler {
      await withUnsafeContinuation { continuation in
        add(waiter, subject, .task(continuation), timeout)
        // A cancellation before `add` found nothing to cancel.
        if Task.isCancelled { cancel(waiter) }
      }
    } onCancel: {
      cancel(waiter)
    }
  }

  private func add(
    _ number: Int, _ subject: Subject, _ waker: Waker<Answer>, _ timeout: Duration?,
    isNew: Bool = true
  ) {
    let now = environment.clock.bootTime_ns()
    let deadline = timeout.map { now.saturating(adding: $0) } ?? .max
    let turn: Turn? = state.withLock { state in
      if subject.isReady { return nil }
      state.waiters.add(number, subject, waker, until: deadline)
      state.pace.waiterCame(at: now, isNew: isNew)
      guard state.baton.take() else { return .nobody }
      if case .thread(let mailbox) = waker { return .thread(mailbox) }
      return .ownThread
    }
    guard let turn else { return waker.answer(.ready) }
    guard case .nobody = turn else { return give(turn) }
    state.wakeOne()
    if state.withLock({ $0.listens }) { line.interrupt() }
  }

  private func cancel(_ waiter: Int) {
    state.withLock { $0.waiters.remove(waiter) }?.answer(.cancelled)
  }

  private func give(_ turn: Turn) {
    switch turn {
    case .nobody, .holder: break
    case .thread(let mailbox): mailbox.put(.lead)
    case .ownThread: environment.executor.detach { self.serve() }
    }
  }

  /// Ends the caller's turn to look.
  private func passTurn() {
    give(state.withLock { state in state.baton.pass(to: state.waiters.runner) })
  }

  /// The thread for those who cannot look themselves.
  private func serve() {
    var end = PauseEnd.due
    if line.isRelied, !state.withLock({ $0.waiters.isEmpty }) { end = pause() }
    while true {
      look(after: end)
      end = .due
      if state.withLock({ $0.waiters.isEmpty }) {
        _ = environment.clock.wait(on: state, atMost: Self.linger) { $0.waiters.isEmpty ? nil : () }
        let isDone = state.withLock { state in
          if state.waiters.isEmpty { state.baton.layDown() }
          return state.waiters.isEmpty
        }
        if isDone { return }
      } else {
        end = pause()
      }
    }
  }
}

// MARK: Looking

extension OutcomePoller {
  /// Why a pause is over.
  private enum PauseEnd {
    case due
    /// A hint said that there is something to see.
    case told
    /// A waiter's time is over, and a hint would have said if there was something to see.
    case late
  }

  private func look(after end: PauseEnd) {
    guard case .late = end else { return look(expectsNews: end == .told) }
    let now = environment.clock.bootTime_ns()
    let answers = state.withLock { $0.waiters.takeLate(at: now) }
    for answered in answers { answered.waker.answer(answered.answer) }
  }

  /// One look at the present, and what follows. Only for who has the turn. `expectsNews`: a hint told of some.
  private func look(expectsNews: Bool = false) {
    var found: [AppliedBatch] = []
    var failure: StoreError?
    // Before the present is read: what was read of a segment is published before it loses its name.
    let gone = goneSegments()
    for attempt in 1...Self.attempts {
      do throws(StoreError) {
        try follow(expectsNews) { found.append($0) }
        failure = nil
        break
      } catch {
        failure = error
        // What was open is gone; opened anew, it is there or is not kept any more.
        guard error.isRemoval, error.code != .snapshotExpired, attempt < Self.attempts else {
          break
        }
      }
    }
    let now = environment.clock.bootTime_ns()
    let answers = state.withLock { state in
      state.pace.looked(at: now, finds: !found.isEmpty)
      return state.answers(found, gone, failure, now)
    }
    state.wakeAll()
    for answered in answers { answered.waker.answer(answered.answer) }
  }

  /// Passes the outcomes that were published since to `found`.
  private func follow(_ expectsNews: Bool, _ found: (AppliedBatch) -> Void) throws(StoreError) {
    let present = try follower.present(expectsNews: expectsNews)
    let isActive = present.beacon.state == .active && !present.isClosed
    line.aim(at: isActive ? present.beacon.status.hints.endpoint : nil)
    // After the present was read (see `OutcomeFollower.present`).
    let writers = state.withLock { $0.ledger.writers }
    guard !writers.isEmpty else { return follower.skip(to: present) }
    do throws(StoreError) { try follower.advance(to: present, of: writers, found) } catch {
      // What lies between is gone: nothing can be said of the batches in it any more.
      if error.code == .snapshotExpired { follower.skip(to: present) }
      throw error
    }
  }

  /// Segments that hold what is waited for and are not in the journal any more, where it was waited long. What the
  /// history does not have of these, as of a present that is read now, it will never have: a frame was damaged and its
  /// segment put into quarantine, or somebody removed it.
  private func goneSegments() -> [(id: JournalSegmentID, through: SequenceNumber)] {
    let now = environment.clock.bootTime_ns()
    let waited = state.withLock { state in
      guard state.pace.doubtsLoss(at: now) else {
        return [(id: JournalSegmentID, through: SequenceNumber)]()
      }
      return state.ledger.oldestSegments
    }
    guard !waited.isEmpty else { return [] }
    do throws(StoreError) {
      let names = Set(try store.fileSystem.list(store.layout.journal))
      return waited.filter { !names.contains(StoreLayout.journalName($0.id)) }
    } catch {
      // Who may not look waits on.
      return []
    }
  }

  /// Waits until the next look is due, a hint says that there is something to see, or a waiter's time is over;
  /// a new waiter makes it earlier.
  private func pause() -> PauseEnd {
    let jitter = 192 + Int(environment.random() % 128)
    while true {
      let questions = state.withLock { $0.ledger.oldest(ofAtMost: Limits.hintQuestionsOfProcess) }
      let asks = line.ask((questions ?? []).map { Hint(.question, batch: $0) })
      let isHinted = asks && line.isTrusted
      let isOnHost = isHinted && line.isReliedOnHost
      let now = environment.clock.bootTime_ns()
      let (look, late) = state.withLock { state in
        state.listens = asks
        return (
          state.pace.due_ns(at: now, jitter: jitter, isHinted: isHinted, isOnHost: isOnHost),
          state.waiters.deadline_ns
        )
      }
      let due = min(look, late)
      guard due > now else {
        state.withLock { $0.listens = false }
        guard isHinted, look > now else { return .due }
        return line.answer()?.kind == .published ? .told : .late
      }
      // On the leader's host who waits is woken by its answers, and to ask again.
      let rest = Duration.nanoseconds(Int64(min(due - now, isOnHost ? .max / 4 : 1_000_000_000)))
      if asks {
        let answer = line.wait(atMost: rest)
        state.withLock { $0.listens = false }
        if let answer, answer.kind == .published {
          if !environment.makes(.lookAfterHint) { believe(answer) }
          return .told
        }
        // No time passes for a process that has ended in a simulator.
        if environment.clock.bootTime_ns() == now { return .due }
      } else {
        let isNew = environment.clock.wait(on: state, atMost: rest) { $0.pace.hasNew ? true : nil }
        if isNew == nil { return .due }
      }
    }
  }
}

extension OutcomePoller {
  /// What `pause` must not do: takes what a hint says for the outcome.
  private func believe(_ hint: Hint) {
    let outcome = AppliedOutcome(
      txid: hint.txid, outcome: .applied(Outcome.Applied(changes: 1, lastRowID: 1, rows: nil)))
    let answers = state.withLock { state in
      state.waiters.takeReady(
        state.ledger.settle(AppliedBatch(batch: hint.batch, outcome: outcome)))
    }
    for answered in answers { answered.waker.answer(answered.answer) }
  }
}

extension OutcomePoller.State {
  /// Records what a look found, and takes out the waiters that have an answer now.
  fileprivate mutating func answers(
    _ found: [AppliedBatch], _ gone: [(id: JournalSegmentID, through: SequenceNumber)],
    _ failure: StoreError?, _ now: UInt64
  ) -> [Waiters.Answered] {
    var settled: [Ticket] = []
    for applied in found { settled += ledger.settle(applied) }
    if let failure {
      if failure.code == .snapshotExpired { settled += ledger.fail(failure) }
    } else {
      for segment in gone { settled += ledger.lose(segment.id, through: segment.through) }
    }
    var answers = waiters.takeReady(settled)
    if !answers.isEmpty { pace.answered(at: now) }
    if !settled.isEmpty { answers += waiters.takeRoomy() }
    if let failure { answers += waiters.takeAll(failure) }
    return answers + waiters.takeLate(at: now)
  }
}
