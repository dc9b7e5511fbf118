import Logging
import SluiceFakes
import SluiceJournal
import SluiceReader
import SluiceShared
import Testing

@testable import SluiceApplier

@Suite("What a worker's end costs is charged to whose batch it was, and no term tries for ever")
struct ExecutionEndTests {
  /// Takes a while over each commit, and ends.
  private final class EndingWorker: ExecutionWorker {
    let extent: LogExtent
    private let end: (Session.Request) -> WorkerEnd

    init(_ extent: LogExtent, _ end: @escaping (Session.Request) -> WorkerEnd) {
      self.extent = extent
      self.end = end
    }

    func known(_ writer: WriterID) throws(WorkerEnd) -> WriterState? { nil }

    func commit(_ request: Session.Request, write: @escaping Session.Write) throws(WorkerEnd)
      -> Session.Done
    {
      throw end(request)
    }
  }

  private let clock = ManualClock()

  private func execution(_ end: @escaping (Session.Request) -> WorkerEnd) throws -> Execution {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a)")
    var environment = store.environment
    environment.clock = clock
    let snapshot = try PageStore(path: store.path, environment: environment).snapshot(.latest)
    return Execution(
      from: snapshot, WorkerEvents(),
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
      environment: environment
    ) { (snapshot) throws(WorkerEnd) in
      EndingWorker(snapshot.extent, end)
    }
  }

  private func commit(_ execution: Execution, _ batches: [PendingBatch]) throws -> Session.Done {
    try execution.commit(Session.Request(batches: batches[...], time_ms: 1)) {
      (_) throws(StoreError) in throw StoreError(.io, "nothing is written")
    }
  }

  /// Each time it takes two seconds more; the third end condemns it, and then its verdict cannot be written.
  @Test func whatItTookIsItsOwn() throws {
    var tries = 0
    let execution = try execution { [clock] request in
      tries += 1
      clock.advance(by: .seconds(2))
      return request.verdict == nil ? .ended(.batch(0), "by itself") : .ended(.commit, "by itself")
    }
    let batches = try pendingBatches(2)
    let error = #expect(throws: StoreError.self) { try commit(execution, batches) }
    // A rejection that cannot be written is nobody's fault: the term ends, and does not try for ever.
    #expect(error?.message.contains("without one that would be at fault") == true)
    #expect(tries == Execution.mostEnds + Execution.mostStrayEnds)
    let lost = execution.takeLost()
    #expect(Set(lost.map(\.batch.id)) == [batches[0].id])
    #expect(lost.reduce(.zero) { $0 + $1.time } >= .seconds(2 * Execution.mostEnds))
    #expect(execution.takeLost().isEmpty)
  }

  /// A worker that ends at once leaves no time to be asked in.
  @Test func aStopIsHeededBetweenTries() throws {
    var tries = 0
    let execution = try execution { _ in
      tries += 1
      return .ended(.batch(0), "by itself")
    }
    execution.events.shouldStop = { tries == 2 }
    let done = try commit(execution, try pendingBatches(1))
    #expect(done.count == 0 && tries == 2)
  }
}
