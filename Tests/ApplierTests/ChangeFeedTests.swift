import Glibc
import SluiceFakes
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

  @Test("A commit that is taken a batch at a time is read once")
  func readsOnce() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a)")
    // Much more than a feed reads ahead.
    let bytesEach = 400_000
    try store.apply(
      (1...30).map { _ in
        Batch([.init("INSERT INTO t VALUES(?)", [.blob([UInt8](randomBytes: bytesEach))])])
      })
    let files = CountingFileSystem(PosixFileSystem())
    var environment = store.environment
    environment.fileSystem = files
    func bytes(takingAtOnce most: Int) throws -> Int {
      files.reset()
      let feed = try ChangeFeed(path: store.path, from: TxID(2), environment: environment)
      var count = 0
      while feed.txid < TxID(31) {
        count += try FeedSequence<ChangeFeed.Entry>.some(of: most, size: { _ in 1 }) { add in
          try feed.advance { try add($0) }
        }.count
      }
      #expect(count == 30)
      return files.bytesRead.filter { $0.key.contains("/log/") }.values.reduce(0, +)
    }
    let atOnce = try bytes(takingAtOnce: 100)
    let oneByOne = try bytes(takingAtOnce: 1)
    #expect(atOnce > 30 * bytesEach)
    // Each time what is read ahead at least.
    #expect(oneByOne < atOnce + 30 * 300_000, "\(atOnce), \(oneByOne)")
  }
}

extension [UInt8] {
  fileprivate init(randomBytes count: Int) {
    self = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
      if let base = buffer.baseAddress { arc4random_buf(base, count) }
      filled = count
    }
  }
}
