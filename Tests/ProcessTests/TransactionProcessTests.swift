import Glibc
import SluiceEdits
import SluiceJournal
import SluiceReader
import SluiceShared
import SluiceWriter
import Testing

/// Appliers as processes, and the child processes that execute batches.
@Suite("Interactive transactions are committed by appliers that are processes")
struct TransactionProcessTests {
  @Test("Read, computed and written over and over, by two at once, nothing is lost")
  func countedUp() async throws {
    try await onThread {
      let store = try TestStore()
      let applier = try store.startApplier("a")
      try wait("a leads") { try store.holder() == "a" }
      let first = try store.writer()
      let receipt = try first.submitBlocking(TestStore.row(1, 1))
      _ = try first.outcomeBlocking(of: receipt, timeout: .seconds(60 * patience))
      let clients = try (0..<2).map { _ in JournalTransactions(try store.writer()) }
      let pages = try PageStore(path: store.path, environment: store.environment)
      var base = TxID.zero
      for round in 0..<20 {
        let client = clients[round % 2]
        let turn = try #require(try client.requestTurn { true })
        let edited = try EditedSnapshot(
          try pages.snapshot(.atLeast(turn.base, timeout: .seconds(10 * Int64(patience)))))
        try edited.execute("UPDATE t SET n = n + 1")
        try edited.take()
        let commitment = try client.commit(
          try edited.batch(turn: turn.number), of: turn, timeout: .seconds(30 * Int64(patience)))
        #expect(commitment == .committed(turn.base.next))
        base = turn.base.next
      }
      // The child process refuses what its database could not go on with.
      let edited = try EditedSnapshot(
        try pages.snapshot(.atLeast(base, timeout: .seconds(10 * Int64(patience)))))
      try edited.execute("UPDATE t SET n = 0")
      try edited.take()
      edited.change(1) { $0[20] = 8 }
      let refused = try clients[0].commit(
        try edited.batch(), of: nil, timeout: .seconds(30 * Int64(patience)))
      guard case .refused = refused else {
        Issue.record("\(refused)")
        return
      }
      #expect(try store.rows(of: 1) == [21])
      applier.send(SIGTERM)
      #expect(try applier.end().code == 0)
    }
  }
}
