import SluiceFakes
import SluiceHints
import SluiceJournal
import SluiceShared
import SluiceWriter
import Testing

@testable import SluiceApplier

@Suite("A leader rests while the beacon that it waits for is written")
struct AwaitedBeaconTests {
  /// Does nothing while it is held.
  private final class Held: Executor {
    private struct Work: StartedWork {
      let base: (any StartedWork)?

      func wait() { base?.wait() }
      var isDone: Bool { base?.isDone ?? false }
    }

    let isHeld = Monitor(false)

    func start(_ work: @escaping @Sendable () -> Void) -> any StartedWork {
      Work(base: isHeld.withLock { $0 } ? nil : ThreadExecutor.shared.start(work))
    }
    func detach(_ work: @escaping @Sendable () -> Void) { ThreadExecutor.shared.detach(work) }
    func concurrently(_ count: Int, _ body: @Sendable (Int) -> Void) {
      ThreadExecutor.shared.concurrently(count, body)
    }
  }

  /// Hints tell of all that is new, so nothing is looked at before the beacon is there; and a turn is out, for whose end
  /// it would look.
  @Test func itDoesNotSpin() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a)")
    let held = Held()
    var (options, environment) = (store.options, store.environment)
    environment.executor = held
    options.hints = .loopback
    let applier = try Applier(path: store.path, options: options, environment: environment)
    guard case .leads(let leader) = try applier.look() else {
      throw StoreError(.notLeading, "nobody leads")
    }
    leader.begin { false }
    func step() throws -> Duration? {
      guard case .rests(let pause) = try leader.step() else { return nil }
      return pause
    }
    let writer = try store.writer()
    /// One batch, up to where it is executed.
    @discardableResult func write() throws -> Receipt {
      let before = leader.execution.extent.txid
      let receipt = try writer.submitBlocking(
        Batch([Batch.Statement("INSERT INTO t VALUES(1)")]))
      while leader.execution.extent.txid == before {
        if let pause = try step() { leader.wait(atMost: pause) }
      }
      return receipt
    }
    for _ in 0..<100 where leader.desk?.isProven != true {
      let receipt = try write()
      while leader.publisher.isUnderWay {
        if let pause = try step() { leader.wait(atMost: pause) }
      }
      // The beacon says where hints are taken.
      _ = try writer.outcomeBlocking(of: receipt, timeout: .seconds(60))
    }
    #expect(leader.desk?.isProven == true)
    held.isHeld.withLock { $0 = true }
    try write()
    #expect(leader.publisher.isUnderWay)
    leader.turn = GrantedTurn(
      number: leader.execution.extent.txid, holder: WriterID(high: 1, low: 1), owner: 0,
      granted: SystemClock().elapsed())
    SystemClock().sleep(Limits.lookDuringTurn * 2)
    for _ in 0..<20 {
      let pause = try #require(try step())
      #expect(pause >= .milliseconds(1), "\(pause)")
      leader.wait(atMost: pause)
    }
    writer.closeBlocking()
  }
}
