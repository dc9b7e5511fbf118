import CSQLite
import Foundation
import SluiceJournal
import SluiceSQLite
import SluiceShared
import SluiceTransactions
import Testing

/// What SQLITE_BUSY and SQLITE_BUSY_SNAPSHOT do not say is remembered, for `PRAGMA sluice_error`.
@Suite struct RefusalReasonTests {
  private let store: DoubleStore
  private let connection: Connection
  private let file: DoubleFile

  init() throws {
    let store = try DoubleStore(turnTime: 60)
    connection = try store.open()
    file = try #require(DoubleFileSystem.shared.opened.withLock { $0[store.path] })
    self.store = store
  }

  /// Waits for a turn that does not come.
  private func waitInVain() throws -> String {
    sqlite3_busy_timeout(connection.handle, 20)
    #expect(code { try connection.execute("UPDATE t SET n = 1") } == SQLITE_BUSY)
    sqlite3_busy_timeout(connection.handle, 5000)
    let refusal = try #require(file.refusal)
    #expect(file.finalRefusals.last?.message == refusal.message)
    #expect(refusal.path == "/double")
    return refusal.message
  }

  /// The next transaction that begins makes it past.
  private func succeed() throws {
    store.double.endTurn()
    try connection.execute("UPDATE t SET n = n + 1")
    #expect(file.refusal == nil)
  }

  @Test func whoHasTheTurnAndSinceWhen() throws {
    store.double.giveTurnToTheDead()
    let since = try #require(store.double.state.withLock { $0.out?.since })
    let text = try waitInVain()
    let time = timestamp(Int64(since.timeIntervalSince1970 * 1000))
    #expect(text.contains("writer 00000000-0000-0000-0000-00000000dead has it since \(time), for "))
    #expect(text.contains("as turn 1; it ends with its transaction, 2 s after its last sign"))
    try succeed()
  }

  @Test func thatNobodyLeads() throws {
    store.double.giveTurnToTheDead()
    store.double.state.withLock { $0.beacon = StoreDouble.beacon(.released) }
    #expect(try waitInVain().contains("nobody leads since 20"))
    try succeed()
  }

  @Test func thatTheApplierIsSilent() throws {
    store.double.giveTurnToTheDead()
    let silence = Duration.seconds(3600)
    store.double.state.withLock { $0.beacon = StoreDouble.beacon(.active, age: silence) }
    let text = try waitInVain()
    #expect(text.contains("nobody leads, as far as can be seen: the applier was heard last at 20"))
    #expect(text.contains(/3[67]\d\d s ago/))
    try succeed()
  }

  @Test func thatTheBeaconCannotBeRead() throws {
    store.double.giveTurnToTheDead()
    store.double.state.withLock { $0.beacon = nil }
    #expect(try waitInVain().contains("the applier's beacon cannot be read: no route to host"))
    try succeed()
  }

  @Test func whichCommitsCameInBetween() throws {
    try connection.execute("BEGIN")
    _ = try connection.scalar("SELECT n FROM t")
    let read = file.txid.rawValue
    for last in 1...2 {
      store.double.commitSomethingElse()
      #expect(code { try connection.execute("UPDATE t SET n = 1") } == busySnapshot)
      let text = try #require(file.refusal).message
      let between = last == 1 ? "batch \(read + 1) came" : "batches \(read + 1) to \(read + 2) came"
      #expect(text.contains("reads the state behind batch \(read), and \(between) in between"))
      #expect(text.contains("`sluice log --from \(read + 1)`"))
    }
    try connection.execute("ROLLBACK")
    try succeed()
  }

  @Test func whichCommitsCameInBetweenAtCommit() throws {
    try connection.execute("BEGIN IMMEDIATE; UPDATE t SET n = 1")
    let read = file.txid.rawValue
    store.double.plan(.late)
    #expect(code { try connection.execute("COMMIT") } == busySnapshot)
    let text = try #require(file.refusal).message
    #expect(text.contains("batch \(read), and batch \(read + 1) came in between when its turn was"))
    try succeed()
  }

  @Test func thatAnotherHadTheTurnAtCommit() throws {
    let store = try DoubleStore(turnTime: 60, grantsCommit: false)
    let connection = try store.open(timeout: 0)
    let file = try #require(DoubleFileSystem.shared.opened.withLock { $0[store.path] })
    try connection.execute("BEGIN; UPDATE t SET n = 1")
    store.double.giveTurnToTheDead()
    #expect(code { try connection.execute("COMMIT") } == busySnapshot)
    #expect(file.refusal?.message.contains("without the turn while another had it") == true)
  }

  @Test func thatACursorIsOpen() throws {
    let cursor = try connection.prepare("SELECT id FROM t UNION ALL VALUES (2), (3)")
    #expect(try cursor.step())
    sqlite3_busy_timeout(connection.handle, 0)
    try connection.execute("UPDATE t SET n = 1")
    #expect(code { try connection.execute("UPDATE t SET n = 2") } == busySnapshot)
    #expect(file.refusal?.message.hasPrefix("a SELECT of this connection is open") == true)
    cursor.reset()
    try succeed()
  }

  /// SQLite begins again by itself: nobody is told anything.
  @Test func whatSQLiteAnswersByItselfIsNoFailure() throws {
    try connection.execute("UPDATE t SET n = 1; UPDATE t SET n = 2")
    #expect(store.double.state.withLock { $0.grants } == 2)
    #expect(file.refusal == nil && file.finalRefusals.isEmpty && file.errors.isEmpty)
  }

  @Test func aTurnThatIsKeptForTheNextTry() throws {
    sqlite3_busy_handler(connection.handle, { _, count in count < 2 ? 1 : 0 }, nil)
    #expect(code { try connection.execute("INSERT INTO t VALUES (2, 2)") } == SQLITE_BUSY)
    #expect(file.refusal?.message.contains("is kept for a second") == true)
    try connection.execute("INSERT INTO t VALUES (2, 2)")
    #expect(file.refusal == nil)
  }

  @Test func aTurnThatCameTooLate() throws {
    sqlite3_busy_handler(connection.handle, { _, count in count < 1 ? 1 : 0 }, nil)
    #expect(code { try connection.execute("INSERT INTO t VALUES (2, 2)") } == SQLITE_BUSY)
    #expect(file.refusal?.message.contains("came as the busy timeout ended") == true)
  }
}
