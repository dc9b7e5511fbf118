import CSQLite
import Foundation
import SluiceFakes
import SluiceSQLite
import SluiceShared
import Testing

/// What connections meet that write at the same time.
@Suite struct ConflictTests {
  @Test func aWriteFirstBeginsOnTheNewestState() throws {
    let store = try DoubleStore(turnTime: 60)
    let (a, b) = (try store.open(), try store.open())
    for i in 1...5 {
      try a.execute("UPDATE t SET n = n + 1")
      try b.execute("BEGIN; UPDATE t SET n = n + 1; COMMIT")
      #expect(try a.scalar("SELECT n FROM t") == .integer(Int64(2 * i)))
    }
    #expect(store.double.state.withLock { $0.refusals } == 0)
  }

  /// The connection pins a state, then somebody else commits, then it asks for the turn: SQLite begins again.
  @Test(arguments: [
    "INSERT INTO t VALUES (3, 3)", "INSERT INTO t VALUES (3, 3) RETURNING id", "BEGIN IMMEDIATE",
  ])
  func aStateThatIsNotTheNewestIsPinnedAnew(sql: String) throws {
    let store = try DoubleStore(turnTime: 60)
    let (a, b) = (try store.open(), try store.open())
    #expect(try a.scalar("SELECT count(*) FROM t") == 1)
    // The turn is b's when `a` asks, and b commits: `a` is granted a newer state than it pinned.
    try b.execute("BEGIN IMMEDIATE; INSERT INTO t VALUES (2, 2)")
    let commit = Thread { [b = Carried(b)] in
      usleep(50_000)
      try? b.value.execute("COMMIT")
    }
    commit.start()
    try a.execute(sql)
    #expect(try a.scalar("SELECT max(n) >= 2 FROM t") == 1)
    #expect(store.double.state.withLock { $0.refusals } == 0)
  }

  @Test func whoHasReadIsToRunAgain() throws {
    let store = try DoubleStore(turnTime: 60)
    let (a, b) = (try store.open(), try store.open())
    try a.execute("BEGIN")
    #expect(try a.scalar("SELECT n FROM t") == 0)
    try b.execute("UPDATE t SET n = 5")
    #expect(code { try a.execute("UPDATE t SET n = n + 1") } == busySnapshot)
    #expect(!a.isAutocommit)
    #expect(try a.scalar("SELECT n FROM t") == 0)
    try a.execute("ROLLBACK; BEGIN; UPDATE t SET n = n + 1; COMMIT")
    #expect(try b.scalar("SELECT n FROM t") == 6)
    #expect(store.double.state.withLock { $0.out == nil })
  }

  @Test func whoHasReadTheNewestWrites() throws {
    let store = try DoubleStore()
    let a = try store.open()
    try a.execute("BEGIN; SELECT n FROM t; UPDATE t SET n = n + 1; COMMIT")
    #expect(try a.scalar("SELECT n FROM t") == 1)
  }

  @Test func withoutATimeoutATransactionRunsWithoutTheTurn() throws {
    let store = try DoubleStore()
    let (a, b) = (try store.open(timeout: 0), try store.open())
    try a.execute("INSERT INTO t VALUES (2, 2)")
    #expect(store.double.state.withLock { $0.grants } == 0)
    try b.execute("BEGIN IMMEDIATE; INSERT INTO t VALUES (3, 3)")
    #expect(code { try a.execute("INSERT INTO t VALUES (4, 4)") } == busySnapshot)
    try b.execute("COMMIT")
    try a.execute("INSERT INTO t VALUES (4, 4)")
    #expect(try b.scalar("SELECT count(*) FROM t") == 4)
  }

  @Test func whoHasReadAndWrittenIsRefusedAtCommit() throws {
    let store = try DoubleStore()
    let (a, b) = (try store.open(), try store.open())
    try a.execute("BEGIN; SELECT * FROM t; UPDATE t SET n = n + 1")
    try b.execute("UPDATE t SET n = n + 10")
    #expect(code { try a.execute("COMMIT") } == busySnapshot)
    #expect(a.isAutocommit)
    #expect(try a.scalar("SELECT n FROM t") == 10)
  }

  @Test func aTurnOnThePinnedStateBeginsAtOnce() throws {
    let store = try DoubleStore(grantsCommit: false)
    let a = try store.open()
    try a.execute("BEGIN IMMEDIATE; UPDATE t SET n = n + 1; COMMIT; UPDATE t SET n = n + 1")
    #expect(store.double.state.withLock { $0.grants == 2 && $0.commits == 2 && $0.txid == TxID(3) })
  }

  /// Its busy handler says twice to go on, and no more when SQLite asks whether to begin again on the state that
  /// the turn comes with.
  private func impatient(_ store: DoubleStore) throws -> Connection {
    let connection = try store.open()
    sqlite3_busy_handler(connection.handle, { _, count in count < 2 ? 1 : 0 }, nil)
    return connection
  }

