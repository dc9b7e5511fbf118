import Glibc
import SluiceJournal
import SluiceShared
import SluiceWriter
import Testing

@testable import SluiceApplier

private typealias Code = Outcome.Rejection.Code

/// A batch that hangs, crashes or keeps its process from committing, between two that do not and beside
/// another writer's.
@Suite("A batch that goes wrong has a bounded number of tries, and no other pays for it")
struct FaultyBatchTests {
  private let faulty: FaultyFunction
  private let store: TestStore

  init() throws {
    faulty = try FaultyFunction()
    store = try faulty.store()
  }

  /// An applier in this process with a child, whose limits are as given.
  private func applier(
    batchTime: Duration = .seconds(600), byTheClock: Duration = .seconds(600),
    standstill: Duration = .seconds(600)
  ) throws -> ApplierThread {
    var worker = WorkerProgram(path: program, arguments: ["execute"])
    worker.patience.batch = (times: 0, least: byTheClock)
    worker.patience.standstill = (times: 0, least: standstill)
    var options = TestStore.options()
    // Only what it did itself may end a term here.
    options.leaseTime = .seconds(60)
    options.worker = worker
    options.batchTime = batchTime
    return try ApplierThread(store, options)
  }

  private struct Outcomes {
    var faulty: Outcome
    var others: [Outcome]
    var othersAreApplied: Bool { others.allSatisfy(\.isApplied) }
  }

  /// Submits the batch that calls `function` and those beside it; when all have an outcome, the term is
  /// the one that began with the first.
  private func outcomes(_ function: String, last: Int) throws -> Outcomes {
    let writer = try store.writer()
    let other = try store.writer()
    _ = try writer.outcomeBlocking(
      of: try writer.submitBlocking(TestStore.row(1, 0)), timeout: .seconds(180 * patience))
    let term = try store.present().segment.number
    let call = self.faulty.call(function, last: last)
    let before = try writer.submitBlocking(TestStore.row(1, 1))
    let faulty = try writer.submitBlocking(
      Batch([Batch.Statement("INSERT INTO t(w, n) SELECT 1, \(call)")]))
    let behind = try writer.submitBlocking(TestStore.row(1, 3))
    let others = try (1...3).map { try other.submitBlocking(TestStore.row(2, $0)) }
    func outcome(_ writer: Writer, _ receipt: Receipt) throws -> Outcome {
      try writer.outcomeBlocking(of: receipt, timeout: .seconds(180 * patience)).outcome
    }
    let found = Outcomes(
      faulty: try outcome(writer, faulty),
      others: try [outcome(writer, before), outcome(writer, behind)]
        + others.map { try outcome(other, $0) })
    #expect(try store.present().segment.number == term)
    #expect(try store.rows(of: 1) == (found.faulty.isApplied ? [0, 1, 2, 3] : [0, 1, 3]))
    #expect(try store.rows(of: 2) == [1, 2, 3])
    return found
  }

  @Test("It waits for longer than a batch may: it is tried once more")
  func waitsTwice() async throws {
    try await onThread {
      let applier = try applier(byTheClock: .seconds(3))
      let outcomes = try outcomes("nap", last: .max)
      #expect(outcomes.faulty.rejectionCode == Code.timeLimit)
      #expect("\(outcomes.faulty)".contains("3 s by the clock, and this one took longer twice"))
      #expect(outcomes.othersAreApplied, "\(outcomes)")
      #expect(try faulty.count("nap") == 2)
      try applier.stop()
    }
  }

  @Test("It waited for longer than a batch may by somebody else's fault: it is applied")
  func waitsOnce() async throws {
    try await onThread {
      let applier = try applier(byTheClock: .seconds(3))
      let outcomes = try outcomes("nap", last: 2)
      #expect(outcomes.faulty.isApplied && outcomes.othersAreApplied, "\(outcomes)")
      #expect(try faulty.count("nap") == 2)
      try applier.stop()
    }
  }

  @Test("Its commit takes as much of the processor as a batch may")
  func lingersInItsCommit() async throws {
    try await onThread {
      let applier = try applier(batchTime: .seconds(2))
      let outcomes = try outcomes("linger", last: .max)
      #expect(outcomes.faulty.rejectionCode == Code.poisonous)
      #expect("\(outcomes.faulty)".contains("its commit took 2 s of processor time"))
      #expect(outcomes.othersAreApplied, "\(outcomes)")
      // With others, where it was, and three times alone.
      #expect((3...4).contains(try faulty.count("linger")))
      try applier.stop()
    }
  }

  @Test("A commit that once took too long is nobody's end")
  func lingersOnce() async throws {
    try await onThread {
      let applier = try applier(batchTime: .seconds(2))
      let outcomes = try outcomes("linger", last: 2)
      #expect(outcomes.faulty.isApplied && outcomes.othersAreApplied, "\(outcomes)")
      try applier.stop()
    }
  }

  @Test("A process that gets no further, twice, is replaced, and nobody is blamed")
  func standsStill() async throws {
    try await onThread {
      let applier = try applier(standstill: .seconds(5))
      let outcomes = try outcomes("stall", last: 3)
      #expect(outcomes.faulty.isApplied && outcomes.othersAreApplied, "\(outcomes)")
      #expect(try faulty.count("stall") == 3)
      try applier.stop()
    }
  }

  /// The applier's own process stays, and its term.
  @Test("It aborts its process", arguments: [3, Int.max])
  func crashes(last: Int) async throws {
    try await onThread {
      let applier = try ChildProcess(
        program, ["apply", store.path, "--ttl", "60", "--holder", "a"])
      let outcomes = try outcomes("fall", last: last)
      #expect(outcomes.othersAreApplied, "\(outcomes)")
      #expect(try faulty.count("fall") == 3)
      if last == 3 {
        #expect(outcomes.faulty.isApplied)
      } else {
        #expect(outcomes.faulty.rejectionCode == Code.poisonous)
        #expect("\(outcomes.faulty)".contains("by signal 6"), "\(outcomes.faulty)")
      }
      #expect(applier.isRunning)
      applier.send(SIGTERM)
      #expect(try applier.end().code == 0)
    }
  }
}
