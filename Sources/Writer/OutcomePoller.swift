internal import SluiceJournal
internal import SluiceShared

/// Looks for the outcomes of this process's batches: one per process and store, shared by all
/// writers of that store, so that a thousand who wait cost one reader.
///
/// Who looks: a thread that waits for an outcome itself, or, where only tasks wait, a thread made for
/// it, which ends when nobody has waited for a second. There is one at a time (`isPolling`); it alone
/// uses `follower`.
final class OutcomePoller: @unchecked Sendable {
  // Sendable: `state` has its lock; `follower` belongs to whoever set `isPolling`, one at a time.
  private let state: Monitor<State>
  private var follower: OutcomeFollower
  private let layout: StoreLayout
  private let environment: Environment

  fileprivate struct State {
    var ledger = Ledger()
    /// Batches of which a write may have landed, by name, for those who ask; the oldest first.
    var doubtful: [(batch: BatchID, ticket: Ticket)] = []
    var waiters: [Int: Waiter] = [:]
    /// Those of `waiters` that wait for room.
    var roomWaiters: [Int] = []
    var nextWaiter = 1
    /// The earliest deadline of all waiters, or earlier.
    var deadline_ns = UInt64.max
    /// When the newest waiter came: how eagerly to look.
    var newest_ns: UInt64 = 0
    /// How long outcomes take lately, from the newest waiter's coming; a moving average.
    var usual_ns: UInt64 = 0
    /// A waiter came since the last look.
    var hasNew = false
    var isPolling = false
    var looked_ns: UInt64 = 0
    /// When an outcome was last found, or it was looked whether the segments are there.
    var progress_ns: UInt64 = 0
  }

  /// What is waited for.
  enum Subject: Sendable {
    case outcome(Ticket)
    /// That a writer's backlog is under its limit.
    case room(Backlog)
  }

  enum Answer: Sendable {
    /// Look again: the subject is there.
    case ready
    case timedOut, cancelled
    case failed(StoreError)
    /// It is the waiting thread's turn to look.
    case lead
  }

  fileprivate struct Waiter {
    var subject: Subject
    var waker: Waker<Answer>
    var deadline_ns: UInt64
  }

  init(layout: StoreLayout, store: StoreID, environment: Environment) throws(StoreError) {
    self.environment = environment
    self.layout = layout
    follower = try OutcomeFollower(
      Log(layout: layout, store: store, environment: environment))
    var state = State()
    state.looked_ns = environment.clock.bootTime_ns()
    state.progress_ns = state.looked_ns
    self.state = Monitor(state)
  }

  private static let mostDoubtful = 65_536
  private static let shortestPause = Duration.microseconds(50)
  private static let longestPause = Duration.milliseconds(50)
  /// After this long without a look the follower is brought up to date, so that it never has far to
  /// go: a batch's outcome lies behind where it stood when the batch was submitted.
  private static let staleness_ns: UInt64 = 1_000_000_000
  /// After this long without an outcome it is looked whether what is waited for is still in the journal.
  private static let lossPause_ns: UInt64 = 15_000_000_000
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