  @Test func aTurnThatNobodyWouldTakeIsGivenBack() throws {
    let store = try DoubleStore(turnTime: 60)
    let a = try store.open()
    sqlite3_busy_handler(a.handle, { _, count in count < 1 ? 1 : 0 }, nil)
    #expect(code { try a.execute("INSERT INTO t VALUES (2, 2)") } == SQLITE_BUSY)
    #expect(store.double.state.withLock { $0.grants == 1 && $0.cancels == 1 && $0.out == nil })
  }

  /// SQLite's own handler has slept for 328 ms when it is asked for the last time, and sleeps for what is left.
  @Test(arguments: [(300, false), (350, true)])
  func aTurnThatComesInTheLastStepIsGivenBack(after milliseconds: Int, isLast: Bool) throws {
    let clock = ManualClock()
    let store = try DoubleStore(turnTime: 60, clock: clock)
    let a = try store.open(timeout: 400)
    let end = clock.elapsed() + .milliseconds(milliseconds)
    store.double.giveTurnToTheDead()
    store.double.state.withLock { [double = store.double] state in
      state.onWait = {
        clock.advance(by: .milliseconds(1))
        if clock.elapsed() >= end { double.endTurn() }
      }
    }
    #expect(code { try a.execute("INSERT INTO t VALUES (2, 2)") } == (isLast ? SQLITE_BUSY : nil))
    #expect(store.double.state.withLock { $0.out == nil && $0.cancels == (isLast ? 1 : 0) })
  }

  @Test func aTurnIsKeptForTheNextTry() throws {
    let store = try DoubleStore(turnTime: 60)
    let a = try impatient(store)
    #expect(code { try a.execute("INSERT INTO t VALUES (2, 2)") } == SQLITE_BUSY)
    #expect(store.double.state.withLock { $0.out != nil })
    try a.execute("INSERT INTO t VALUES (2, 2)")
    #expect(store.double.state.withLock { $0.grants == 1 && $0.commits == 1 && $0.out == nil })
  }

  @Test func aKeptTurnIsGivenBackByWhoReadsOnly() throws {
    let store = try DoubleStore(turnTime: 60)
    let a = try impatient(store)
    #expect(code { try a.execute("INSERT INTO t VALUES (2, 2)") } == SQLITE_BUSY)
    #expect(try a.scalar("SELECT count(*) FROM t") == 1)
    #expect(store.double.state.withLock { $0.out == nil && $0.cancels == 1 })
  }

  @Test func aKeptTurnIsNotUsedLate() throws {
    let store = try DoubleStore(turnTime: 60)
    let a = try impatient(store)
    #expect(code { try a.execute("INSERT INTO t VALUES (2, 2)") } == SQLITE_BUSY)
    usleep(1_100_000)
    sqlite3_busy_timeout(a.handle, 1000)
    try a.execute("INSERT INTO t VALUES (2, 2)")
    #expect(store.double.state.withLock { $0.grants == 2 && $0.commits == 1 })
  }

  @Test func whoWorksGivesSignsOfLife() throws {
    let store = try DoubleStore(turnTime: 60)
    let a = try store.open()
    let began = SystemClock().elapsed()
    try a.execute("PRAGMA cache_size = 10; BEGIN IMMEDIATE")
    for _ in 0..<4 {
      usleep(300_000)
      try a.execute(
        "INSERT INTO t(n) WITH RECURSIVE c(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM c LIMIT 9000) SELECT x FROM c"
      )
    }
    let state = store.double.state.withLock { ($0.signs, $0.out != nil) }
    let took = SystemClock().elapsed() - began
    #expect((1...Int(took / Limits.signOfLife) + 1).contains(state.0) && state.1)
    try a.execute("COMMIT")
  }

  /// For transactions whose statements find all in SQLite's cache.
  @Test func aPragmaIsASignOfLife() throws {
    let clock = ManualClock()
    let store = try DoubleStore(clock: clock)
    let a = try store.open()
    try a.execute("BEGIN IMMEDIATE; INSERT INTO t VALUES (2, 2)")
    for signs in 0..<3 {
      #expect(store.double.state.withLock { $0.signs } == signs)
      clock.advance(by: Limits.signOfLife)
      try a.execute("UPDATE t SET n = n + 1; PRAGMA cache_size; PRAGMA cache_size")
    }
    try a.execute("COMMIT")
  }

  @Test func aTimeoutEnds() throws {
    let store = try DoubleStore(turnTime: 60)
    let a = try store.open(timeout: 600)
    store.double.giveTurnToTheDead()
    let began = Date()
    #expect(code { try a.execute("INSERT INTO t VALUES (2, 2)") } == SQLITE_BUSY)
    let waited = Date().timeIntervalSince(began)
    #expect(waited > 0.5 && waited < 30)
    #expect(store.double.state.withLock { $0.tickets.isEmpty })
  }

  @Test func aDeadHolderCostsItsTimeOnce() throws {
    let store = try DoubleStore()
    let a = try store.open(timeout: 60_000)
    let waits = Monitor(0)
    store.double.state.withLock { state in
      state.onWait = {
        waits.withLock { $0 += 1 }
        usleep(300)
      }
    }
    store.double.giveTurnToTheDead()
    try a.execute("INSERT INTO t VALUES (2, 2)")
    let first = waits.withLock { $0 }
    #expect(first > 0)
    try a.execute("INSERT INTO t VALUES (3, 3)")
    #expect(waits.withLock { $0 } == first)
    #expect(try a.scalar("SELECT count(*) FROM t") == 3)
  }

