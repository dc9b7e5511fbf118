import SluiceApplier
import SluiceFakes
import SluiceJournal
import SluiceReader
import SluiceShared
import SluiceWriter
import Testing

@Suite("The log alone is the whole history, logical and physical")
struct HistoryTests {
  private struct Entry {
    var commit: Commit
    var outcomes: [BatchOutcome]
    var batches: [Batch]
    var consumed: [ConsumedThrough]
  }

  private func history(_ store: TestStore) throws -> [Entry] {
    let log = Log(of: try PageStore(path: store.path, environment: store.environment).handle)
    var follower = LogFollower(after: .empty)
    var entries: [Entry] = []
    try follower.advance(log, to: log.present()) {
      (commit: Commit, cursor: inout LogCursor) throws(StoreError) in
      let outcomes = try cursor.outcomes(of: commit.header)
      let bytes = try cursor.section(.batches, of: commit.header)
      let consumedBytes = try cursor.section(.consumed, of: commit.header)
      do {
        let ranges = try BatchList.ranges(bytes, count: outcomes.count)
        let batches = try ranges.map { range in
          try bytes.withUnsafeBytes {
            try Batch(decoding: UnsafeRawBufferPointer(rebasing: $0[range]))
          }
        }
        entries.append(
          Entry(
            commit: commit, outcomes: outcomes, batches: batches,
            consumed: try ConsumedThrough.decode(consumedBytes)))
      } catch {
        throw StoreError(.damaged, "\(error)")
      }
    }
    return entries
  }

  @Test func everySectionOfACommitSaysTheTruth() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
    let batches = [
      Batch(
        [Batch.Statement("INSERT INTO t VALUES(?,?)", rows: [[1, "x"], [2, 0.5]])], key: "one"),
      Batch([Batch.Statement("INSERT INTO nowhere VALUES(1)")]),
      Batch([Batch.Statement("DELETE FROM t WHERE a = 1")], guards: [Batch.Statement("SELECT 1")]),
    ]
    let outcomes = try store.apply(batches)
    let entries = try history(store)
    let logged = entries.dropFirst().flatMap { zip($0.batches, $0.outcomes) }
    #expect(logged.map(\.0) == batches)
    #expect(logged.map(\.1.outcome) == outcomes)
    #expect(logged.map(\.1.key) == ["one", nil, nil])
    #expect(logged.map(\.1.batch.sequence.rawValue) == [1, 2, 3])
    var next = TxID(1)
    for (i, entry) in entries.enumerated() {
      #expect(entry.commit.first == next)
      #expect(entry.commit.meta.commit == UInt64(i) + 1)
      #expect(!entry.consumed.isEmpty)
      next = entry.commit.last.next
    }
    #expect(entries.last?.commit.meta.rejected == 1)

    // The checksum in the commit is that of the whole database, read page by page.
    let snapshot = try PageStore(path: store.path, environment: store.environment).snapshot()
    var checksum = DatabaseChecksum()
    var page = [UInt8](repeating: 0, count: snapshot.pageSize)
    for number in 1...snapshot.pageCount {
      var failure: StoreError?
      page.withUnsafeMutableBytes { raw in
        do throws(StoreError) { try snapshot.read(page: number, into: raw) } catch {
          failure = error
        }
      }
      if let failure { throw failure }
      checksum.toggle(page: number, crc: crc32c(page))
    }
    #expect(checksum == snapshot.checksum)
    #expect(checksum == entries.last?.commit.meta.checksum)
  }

  @Test func nowAndRandomComeFromTheCommit() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(now, default_now DEFAULT CURRENT_TIMESTAMP, r, b)")
    try store.apply(
      "INSERT INTO t(now, r, b) VALUES(CAST((julianday('now') - 2440587.5) * 86400000 + 0.5 AS INTEGER), random(), randomblob(4))",
      "INSERT INTO t(now, r, b) VALUES(CAST((julianday('now') - 2440587.5) * 86400000 + 0.5 AS INTEGER), random(), randomblob(4))"
    )
    let meta = try #require(try history(store).last).commit.meta
    let rows = try store.query("SELECT now, r, b, strftime('%s', default_now) FROM t")
    for row in rows {
      guard case .integer(let now) = row[0] else { return }
      #expect(abs(now - meta.time_ms) <= 1)
      #expect(row[3] == .text("\(meta.time_ms / 1000)"))
    }
    #expect(rows[0][1] != rows[1][1])
    // What docs/FORMAT.md says of random(): splitmix64 from the commit's entropy and the TxID.
    var state =
      meta.entropy.high ^ (meta.entropy.low &* 0x9E37_79B9_7F4A_7C15) ^ 2
    func next() -> UInt64 {
      state &+= 0x9E37_79B9_7F4A_7C15
      var z = state
      z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
      z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
      return z ^ (z >> 31)
    }
    _ = next()
    #expect(rows[0][1] == .integer(Int64(bitPattern: next())))
  }

  @Test func autoVacuumShrinksTheDatabase() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
    try store.apply([
      Batch([
        Batch.Statement(
          "INSERT INTO t(b) WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM c WHERE n < 500) SELECT randomblob(900) FROM c"
        )
      ])
    ])
    try store.apply("DELETE FROM t WHERE a % 3")
    try store.apply("DELETE FROM t")
    try store.apply("INSERT INTO t(b) VALUES('again')")
    let pages = try PageStore(path: store.path, environment: store.environment)
    try Checkpoint(of: pages.handle).make(of: pages.published())
    #expect(try store.query("PRAGMA integrity_check") == [["ok"]])
  }
}

@Suite("An operation costs the I/O that it is said to cost")
struct CostTests {
  @Test func aCommitIsOneWriteOneReadOneWrite() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY)", "INSERT INTO t VALUES(1)")
    try store.drain()
    let writer = try store.writer()
    _ = try writer.submitBlocking(Batch([Batch.Statement("INSERT INTO t VALUES(2)")]))
    let counting = CountedFileSystem(store.environment.fileSystem)
    var environment = store.environment
    environment.fileSystem = counting
    var receipt: Receipt?
    var phase = 0
    var waits = 0
    var before = CountedFileSystem.Counts()
    var commit = CountedFileSystem.Counts()
    var idle: [CountedFileSystem.Counts] = []
    try Applier(path: store.path, options: store.options, environment: environment)
      .run(shouldStop: {
        let now = counting.counts
        // The beacon is written beside.
        if phase != 44 || (now - before).logWrites >= 2 || waits == 10_000 { phase += 1 }
        if phase == 44 { waits += 1 }
        // Some passes to begin the term and settle; then one batch; then idle passes.
        if phase == 30 {
          receipt = try? writer.submitBlocking(
            Batch([Batch.Statement("INSERT INTO t VALUES(3)")]))
          before = now
        } else if phase == 45 {
          commit = now - before
        } else if phase > 45, phase < 65 {
          idle.append(now - before)
        }
        before = phase >= 45 ? now : before
        return phase > 65
      })
    #expect(receipt != nil)
    #expect(commit.logWrites == 2, "frame and beacon: \(commit)")
    #expect(commit.logSyncs == 2)
    #expect(commit.logReads == 1, "the mark: \(commit)")
    for pass in idle {
      #expect(pass.listings == 1 && pass.journalReads <= 1 && pass.others == 0, "\(pass)")
    }
    #expect(idle.contains { $0.journalReads == 1 })
  }
}
