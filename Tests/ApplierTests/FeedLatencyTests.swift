import SluiceApplier
import SluiceFakes
import SluiceReader
import SluiceShared
import Testing

@Suite("Who follows the history is behind by less than a poll")
struct FeedLatencyTests {
  /// Time that passes only in pauses, each of which is told.
  private final class PausingClock: Clock {
    private let base = ManualClock()
    private let pauses = Monitor([Duration]())
    private let inPause: @Sendable (Int) -> Void

    init(_ inPause: @escaping @Sendable (_ number: Int) -> Void) { self.inPause = inPause }

    var noted: [Duration] { pauses.withLock { $0 } }
    func wallTime_ms() -> Int64 { base.wallTime_ms() }
    func bootTime_ns() -> UInt64 { base.bootTime_ns() }
    func sleep(_ duration: Duration) {
      let number = pauses.withLock { pauses in
        pauses.append(duration)
        return pauses.count
      }
      inPause(number)
      base.sleep(duration)
    }
  }

  /// Feeds that were opened, behind batch 1.
  private struct Followed {
    let txid: () -> TxID
    /// Takes what is there.
    let advance: () throws -> [TxID]
  }

  private func follow(_ store: TestStore, rows: Bool, _ environment: Environment) throws -> Followed
  {
    if rows {
      let feed = try RowFeed(path: store.path, from: TxID(2), environment: environment)
      return Followed(txid: { feed.txid }) {
        var taken: [TxID] = []
        try feed.advance {
          taken.append($0.batch.txid)
          #expect($0.changes?.count == 1)
        }
        return taken
      }
    }
    let feed = try ChangeFeed(path: store.path, from: TxID(2), environment: environment)
    return Followed(txid: { feed.txid }) {
      var taken: [TxID] = []
      try feed.advance { taken.append($0.txid) }
      return taken
    }
  }

  /// With rows as well: what a batch takes to be executed again is no pause.
  @Test(
    "What is published in a pause is seen behind it, and a pause is 50 ms",
    arguments: [false, true])
  func seenAtTheNextLook(_ rows: Bool) throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a)")
    // Used by this one thread, in a pause.
    nonisolated(unsafe) let applied = store
    let published = 5
    let clock = PausingClock { number in
      guard number % published == 0 else { return }
      #expect(throws: Never.self) { try applied.apply("INSERT INTO t VALUES (\(number))") }
    }
    var environment = store.environment
    environment.clock = clock
    let news = try NewsWait(path: store.path, environment: environment)
    let feed = try follow(store, rows: rows, environment)
    for round in 1...4 {
      news.wait(behind: feed.txid())
      #expect(clock.noted.count == round * published)
      #expect(try feed.advance() == [TxID(UInt64(round) + 1)])
      #expect(clock.noted.count == round * published)
    }
    #expect(clock.noted.allSatisfy { $0 == .milliseconds(50) })
    // What was published before is not waited for.
    try store.apply("INSERT INTO t VALUES (0)")
    news.wait(behind: feed.txid())
    #expect(clock.noted.count == 4 * published)
  }
}
