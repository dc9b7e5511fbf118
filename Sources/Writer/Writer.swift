public import SluiceJournal
public import SluiceShared

/// A process's handle on a store's journal: submits batches and learns what became of them.
///
/// Usable from any number of tasks and threads at once; their submits share flushes. A batch keeps
/// its place among the batches of one `Writer`: one submitted after another's `submit` returned is
/// executed after it.
///
/// After `fork()` the child's batches go under a writer id of its own, through the blocking methods
/// and only if no other thread was in this class when the process forked; better open one there.
public final class Writer: Sendable {
  public struct Options: Sendable {
    public enum WhenBacklogFull: Sendable {
      /// Waits until enough is applied, then throws `.backlogFull`; nil: without end.
      case wait(atMost: Duration?)
      /// Throws `.backlogFull` at once.
      case fail
    }

    /// Bytes submitted here and not applied yet, over which `submit` waits or fails.
    public var backlogBytes = Limits.backlogBytes
    public var whenBacklogFull = WhenBacklogFull.wait(atMost: nil)
    /// Whether outcomes can be asked for. Without, nothing of the log is read, and there is no
    /// backlog: for who only wants batches to be durable. The writer id is then kept for as long as the
    /// writer is not silent for days, and so is what the applier holds against it (`expiredWriter`).
    public var followsOutcomes = true
    /// Bytes of the first journal segment and of the largest. One that is full is followed by one twice
    /// as large.
    public var segmentBytes = Limits.journalSegmentBytes

    /// How long a submit waits on a full disk for whoever leads to remove what is superseded.
    package var fullDiskPatience = Limits.fullDiskPatience
    /// Leads where nobody does, while a submit waits for that.
    package var assistant: (any Assisting)?

    public init() {}
  }

  public let store: StoreID
  private let options: Options
  let group: GroupCommit
  let poller: OutcomePoller?
  let clock: any Clock
  private let backlog: Backlog
  private let metrics: WriterMetrics

  /// Opens the store at `path`. Writes nothing: the first submit makes the journal's segment.
  public init(
    store path: String, options: Options = Options(), environment: Environment = .posix()
  ) throws(StoreError) {
    let layout = StoreLayout(path)
    let handle = try StoreHandle(at: layout, environment)
    store = handle.id
    self.options = options
    clock = environment.clock
    metrics = WriterMetrics(layout)
    backlog = Backlog(limit: max(1, options.backlogBytes))
    // Before the first submit: the poller finds what is applied after it was made.
    poller = options.followsOutcomes ? try OutcomePoller.shared(of: handle) : nil
    let journal = JournalWriter(to: handle, segmentBytes: options.segmentBytes)
    (journal.room.patience, journal.room.assistant) = (options.fullDiskPatience, options.assistant)
    group = GroupCommit(journal, poller, metrics, environment)
  }

  deinit { group.stop() }

  /// Makes a batch durable; returns when it is.
  ///
  /// Cancelling the task does not take a batch back: only while it waits for room is it given up,
  /// with `.notSubmitted`. Throws `.notSubmitted` and `.backlogFull` where the batch is certainly not
  /// in the journal, `.outcomeUnknown` (with its name in `batch`) where it may be, `.limit` or
  /// `.invalid` where it cannot be encoded.
  public func submit(_ batch: Batch) async throws(StoreError) -> Receipt {
    let prepared = try Prepared(batch, poller == nil ? nil : backlog)
    return try await submit(prepared).get()[0]
  }

  /// As `submit(_:)`, blocking the calling thread, which does the flush itself where none is on its
  /// way. Makes no thread.
  public func submitBlocking(_ batch: Batch) throws(StoreError) -> Receipt {
    let prepared = try Prepared(batch, poller == nil ? nil : backlog)
    return try submitBlocking(prepared).get()[0]
  }

  /// Makes many batches durable, in order, with as few flushes as they fit in. After one that fails
  /// none is submitted; the results of those before it stand.
  public func submit(_ batches: [Batch]) async -> [Result<Receipt, StoreError>] {
    var results: [Result<Receipt, StoreError>] = []
    for part in Prepared.parts(batches, poller == nil ? nil : backlog) {
      switch part {
      case .success(let prepared): results += prepared.results(await submit(prepared))
      case .failure(let error): results.append(.failure(error))
      }
      if case .failure = results.last { break }
    }
    return results.filled(to: batches.count)
  }

