internal import CSQLite
internal import SluiceJournal
internal import SluiceSQLite
internal import SluiceShared

/// The settings that a batch turns on and off between its statements, and with which the connection
/// begins again after it.
///
/// `PRAGMA foreign_keys` does nothing in a transaction, and a batch is always in one. Measured on
/// 3.40.1: `SQLITE_DBCONFIG_ENABLE_FKEY` does take effect there, and has every statement compiled anew
/// at its next step, one from a cache as well, so none keeps what it was compiled under.
final class ConnectionSettings {
  private let connection: Connection
  private let environment: Environment
  /// Of the store. Without, nothing is checked and nobody turns them on, as in SQLite unless told.
  let enforcesForeignKeys: Bool
  private var foreignKeysAreOn: Bool
  private var altersAsLegacy = false
  private var switches: ArraySlice<SettingSwitch> = []
  /// Foreign keys may be violated without SQLite's counter of deferred ones knowing: a statement ran
  /// with foreign keys off, or SQLite was made to forget.
  var mayBeViolated = false

  init(_ connection: Connection, _ environment: Environment) throws(SQLiteError) {
    self.connection = connection
    self.environment = environment
    enforcesForeignKeys = try connection.scalar("PRAGMA foreign_keys") == .integer(1)
    foreignKeysAreOn = enforcesForeignKeys
  }

  /// `batch` is about to be executed.
  func begin(_ batch: EncodedBatch) throws(BatchRun.Stop) {
    mayBeViolated = false
    switches = batch.switches[...]
    if batch.checksForeignKeysAtEnd { try turn(.foreignKeys, on: false) }
  }

  /// Turns what the batch turns before its statement at `index`.
  func turn(before index: Int) throws(BatchRun.Stop) {
    while let next = switches.first, next.statement <= index {
      switches.removeFirst()
      guard next.setting == .foreignKeys, !next.isOn, foreignKeysAreOn else {
        try turn(next.setting, on: next.isOn)
        continue
      }
      // A script turns them off between transactions only, and the COMMIT before would have failed.
      // So SQLite's counter, which nothing changes while they are off, is 0 then.
      guard !connection.deferredForeignKeyViolations else {
        throw .rejected(
          Outcome.Rejection(
            code: Outcome.Rejection.Code.foreignKey,
            message:
              "statement \(index + 1): foreign keys are turned off before it, and a deferred one is violated there"
          ))
      }
      try turn(.foreignKeys, on: false)
    }
  }

  /// The batch is over, however it ended: the next one begins with the store's settings.
  func end() throws(StoreError) {
    switches = []
    guard environment.makes(.settingsEnd) else { return }
    try set(.foreignKeys, on: enforcesForeignKeys)
    try set(.legacyAlterTable, on: false)
  }

  private func turn(_ setting: SettingSwitch.Setting, on: Bool) throws(BatchRun.Stop) {
    do throws(StoreError) { try set(setting, on: on) } catch { throw .fatal(error) }
  }

  private func set(_ setting: SettingSwitch.Setting, on: Bool) throws(StoreError) {
    do throws(SQLiteError) {
      switch setting {
      case .foreignKeys:
        guard enforcesForeignKeys, on != foreignKeysAreOn else { return }
        try connection.setConfig(SQLITE_DBCONFIG_ENABLE_FKEY, on)
        foreignKeysAreOn = on
        if !on { mayBeViolated = true }
      case .legacyAlterTable:
        guard on != altersAsLegacy else { return }
        try connection.setConfig(SQLITE_DBCONFIG_LEGACY_ALTER_TABLE, on)
        altersAsLegacy = on
      }
    } catch {
      throw StoreError(.io, "the applier's connection cannot be set up: \(error)")
    }
  }
}