  @Test func aConnectionThatClosesGivesTheTurnBack() throws {
    let store = try DoubleStore(turnTime: 60)
    let a = try store.open()
    try a.execute("BEGIN IMMEDIATE; INSERT INTO t VALUES (2, 2)")
    try a.close()
    #expect(store.double.state.withLock { $0.out == nil && $0.commits == 0 })
  }

  /// SQLite's cursor goes on to see the state that its own commit made.
  @Test func aCursorStaysOpenAcrossCommits() throws {
    let store = try DoubleStore(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, n); INSERT INTO t VALUES (1, 0), (2, 0), (3, 0); CREATE TABLE u(x)"
    )
    let (a, b) = (try store.open(timeout: 0), try store.open())
    let cursor = try a.prepare("SELECT id FROM t")
    #expect(try cursor.step())
    try a.execute("INSERT INTO u VALUES (1)")
    #expect(try cursor.step())
    #expect(try a.scalar("SELECT count(*) FROM u") == 1)
    // What the applier wrote in the same commit is not in it: nothing can be based on that.
    #expect(code { try a.execute("INSERT INTO u VALUES (2)") } == busySnapshot)
    #expect(try b.scalar("SELECT count(*) FROM u") == 1)
    cursor.reset()
    try a.execute("INSERT INTO u VALUES (3)")
    #expect(try b.scalar("SELECT count(*) FROM u") == 2)
    // Somebody else's commit while a cursor is open.
    #expect(try cursor.step())
    try b.execute("INSERT INTO u VALUES (4)")
    #expect(code { try a.execute("INSERT INTO u VALUES (5)") } == busySnapshot)
    #expect(try cursor.step())
    cursor.reset()
    try a.execute("INSERT INTO u VALUES (5)")
    #expect(try b.scalar("SELECT count(*) FROM u") == 4)
  }

  @Test(.timeLimit(.minutes(10)))
  func readModifyWriteByFourAddsUp() throws {
    let store = try DoubleStore()
    let failures = try Self.increment(store, connections: 4, times: 50)
    #expect(failures.isEmpty, "\(failures)")
    #expect(try store.open().scalar("SELECT n FROM t") == 200)
    #expect(store.double.state.withLock { $0.refusals } == 0)
  }

  /// Turns that expire at once keep nobody away: the base is what keeps the sum right.
  @Test(.timeLimit(.minutes(10)))
  func withoutTurnsItAddsUpToo() throws {
    let store = try DoubleStore(turnTime: 0, grantsCommit: false)
    let failures = try Self.increment(store, connections: 4, times: 25, pause: 2000)
    #expect(failures.isEmpty, "\(failures)")
    #expect(try store.open().scalar("SELECT n FROM t") == 100)
    #expect(store.double.state.withLock { $0.refusals } > 0)
  }

  @Test(.timeLimit(.minutes(10)))
  func aStoreThatDoesNotCheckTheBaseLosesUpdates() throws {
    let store = try DoubleStore(turnTime: 0, checksBase: false, grantsCommit: false)
    _ = try Self.increment(store, connections: 4, times: 25, pause: 2000)
    #expect(try store.open().scalar("SELECT n FROM t") != 100)
  }

  /// Each reads the number and writes it back greater by one, in a transaction that is run until it succeeds.
  private static func increment(
    _ store: DoubleStore, connections: Int, times: Int, pause: UInt32 = 0
  ) throws
    -> [SQLiteError]
  {
    let failures = Monitor<[SQLiteError]>([])
    // Threads of their own: a pool that other tests keep busy would run one after the other.
    let running = DispatchGroup()
    for _ in 0..<connections {
      running.enter()
      Thread.detachNewThread {
        defer { running.leave() }
        do {
          let connection = try store.open(timeout: 20_000)
          for _ in 0..<times { try increment(connection, pause) }
        } catch {
          failures.withLock {
            $0.append(error as? SQLiteError ?? SQLiteError(code: -1, message: "\(error)"))
          }
        }
      }
    }
    running.wait()
    return failures.withLock { $0 }
  }

  private static func increment(_ connection: Connection, _ pause: UInt32) throws {
    while true {
      do {
        try connection.execute("BEGIN IMMEDIATE")
        guard case .integer(let n) = try connection.scalar("SELECT n FROM t") else { return }
        usleep(pause)
        try connection.execute("UPDATE t SET n = \(n + 1); COMMIT")
        return
      } catch {
        guard error.code == busySnapshot else { throw error }
        if !connection.isAutocommit { try connection.execute("ROLLBACK") }
      }
    }
  }
}

/// A connection that another thread uses, one at a time.
final class Carried: @unchecked Sendable {
  // Sendable: the test hands it over and waits.
  let value: Connection
  init(_ value: Connection) { self.value = value }
}
