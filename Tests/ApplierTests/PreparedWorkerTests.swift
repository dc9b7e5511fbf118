import SluiceFakes
import SluiceJournal
import SluiceReader
import SluiceShared
import SluiceWriter
import Testing

@testable import SluiceApplier

@Suite("A worker that was prepared begins where the term does, or costs no more than another one")
struct PreparedWorkerTests {
  let store: TestStore
  let settings: Session.Settings
  init() throws {
    store = try TestStore()
    settings = Session.Settings(
      try StoreDescription.read(store.layout, store.environment.fileSystem), store.options)
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
  }

  private func preparation(_ environment: Environment) throws -> LocalPreparation {
    let prepared = LocalPreparation(store.layout, settings, environment) { _ in nil }
    try prepared.follow()
    return prepared
  }

  /// Two batches of one writer; `between` is called when the first is applied.
  private func submit(_ between: () throws -> Void) throws -> WriterID {
    let writer = try store.writer()
    func insert() throws -> BatchID {
      let receipt = try writer.submitBlocking(
        Batch([Batch.Statement("INSERT INTO t(b) VALUES (1)")]))
      try store.drain()
      return receipt.batch
    }
    _ = try insert()
    try between()
    return try insert().writer
  }

  /// How many workers a term makes beside the one that was prepared, and the last batch of a writer that
  /// the one at work knows.
  private func term(
    _ prepared: any PreparedWorker, _ writer: WriterID, _ environment: Environment
  ) throws -> (made: Int, last: UInt64?) {
    let (settings, events, made) = (settings, WorkerEvents(), Monitor(0))
    let pages = try PageStore(path: store.path, environment: environment)
    let execution = Execution(
      from: pages.current, events, logger: store.options.logger, environment: environment,
      prepared: prepared
    ) { (snapshot) throws(WorkerEnd) in
      made.withLock { $0 += 1 }
      do throws(StoreError) {
        return try LocalWorker(snapshot, settings, events, environment)
      } catch {
        throw .failed(error)
      }
    }
    let last = try execution.known(writer)?.sequence.rawValue
    return (made.withLock { $0 }, last)
  }

  @Test func itReadsOnToWhereTheTermBegins() throws {
    var prepared: LocalPreparation?
    let writer = try submit { prepared = try preparation(store.environment) }
    let (made, last) = try term(try #require(prepared), writer, store.environment)
    #expect(made == 0)
    #expect(last == 2)
  }

  @Test func withoutTheCheckItWorksOnAnEarlierState() throws {
    var environment = store.environment
    environment.omittedChecks = [.workerAtEnd]
    var prepared: LocalPreparation?
    let writer = try submit { prepared = try preparation(environment) }
    let (made, last) = try term(try #require(prepared), writer, environment)
    #expect(made == 0)
    #expect(last == 1)
  }

  @Test(arguments: [false, true]) func oneThatIsElsewhereOrHasEndedIsReplaced(hasEnded: Bool) throws
  {
    let useless = Useless(settings, store.environment)
    let writer = try submit {
      useless.snapshot =
        hasEnded ? nil : try PageStore(path: store.path, environment: store.environment).current
    }
    let (made, last) = try term(useless, writer, store.environment)
    #expect(made == 1)
    #expect(last == 2)
  }

  /// Stays where it was; or ends.
  private final class Useless: PreparedWorker {
    var snapshot: Snapshot?
    private let settings: Session.Settings
    private let environment: Environment

    init(_ settings: Session.Settings, _ environment: Environment) {
      self.settings = settings
      self.environment = environment
    }

    func follow() {}
    func checkThere() {}
    func begin(at txid: TxID) {}
    func opened(at txid: TxID, _ events: WorkerEvents) throws(WorkerEnd) -> any ExecutionWorker {
      guard let snapshot else { throw .ended(.nothing, "in the test") }
      do throws(StoreError) {
        return try LocalWorker(snapshot, settings, events, environment)
      } catch {
        throw .failed(error)
      }
    }
  }

  // MARK: standing by

  /// In ten minutes, each step a tenth of a second: starts after 1, 2, 4 … 60 seconds.
  @Test func oneThatEndsAtOnceIsStartedEverMoreSeldom() {
    let clock = ManualClock()
    var environment = store.environment
    environment.clock = clock
    let starts = Monitor(0)
    let worker = StandbyWorker(logger: store.options.logger, environment: environment) {
      () throws(WorkerEnd) in
      starts.withLock { $0 += 1 }
      throw .ended(.nothing, "in the test")
    }
    for _ in 0..<6000 {
      worker.start()
      worker.follow()
      clock.advance(by: .milliseconds(100))
    }
    #expect((12...16).contains(starts.withLock { $0 }), "\(starts.withLock { $0 })")
    #expect(worker.take(for: .zero) == nil)
  }

  @Test func oneThatLivesIsStartedOnceAndThenForEachTerm() {
    let starts = Monitor(0)
    let (settings, environment) = (settings, store.environment)
    let worker = StandbyWorker(logger: store.options.logger, environment: environment) {
      () throws(WorkerEnd) in
      starts.withLock { $0 += 1 }
      return Useless(settings, environment)
    }
    for term in 1...3 {
      for _ in 0..<10 {
        worker.start()
        worker.follow()
      }
      #expect(starts.withLock { $0 } == term)
      #expect(worker.take(for: .zero) != nil)
    }
  }
}
