import Glibc
import SluiceJournal
import SluiceReader
import SluiceShared
import SluiceWriter
import Testing

@testable import SluiceApplier
@testable import SluiceFakes

@Suite("What is left of writers that ended costs nobody a lease")
struct FinishedSegmentTests: HostileStore {
  let store: TestStore

  init() throws { store = try Self.makeStore() }

  /// Segments of so many writers that submitted one batch each and ended.
  private func end(_ count: Int) throws {
    for n in 1...count {
      let writer = try store.writer()
      _ = try writer.submitBlocking(insert(Int64(n)))
      writer.closeBlocking()
    }
  }

  private func segments() throws -> Int {
    try store.names(store.layout.journal).count { $0.hasSuffix(".seg") }
  }

  /// A name that goes takes 20 ms, as by a file server that is far away.
  @Test(
    "One poll removes as many as a look has time for, and the next goes on",
    arguments: [true, false])
  func removal(isBounded: Bool) throws {
    try end(40)
    let clock = ManualClock()
    var environment = store.environment
    environment.clock = clock
    environment.fileSystem = HookedFileSystem(store.environment.fileSystem) { operation in
      if operation.action == .unlink { clock.advance(by: .milliseconds(20)) }
      return .done
    }
    if !isBounded { environment.omittedChecks = [.boundedLooks] }
    let intake = try JournalIntake(
      of: StoreHandle(at: store.layout, environment), name: "test", openFiles: 1000,
      log: store.options.logger)
    while try intake.poll() {}
    // And the one that made the table.
    let all = intake.waiting.count
    intake.take(all, in: TxID(50))
    var calls = 0
    var isMore = true
    while isMore {
      let before = try segments()
      isMore = try intake.remove(published: planted(TxID(50)))
      calls += 1
      let removed = try before - segments()
      if isBounded { #expect(removed <= 6, "call \(calls)") }
    }
    #expect(try segments() == 0)
    #expect(isBounded ? calls > 6 : calls == 1)
  }

  /// Notes when a beat was made, and makes what a journal file is asked for take longer.
  private final class SlowJournal: HookedFileSystem, @unchecked Sendable {
    // Sendable: the times are under a lock.
    let beats = Monitor<[Duration]>([])
    let reads = Monitor(0)
    private let delays: [FileOperation.Action: UInt32]

    init(_ base: any FileSystem, _ delays: [FileOperation.Action: UInt32]) {
      self.delays = delays
      super.init(base)
    }

    override func fate(of operation: FileOperation) throws(StoreError) -> FileFate {
      guard operation.path.contains("/journal/"), let delay_ms = delays[operation.action],
        operation.action != .read || operation.count >= 1 << 20
      else { return .done }
      if operation.action == .read { reads.withLock { $0 += 1 } }
      usleep(delay_ms * 1000)
      return .done
    }

    override func did(_ operation: FileOperation) {
      guard operation.action == .write, operation.path.contains("/log/") else { return }
      beats.withLock { $0.append(SystemClock().elapsed()) }
    }

    override func told(data: Int64?, from offset: Int64) -> Int64? { offset }

    /// The longest pause between two writes to the log.
    var longestPause: Duration {
      beats.withLock { zip($0, $0.dropFirst()).map { $1 - $0 }.max() ?? .zero }
    }
  }

  @Test("A drain removes them all, and beats meanwhile")
  func drain() throws {
    try end(300)
    let files = SlowJournal(store.environment.fileSystem, [.unlink: 30])
    store.environment.fileSystem = files
    store.options.beat = .milliseconds(200)
    try store.drain()
    #expect(try segments() == 0)
    #expect(try count() == 300)
    // Without beats it takes nine seconds.
    #expect(files.longestPause < .seconds(4))
  }

  /// Where the file system cannot tell holes, all of a segment is read before it is removed: 79 pieces of
  /// 100 ms each. Nothing of it need be remembered by the next term: that it takes several looks shows in the
  /// beats, and a term that ends in between costs the next one the same bounded time again.
  @Test("Looking for remains goes on beside beats, and in the next term")
  func remains() throws {
    let journal = try store.journal()
    try journal.flush([insert(1).encoded()])
    let path = path(try #require(journal.writer), 1)
    try store.environment.fileSystem.open(path, .write).resize(to: Int64(Limits.journalFrameBytes))
    let files = SlowJournal(store.environment.fileSystem, [.read: 100])
    store.options.retireAfter = .milliseconds(20)
    store.options.beat = .milliseconds(200)
    // The first term ends in the middle.
    try run(files, until: { files.reads.withLock { $0 } >= 40 })
    #expect(try store.names(store.layout.journal).count == 2)
    let before = files.reads.withLock { $0 }
    try run(files, until: { try store.names(store.layout.journal) == ["quarantine"] })
    let second = files.reads.withLock { $0 } - before
    #expect((70...85).contains(second), "\(second)")
    #expect(files.longestPause < .seconds(5))
    #expect(try store.query("SELECT a FROM t") == [[1]])
    #expect(try store.names(store.layout.quarantine).isEmpty)
  }

  private func run(_ files: SlowJournal, until done: @escaping () throws -> Bool) throws {
    var environment = store.environment
    environment.fileSystem = files
    files.beats.withLock { $0 = [] }
    try run(environment, until: done)
  }

  @Test("A segment that somebody has cut is told, and what was read of it is applied")
  func cut() throws {
    let journal = try store.journal()
    try journal.flush([insert(1).encoded()])
    try journal.flush([insert(2).encoded()])
    let path = path(try #require(journal.writer), 1)
    let log = NotedLog()
    store.options.logger = log.logger
    store.options.retireAfter = .milliseconds(200)
    let real = store.environment.fileSystem
    try run(until: {
      guard try count() == 2 else { return false }
      if let status = try? real.status(path), status.size > Block.firstJournalFrame {
        try real.open(path, .write).resize(to: Block.firstJournalFrame)
      }
      return try store.names(store.layout.journal) == ["quarantine"]
    })
    let line = try #require(
      log.text.split(separator: "\n").first { $0.contains("somebody has cut it") })
    #expect(line.contains("file=\(path) ") && line.contains("size=\(Block.firstJournalFrame)"))
    #expect(try store.names(store.layout.quarantine).isEmpty)
  }
}
