import SluiceJournal
import SluiceShared
import Testing

@testable import SluiceFakes
@testable import SluiceWriter

/// The real files; reads in `log/` are counted, and fail when told to.
private final class LogReads: HookedFileSystem, @unchecked Sendable {
  // Sendable: what changes is under a lock.
  private let state = Monitor((count: 0, fails: false))

  init() { super.init() }

  var count: Int { state.withLock { $0.count } }
  func fail(_ fails: Bool) { state.withLock { $0.fails = fails } }

  override func fate(of operation: FileOperation) throws(StoreError) -> FileFate {
    guard operation.action == .read, operation.path.contains("/log/") else { return .done }
    let fails = state.withLock { state in
      state.count += 1
      return state.fails
    }
    if fails { throw StoreError(.io, "failed as told", path: operation.path, errno: 5) }
    return .done
  }
}

@Suite("Who asks for the turn waits like anybody, and leaves none behind")
struct TurnRequestTests {
  private let store: TestStore
  private let reads = LogReads()
  private let environment: Environment

  init() throws {
    store = try TestStore()
    _ = try store.applier()
    var environment = store.environment()
    environment.fileSystem = reads
    self.environment = environment
  }

  private func writer() throws -> Writer {
    try Writer(store: store.layout.root, environment: environment)
  }

  /// What lies in the journal, in order.
  private func submitted() throws -> [[UInt8]] {
    let batches = try store.segments().reduce(into: [:]) { all, segment in
      all.merge(segment.batches) { $1 }
    }
    return batches.sorted { $0.key < $1.key }.map(\.value)
  }

  private func requestAndCancel() throws -> [[UInt8]] {
    [try Batch(.requestTurn).encoded(), try Batch(.cancelTurn).encoded()]
  }

  @Test func aWaitInSlicesLooksNoMoreOftenThanAnother() throws {
    let writer = try writer()
    let receipt = try writer.submitBlocking(insert(1))
    let before = reads.count
    #expect(throws: StoreError.self) {
      try writer.outcomeBlocking(of: receipt, timeout: .seconds(3))
    }
    let usual = reads.count - before
    let clock = environment.clock
    let began = clock.elapsed()
    var asked = 0
    let turn = try JournalTransactions(writer).requestTurn {
      asked += 1
      return clock.elapsed() - began < .seconds(3)
    }
    #expect(turn == nil)
    #expect(asked > 3)
    let inSlices = reads.count - before - usual
    #expect(inSlices < 2 * usual + 100, "\(inSlices) reads, \(usual) for a batch")
  }

  @Test func aRequestThatFailsIsTakenBack() throws {
    let writer = try writer()
    let error = #expect(throws: StoreError.self) {
      try JournalTransactions(writer).requestTurn {
        reads.fail(true)
        return true
      }
    }
    #expect(error?.errno == 5)
    reads.fail(false)
    #expect(try submitted() == requestAndCancel())
  }

  @Test func aRequestInDoubtIsTakenBack() throws {
    let writer = try Writer(store: store.layout.root, environment: store.environment())
    for _ in 0..<Limits.flushTries { store.files.fail(.sync, 5) }
    let error = #expect(throws: StoreError.self) {
      try JournalTransactions(writer).requestTurn { true }
    }
    #expect(error?.code == .outcomeUnknown)
    #expect(try submitted() == requestAndCancel())
  }
}
