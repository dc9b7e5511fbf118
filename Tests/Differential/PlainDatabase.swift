import CSQLite
import Glibc
import SluiceJournal
import SluiceSQLite
import SluiceShared

/// What batches do to an SQLite database without a queue: each is one transaction, and one that fails
/// is rolled back as a whole. Written without a look at how the applier does it.
final class PlainDatabase {
  private let path: String
  private let foreignKeys: Bool
  private(set) var connection: Connection
  private let beginning: Beginning
  private let randomRowIDs = RandomRowIDs()
  /// What became of the batches that had a key, by key.
  private var keys: [String: (bytes: [UInt8], txid: TxID, outcome: Outcome)] = [:]

  /// Where the connection's counters stood when the batch began.
  private final class Beginning {
    var totalChanges: Int64 = 0
  }

  init(path: String, pageSize: Int, foreignKeys: Bool) throws {
    self.path = path
    self.foreignKeys = foreignKeys
    beginning = Beginning()
    let first = try Connection(path: path, flags: [.readWrite, .create])
    try first.execute("PRAGMA page_size = \(pageSize); VACUUM")
    connection = first
    try open()
  }

  /// A new connection, as each term of the applier makes one.
  func open() throws {
    connection = try Connection(path: path, flags: [.readWrite, .create])
    try connection.setConfig(SQLITE_DBCONFIG_DEFENSIVE, true)
    try connection.setConfig(SQLITE_DBCONFIG_TRUSTED_SCHEMA, true)
    try connection.setConfig(SQLITE_DBCONFIG_ENABLE_QPSG, true)
    try connection.execute(
      """
      PRAGMA journal_mode = MEMORY;
      PRAGMA synchronous = OFF;
      PRAGMA temp_store = MEMORY;
      PRAGMA foreign_keys = \(foreignKeys ? "ON" : "OFF");
      CREATE TEMP TABLE nothing_at_all(a);
      """)
    randomRowIDs.watch(connection)
    // It counts from where the connection was opened, and a batch has none of its own.
    let beginning = beginning
    unowned let connection = connection
    try connection.createFunction("total_changes", argumentCount: 0, flags: .innocuous) {
      $0.setResult(integer: connection.totalChanges - beginning.totalChanges)
    }
  }

  /// Executes the batch that has this place in the order. Throws `RandomRowIDs.Taken` where what it
  /// did is not what it would do again.
  func execute(_ batch: Batch, _ txid: TxID) throws -> Outcome {
    let bytes = try batch.encoded()
    if let key = batch.key, let earlier = keys[key] {
      guard earlier.bytes == bytes else {
        return .rejected(.init(code: Outcome.Rejection.Code.keyReused, message: ""))
      }
      return .duplicate(of: earlier.txid, original: earlier.outcome)
    }
    try randomRowIDs.begin(connection)
    let isCompaction =
      batch.statements.last?.sql == "VACUUM"
      && batch.statements.dropLast().allSatisfy { $0.sql.hasPrefix("PRAGMA page_size") }
    let outcome = isCompaction ? try compact(batch) : try transaction(batch)
    if let taken = randomRowIDs.taken { throw taken }
    // As the applier does, so that both plan by what ANALYZE found out.
    if isCompaction || batch.statements.contains(where: { $0.sql == "ANALYZE" }) { try open() }
    if let key = batch.key { keys[key] = (bytes, txid, outcome) }
    return outcome
  }

  /// Notes what became of a batch that is not executed here.
  func remember(_ batch: Batch, _ txid: TxID, _ outcome: Outcome) throws {
    guard let key = batch.key, keys[key] == nil else { return }
    keys[key] = (try batch.encoded(), txid, outcome)
  }

  /// SQLite does it outside of transactions only.
  private func compact(_ batch: Batch) throws -> Outcome {
    do throws(SQLiteError) {
      for statement in batch.statements { try connection.execute(statement.sql) }
    } catch {
      return .rejected(.init(code: error.name, message: error.message))
    }
    return .applied(.init(changes: 0, lastRowID: 0, rows: nil))
  }

  /// Why nothing of a batch is done.
  private struct Refusal: Error {
    var code: String
    var message = ""
  }

