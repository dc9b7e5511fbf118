import SluiceApplier
import SluiceEdits
import SluiceFakes
import SluiceJournal
import SluiceQuery
import SluiceReader
import SluiceSQLite
import SluiceShared
import SluiceWriter
import Testing

/// As `FlippedByteTests`, of what an interactive transaction submits: pages in one batch, or in parts before it.
@Suite("A changed byte of an interactive transaction never makes a wrong answer")
struct FlippedTransactionTests {
  private static let everything = "SELECT id, v FROM t ORDER BY id"
  private static let insert = """
    INSERT INTO t WITH RECURSIVE c(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM c WHERE n < 60)
    SELECT n, randomblob(1000) FROM c
    """

  private func store() throws -> TestStore {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(id INTEGER PRIMARY KEY, v)", "INSERT INTO t VALUES(1, 'one')")
    return store
  }

  /// 60 KB of pages, and what is there with them.
  private func pages(_ store: TestStore, isInParts: Bool, _ sql: String = insert) throws
    -> (batch: PageBatch, rows: [[SQLValue]])
  {
    let snapshot = try PageStore(path: store.path, environment: store.environment).snapshot(.latest)
    let edited = try EditedSnapshot(snapshot)
    try edited.execute(sql)
    try edited.take()
    let batch = try edited.batch(partBytes: isInParts ? 16 << 10 : nil)
    #expect(isInParts == ((batch.parts?.list.count ?? 0) > 2))
    return (batch, try edited.connection.query(Self.everything))
  }

  private func offsets(
    _ size: Int64, dense: [Range<Int64>], step: Int64, _ random: inout SeededRandom
  )
    -> [Int64]
  {
    let sparse = stride(from: 0, to: size, by: Int64.Stride(step)).map {
      $0 + Int64(random.below(Int(min(step, size - $0))))
    }
    return dense.flatMap { Array($0).filter { $0 % 5 == 0 } } + sparse
  }

  // MARK: the journal

  @Test(
    "Of the journal: what was submitted is committed as it was, or not, and then that is told",
    arguments: [false, true])
  func journal(isInParts: Bool) throws {
    let whole = try store()
    let before = try whole.query(Self.everything)
    let (pages, after) = try pages(whole, isInParts: isInParts)
    let others = try whole.names(whole.layout.journal)
    let writer = try whole.writer()
    _ = try writer.submitBlocking(Batch(.commit(pages)))
    writer.closeBlocking()
    let names = try whole.names(whole.layout.journal).filter { !others.contains($0) }.sorted()
    let name = try #require(names.first)
    let content = try whole.environment.fileSystem.open("\(whole.layout.journal)/\(name)", .fixed)
      .read(1 << 20, at: 0)
    let end = try #require(content.lastIndex { $0 != 0 })
    #expect(end > 60_000)
    var random = SeededRandom(seed: 7)
    let first = Block.firstJournalFrame
    var counts = (whole: 0, told: 0)
    for offset in offsets(
      Int64(end), dense: [Block.header..<Block.header + 60, first..<first + 120], step: 2503,
      &random)
    {
      let copy = try whole.copied()
      try copy.flip("\(copy.layout.journal)/\(name)", offset)
      var options = copy.options
      options.drains = true
      options.retireAfter = .milliseconds(20)
      let applier = try Applier(path: copy.path, options: options, environment: copy.environment)
      try applier.run(shouldStop: { false })
      let rejected = try copy.query("SELECT sequence FROM _sluice_rejected").compactMap(\.first)
      let isTold =
        try !copy.names(copy.layout.quarantine).isEmpty || applier.leftBehind != nil
        || !rejected.isEmpty
      switch try copy.query(Self.everything) {
      case after:
        #expect(rejected.isEmpty, "byte \(offset)")
        counts.whole += 1
      case before:
        #expect(isTold, "byte \(offset)")
        counts.told += 1
      case let other: Issue.record("byte \(offset): \(other.count) rows")
      }
      #expect(try copy.query("PRAGMA integrity_check") == [["ok"]], "byte \(offset)")
    }
    #expect(counts.whole > 1 && counts.told > 20, "\(counts)")
  }

