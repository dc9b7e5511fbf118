import CSQLite
import SluiceFakes
import SluiceSQLite
import SluiceShared
import Testing

@testable import SluiceTransactions

@Suite("A turn lives while its transaction works, and is given back with it")
struct TurnLifeTests {
  private let clock = ManualClock()

  private func signs(_ store: DoubleStore) -> Int { store.double.state.withLock { $0.signs } }

  /// The file that a connection has open.
  private func file(of connection: Connection) throws -> TransactionFile {
    var pointer: UnsafeMutableRawPointer?
    let code = sqlite3_file_control(
      connection.handle, "main", TransactionFile.identify, &pointer)
    try #require(code == SQLITE_OK)
    return Unmanaged<TransactionFile>.fromOpaque(try #require(pointer)).takeUnretainedValue()
  }

  /// A transaction may go on for long with any one of them.
  @Test("Each read, each write and each PRAGMA is a sign of life, and one is enough for a while")
  func signsOfLife() throws {
    let store = try DoubleStore(turnTime: 60, clock: clock)
    let connection = try store.open()
    try connection.execute("BEGIN IMMEDIATE; INSERT INTO t VALUES (2, 2)")
    let file = try file(of: connection)
    var page = [UInt8](repeating: 0, count: StoreDouble.pageSize)
    let calls: [(name: String, make: () throws -> Void)] = [
      ("read", { try page.withUnsafeMutableBytes { try file.read(into: $0, at: 0) } }),
      ("write", { try page.withUnsafeBytes { try file.write($0, at: 0) } }),
      ("PRAGMA", { try connection.execute("PRAGMA cache_size") }),
    ]
    for call in calls {
      let before = signs(store)
      try call.make()
      #expect(signs(store) == before, "\(call.name)")
      clock.advance(by: Limits.signOfLife)
      try call.make()
      try call.make()
      #expect(signs(store) == before + 1, "\(call.name)")
    }
    try connection.execute("ROLLBACK")
  }

  /// The turn came on a newer state, and whoever asked does not begin again.
  @Test("A connection that closes gives back the turn that it kept")
  func keptTurn() throws {
    let store = try DoubleStore(turnTime: 60)
    let connection = try store.open()
    sqlite3_busy_handler(connection.handle, { _, count in count < 2 ? 1 : 0 }, nil)
    #expect(code { try connection.execute("INSERT INTO t VALUES (2, 2)") } == SQLITE_BUSY)
    #expect(store.double.state.withLock { $0.out != nil && $0.cancels == 0 })
    try connection.close()
    #expect(store.double.state.withLock { $0.out == nil && $0.cancels == 1 })
  }

  @Test("So does a file that is closed without being unlocked")
  func lockedFile() throws {
    let store = try DoubleStore(turnTime: 60)
    let connection = try store.open()
    try connection.execute("BEGIN IMMEDIATE; INSERT INTO t VALUES (2, 2)")
    #expect(store.double.state.withLock { $0.out != nil })
    try file(of: connection).close()
    #expect(store.double.state.withLock { $0.out == nil && $0.cancels == 1 })
  }

  /// In the store's journal pages would end it, and here there are none: others must not wait for its time.
  @Test("A COMMIT that is not in the journal gives it back")
  func notSubmitted() throws {
    let store = try DoubleStore(turnTime: 60)
    let connection = try store.open()
    store.double.plan(.notSubmitted)
    #expect(code { try connection.execute("UPDATE t SET n = 7") } == SQLITE_IOERR | 3 << 8)
    #expect(store.double.state.withLock { $0.out == nil && $0.cancels == 1 })
  }

  @Test("So does one whose pages cannot be made a batch of")
  func noBatch() throws {
    let store = try DoubleStore(turnTime: 60)
    let other = try DoubleStore()
    let connection = try store.open()
    try connection.execute("ATTACH '\(other.uri)' AS o")
    try connection.execute("BEGIN IMMEDIATE; UPDATE main.t SET n = 1; UPDATE o.t SET n = 1")
    #expect(code { try connection.execute("COMMIT") } != nil)
    if !connection.isAutocommit { try connection.execute("ROLLBACK") }
    #expect(store.double.state.withLock { $0.out == nil && $0.commits == 0 })
  }
}