  private func transaction(_ batch: Batch) throws -> Outcome {
    let checksAtEnd = batch.checksForeignKeysAtEnd
    if checksAtEnd { try connection.execute("PRAGMA foreign_keys = OFF") }
    defer {
      if checksAtEnd, foreignKeys { try? connection.execute("PRAGMA foreign_keys = ON") }
      for change in batch.switches {
        try? set(change.setting, on: change.setting == .foreignKeys && foreignKeys)
      }
    }
    try connection.execute("BEGIN IMMEDIATE; DELETE FROM temp.nothing_at_all")
    connection.lastInsertRowID = 0
    beginning.totalChanges = connection.totalChanges
    let before =
      foreignKeys && (checksAtEnd || batch.turnsForeignKeysOff)
      ? try ForeignKeyViolations(connection) : nil
    do {
      for (i, check) in batch.guards.enumerated() { try run(guard: check, "guard \(i + 1)") }
      var rows: [[SQLValue]] = []
      for (i, statement) in batch.statements.enumerated() {
        for change in batch.switches where change.statement == i { try turn(change) }
        try run(statement, "statement \(i + 1)", keep: batch.wantsResults, &rows)
      }
      if let before {
        // COMMIT would fail, whatever the look at all of them finds.
        if connection.deferredForeignKeyViolations {
          throw Refusal(code: Outcome.Rejection.Code.foreignKey)
        }
        guard try ForeignKeyViolations(connection).isWithin(before) else {
          throw Refusal(code: Outcome.Rejection.Code.foreignKey)
        }
      }
      let applied = Outcome.Applied(
        changes: connection.totalChanges - beginning.totalChanges,
        lastRowID: connection.lastInsertRowID, rows: batch.wantsResults ? rows : nil)
      do throws(SQLiteError) { try connection.execute("COMMIT") } catch {
        // Or a virtual table cannot write what it kept in memory.
        guard error.primary == SQLITE_CONSTRAINT else {
          throw Refusal(code: error.name, message: error.message)
        }
        throw Refusal(code: Outcome.Rejection.Code.foreignKey)
      }
      return .applied(applied)
    } catch let refusal as Refusal {
      if !connection.isAutocommit { try connection.execute("ROLLBACK") }
      return .rejected(.init(code: refusal.code, message: refusal.message))
    }
  }

  private func turn(_ change: SettingSwitch) throws {
    if change.setting == .foreignKeys, !change.isOn, connection.deferredForeignKeyViolations {
      throw Refusal(code: Outcome.Rejection.Code.foreignKey)
    }
    try set(change.setting, on: change.isOn)
  }

  private func set(_ setting: SettingSwitch.Setting, on: Bool) throws {
    switch setting {
    case .foreignKeys:
      if foreignKeys { try connection.setConfig(SQLITE_DBCONFIG_ENABLE_FKEY, on) }
    case .legacyAlterTable: try connection.setConfig(SQLITE_DBCONFIG_LEGACY_ALTER_TABLE, on)
    }
  }

  private func run(guard check: Batch.Statement, _ name: String) throws {
    guard let statement = try prepare(check, name) else {
      throw Refusal(code: Outcome.Rejection.Code.guardFailed)
    }
    guard statement.isReadOnly else { throw Refusal(code: Outcome.Rejection.Code.denied) }
    try bind(check.rows[0], statement, name)
    var rows: [(count: Int32, isTrue: Bool)] = []
    while rows.count < 2, try step(statement, name) {
      rows.append((statement.columnCount, isTrue(statement.columnValue(0))))
    }
    guard rows.count == 1, rows[0].count == 1, rows[0].isTrue else {
      // An error in a second row comes too late to matter for a first one that is not true.
      throw Refusal(code: Outcome.Rejection.Code.guardFailed)
    }
  }

  /// As WHERE takes a value.
  private func isTrue(_ value: SQLValue) -> Bool {
    let answer = try? connection.scalar("SELECT CASE WHEN ? THEN 1 ELSE 0 END", [value])
    return answer == .integer(1)
  }

  private func run(
    _ encoded: Batch.Statement, _ name: String, keep: Bool, _ rows: inout [[SQLValue]]
  ) throws {
    guard let statement = try prepare(encoded, name) else { return }
    for values in encoded.rows {
      try bind(values, statement, name)
      while try step(statement, name) { if keep { rows.append(statement.row) } }
      statement.reset()
    }
  }

  private func prepare(_ encoded: Batch.Statement, _ name: String) throws -> Statement? {
    let sql = Array(encoded.sql.utf8)
    let compiled: Statement
    do {
      let found = try sql.withUnsafeBytes { text -> Statement? in
        guard let (first, length) = try connection.prepare(text) else { return nil }
        if try connection.prepare(UnsafeRawBufferPointer(rebasing: text[length...])) != nil {
          throw SQLiteError(
            code: SQLITE_ERROR, message: "more than one statement in a text; pass each by itself")
        }
        return first
      }
      guard let found else { return nil }
      compiled = found
    } catch let error as SQLiteError {
      throw refusal(error, name)
    }
    if let row = encoded.rows.first, compiled.parameterCount != row.count {
      throw Refusal(code: Outcome.Rejection.Code.wrongParameters)
    }
    return compiled
  }

  private func bind(_ values: [SQLValue], _ statement: Statement, _ name: String) throws {
    do throws(SQLiteError) { try statement.bind(values) } catch { throw refusal(error, name) }
  }

  private func step(_ statement: Statement, _ name: String) throws -> Bool {
    do throws(SQLiteError) { return try statement.step() } catch { throw refusal(error, name) }
  }

  private func refusal(_ error: SQLiteError, _ name: String) -> Refusal {
    let place = error.offset.map { " (at byte \($0) of the statement)" } ?? ""
    return Refusal(code: error.name, message: "\(name): \(error.message)\(place)")
  }
}

extension Batch {
  fileprivate var turnsForeignKeysOff: Bool {
    switches.contains { $0.setting == .foreignKeys && !$0.isOn }
  }
}
