internal import CSystem
internal import SluiceJournal
internal import SluiceReader
internal import SluiceShared

/// Executes in a child process, which can be killed and whose memory is bounded: nothing that a batch's
/// SQL does to the process that runs it costs more than that batch.
///
/// While it waits it lets the term make its beats, and looks at the page in which the child says which
/// batch it executes. The time of a batch is the child's processor time, which only SQL and the reading
/// of pages use up: a host that is slow or was suspended, and a file server that does not answer, are no
/// batch's fault. How long one may take by the clock `WorkerPatience` says. A child that gets no further is
/// replaced, and nobody is blamed.
///
/// Standing by it has the program loaded and the store open, and follows the log when it is told to. What it
/// answers then is not waited for.
final class ChildWorker: ExecutionWorker, PreparedWorker {
  private let process: WorkerProcess
  private var events = WorkerEvents()
  private let batchTime: Duration
  private let clock: any Clock
  /// Counts what the child asks of the file system, too.
  private let meter: MeteredFileSystem?
  private(set) var frames = SentFrames()
  private(set) var extent = LogExtent.empty
  private let patience: WorkerPatience
  private var watch: BatchWatch
  private var stopAskedAt: Duration?

  /// A group that is at work when the term is to stop gets this long.
  private static let grace = Duration.seconds(1)

  /// Why this process has killed it, where it got no further.
  private var isStuck = false

  /// Answers to come to what it was told while standing by.
  private var unanswered = 0
  /// Where it was told to begin.
  private var begins: TxID?

  /// Starts the child, and waits for nothing.
  init(
    _ program: WorkerProgram, store: StoreLayout, _ settings: Session.Settings,
    batchTime: Duration, _ environment: Environment
  ) throws(WorkerEnd) {
    // What is stated of an applier's memory is the sum of this process's and the child's.
    csystem_map_large_memory(WorkerServer.largestKeptAllocation)
    var program = program
    program.arguments.append(store.root)
    do throws(StoreError) { process = try WorkerProcess(program) } catch { throw .failed(error) }
    self.batchTime = batchTime
    patience = program.patience
    clock = environment.clock
    meter = environment.fileSystem as? MeteredFileSystem
    watch = BatchWatch(
      ChildWorker.look(at: process, clock), batchTime: batchTime, program.patience)
    var preparing = ByteWriter()
    settings.append(to: &preparing)
    try tell(Channel.Message(.prepare, [preparing.bytes]))
  }

  deinit { takeCounts() }

  private func takeCounts() {
    if let meter { process.progress.takeCounts(meter.add) }
  }

  // MARK: standing by

  func follow() throws(WorkerEnd) {
    try checkThere()
    // One that is not through with the last time gets nothing more to do.
    guard unanswered == 0, begins == nil else { return }
    try tell(Channel.Message(.follow, []))
  }

  func checkThere() throws(WorkerEnd) {
    takeCounts()
    // The end of what it says is news, too.
    while process.channel.hasNews { try takeReady() }
  }

  func begin(at txid: TxID) throws(WorkerEnd) {
    var opening = ByteWriter()
    opening.append(txid.rawValue)
    begins = txid
    try process.channel.send(Channel.Message(.open, [opening.bytes]))
  }

  func opened(at txid: TxID, _ events: WorkerEvents) throws(WorkerEnd) -> any ExecutionWorker {
    self.events = events
    if begins == nil { try begin(at: txid) }
    let answer = try answering(.opened) { [self] () throws(WorkerEnd) in
      while unanswered > 0 { try takeReady() }
    }
    extent = try answered(answer) { (reader) throws(DecodingError) in try reader.extent() }
    return self
  }

  private func tell(_ message: Channel.Message) throws(WorkerEnd) {
    try process.channel.send(message)
    unanswered += 1
  }

  private func takeReady() throws(WorkerEnd) {
    guard try process.channel.receive(onTick).kind == WorkerMessage.ready.rawValue else {
      throw .ended(.nothing, "sent no answer")
    }
    unanswered -= 1
  }

  // MARK: questions

  func known(_ writer: WriterID) throws(WorkerEnd) -> WriterState? {
    var id = ByteWriter(reserving: 16)
    id.append(writer)
    let answer = try ask(Channel.Message(.known, [id.bytes]), .known)
    return try answered(answer) { (reader) throws(DecodingError) in
      guard try reader.flag() else { return nil }
      return WriterState(
        sequence: SequenceNumber(try reader.integer()), isExpired: try reader.flag(),
        owner: try reader.integer())
    }
  }

  private func answered<R>(
    _ answer: Channel.Message, _ body: (inout ByteReader) throws(DecodingError) -> R
  ) throws(WorkerEnd) -> R {
    guard let value = answer.read(0, body) else { throw .ended(.nothing, "sent no answer") }
    return value
  }

