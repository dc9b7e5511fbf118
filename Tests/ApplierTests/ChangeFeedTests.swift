import SluiceJournal
import SluiceReader
import SluiceShared
import Testing

@Suite("Who follows the history gets each batch once, and goes on where it failed")
struct ChangeFeedTests {
  private struct Failure: Error {}

  @Test("Within a commit as well", arguments: 1...6)
  func resumes(failing: UInt64) throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a)")
    let inserts = (2...6).map { Batch([Batch.Statement("INSERT INTO t VALUES(\($0))")]) }
    try store.apply(inserts)
    #expect(try store.query("SELECT commits FROM _sluice_state") == [[2]])
    let feed = try ChangeFeed(path: store.path, from: TxID(1), environment: store.environment)
    var taken: [UInt64] = []
    var failures = 0
    for _ in 0..<2 {
      do {
        try feed.advance { entry in
          guard entry.txid.rawValue != failing || failures == 2 else {
            failures += 1
            throw Failure()
          }
          taken.append(entry.txid.rawValue)
        }
        Issue.record("the consumer's error is lost")
      } catch is Failure {}
      #expect(feed.txid.rawValue == failing - 1)
    }
    try feed.advance { taken.append($0.txid.rawValue) }
    #expect(taken == [1, 2, 3, 4, 5, 6])
    #expect(feed.txid == TxID(6))
    // And from there on with what comes.
    try store.apply("INSERT INTO t VALUES(7)")
    try feed.advance { taken.append($0.txid.rawValue) }
    #expect(taken.last == 7 && taken.count == 7)
  }
}