  /// As `submit(_:)` of many batches, blocking the calling thread.
  public func submitBlocking(_ batches: consuming [Batch]) -> [Result<Receipt, StoreError>] {
    let count = batches.count
    var results: [Result<Receipt, StoreError>] = []
    for part in Prepared.parts(consume batches, poller == nil ? nil : backlog) {
      switch part {
      case .success(let prepared): results += prepared.results(submitBlocking(prepared))
      case .failure(let error): results.append(.failure(error))
      }
      if case .failure = results.last { break }
    }
    return results.filled(to: count)
  }

  /// Makes batches durable with the fewest file operations, for a process that submits once: a new
  /// segment with its header, all batches and its end in one write (more only over the limit of a
  /// frame). The writer returned is closed; it is for outcomes.
  public static func submitOnce(
    store path: String, _ batches: [Batch], options: Options = Options(),
    environment: Environment = .posix()
  ) throws(StoreError) -> (writer: Writer, results: [Result<Receipt, StoreError>]) {
    let writer = try Writer(store: path, options: options, environment: environment)
    var parts = Prepared.parts(batches, writer.poller == nil ? nil : writer.backlog)
    if case .success(var last) = parts.last {
      last.endsSegment = true
      parts[parts.count - 1] = .success(last)
    }
    var results: [Result<Receipt, StoreError>] = []
    for part in parts {
      switch part {
      case .success(let prepared): results += prepared.results(writer.submitBlocking(prepared))
      case .failure(let error): results.append(.failure(error))
      }
      if case .failure = results.last { break }
    }
    writer.closeBlocking()
    return (writer, results.filled(to: batches.count))
  }

  /// Waits for what is on its way, then ends the journal's segment, so that the applier removes it
  /// without waiting for it to fall silent. Later submits throw `.notSubmitted`; outcomes can still
  /// be asked for.
  public func close() async {
    _ = await withUnsafeContinuation { group.close(.task($0)) }
  }

  public func closeBlocking() { group.closeBlocking() }

  /// Has an applier see that this process lives, where its last segment is still open. A failure is none.
  func giveSignOfLife() {
    _ = group.submitBlocking { waker in
      GroupCommit.Submission(batches: [], bytes: 0, tickets: [], waker: waker)
    }
  }

  /// Bytes submitted here and not applied yet, as far as is known here.
  public var unappliedBytes: Int { poller?.bytes(of: backlog) ?? 0 }
}

// MARK: Submitting

extension Writer {
  private func submit(_ prepared: Prepared) async -> Result<[Receipt], StoreError> {
    let begin = clock.bootTime_ns()
    if let poller {
      while !poller.admit(prepared.bytes, backlog) {
        switch remaining(since: begin) {
        case .failure(let error): return .failure(error)
        case .success(let limit):
          let answer = await poller.wait(for: .room(backlog), atMost: limit)
          if let error = refusal(answer) { return .failure(error) }
        }
      }
    }
    let answer = await withUnsafeContinuation { continuation in
      group.enqueue(prepared.submission(.task(continuation)))
    }
    return metrics.noted(group.result(answer).map(prepared.receipts), since: begin, clock)
  }

  private func submitBlocking(_ prepared: Prepared) -> Result<[Receipt], StoreError> {
    let begin = clock.bootTime_ns()
    if let poller {
      while !poller.admit(prepared.bytes, backlog) {
        switch remaining(since: begin) {
        case .failure(let error): return .failure(error)
        case .success(let limit):
          let answer = poller.waitBlocking(for: .room(backlog), atMost: limit)
          if let error = refusal(answer) { return .failure(error) }
        }
      }
    }
    return metrics.noted(
      group.submitBlocking(prepared.submission).map(prepared.receipts), since: begin, clock)
  }

  /// How much longer to wait for room; nil: without end.
  private func remaining(since begin_ns: UInt64) -> Result<Duration?, StoreError> {
    switch options.whenBacklogFull {
    case .wait(atMost: nil): return .success(nil)
    case .wait(atMost: let limit?):
      let rest = limit - .nanoseconds(Int64(clock.bootTime_ns() - begin_ns))
      return rest > .zero ? .success(rest) : .failure(backlogFull)
    case .fail: return .failure(backlogFull)
    }
  }

