import SluiceApplier
import SluiceJournal
import SluiceShared
import SluiceWriter
import Testing

@Suite("The list of rejected batches is bounded")
struct RejectionsKeptTests {
  @Test func theOldestGoes() throws {
    let store = try TestStore()
    let more: UInt64 = 30
    let count = Limits.rejectionsKept + more
    let writer = try store.writer()
    let batch = Batch([Batch.Statement("SELECT a FROM nowhere")])
    for result in writer.submitBlocking(Array(repeating: batch, count: Int(count))) {
      _ = try result.get()
    }
    try store.drain()
    writer.closeBlocking()
    #expect(
      try store.query("SELECT count(*), min(txid), max(txid) FROM _sluice_rejected")
        == [
          [
            .integer(Int64(Limits.rejectionsKept)), .integer(Int64(more) + 1),
            .integer(Int64(count)),
          ]
        ])
    // How many there were is known all the same.
    #expect(try store.query("SELECT rejected FROM _sluice_state") == [[.integer(Int64(count))]])
  }
}