  /// To be called before each flush, not long before it. `waits`: for this look, a little, so that what is
  /// settled by now is mostly known when this returns.
  func keepUp(waits: Bool = false) {
    let now = environment.clock.bootTime_ns()
    let (looks, nothingExpected) = state.withLock { state in
      guard !state.isPolling, now - min(now, state.looked_ns) > Self.staleness_ns else {
        return (false, false)
      }
      state.isPolling = true
      return (true, state.ledger.isEmpty)
    }
    guard looks else { return }
    if nothingExpected {
      // One read, now: the follower is to stand before the batch that is about to be written.
      look()
      passTurn()
    } else {
      environment.executor.detach { self.serve() }
      guard waits else { return }
      _ = environment.clock.wait(on: state, atMost: Self.shortLook) {
        $0.looked_ns >= now ? () : nil
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
  /// Waits in the calling thread, which looks itself where nobody else does.
  func waitBlocking(for subject: Subject, atMost timeout: Duration?) -> Answer {
    let mailbox = Mailbox<Answer>()
    let waiter = state.withLock { state in
      defer { state.nextWaiter += 1 }
      return state.nextWaiter
    }
    add(waiter, subject, .thread(mailbox), timeout)
    while true {
      let answer = mailbox.take(environment.clock)
      guard case .lead = answer else { return answer }
      while true {
        look()
        if state.withLock({ $0.waiters[waiter] == nil }) { break }
        pause()
      }
      passTurn()
    }
  }

  func wait(for subject: Subject, atMost timeout: Duration?) async -> Answer {
    let waiter = state.withLock { state in
      defer { state.nextWaiter += 1 }
      return state.nextWaiter
    }
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

  private enum Turn {
    case none
    case thread(Mailbox<Answer>)
    case newThread
  }

  private func add(
    _ number: Int, _ subject: Subject, _ waker: Waker<Answer>, _ timeout: Duration?
  ) {
    let now = environment.clock.bootTime_ns()
    let deadline = timeout.map { now.saturating(adding: $0) } ?? .max
    let turn: Turn? = state.withLock { state in
      if subject.isReady { return nil }
      state.waiters[number] = Waiter(subject: subject, waker: waker, deadline_ns: deadline)
      switch subject {
      case .outcome(let ticket): ticket.waiters.append(number)
      case .room: state.roomWaiters.append(number)
      }
      state.deadline_ns = min(state.deadline_ns, deadline)
      state.newest_ns = now
      state.hasNew = true
      guard !state.isPolling else { return Turn.none }
      state.isPolling = true
      if case .thread(let mailbox) = waker { return .thread(mailbox) }
      return .newThread
    }
    guard let turn else { return waker.answer(.ready) }
    if case .none = turn { state.wakeOne() } else { give(turn) }
  }

  private func cancel(_ waiter: Int) {
    let waker = state.withLock { $0.remove(waiter)?.waker }
    waker?.answer(.cancelled)
  }

  private func give(_ turn: Turn) {
    switch turn {
    case .none: break
    case .thread(let mailbox): mailbox.put(.lead)
    case .newThread: environment.executor.detach { self.serve() }
    }
  }

  /// Ends the caller's turn to look.
  private func passTurn() {
    let turn: Turn = state.withLock { state in
      // The one that waits longest.
      var first: (number: Int, mailbox: Mailbox<Answer>)?
      for (number, waiter) in state.waiters where number < first?.number ?? .max {
        if case .thread(let mailbox) = waiter.waker { first = (number, mailbox) }
      }
      if let first { return .thread(first.mailbox) }
      if !state.waiters.isEmpty { return .newThread }
      state.isPolling = false
      return .none
    }
    give(turn)
  }

  /// The thread for those who cannot look themselves.
  private func serve() {
    while true {
      look()
      if state.withLock({ $0.waiters.isEmpty }) {
        _ = environment.clock.wait(on: state, atMost: Self.linger) { $0.waiters.isEmpty ? nil : () }
        let isDone = state.withLock { state in
          if state.waiters.isEmpty { state.isPolling = false }
          return state.waiters.isEmpty
        }
        if isDone { return }
      } else {
        pause()
      }
    }
  }
}

// MARK: Looking

extension OutcomePoller {
  /// One look at the present, and what follows from it. Only for who has the turn.
  private func look() {
    var found: [AppliedBatch] = []
    var failure: StoreError?
    // Before the present is read: what was read of a segment is published before it loses its name.
    let gone = goneSegments()
    do throws(StoreError) {
      let present = try follower.present()
      // After the present was read (see `OutcomeFollower.present`).
      let writers = state.withLock { $0.ledger.writers }
      if writers.isEmpty {
        follower.skip(to: present)
      } else {
        do throws(StoreError) {
          try follower.advance(to: present, of: writers) { found.append($0) }
        } catch {
          // What lies between is gone: nothing can be said of the batches in it any more.
          if error.code == .snapshotExpired { follower.skip(to: present) }
          throw error
        }
      }
    } catch {
      failure = error
    }
    let now = environment.clock.bootTime_ns()
    let answers = state.withLock { state in
      state.looked_ns = now
      if !found.isEmpty { state.progress_ns = now }
      return state.answers(found, gone, failure, now)
    }
    state.wakeAll()
    for (waker, answer) in answers { waker.answer(answer) }
  }

  /// Segments that hold what is waited for and are not in the journal any more, where it was waited long.
  /// What the history does not have of these, as of a present that is read now, it will never have: a
  /// frame was damaged and its segment put into quarantine, or somebody removed it.
  private func goneSegments() -> [(id: JournalSegmentID, through: SequenceNumber)] {
    let now = environment.clock.bootTime_ns()
    let waited = state.withLock { state in
      guard now - min(now, state.progress_ns) > Self.lossPause_ns else {
        return [(id: JournalSegmentID, through: SequenceNumber)]()
      }
      state.progress_ns = now
      return state.ledger.oldestSegments
    }
    guard !waited.isEmpty else { return [] }
    do throws(StoreError) {
      let names = Set(try environment.fileSystem.list(layout.journal))
      return waited.filter { !names.contains(StoreLayout.journalName($0.id)) }
    } catch {
      // Who may not look waits on.
      return []
    }
  }

  /// Sleeps the longer the longer the newest waiter has waited, until the next look is due; at first
  /// for half as long as outcomes usually take, since looking earlier finds nothing and takes the
  /// processor from the applier, or its share of reads from the file server.
  private func pause() {
    let jitter = 192 + Int(environment.random() % 128)
    while true {
      let now = environment.clock.bootTime_ns()
      let due = state.withLock { state in
        state.hasNew = false
        let waited = Duration.nanoseconds(Int64(now - min(now, state.newest_ns)))
        let usual = Duration.nanoseconds(Int64(min(state.usual_ns, 1_000_000_000)))
        let eager = max(waited / 64, usual / 32, Self.shortestPause)
        let pause = min(max(eager, usual / 2 - waited), Self.longestPause)
        return min(state.looked_ns.saturating(adding: pause * jitter / 256), state.deadline_ns)
      }
      guard due > now else { return }
      let rest = Duration.nanoseconds(Int64(min(due - now, 1_000_000_000)))
      if environment.clock.wait(on: state, atMost: rest, { $0.hasNew ? () : nil }) == nil { return }
    }
  }
}

extension OutcomePoller.State {
  /// Takes a waiter out; whoever does so answers it.
  fileprivate mutating func remove(_ number: Int) -> OutcomePoller.Waiter? {
    guard let waiter = waiters.removeValue(forKey: number) else { return nil }
    switch waiter.subject {
    case .outcome(let ticket): ticket.waiters.removeAll { $0 == number }
    case .room: roomWaiters.removeAll { $0 == number }
    }
    return waiter
  }

  /// Records what a look found, and takes out the waiters that have an answer now.
  fileprivate mutating func answers(
    _ found: [AppliedBatch], _ gone: [(id: JournalSegmentID, through: SequenceNumber)],
    _ failure: StoreError?, _ now: UInt64
  )
    -> [(Waker<OutcomePoller.Answer>, OutcomePoller.Answer)]
  {
    var answers: [(Waker<OutcomePoller.Answer>, OutcomePoller.Answer)] = []
    var settled: [Ticket] = []
    for applied in found { settled += ledger.settle(applied) }
    if failure == nil {
      for segment in gone { settled += ledger.lose(segment.id, through: segment.through) }
    }
    if let failure, failure.code == .snapshotExpired { settled += ledger.fail(failure) }
    for ticket in settled {
      for number in ticket.waiters {
        if let waiter = remove(number) { answers.append((waiter.waker, .ready)) }
      }
    }
    if !answers.isEmpty {
      usual_ns = usual_ns / 8 * 7 + (now - min(now, newest_ns)) / 8
    }
    if !settled.isEmpty {
      for number in roomWaiters where waiters[number]?.subject.isReady == true {
        if let waiter = remove(number) { answers.append((waiter.waker, .ready)) }
      }
    }
    if let failure {
      for number in Array(waiters.keys) {
        if let waiter = remove(number) { answers.append((waiter.waker, .failed(failure))) }
      }
    }
    if now >= deadline_ns {
      for number in waiters.filter({ $0.value.deadline_ns <= now }).keys {
        if let waiter = remove(number) { answers.append((waiter.waker, .timedOut)) }
      }
      deadline_ns = waiters.values.reduce(.max) { min($0, $1.deadline_ns) }
    }
    return answers
  }
}

extension OutcomePoller.Subject {
  /// Under the poller's lock.
  fileprivate var isReady: Bool {
    switch self {
    case .outcome(let ticket): ticket.result != nil
    case .room(let backlog): backlog.bytes < backlog.limit
    }
  }
}

extension UInt64 {
  fileprivate func saturating(adding duration: Duration) -> UInt64 {
    let (seconds, attoseconds) = duration.components
    guard seconds >= 0, attoseconds >= 0 else { return self }
    guard seconds < 1 << 32 else { return .max }
    return self + UInt64(seconds) * 1_000_000_000 + UInt64(attoseconds / 1_000_000_000)
  }
}

// MARK: One per process and store

extension OutcomePoller {
  private struct Registered {
    weak var poller: OutcomePoller?
  }

  private struct Place: Hashable {
    var store: StoreID
    /// A copy of a store has its id.
    var root: String
    /// A forked child has no thread of its parent's, so it needs a poller of its own.
    var process: Int32
  }

  private static let registry = Monitor<[Place: Registered]>([:])

  /// The process's poller of the store. It is at or before the present of this call.
  static func shared(_ layout: StoreLayout, _ store: StoreID, _ environment: Environment)
    throws(StoreError) -> OutcomePoller
  {
    let place = Place(
      store: store, root: layout.root, process: environment.processID())
    if let poller = registry.withLock({ $0[place]?.poller }) { return poller }
    let made = try OutcomePoller(layout: layout, store: store, environment: environment)
    return registry.withLock { registry in
      if let poller = registry[place]?.poller { return poller }
      registry = registry.filter { $0.value.poller != nil }
      registry[place] = Registered(poller: made)
      return made
    }
  }
}
