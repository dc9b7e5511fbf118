import SluiceFakes
import SluiceJournal
import SluiceReader
import SluiceShared
import SluiceWriter
import Testing

@testable import SluiceApplier

@Suite(
  "The next group is decompressed while the last one is executed, and nothing is before it is named"
)
struct OpenedAheadTests {
  let store: TestStore

  init() throws {
    store = try TestStore()
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
  }

  /// Frames of so many batches each.
  @discardableResult
  private func submit(
    _ numbers: Range<Int>, each count: Int = 1, _ writer: Writer, bytes: Int = 10
  ) throws -> WriterID {
    let text = String(repeating: "x", count: bytes)
    var last: Receipt?
    for first in stride(from: numbers.lowerBound, to: numbers.upperBound, by: count) {
      let batches = (first..<first + count).map { number in
        Batch([
          Batch.Statement("INSERT INTO t VALUES (?, ?)", [.integer(Int64(number)), .text(text)])
        ])
      }
      last = try writer.submitBlocking(batches).last?.get()
    }
    return try #require(last).batch.writer
  }

  private func leader() throws -> Leader {
    let applier = try Applier(
      path: store.path, options: store.options, environment: store.environment)
    guard case .leads(let leader) = try applier.look() else {
      throw StoreError(.notLeading, "nobody leads")
    }
    return leader
  }

  /// One group is executed of what is more than one; whether what comes behind it is open by then.
  private func opensNext(_ leader: Leader) throws -> Bool {
    leader.begin { false }
    let before = leader.execution.extent.txid
    while leader.execution.extent.txid == before { _ = try leader.step() }
    // Where anything is being opened, that is waited for.
    _ = try leader.takeAhead()
    // Its first frame may be one of which the group had a part.
    let next = leader.intake.next(64, bytes: .max)
    #expect(next.count == 64)
    return try #require(next.last).frame.frame.opened.isOpen
  }

  @Test func whatWaitsBehindAGroupIsOpened() throws {
    try submit(0..<200, each: 20, store.writer())
    let leader = try leader()
    #expect(try opensNext(leader))
    // It is as good as any.
    _ = try leader.release()
    try store.drain()
    #expect(try store.query("SELECT count(*) FROM t") == [[200]])
  }

  /// Behind an unclean end a group is named before it is decoded, which may be what the last term ended in.
  @Test func whatIsToBeNamedFirstIsNotOpened() throws {
    try submit(0..<200, each: 20, store.writer())
    let leader = try leader()
    leader.status.uncleanTerms = 1
    #expect(try !opensNext(leader))
    _ = try leader.release()
  }

  @Test(arguments: [false, true]) func whatIsReadAheadIsOpenedWithIt(isOpened: Bool) throws {
    let writer = try store.writer()
    // All in one segment.
    let id = try submit(0..<5, writer)
    let intake = try JournalIntake(
      of: store.handle, name: "test", openFiles: 1000, log: store.options.logger)
    while try intake.poll() {}
    try submit(5..<10, writer)
    let begun = intake.lookAhead(at: [id], opening: isOpened ? FramesAhead() : nil)
    #expect(begun == [id])
    #expect(try intake.takeAhead())
    let open = intake.next(30, bytes: .max).filter { $0.id.writer == id }
      .map(\.frame.frame.opened.isOpen)
    #expect(open == (0..<10).map { $0 >= 5 && isOpened })
  }

  /// What is opened takes memory beside what it is counted with.
  @Test func soMuchIsOpenedAndNoMore() throws {
    let writer = try store.writer()
    let (one, all) = (Int(Limits.frameBytesOpenedAhead), Int(Limits.bytesOpenedAhead))
    try submit(0..<1, writer, bytes: one + 1)
    try submit(1..<30, writer, bytes: one / 2 - 200)
    let intake = try JournalIntake(
      of: store.handle, name: "test", openFiles: 1000, log: store.options.logger)
    while try intake.poll() {}
    let frames = intake.framesAhead(behind: 0, most: 100).frames
    #expect(frames.allSatisfy { $0.frame.rawBytes <= Limits.frameBytesOpenedAhead })
    #expect(frames.count { $0.frame.rawBytes > 1000 } == all / (one / 2))
    #expect(intake.framesAhead(behind: 0, most: 3).frames.count == 2)
  }

