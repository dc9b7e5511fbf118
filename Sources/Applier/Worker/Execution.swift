internal import Glibc
internal import Logging
internal import SluiceJournal
internal import SluiceReader
internal import SluiceShared

/// A term's execution of batches: one worker at a time, and what its end says of the batch at hand.
///
/// A worker that ends while it executes a batch costs that batch and no other. The batches before it are
/// executed again, by the next worker; it comes alone then, and is rejected when the third worker has
/// ended with it. One that uses more of the processor than a batch may is rejected at once, since nothing but
/// its SQL uses the worker's processor time. One that takes longer by the clock gets another try.
///
/// A worker begins where this term's history ends. It reads that from the store like any reader, so
/// what is confirmed must be published before one is made; and what it found is compared, because
/// another applier may have gone on meanwhile. A commit that `write` has confirmed is in the history
/// whatever becomes of the worker that made it: it is counted here, before the worker hears of it.
final class Execution {
  /// Workers that end in one batch before it is rejected.
  static let mostEnds = 3
  /// Workers that end in a row without a batch to blame, before the term gives up.
  static let mostStrayEnds = 3

  /// What is known against a batch until it is in a commit. `ends`: of workers while it was to blame, below
  /// `mostEnds`. One that is condemned is not to blame for what becomes of its rejection.
  private enum Suspicion {
    /// A worker ended with it, or in a commit that it was part of, or the scratch disk had no room for it: it
    /// comes alone.
    case alone(ends: Int)
    /// It took too long by the clock: it comes alone, and is rejected if it does so again.
    case slow(ends: Int)
    /// It is to be rejected unexecuted.
    case condemned(Outcome.Rejection)

    var ends: Int {
      switch self {
      case .alone(let ends), .slow(let ends): ends
      case .condemned: 0
      }
    }
  }

  typealias MakeWorker = (Snapshot) throws(WorkerEnd) -> any ExecutionWorker

  private(set) var snapshot: Snapshot
  let events: WorkerEvents
  /// Publishes all that is confirmed.
  var publish: () throws(StoreError) -> Void = {}
  private let makeWorker: MakeWorker
  /// The first one, made before the term began and told where it begins.
  private var prepared: (any PreparedWorker)?
  private let logger: Logger
  private let environment: Environment
  private(set) var worker: (any ExecutionWorker)? {
    didSet { place = worker == nil ? nil : place ?? places?.take() }
  }
  /// Where many stores have few workers; nil: no others are.
  var places: WorkerPlaces?
  private var place: WorkerPlaces.Place?
  /// Answers `known` while there is no worker; nil: one is made for it.
  var askWithoutWorker: ((Snapshot, WriterID) throws(StoreError) -> WriterState?)?
  /// What is known against batches that wait; against most nothing is.
  private var suspicions: [BatchID: Suspicion] = [:]
  private var strayEnds = 0
  /// How long the worker executed what became the last commit; nil where it was tried more than once.
  private(set) var executingTime: Duration?
  /// What came to nothing because a worker ended with a batch, and how long that took.
  private var lost: [(batch: PendingBatch, time: Duration)] = []
  /// The term was told to stop before a question was answered, and nothing of a batch was executed.
  private(set) var wasStoppedWhileAsked = false

  init(
    from snapshot: Snapshot, _ events: WorkerEvents, logger: Logger, environment: Environment,
    prepared: (any PreparedWorker)? = nil, makeWorker: @escaping MakeWorker
  ) {
    self.prepared = prepared
    self.snapshot = snapshot
    self.events = events
    self.logger = logger
    self.environment = environment
    self.makeWorker = makeWorker
  }

  /// Makes the first worker. Where that is not called, the first question does: then beats are made while
  /// a child process opens the database.
  func open() throws(StoreError) {
    while worker == nil {
      do throws(WorkerEnd) { worker = try madeWorker() } catch {
        guard try !ended(error, []) else { return }
      }
    }
  }

  /// Ends the worker; the next question makes another.
  func letGo() { worker = nil }

  /// Reads from the newest checkpoint on from now on, so that no older one, nor the log before it, is in use
  /// here; what executes batches begins anew. False where nothing newer can be read.
  func rebase(_ store: PageStore) throws(StoreError) -> Bool {
    try publish()
    let newer = try store.rebased()
    guard newer.txid == snapshot.txid, newer.checksum == snapshot.checksum,
      newer.checkpointTxID > snapshot.checkpointTxID
    else { return false }
    snapshot = newer
    worker = nil
    return true
  }

  var extent: LogExtent { snapshot.extent }
  var rejected: UInt64 { snapshot.rejected }

