import SluiceJournal
import SluiceShared
import SluiceWriter
import Testing

@testable import SluiceApplier

@Suite("A child process decompresses the next group while the last one is committed")
struct OpenedAheadProcessTests {
  @Test func itIsToldWhatComesNext() async throws {
    try await onThread {
      let store = try TestStore()
      let writer = try store.writer()
      // Frames of 20 batches, and more than the first group of a term has.
      for first in stride(from: 1, through: 200, by: 20) {
        for result in writer.submitBlocking((first..<first + 20).map { TestStore.row(1, $0) }) {
          _ = try result.get()
        }
      }
      var options = TestStore.options()
      options.leaseTime = .seconds(10)
      options.worker = WorkerProgram(path: program, arguments: ["execute"])
      let applier = try Applier(
        path: store.path, options: options, environment: store.environment)
      guard case .leads(let leader) = try applier.look() else {
        throw StoreError(.notLeading, "nobody leads")
      }
      leader.begin { false }
      let before = leader.execution.extent.txid
      while leader.execution.extent.txid == before { _ = try leader.step() }
      let worker = try #require(leader.execution.worker as? ChildWorker)
      #expect(worker.frames.opened.count >= 3)
      _ = try leader.release()
      try store.drain()
      #expect(try store.query("SELECT count(*) FROM t") == [[.integer(200)]])
      writer.closeBlocking()
    }
  }
}
