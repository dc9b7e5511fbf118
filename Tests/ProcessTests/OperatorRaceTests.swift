import Glibc
import SluiceJournal
import SluiceShared
import SluiceWriter
import Testing

@Suite("Whatever operators do at once with a rejected batch, it is executed once more at most")
struct OperatorRaceTests {
  private static let rejected = 8

  /// Batches 2 to 9 are rejected, for want of the table that the last one makes. Each inserts its TxID.
  private func store() throws -> TestStore {
    let store = try TestStore()
    let writer = try store.writer()
    for txid in 2..<2 + Self.rejected {
      let insert = Batch.Statement("INSERT INTO u VALUES (?)", [.integer(Int64(txid))])
      _ = try writer.submitBlocking(Batch([insert]))
    }
    try store.drain()
    _ = try writer.submitBlocking(Batch([.init("CREATE TABLE u(txid)")]))
    writer.closeBlocking()
    try store.drain()
    return store
  }

  private func resubmit(_ txid: Int, _ key: String, _ store: TestStore) throws -> ChildProcess {
    try ChildProcess(
      program, ["resubmit", store.path, "\(txid)", "--id", key, "--wait", "durable"])
  }

  private func discard(_ txid: Int, _ store: TestStore) throws -> ChildProcess {
    try ChildProcess(program, ["discard", store.path, "\(txid)"])
  }

  private func expectEachOnce(_ store: TestStore) throws {
    #expect(
      try store.query("SELECT txid FROM u ORDER BY txid")
        == (2..<2 + Self.rejected).map { [.integer(Int64($0))] })
  }

  /// Some of them were discarded before, some are meanwhile.
  @Test("Of several who resubmit it under keys of their own, one does, and the others are told")
  func severalKeys() async throws {
    try await onThread {
      let store = try store()
      for txid in 2..<2 + Self.rejected {
        if txid % 3 == 0 { #expect(try discard(txid, store).end().code == 0) }
        let operators = try (1...3).map { try resubmit(txid, "key \($0) \(txid)", store) }
        let other = txid % 3 == 1 ? try discard(txid, store) : nil
        let ends = try operators.map { try $0.end() }
        let winner = try #require(ends.firstIndex { $0.code == 0 }, "\(ends)")
        for (number, end) in ends.enumerated() where number != winner {
          #expect(end.code == 64, "\(end)")
          #expect(
            end.errors.contains("resubmitted before, under the key key \(winner + 1) \(txid)"),
            "\(end)")
        }
        #expect(try other?.end().code ?? 0 == 0)
        // And who comes later.
        #expect(try discard(txid, store).end().code == 0)
        #expect(try resubmit(txid, "key 4 \(txid)", store).end().code == 64)
      }
      try store.drain()
      try expectEachOnce(store)
      #expect(try sluice("rejected", store.path).output == "")
    }
  }

  @Test("Several with the same key, beside appliers that are killed")
  func oneKey() async throws {
    try await onThread {
      let store = try store()
      var applier = try store.startApplier("0")
      for txid in 2..<2 + Self.rejected {
        let operators = try (1...3).map { _ in try resubmit(txid, "again \(txid)", store) }
        pause(0...40)
        try applier.kill9()
        for one in operators { #expect(try one.end().code == 0) }
        applier = try store.startApplier("\(txid)")
        // Every other one is taken by an applier that is not killed at once.
        if txid % 2 == 0 {
          try wait("it is applied", atMost: 240) {
            try store.query("SELECT 1 FROM u WHERE txid = \(txid)") != []
          }
        }
      }
      try applier.kill9()
      try store.drain()
      try expectEachOnce(store)
    }
  }

  @Test("Killed at any point and run again with the same key")
  func killed() async throws {
    try await onThread {
      let store = try store()
      for txid in 2..<2 + Self.rejected {
        for _ in 0..<3 {
          let one = try resubmit(txid, "again \(txid)", store)
          pause(0...12)
          try one.kill9()
        }
        // Nobody else can by now, or nothing was done.
        let other = try resubmit(txid, "other \(txid)", store).end()
        let again = try resubmit(txid, "again \(txid)", store).end()
        #expect([other.code, again.code].sorted() == [0, 64], "\(other), \(again)")
      }
      try store.drain()
      try expectEachOnce(store)
    }
  }
}
