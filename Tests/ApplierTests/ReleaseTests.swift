import SluiceApplier
import SluiceFakes
import SluiceJournal
import SluiceQuery
import SluiceShared
import SluiceWriter
import Testing

@Suite("Whoever is told to stop releases the store, so that nobody waits for a lease")
struct ReleaseTests {
  private func state(of store: TestStore) throws -> Beacon.State {
    try Log(of: store.handle).present().beacon.state
  }

  @Test("Though the process that is to execute batches has not answered yet")
  func beforeTheWorkerAnswers() throws {
    let store = try TestStore()
    let writer = try store.writer()
    _ = try writer.submitBlocking(Batch([Batch.Statement("CREATE TABLE t(a)")]))
    var options = store.options
    options.worker = WorkerProgram(path: "/bin/bash", arguments: ["-c", "sleep 1000"])
    let began = ContinuousClock.now
    try Applier(path: store.path, options: options, environment: store.environment)
      .run(shouldStop: { ContinuousClock.now - began > .milliseconds(300) })
    #expect(try state(of: store) == .released)
    writer.closeBlocking()
    try store.drain()
  }

  @Test("Though the lease runs out while that is written")
  func pastTheLease() throws {
    let store = try TestStore()
    let writer = try store.writer()
    _ = try writer.submitBlocking(Batch([Batch.Statement("CREATE TABLE t(a)")]))
    let clock = ShiftedClock()
    let (didExecute, isStopping) = (Monitor(false), Monitor(false))
    var environment = store.environment
    environment.clock = clock
    let noted = NotedLog()
    var options = store.options
    options.logger = noted.logger
    options.beforeBatch = { _ in didExecute.withLock { $0 = true } }
    environment.fileSystem = HookedFileSystem(PosixFileSystem()) { operation in
      if operation.action == .write, operation.path.hasSuffix(".log"),
        isStopping.withLock({ $0 })
      {
        clock.advance(by: .seconds(60))
      }
      return .done
    }
    try Applier(path: store.path, options: options, environment: environment)
      .run(shouldStop: {
        guard didExecute.withLock({ $0 }) else { return false }
        isStopping.withLock { $0 = true }
        return true
      })
    writer.closeBlocking()
    #expect(try state(of: store) == .released)
    // It ends as one that was told to, not as one that lost its lease.
    #expect(!noted.text.contains("no longer leading"), "\(noted.text)")
  }

  @Test("An application's long reads keep no beacon from being written")
  func longReads() async throws {
    let store = try TestStore()
    let database = try Database(path: store.path)
    let (begun, isWritten) = (Monitor(0), Monitor(false))
    let sawIt = try await withThrowingTaskGroup(of: Bool.self) { group in
      for _ in 0..<16 {
        group.addTask {
          try await database.read { _ in
            begun.withLock { $0 += 1 }
            begun.wakeAll()
            return isWritten.wait(atMost: .seconds(20)) { $0 ? true : nil } ?? false
          }
        }
      }
      // A beacon is written there.
      _ = store.environment.executor.start {
        begun.wait { $0 == 16 ? () : nil }
        isWritten.withLock { $0 = true }
        isWritten.wakeAll()
      }
      return try await group.reduce(true) { $0 && $1 }
    }
    #expect(sawIt)
  }
}