  private var backlogFull: StoreError {
    StoreError(
      .backlogFull,
      "\(unappliedBytes) bytes of this writer are not applied yet, the limit is \(backlog.limit); see that an applier runs (`sluice status`), then try again"
    )
  }

  private func refusal(_ answer: OutcomePoller.Answer) -> StoreError? {
    switch answer {
    case .ready, .timedOut, .lead: nil
    case .cancelled:
      StoreError(.notSubmitted, "the task was cancelled while the batch waited for room")
    case .failed(let error):
      StoreError(
        .notSubmitted,
        "the batch is not in the journal, because the log cannot be read: \(error.message)",
        path: error.path, offset: error.offset, errno: error.errno)
    }
  }
}

/// Encoded batches that fit one frame, on their way into the queue.
private struct Prepared {
  let batches: [[UInt8]]
  let tickets: [Ticket]
  let bytes: Int
  /// Of its only batch.
  let pageParts: PageParts?
  var endsSegment = false

  /// `backlog` nil: outcomes are not followed.
  init(_ batches: [[UInt8]], of pageParts: PageParts? = nil, _ backlog: Backlog?) {
    self.batches = batches
    self.pageParts = pageParts
    bytes = batches.reduce(0) { $0 + $1.count }
    tickets =
      backlog.map { backlog in
        batches.map { Ticket(bytes: $0.count, backlog: backlog) }
      } ?? []
  }

  init(_ batch: Batch, _ backlog: Backlog?) throws(StoreError) {
    self.init([try batch.listed()], of: try batch.pageParts(), backlog)
  }

  func submission(_ waker: Waker<GroupCommit.Answer>) -> GroupCommit.Submission {
    GroupCommit.Submission(
      batches: batches, bytes: bytes, parts: pageParts, tickets: tickets, endsSegment: endsSegment,
      waker: waker)
  }

  func receipts(_ first: BatchID) -> [Receipt] {
    batches.indices.map { i in
      Receipt(first.advanced(by: UInt64(i)), tickets.isEmpty ? nil : tickets[i])
    }
  }

  /// One result a batch.
  func results(_ result: Result<[Receipt], StoreError>) -> [Result<Receipt, StoreError>] {
    switch result {
    case .success(let receipts): return receipts.map { .success($0) }
    case .failure(let error):
      return batches.indices.map { i in
        var error = error
        error.batch = error.batch?.advanced(by: UInt64(i))
        return .failure(error)
      }
    }
  }

  /// `batches` encoded and cut where a frame is full; ends with the error of one that is not valid.
  /// A batch is let go as soon as it is encoded: of a large one there is no room for both.
  static func parts(_ batches: consuming [Batch], _ backlog: Backlog?) -> [Result<
    Prepared, StoreError
  >] {
    var batches = batches
    var parts: [Result<Prepared, StoreError>] = []
    var part: [[UInt8]] = []
    var bytes = 0
    func cut() {
      if !part.isEmpty { parts.append(.success(Prepared(part, backlog))) }
      part = []
      bytes = 0
    }
    for i in batches.indices {
      do throws(StoreError) {
        let pageParts = try batches[i].pageParts()
        let listed = try batches[i].listed()
        batches[i] = Batch([])
        guard pageParts == nil else {
          cut()
          parts.append(.success(Prepared([listed], of: pageParts, backlog)))
          continue
        }
        if bytes + listed.count > partBytes || part.count == Limits.batchesPerFrame { cut() }
        part.append(listed)
        bytes += listed.count
      } catch {
        cut()
        return parts + [.failure(error)]
      }
    }
    cut()
    return parts
  }

  /// Well under a frame's limit, so that what is durable early is executed early.
  static let partBytes = 8 << 20
}

extension Batch {
  /// What comes before it. Throws where it is not to be had any more.
  fileprivate func pageParts() throws(StoreError) -> PageParts? {
    guard case .commit(let pages)? = step, let parts = pages.parts else { return nil }
    guard parts.areHere else {
      throw StoreError(
        .invalid,
        "the pages of this transaction were sent before it, and are in the journal no more; run the transaction again"
      )
    }
    return parts
  }
}

extension [Result<Receipt, StoreError>] {
  /// The batches behind one that failed were not submitted.
  fileprivate func filled(to count: Int) -> Self {
    self
      + repeatElement(
        .failure(
          StoreError(.notSubmitted, "the batch is not in the journal, because one before it failed")
        ),
        count: Swift.max(0, count - self.count))
  }
}
