import SluiceFakes
import SluiceHints
import SluiceJournal
import SluiceShared
import SluiceWriter
import Testing

@testable import SluiceApplier

/// A leader in the thread of a test, which hands it what hints say.
@Suite("What a hint says is read from the journal, and nothing of it is taken for executed")
struct HintedBatchTests {
  private let store: TestStore
  private let clock = ManualClock(wall_ms: SystemClock().wallTime_ms())
  private let hints = ThreadlessHints()

  init() throws {
    store = try TestStore()
    try store.apply("CREATE TABLE t(a)")
  }

  /// It knows the writer by its first batch when the hint of the second comes, before it has read that one.
  @Test(arguments: [false, true]) func aHintIsNoBatch(isBelieved: Bool) throws {
    var (options, environment) = (store.options, store.environment)
    options.hints = .loopback
    environment.clock = clock
    environment.hints = hints.network(arrives: {})
    environment.executor = InlineExecutor()
    if isBelieved { environment.omittedChecks = [.readAfterHint] }
    let applier = try Applier(path: store.path, options: options, environment: environment)
    guard case .leads(let leader) = try applier.look() else {
      throw StoreError(.notLeading, "nobody leads")
    }
    leader.begin { false }
    let line = HintLine(environment)
    line.aim(at: try #require(leader.desk).endpoint)

    let journal = try store.journal()
    for number in 1...3 {
      let batch = try journal.flush([
        try Batch([Batch.Statement("INSERT INTO t VALUES (\(number))")]).encoded()
      ])
      line.tell(written: batch)
      try work(leader)
    }
    // The first is found by a listing, before which nothing is known of its writer.
    #expect(
      try store.query("SELECT a FROM t ORDER BY a")
        == (isBelieved ? [[.integer(1)]] : [[.integer(1)], [.integer(2)], [.integer(3)]]))
    #expect(try #require(leader.desk).counts.received == 3)
  }

  /// Until it has rested for a second.
  private func work(_ leader: Leader) throws {
    let end = clock.elapsed() + .seconds(1)
    while clock.elapsed() < end {
      switch try leader.step() {
      case .goesOn, .waitsToExecute: continue
      case .rests(let pause): clock.sleep(max(.milliseconds(1), pause))
      case .ended: throw StoreError(.notLeading, "the term ended")
      }
    }
  }
}
