import SluiceFakes
import SluiceJournal
import SluiceLease
import SluiceShared
import SluiceWriter
import Testing

@testable import SluiceApplier

/// The item, over a clock that those move who sleep.
private final class Table: LockTable {
  private let state = Monitor((item: LockItem?.none, writes: [String]()))

  var item: LockItem? { state.withLock { $0.item } }
  /// Who has asked to write it.
  var writes: [String] { state.withLock { $0.writes } }

  func perform(_ request: LockRequest, atMost limit: Duration) -> Result<LockAnswer, LockFailure> {
    state.withLock { state in
      switch request {
      case .read: return .success(.item(state.item))
      case .put(let new, let condition), .update(let new, let condition):
        state.writes.append(String(new.holder.prefix { $0 != " " }))
        guard condition.holds(of: state.item) else { return .success(.refused(state.item)) }
        state.item = new
        return .success(.written)
      }
    }
  }
}

/// While the leader's thread is in an operation of the file system the test has it, and lets another applier run.
@Suite("A loop that hangs in the file system renews no item: another leads behind the lease time")
struct HungLoopTests {
  /// In which operation.
  enum Hang: CaseIterable, Sendable {
    case looking, beating, committing
  }

  private static let lease = Duration.seconds(10)
  private let table = Table()
  private let clock = ManualClock(wall_ms: SystemClock().wallTime_ms())
  private let store: TestStore

  init() throws {
    store = try TestStore()
    try store.apply("CREATE TABLE t(a)")
  }

  private func applier(_ name: String, on files: (any FileSystem)? = nil, drains: Bool = false)
    throws -> Applier
  {
    var (options, environment) = (store.options, store.environment)
    (options.holder, options.drains) = (name, drains)
    options.leaseTime = Self.lease
    // The file server's time is the machine's.
    options.clockTolerance = nil
    environment.fileSystem = files ?? environment.fileSystem
    (environment.clock, environment.executor) = (clock, InlineExecutor())
    environment.hints = NoHints()
    let lease = TableLease(
      table, duration: Self.lease, name: name, environment: environment, report: { _ in })
    return try Applier(
      path: store.path, options: options, lease: lease, environment: environment)
  }

  private func submit(_ n: Int) throws {
    let writer = try store.writer()
    _ = try writer.submitBlocking(Batch([Batch.Statement("INSERT INTO t VALUES (\(n))")]))
    writer.closeBlocking()
  }

  @Test(arguments: Hang.allCases)
  func another(hang: Hang) throws {
    let isArmed = Monitor(false)
    let result = Monitor<Result<Duration, any Error>?>(nil)
    let (log, journal) = ("\(store.layout.log)/", store.layout.journal)
    // By this thread alone.
    nonisolated(unsafe) let meanwhile = { try takeOver(hang) }
    let files = HookedFileSystem(store.environment.fileSystem) { operation in
      let isIt =
        hang == .looking
        ? operation.action == .list && operation.path == journal
        : operation.action == .write && operation.path.hasPrefix(log)
      guard isIt, isArmed.withLock({ $0 }) else { return .done }
      isArmed.withLock { $0 = false }
      let ended = Result { try meanwhile() }
      result.withLock { $0 = ended }
      return .done
    }
    let first = try applier("first", on: files)
    guard case .leads(let leader) = try first.look() else {
      Issue.record("nobody leads")
      return
    }
    leader.begin { false }
    try submit(1)
    #expect(try step(leader) { try store.query("SELECT a FROM t") == [[1]] } == nil)
    if hang == .committing { try submit(2) }
    isArmed.withLock { $0 = true }
    let end = try #require(try step(leader) { false })
    let took = try #require(result.withLock { $0 }).get()
    #expect(took >= Self.lease && took < Self.lease + .seconds(2), "\(took)")
    guard case .deposed = end else {
      Issue.record("it leads still")
      return
    }
    let left = table.item
    _ = first.ended(end, leader)
    #expect(table.item == left && left?.state == .released && left?.term == 2)
    #expect(try store.present().segment.header.holder == "second")
    #expect(try store.query("SELECT a FROM t ORDER BY a") == [[1], [2]])
  }

  /// Another applier stands by, leads, and releases; how long it stood by, on the clock that its pauses move.
  private func takeOver(_ hang: Hang) throws -> Duration {
    if hang != .committing { try submit(2) }
    let before = table.writes.count
    let second = try applier("second", drains: true)
    let began = clock.elapsed()
    second.beginStanding()
    while clock.elapsed() - began < Self.lease * 3 {
      switch try second.look() {
      case .rests(let pause, _, _): clock.sleep(pause)
      case .leads(let leader):
        let took = clock.elapsed() - began
        // Nothing of who hangs.
        #expect(table.writes[before...] == ["second"])
        let end = try leader.run { false }
        _ = second.ended(end, leader)
        return took
      }
    }
    throw StoreError(.timeout, "nobody takes over")
  }

  /// Steps, and lets the time pass that a step is to rest, until `isDone`, or the term has ended.
  private func step(_ leader: Leader, until isDone: () throws -> Bool) throws -> Leader.End? {
    for _ in 0..<1000 {
      switch try leader.step() {
      case .goesOn, .waitsToExecute: continue
      case .rests(let pause): clock.sleep(max(pause, .milliseconds(50)))
      case .ended(let end): return end
      }
      if try isDone() { return nil }
    }
    Issue.record("it goes on for ever")
    return nil
  }
}