  func commit(_ request: Session.Request, write: @escaping Session.Write) throws(WorkerEnd)
    -> Session.Done
  {
    var answer = try ask(frames.message(request), .content, or: .nothing)
    guard let done = answer.read(0, Session.Done.init(from:)),
      done.count <= request.batches.count
    else { throw .ended(.nothing, "sent no answer") }
    guard answer.kind == WorkerMessage.content.rawValue else {
      frames.finish(request.batches.prefix(done.count))
      return done
    }
    let frame = done.sharesFrame ? request.batches.first?.frame.frame.section : nil
    let content: CommitContent
    do throws(WorkerEnd) {
      guard let sent = try self.content(answer, frame), done.committed == sent.count else {
        throw .ended(.commit, "sent no commit")
      }
      content = sent
    } catch {
      guard case .ended = error, !isStuck else { throw error }
      throw .ended(.commit, process.awaitEnd(clock, whileWaiting: events.onProgress))
    }
    // The index of many pages is large, and `content` has it.
    answer.parts = []
    try openAhead(request, behind: done.count)
    let placed: (pages: [PageEntry], segment: LogSegment)
    do throws(StoreError) { placed = try write(content, done) } catch { throw .failed(error) }
    var reply = ByteWriter(reserving: 24)
    reply.append(placed.segment.number)
    // The child knows how the pages lie to each other.
    reply.append((placed.pages.first?.offset ?? 0) - (content.entries.first?.offset ?? 0))
    extent = LogExtent(
      txid: content.last, commits: content.meta.commit, time_ms: content.meta.time_ms)
    // The commit is confirmed. That the child is gone is found with the next question.
    try? process.channel.send(Channel.Message(.placed, [reply.bytes]), onTick)
    frames.finish(request.batches.prefix(done.count))
    return done
  }

  /// The child opens what comes next while the commit is made durable. What it ends with then is no fault of the
  /// group's, which is whole: the child's end is found with the next question.
  private func openAhead(_ request: Session.Request, behind count: Int) throws(WorkerEnd) {
    guard let message = frames.message(opening: request.ahead(count)) else { return }
    do throws(WorkerEnd) { try process.channel.send(message, onTick) } catch {
      guard case .ended = error, !isStuck else { throw error }
    }
  }

  private func content(_ answer: Channel.Message, _ frame: SectionContent?) throws(WorkerEnd)
    -> CommitContent?
  {
    guard
      let scratchBytes = answer.read(
        0,
        { (reader) throws(DecodingError) -> Int64 in
          _ = try Session.Done(from: &reader)
          return try reader.integer()
        })
    else { return nil }
    var scratch: (any File)?
    if scratchBytes > 0 {
      try process.channel.send(Channel.Message(.passScratch, []), onTick)
      guard let descriptor = try process.channel.receiveDescriptor(onTick) else { return nil }
      scratch = PosixFileSystem.file(owning: descriptor, path: "(the child's scratch file)")
    }
    return CommitContent(answer.parts, scratch: scratch, scratchBytes, frame: frame)
  }

  // MARK: waiting

  private func ask(
    _ message: Channel.Message, _ expected: WorkerMessage, or other: WorkerMessage? = nil
  ) throws(WorkerEnd) -> Channel.Message {
    try answering(expected, or: other) { [self] () throws(WorkerEnd) in
      try process.channel.send(message, onTick)
    }
  }

  /// Asks, and waits for the answer.
  private func answering(
    _ expected: WorkerMessage, or other: WorkerMessage? = nil,
    _ question: () throws(WorkerEnd) -> Void
  ) throws(WorkerEnd) -> Channel.Message {
    watch = BatchWatch(
      ChildWorker.look(at: process, clock), batchTime: batchTime, patience)
    stopAskedAt = nil
    do throws(WorkerEnd) {
      try question()
      let answer = try process.channel.receive(onTick)
      takeCounts()
      if answer.kind == expected.rawValue || answer.kind == other?.rawValue { return answer }
      guard answer.kind == WorkerMessage.failed.rawValue,
        let error = answer.read(0, { (reader) throws(DecodingError) in try reader.storeError() })
      else { throw .ended(.nothing, "sent no answer") }
      throw .failed(error)
    } catch {
      // The channel does not know what the child was at, nor how it ended.
      guard case .ended = error else { throw error }
      if isStuck { throw error }
      let how = process.awaitEnd(clock, whileWaiting: events.onProgress)
      throw .ended(place(since: watch.begun), how)
    }
  }

  /// Every few milliseconds while the child works.
  private func onTick() throws(WorkerEnd) {
    takeCounts()
    events.onProgress()
    if events.isInVain() {
      throw .failed(
        StoreError(.notLeading, "another applier took over; this one stops executing"))
    }
    let look = ChildWorker.look(at: process, clock)
    if events.shouldStop() {
      let asked = stopAskedAt ?? look.now
      stopAskedAt = asked
      if look.now - asked >= ChildWorker.grace { throw .stopped }
    }
    switch watch.look(look, queued: { process.queuedTime }) {
    case .goesOn: return
    case .usedUp(let index):
      _ = process.end()
      throw .overran(
        index: index, "a batch takes at most \(batchTime.inSeconds) of processor time")
    case .waits(let index):
      _ = process.end()
      // All this while the term renewed its lease: the file server answered.
      throw .waited(
        index: index, "a batch takes at most \(watch.longestBatch.inSeconds) by the clock")
    case .commitUsedUp:
      isStuck = true
      _ = process.end()
      throw .ended(
        .commit,
        "when it was killed, since its commit took \(batchTime.inSeconds) of processor time")
    case .standsStill:
      isStuck = true
      _ = process.end()
      throw .ended(.nothing, "when it was killed, since it got no further")
    }
  }

  private static func look(at process: WorkerProcess, _ clock: any Clock) -> BatchWatch.Look {
    let (number, index) = process.progress.current
    return BatchWatch.Look(
      now: clock.elapsed(), number: number, index: index, processorTime: process.processorTime)
  }

  private func place(since begun: UInt64) -> WorkerEnd.Place {
    let (number, index) = process.progress.current
    guard number != begun else { return .nothing }
    return index.map { .batch($0) } ?? .commit
  }
}

extension Duration {
  /// "30 s", "0.5 s".
  var inSeconds: String {
    let milliseconds = wholeMilliseconds
    return milliseconds % 1000 == 0
      ? "\(milliseconds / 1000) s" : "\(Double(milliseconds) / 1000) s"
  }
}
