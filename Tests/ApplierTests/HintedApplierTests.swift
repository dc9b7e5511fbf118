import SluiceFakes
import SluiceJournal
import SluiceReader
import SluiceShared
import SluiceWriter
import Testing

@testable import SluiceApplier

/// Real appliers and writers on this host, with what they ask of the file server counted.
@Suite("Where hints arrive, who waits asks the file server for next to nothing", .serialized)
struct HintedApplierTests {
  let store: TestStore
  init() throws {
    store = try TestStore()
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
  }

  /// An applier on a thread of its own, until this is left.
  private final class Running {
    let files: CountingFileSystem
    private let stops = Monitor(false)
    private let isDone = Monitor(false)

    init(_ store: TestStore, hints: HintAddress?) throws {
      files = CountingFileSystem(store.environment.fileSystem)
      var (options, environment) = (store.options, store.environment)
      environment.fileSystem = files
      options.hints = hints
      let applier = try Applier(path: store.path, options: options, environment: environment)
      nonisolated(unsafe) let running = applier
      let (stops, isDone) = (stops, isDone)
      startThread {
        try? running.run { stops.withLock { $0 } }
        isDone.withLock { $0 = true }
        isDone.wakeAll()
      }
    }

    func stop() {
      stops.withLock { $0 = true }
      isDone.wait { $0 ? () : nil }
    }
  }

  private func insert() -> Batch { Batch([Batch.Statement("INSERT INTO t(b) VALUES (1)")]) }

  /// So many writes, each waited for, with pauses between them.
  private func write(_ count: Int, _ writer: Writer, pause: Duration) throws {
    for _ in 0..<count {
      let receipt = try writer.submitBlocking(insert())
      _ = try writer.outcomeBlocking(of: receipt, timeout: .seconds(20))
      SystemClock().sleep(pause)
    }
  }

  @Test func whoFollowsIsToldAndAsksForLittle() throws {
    let running = try Running(store, hints: .loopback)
    defer { running.stop() }
    let files = CountingFileSystem(store.environment.fileSystem)
    var environment = store.environment
    environment.fileSystem = files
    nonisolated(unsafe) let news = try NewsWait(path: store.path, environment: environment)
    nonisolated(unsafe) let log = Log(of: try store.handle)
    let writer = try store.writer()
    let stops = Monitor(false)
    let follower = ThreadExecutor.shared.start {
      var seen = TxID.zero
      while !stops.withLock({ $0 }) {
        news.wait(behind: seen, atMost: .seconds(1))
        seen = (try? log.present())?.extent.txid ?? seen
      }
    }
    try write(20, writer, pause: .milliseconds(100))
    files.reset()
    SystemClock().sleep(.seconds(5))
    let atRest = files.total
    files.reset()
    try write(5, writer, pause: .milliseconds(400))
    let written = files.total
    stops.withLock { $0 = true }
    follower.wait()
    print("a follower: \(atRest) requests in five seconds of rest, \(written) for five batches")
    // Without hints it looks 20 times a second.
    #expect(atRest <= 25)
    #expect(written <= 40)
  }

  /// What leader and writer ask for ten writes, one each 200 ms.
  private func requests(hints: HintAddress?) throws -> (leader: Int, writer: Int, longest: Duration)
  {
    let running = try Running(store, hints: hints)
    defer { running.stop() }
    let files = CountingFileSystem(store.environment.fileSystem)
    var environment = store.environment
    environment.fileSystem = files
    let writer = try Writer(store: store.path, environment: environment)
    // Hints prove themselves.
    try write(30, writer, pause: .milliseconds(60))
    running.files.reset()
    files.reset()
    var longest = Duration.zero
    for _ in 0..<10 {
      let begin = SystemClock().elapsed()
      try write(1, writer, pause: .zero)
      longest = max(longest, SystemClock().elapsed() - begin)
      SystemClock().sleep(.milliseconds(200))
    }
    let counted = (running.files.total, files.total)
    writer.closeBlocking()
    return (counted.0, counted.1, longest)
  }

  @Test func aWriteCostsAFewRequestsInPlaceOfHundreds() throws {
    let without = try requests(hints: nil)
    // One answer that comes late, where this thread did not run, has a writer look a hundred times.
    let with = try (0..<3).map { _ in try requests(hints: .loopback) }
    print("ten writes in two seconds: without hints \(without), with \(with)")
    #expect(try #require(with.map(\.leader).min()) * 5 < without.leader)
    #expect(try #require(with.map(\.writer).min()) <= 120)
    #expect(try #require(with.map(\.longest).min()) < .seconds(1) * TestStore.patience)
  }

  @Test func whatComesWithoutHintsIsSeenAndMakesPollsQuick() throws {
    let running = try Running(store, hints: .loopback)
    defer { running.stop() }
    let writer = try store.writer()
    try write(30, writer, pause: .milliseconds(60))
    var deaf = store.environment
    deaf.hints = NoHints()
    // Another poller than the process has for this store: its root is another text.
    let path = store.path.replacing("/sluice-test", with: "//sluice-test")
    let stranger = try Writer(store: path, environment: deaf)
    let begin = SystemClock().elapsed()
    try write(1, stranger, pause: .zero)
    #expect(
      SystemClock().elapsed() - begin < (Limits.longestHintedPause + .seconds(1))
        * TestStore.patience)
    let quick = SystemClock().elapsed()
    try write(3, stranger, pause: .zero)
    #expect(SystemClock().elapsed() - quick < .seconds(2) * TestStore.patience)
  }

  @Test func aLeaderTwoStandbysAndAHundredWritersAtRestAskForLittle() throws {
    let all = try (0..<3).map { _ in try Running(store, hints: .loopback) }
    defer { for running in all { running.stop() } }
    let files = CountingFileSystem(store.environment.fileSystem)
    var environment = store.environment
    environment.fileSystem = files
    // Each has written, and knows the outcome. A minute later their segments are retired.
    let writers = try (0..<100).map { _ in
      try Writer(store: store.path, environment: environment)
    }
    defer { for writer in writers { writer.closeBlocking() } }
    for writer in writers { try write(1, writer, pause: .milliseconds(20)) }
    SystemClock().sleep(.seconds(80))
    for counted in all.map(\.files) + [files] { counted.reset() }
    SystemClock().sleep(.seconds(10))
    // A write goes to the server with its sync.
    let totals = (all.map(\.files) + [files]).map { $0.total - $0.count(.write) }
    print(
      "at rest for ten seconds: \(totals), lists \(all.map { $0.files.count(.list) }), reads \(all.map { $0.files.count(.read) }), writes \(all.map { $0.files.count(.write) })"
    )
    // A leader that is heard on its own host only makes its beats, two or three in that time: 1.1 requests a second.
    // Between hosts it is less than one, which `IdleCostTests` counts over hours.
    #expect(totals.reduce(0, +) <= 13 && totals[3] == 0)
  }
}
