/// A setting of the applier's connection that a batch turns on or off between its statements, as the
/// script did of which the batch was made. After the batch it is what it was before.
public struct SettingSwitch: Hashable, Sendable {
  public enum Setting: UInt8, Sendable {
    /// `PRAGMA foreign_keys`; without effect in a store without foreign keys.
    case foreignKeys = 0
    /// `PRAGMA legacy_alter_table`.
    case legacyAlterTable = 1
  }

  public var setting: Setting
  public var isOn: Bool
  /// So many of the batch's statements come before it.
  public var statement: Int

  public init(_ setting: Setting, on: Bool, beforeStatement statement: Int) {
    self.setting = setting
    isOn = on
    self.statement = statement
  }
}

/// How the foreign keys of a batch are judged at its end. Whatever it says, a violation that SQLite
/// itself deferred (`DEFERRABLE`, `PRAGMA defer_foreign_keys`) rejects the batch.
public enum ForeignKeyCheck: UInt64, Sendable {
  /// All of the database's, where a statement ran with foreign keys off.
  case whereOff = 0
  /// All of the database's: the last piece of an import.
  case all = 1
  /// A later batch judges them: a piece of an import that is not the last.
  case byLaterBatch = 2
}