  /// What the database knows of a writer.
  func known(_ writer: WriterID) throws(StoreError) -> WriterState? {
    if worker == nil, let askWithoutWorker { return try askWithoutWorker(snapshot, writer) }
    while true {
      do throws(WorkerEnd) {
        let state = try current().known(writer)
        strayEnds = 0
        return state
      } catch {
        if try ended(error, []) {
          wasStoppedWhileAsked = true
          throw StoreError(.notLeading, "told to stop while the database was asked")
        }
      }
    }
  }

  /// Executes a part of the request's batches as one commit. `count` 0 in what is returned: nothing was
  /// done, and the same batches come again (the term is to stop, or one wants to be alone).
  func commit(
    _ request: Session.Request,
    write: @escaping (CommitContent) throws(StoreError) -> (pages: [PageEntry], segment: LogSegment)
  ) throws(StoreError) -> Session.Done {
    var tries = 0
    while true {
      let attempt = planned(request)
      tries += 1
      executingTime = nil
      var began = environment.clock.elapsed()
      do throws(WorkerEnd) {
        let worker = try current()
        began = environment.clock.elapsed()
        let done = try worker.commit(attempt) { [self] (content, _) throws(StoreError) in
          if tries == 1 { executingTime = environment.clock.elapsed() - began }
          let (pages, segment) = try write(content)
          snapshot = snapshot.adding(
            entries: pages, in: segment, meta: content.meta,
            extent: LogExtent(
              txid: content.last, commits: content.meta.commit, time_ms: content.meta.time_ms))
          return (pages, segment)
        }
        strayEnds = 0
        if let lack = done.lack {
          executingTime = nil
          guard attempt.batches.count > 1, !attempt.isAlone else { return done }
          comesAlone(lack, attempt.batches)
          return Session.Done(count: 0, committed: 0)
        }
        if !suspicions.isEmpty {
          for batch in attempt.batches.prefix(done.count) { suspicions[batch.id] = nil }
        }
        return done
      } catch {
        let end = unexecuted(error, attempt.batches)
        if let index = end.culprit(among: attempt.batches.count) {
          let batch = attempt.batches[attempt.batches.startIndex + index]
          lost.append((batch, environment.clock.elapsed() - began))
        }
        let isOver = try ended(end, attempt.batches)
        // Each try may end before the one who waits for its answer looks.
        if isOver || events.shouldStop() { return Session.Done(count: 0, committed: 0) }
      }
    }
  }

  /// Returns, once, whose batches took how much time for nothing.
  func takeLost() -> [(batch: PendingBatch, time: Duration)] {
    defer { lost = [] }
    return lost
  }

  /// The request as far as what is known of its batches lets it be one group.
  private func planned(_ request: Session.Request) -> Session.Request {
    guard !suspicions.isEmpty, request.verdict == nil else { return request }
    var attempt = request
    // What ends the worker is to be found out by who executes it.
    attempt.ahead = { _ in [] }
    for (index, batch) in request.batches.enumerated() {
      switch suspicions[batch.id] {
      case nil: continue
      case .condemned(let verdict):
        attempt.batches = request.batches.prefix(index + 1)
        attempt.verdict = Session.Verdict(batch: batch.id, rejection: verdict)
      case .alone, .slow:
        // Those before it first, and then it alone.
        attempt.batches = request.batches.prefix(max(index, 1))
        attempt.isAlone = attempt.isAlone || index == 0
      }
      break
    }
    return attempt
  }

  /// The scratch disk had no room for a group: which of its batches needs more than there is?
  private func comesAlone(_ lack: Session.Lack, _ batches: ArraySlice<PendingBatch>) {
    let places = lack.index.map { $0..<min($0 + 1, batches.count) } ?? 0..<batches.count
    for batch in batches.dropFirst(places.lowerBound).prefix(places.count)
    where suspicions[batch.id] == nil {
      suspicions[batch.id] = .alone(ends: 0)
    }
  }

  // MARK: workers

  private func current() throws(WorkerEnd) -> any ExecutionWorker {
    if let worker { return worker }
    let made = try madeWorker()
    worker = made
    return made
  }

  private func madeWorker() throws(WorkerEnd) -> any ExecutionWorker {
    if environment.makes(.workerAtEnd) {
      do throws(StoreError) { try publish() } catch { throw .failed(error) }
    }
    if let made = try preparedWorker() { return made }
    let made = try makeWorker(snapshot)
    if environment.makes(.workerAtEnd), made.extent.txid != snapshot.txid {
      throw .failed(
        StoreError(
          made.extent.txid > snapshot.txid ? .notLeading : .damaged,
          "the store is at batch \(made.extent.txid), this term at \(snapshot.txid); the term ends")
      )
    }
    return made
  }