  // MARK: the log

  /// What is said of each state and batch, and what is not.
  private struct Answers {
    var rows: [String: [[SQLValue]]] = [:]
    var outcomes: [TxID: BatchOutcome] = [:]
    var errors: [StoreError] = []

    mutating func ask(_ what: String, _ body: () throws -> [[SQLValue]]) {
      do { rows[what] = try body() } catch let error as StoreError { errors.append(error) } catch {
        Issue.record("\(what): \(error)")
      }
    }
  }

  private static let last = 4 as UInt64

  private func ask(_ store: TestStore, _ place: String) -> Answers {
    var environment = store.environment
    // A beacon that may just be written is waited for.
    environment.clock = ManualClock(wall_ms: SystemClock().wallTime_ms())
    var answers = Answers()
    for i in 1...Self.last {
      answers.ask("batch \(i)") {
        let pages = try PageStore(path: store.path, environment: environment)
        let database = Database(pages, executor: environment.executor)
        return try database.read(i == Self.last ? .latest : .asOf(.txid(TxID(i)))) {
          try $0.query(Self.everything)
        }
      }
    }
    for what in ["replay", "restore"] {
      answers.ask(what) {
        defer { removeTree(place) }
        if what == "replay" {
          _ = try Replay.run(store: store.path, into: place, environment)
        } else {
          let pages = try PageStore(path: store.path, environment: environment)
          try Restoration.write(.latest, of: pages, to: place, environment)
        }
        return try Connection(path: place, flags: [.readOnly]).query(Self.everything)
      }
    }
    var outcomes: [TxID: BatchOutcome] = [:]
    answers.ask("feed") {
      let feed = try ChangeFeed(path: store.path, from: TxID(1), environment: environment)
      try feed.advance { outcomes[$0.txid] = $0.outcome }
      return []
    }
    answers.outcomes = outcomes
    return answers
  }

  @Test("Of the log: what is not right is an error that names the file")
  func log() throws {
    let store = try store()
    for (isInParts, sql) in [(false, Self.insert), (true, "UPDATE t SET v = randomblob(1001)")] {
      let pages = try pages(store, isInParts: isInParts, sql)
      #expect(try store.apply([Batch(.commit(pages.batch))])[0].isApplied)
      #expect(try store.query(Self.everything) == pages.rows)
    }
    try store.apply("DELETE FROM t WHERE id % 2")
    let place = "\(store.path)-made"
    let right = ask(store, place)
    #expect(right.errors.isEmpty && right.rows.count == 7 && right.outcomes.count == 4)
    #expect(right.rows["replay"] == right.rows["batch 4"])
    #expect(right.rows["restore"] == right.rows["batch 4"])
    let id = try StoreDescription.read(store.layout, store.environment.fileSystem).id
    var random = SeededRandom(seed: 8)
    var counts: [String: (right: Int, not: Int)] = [:]
    for number in try store.names(store.layout.log).compactMap(StoreLayout.logNumber).sorted() {
      let path = store.layout.segment(number)
      let segment = try LogSegment(path: path, store: id, environment: store.environment)
      let end = try #require(segment.control().beacon).position.end
      let frame = Block.firstLogFrame
      for offset in offsets(end, dense: [frame..<frame + 60], step: 3001, &random) {
        try store.flip(path, offset)
        let found = ask(store, place)
        for (what, rows) in right.rows {
          if let answer = found.rows[what] {
            #expect(answer == rows, "byte \(offset) of \(path): \(what)")
            counts[what, default: (0, 0)].right += 1
          } else {
            counts[what, default: (0, 0)].not += 1
          }
        }
        for (txid, outcome) in found.outcomes {
          #expect(outcome == right.outcomes[txid], "byte \(offset) of \(path): batch \(txid)")
        }
        for error in found.errors {
          #expect(
            [.damaged, .foreign].contains(error.code) && error.path == path,
            "byte \(offset) of \(path): \(error)")
        }
        try store.flip(path, offset)
      }
    }
    for (what, count) in counts {
      #expect(count.right > 5 && count.not > 0, "\(what): \(count)")
    }
  }
}