  /// What a worker is told to open it has when it is asked to execute it, and is sent once.
  @Test func aFrameIsSentOnceAndOpened() throws {
    let (now, next, other) = (
      try pendingBatches(2), try pendingBatches(3), try pendingBatches(1)
    )
    let ends = BothEnds()
    let first = ends.ask(now)
    let executed = try #require(first.batches)
    #expect(first.bytes > 0 && executed.allSatisfy { !$0.frame.isOpen })
    let isTold = ends.tell(opening: [now[0].frame, next[0].frame])
    #expect(isTold == true)
    #expect(executed.allSatisfy { $0.frame.isOpen })
    // It is told once.
    let isToldAgain = ends.tell(opening: [next[0].frame])
    #expect(isToldAgain == nil)
    ends.finish(now, executed)
    let second = ends.ask(next)
    #expect(second.bytes == 0 && second.batches?.count == 3)
    #expect(second.batches?.allSatisfy { $0.frame.isOpen } == true)
    // What nothing is asked of is forgotten, and sent again.
    let isOtherTold = ends.tell(opening: [other[0].frame])
    #expect(isOtherTold == true)
    let (third, fourth) = (ends.ask(next), ends.ask(other))
    #expect(third.bytes == 0 && fourth.bytes > 0)
    let isNonsenseTaken = ends.take(Channel.Message(.ahead, [[1]]))
    #expect(!isNonsenseTaken)
  }

  /// Whose frame may be what ended a worker is opened by who executes it, and blamed.
  @Test func behindAnEndNothingIsOpenedAhead() throws {
    let batches = try pendingBatches(2)
    let asked = Monitor<[Int]>([])
    let snapshot = try PageStore(path: store.path, environment: store.environment)
      .snapshot(.latest)
    let execution = Execution(
      from: snapshot, WorkerEvents(), logger: store.options.logger,
      environment: store.environment
    ) { (snapshot) throws(WorkerEnd) in
      AskingWorker(snapshot.extent) { count in asked.withLock { $0.append(count) } }
    }
    var request = Session.Request(batches: batches[...], time_ms: 1)
    request.ahead = { _ in [batches[0].frame] }
    _ = try? execution.commit(request) { (_) throws(StoreError) in
      throw StoreError(.io, "nothing is written")
    }
    #expect(asked.withLock { $0 }.prefix(2) == [1, 0])
  }
}

/// An applier's and its worker's.
private final class BothEnds {
  private var sent = SentFrames()
  private var received = ReceivedFrames()

  /// The batches as the worker gets them, and how many bytes of frames were sent for them.
  func ask(_ batches: [PendingBatch]) -> (batches: ArraySlice<PendingBatch>?, bytes: Int) {
    let message = sent.message(Session.Request(batches: batches[...], time_ms: 1))
    let bytes = message.parts.dropFirst().reduce(0) { $0 + $1.count }
    return (received.request(message)?.batches, bytes)
  }

  /// nil: nothing was sent.
  func tell(opening frames: [PendingFrame]) -> Bool? {
    sent.message(opening: frames).map { received.open($0) }
  }

  func take(_ message: Channel.Message) -> Bool { received.open(message) }

  func finish(_ batches: [PendingBatch], _ executed: ArraySlice<PendingBatch>) {
    sent.finish(batches[...])
    received.finish(executed)
  }
}

/// Ends in the first batch of each commit; tells how many frames come next.
private final class AskingWorker: ExecutionWorker {
  let extent: LogExtent
  private let tell: (Int) -> Void

  init(_ extent: LogExtent, _ tell: @escaping (Int) -> Void) {
    self.extent = extent
    self.tell = tell
  }

  func known(_ writer: WriterID) throws(WorkerEnd) -> WriterState? { nil }

  func commit(_ request: Session.Request, write: @escaping Session.Write) throws(WorkerEnd)
    -> Session.Done
  {
    tell(request.ahead(1).count)
    throw .ended(.batch(0), "by itself")
  }
}
