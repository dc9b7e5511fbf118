public import SluiceShared

/// Statements that one worker wants done atomically: all of them, in order, or none.
public struct Batch: Hashable, Sendable {
  /// One SQL text and the rows of parameters it is run with, once a row. `[[]]` runs it once without
  /// parameters; `[]` does not run it.
  public struct Statement: Hashable, Sendable {
    public var sql: String
    public var rows: [[SQLValue]]

    public init(_ sql: String, rows: [[SQLValue]]) {
      self.sql = sql
      self.rows = rows
    }

    public init(_ sql: String, _ parameters: [SQLValue] = []) {
      self.init(sql, rows: [parameters])
    }
  }

  /// Applies once within the key horizon (24 hours), however often it is submitted. 1 to 512 bytes.
  public var key: String?
  /// Queries that must each return exactly one true value, else the batch is rejected.
  public var guards: [Statement]
  public var statements: [Statement]
  /// Whether the outcome holds the rows that the statements return (up to 1 MiB).
  public var wantsResults: Bool
  /// Whether a rejection is only told to who waits for the outcome: it is not listed among those that somebody has to
  /// deal with, nor counted.
  public var isUnlisted: Bool
  /// Executes with foreign keys off and checks them all at its end: for the dumps that
  /// `sqlite3 .dump` writes. A store without foreign keys checks nothing.
  public var checksForeignKeysAtEnd: Bool
  /// What is turned on or off between the statements, in their order, a setting once before each.
  public var switches: [SettingSwitch]
  public var foreignKeyCheck: ForeignKeyCheck
  /// What the batch is of an interactive transaction. It has no statements then, nor anything else but a
  /// key.
  package var step: TransactionStep?

  public init(
    _ statements: [Statement], key: String? = nil, guards: [Statement] = [],
    wantsResults: Bool = false, isUnlisted: Bool = false, checksForeignKeysAtEnd: Bool = false,
    switches: [SettingSwitch] = [], foreignKeyCheck: ForeignKeyCheck = .whereOff
  ) {
    self.statements = statements
    self.key = key
    self.guards = guards
    self.wantsResults = wantsResults
    self.isUnlisted = isUnlisted
    self.checksForeignKeysAtEnd = checksForeignKeysAtEnd
    self.switches = switches
    self.foreignKeyCheck = foreignKeyCheck
  }

  /// A step of an interactive transaction.
  package init(_ step: TransactionStep, key: String? = nil) {
    self.init([], key: key)
    self.step = step
  }
}