  /// The one that was made before the term, once, where it is of use: it has ended otherwise, or is where
  /// another one has to say why. That is nobody's fault and costs no more than making another.
  private func preparedWorker() throws(WorkerEnd) -> (any ExecutionWorker)? {
    guard let prepared else { return nil }
    self.prepared = nil
    do throws(WorkerEnd) {
      let made = try prepared.opened(at: snapshot.txid, events)
      if made.extent.txid == snapshot.txid || !environment.makes(.workerAtEnd) { return made }
      logger.warning(
        "another process is started to execute batches: the one that stood by is elsewhere",
        metadata: ["txid": "\(made.extent.txid)", "term": "\(snapshot.txid)"])
    } catch {
      if case .stopped = error { throw error }
      logger.warning(
        "another process is started to execute batches: the one that stood by is of no use",
        metadata: ["reason": "\(error)"])
    }
    return nil
  }

  /// Takes note of a worker's end; true where the term is to stop.
  private func ended(_ end: WorkerEnd, _ batches: ArraySlice<PendingBatch>) throws(StoreError)
    -> Bool
  {
    worker = nil
    switch end {
    case .failed(let error): throw error
    case .stopped: return true
    case .overran(let index, _) where index >= batches.count,
      .waited(let index, _) where index >= batches.count,
      .ended(.batch(let index), _) where index >= batches.count:
      throw StoreError(
        .io, "the process that executes batches told of a batch that it was not given")
    case .overran(let index, let how):
      let batch = batches[batches.startIndex + index].id
      condemn(batch, Outcome.Rejection.Code.timeLimit, "\(how); split it")
      logger.error("batch rejected: \(how)", metadata: ["batch": "\(batch)"])
    case .waited(let index, let how):
      suspectSlow(batches[batches.startIndex + index].id, how)
    case .ended(.batch(let index), let how):
      blame(batches[batches.startIndex + index].id, how)
    case .ended(.commit, let how) where batches.count == 1:
      blame(batches[batches.startIndex].id, how)
    case .ended(.commit, let how):
      logger.error(
        "the process that executes batches ended in a commit; its batches come one by one",
        metadata: ["how": "\(how)", "batches": "\(batches.count)"])
      for batch in batches where suspicions[batch.id] == nil {
        suspicions[batch.id] = .alone(ends: 0)
      }
    case .ended(.nothing, let how): try noteStray(how)
    }
    return false
  }

  /// A worker's end over a batch that was not executed is no batch's fault.
  private func unexecuted(_ end: WorkerEnd, _ batches: ArraySlice<PendingBatch>) -> WorkerEnd {
    guard case .ended(_, let how) = end, let index = end.culprit(among: batches.count),
      case .condemned? = suspicions[batches[batches.startIndex + index].id]
    else { return end }
    return .ended(.nothing, how)
  }

  private func noteStray(_ how: String) throws(StoreError) {
    strayEnds += 1
    logger.error("the process that executes batches ended", metadata: ["how": "\(how)"])
    guard strayEnds < Execution.mostStrayEnds else {
      throw StoreError(
        .io,
        "the process that executes batches ended \(strayEnds) times without one that would be at fault, the last time \(how); look at the log of this host (memory?)",
        // No batch's fault: a term that named some takes their names back.
        errno: ENOMEM)
    }
  }

  private func suspectSlow(_ batch: BatchID, _ how: String) {
    if case .slow = suspicions[batch] {
      condemn(
        batch, Outcome.Rejection.Code.timeLimit, "\(how), and this one took longer twice; split it")
      logger.error(
        "batch rejected: \(how), and it took longer twice", metadata: ["batch": "\(batch)"])
    } else {
      suspicions[batch] = .slow(ends: suspicions[batch]?.ends ?? 0)
      logger.error(
        "\(how), and one took longer; it is tried once more, alone",
        metadata: ["batch": "\(batch)"])
    }
  }

  private func blame(_ batch: BatchID, _ how: String) {
    let count = (suspicions[batch]?.ends ?? 0) + 1
    logger.error(
      "the process that executes batches ended",
      metadata: ["how": "\(how)", "batch": "\(batch)", "times": "\(count)"])
    guard count >= Execution.mostEnds else {
      if case .slow = suspicions[batch] {
        suspicions[batch] = .slow(ends: count)
      } else {
        suspicions[batch] = .alone(ends: count)
      }
      return
    }
    suspicions[batch] = nil
    condemn(
      batch, Outcome.Rejection.Code.poisonous,
      "the process that executes batches ended \(count) times while it executed this batch, the last time \(how)"
    )
    logger.error(
      "batch rejected as poisonous: it ended the process that executes batches \(count) times",
      metadata: ["batch": "\(batch)"])
  }

  private func condemn(_ batch: BatchID, _ code: String, _ message: String) {
    suspicions[batch] = .condemned(Outcome.Rejection(code: code, message: message))
  }
}
