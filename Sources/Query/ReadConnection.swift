internal import CSQLite
internal import SluiceJournal
internal import SluiceReader
internal import SluiceSQLite
internal import SluiceShared

/// One of a `Database`'s connections, with the statements that it ran lately.
final class ReadConnection: @unchecked Sendable {
  // Sendable: whoever takes it out of the pool is its only user until it goes back.
  private let connection: Connection
  private let file: SnapshotFile
  private let begin: Statement
  private let commit: Statement
  private var statements: [ExactText: Statement] = [:]
  /// Of the transaction at hand.
  private var timeLimit: TimeLimit?
  private static let mostStatements = 64
  /// After so many steps of SQLite's machine the time is looked at, and before pages are read.
  private static let stepsPerLook: Int32 = 1000

  init(_ store: PageStore, _ number: UInt64, _ extensions: [LoadableExtension]) throws {
    let uri = "\(ReadVFS.uri(store.layout.root))&\(PageStore.numberParameter)=\(number)"
    // SQLite reads the header as it opens the file, and could tell no more of an error than its code.
    _ = try store.current.firstPage()
    connection = try Connection(path: uri, flags: [.readOnly, .uri, .noMutex, .privateCache])
    // Views may call JSON functions, and SQLite 3.40 calls none of these harmless. To trust the schema gives
    // nothing away: this connection has SQLite's functions and those of the extensions, no application's.
    try connection.setConfig(SQLITE_DBCONFIG_TRUSTED_SCHEMA, true)
    // Nothing can be written here; it makes SQLite tell which tables are a virtual table's own.
    try connection.setConfig(SQLITE_DBCONFIG_DEFENSIVE, true)
    try connection.load(extensions)
    file = try Self.file(of: connection)
    begin = try connection.prepare("BEGIN", persistent: true)
    commit = try connection.prepare("COMMIT", persistent: true)
  }

  private static func file(of connection: Connection) throws(SQLiteError) -> SnapshotFile {
    var pointer: UnsafeMutableRawPointer?
    try connection.check(
      sqlite3_file_control(connection.handle, "main", SnapshotFile.identify, &pointer))
    guard let pointer else {
      throw SQLiteError(code: SQLITE_INTERNAL, message: "the VFS does not answer")
    }
    return Unmanaged<SnapshotFile>.fromOpaque(pointer).takeUnretainedValue()
  }

  /// Begins a read transaction on `snapshot`.
  func begin(_ snapshot: Snapshot, _ timeLimit: TimeLimit?) throws -> ReadTransaction {
    file.assigned = snapshot
    try begin.run()
    if let timeLimit {
      self.timeLimit = timeLimit
      connection.setProgressHandler(every: Self.stepsPerLook) { timeLimit.isOver }
      // `count(*)` is one step, which reads the whole table.
      file.checkBeforeRead = { () throws(StoreError) in try timeLimit.check() }
    }
    return ReadTransaction(self, snapshot)
  }

  /// Ends the transaction; false where this connection cannot be used again.
  func end(_ transaction: ReadTransaction) -> Bool {
    transaction.end()
    if timeLimit != nil {
      timeLimit = nil
      connection.setProgressHandler(every: 0, nil)
      file.checkBeforeRead = nil
    }
    defer { file.assigned = nil }
    // False where the body ended the transaction itself.
    guard !connection.isAutocommit else { return true }
    return (try? commit.run()) != nil
  }

  func withStatement<R>(
    _ sql: String, _ parameters: [SQLValue], _ body: (Statement) throws -> R
  ) throws -> R {
    do {
      let statement = try statements.removeValue(forKey: ExactText(sql)) ?? connection.prepare(sql)
      defer {
        statement.reset()
        statement.clearBindings()
        if statements.count >= Self.mostStatements { statements = [:] }
        statements[ExactText(sql)] = statement
      }
      guard statement.parameterCount == parameters.count else {
        throw StoreError(
          .invalid,
          "the statement has \(statement.parameterCount) parameters, \(parameters.count) are given")
      }
      try statement.bind(parameters)
      return try body(statement)
    } catch let error as SQLiteError {
      // SQLite tells a code; the file knows what happened.
      switch error.primary {
      case SQLITE_IOERR, SQLITE_BUSY, SQLITE_CANTOPEN, SQLITE_CORRUPT:
        throw file.takeLastError() ?? error
      case SQLITE_INTERRUPT:
        try timeLimit?.check()
        throw error
      default: throw error
      }
    }
  }
}
