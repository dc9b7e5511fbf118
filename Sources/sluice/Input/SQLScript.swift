import SluiceJournal
import SluiceSQLite
import SluiceShared

/// Batches from an SQL script, such as `sqlite3 .dump` writes: the whole script is one batch, or
/// every N statements are a piece of it.
///
/// BEGIN and COMMIT are left out, because a batch is a transaction; they must match, so that a dump
/// that was cut off is not taken for a whole one. Each statement has the foreign keys that the script
/// turned on or off before it; those of the whole database are judged at the script's end, where
/// something ran without. What else is left out or refused: `ScriptDirective`.
struct SQLScriptReader: BatchSource, ~Copyable {
  private var statements: ScriptStatements
  private let key: String?
  private let statementsPerBatch: Int?
  private let batchBytesLimit: Int
  /// The command line that reads the script, for messages that say how to go on.
  private let command: String

  /// The next statement, where it was read already.
  private var pending: ReadStatement?
  private var batchCount = 0
  /// A statement of an earlier batch ran without foreign keys.
  private var foreignKeysWereOff = false

  /// A piece ends before it has more bytes than this, so that many small ones are in one commit.
  private static let pieceBytes = Limits.batchBytesPerCommit
  /// Statements a piece that is advised: some thousand commits for a dump of a million rows are slow,
  /// and a piece that is rejected should not be all.
  private static let advisedSplit = 10_000

  /// With `statementsPerBatch` the batches have the keys KEY/1, KEY/2 …; an error then comes after
  /// the batches before it were returned.
  init(
    _ file: consuming InputFile, key: String? = nil, statementsPerBatch: Int? = nil,
    batchBytesLimit: Int = Limits.batchBytes, command: String = "sluice submit STORE --sql FILE"
  ) throws(StoreError) {
    if let statementsPerBatch, !(1...Limits.statementsPerBatch).contains(statementsPerBatch) {
      throw StoreError(
        .invalid,
        "a batch has 1 to \(Limits.statementsPerBatch) statements; --split \(statementsPerBatch) "
          + "cannot be done")
    }
    statements = ScriptStatements(file, statementBytesLimit: batchBytesLimit)
    self.key = key
    self.statementsPerBatch = statementsPerBatch
    self.batchBytesLimit = batchBytesLimit
    self.command = command
  }

  /// The next batch; nil at the end. Throws `.invalid`, or `.limit` where the script is too large for
  /// one batch, naming the input and the line.
  mutating func next() throws(StoreError) -> InputBatch? {
    var batch = ScriptBatch()
    while let entry = try nextEntry() {
      guard try hasRoom(for: entry, in: batch) else {
        pending = entry
        break
      }
      batch.append(entry)
    }
    guard !batch.isEmpty else { return nil }
    batchCount += 1
    let isLast = try isAtEnd()
    let wereOff = foreignKeysWereOff
    foreignKeysWereOff = foreignKeysWereOff || batch.hasForeignKeysOff
    let check: ForeignKeyCheck =
      if isLast { wereOff ? .all : .whereOff } else {
        batch.hasForeignKeysOff ? .byLaterBatch : .whereOff
      }
    return InputBatch(
      batch: batch.batch(
        key: key.map { statementsPerBatch == nil ? $0 : "\($0)/\(batchCount)" }, check),
      input: statements.name, line: batch.lines[0], statementLines: batch.lines,
      notes: isLast ? statements.notes : [])
  }

  private mutating func nextEntry() throws(StoreError) -> ReadStatement? {
    if let entry = pending {
      pending = nil
      return entry
    }
    guard let entry = try statements.next() else { return nil }
    return ReadStatement(try entry.statement(input: statements.name), entry)
  }

  private mutating func isAtEnd() throws(StoreError) -> Bool {
    pending = try nextEntry()
    return pending == nil
  }

  /// False where a piece is full. Throws `.limit` where there are no pieces.
  private func hasRoom(for entry: ReadStatement, in batch: ScriptBatch) throws(StoreError) -> Bool {
    let bytes = batch.bytes + entry.bytes
    if let statementsPerBatch {
      return batch.isEmpty
        || (batch.count < statementsPerBatch && bytes <= min(Self.pieceBytes, batchBytesLimit))
    }
    let excess: String
    if batch.count >= Limits.statementsPerBatch {
      excess = "\(Limits.statementsPerBatch) statements"
    } else if bytes > batchBytesLimit {
      excess = "\(batchBytesLimit) bytes"
    } else {
      return true
    }
    throw StoreError(
      .limit,
      "\(statements.name), line \(entry.line): a batch has at most \(excess), and the script has "
        + "more; submit it in pieces: `\(command) --split \(Self.advisedSplit)\(key == nil ? " --id KEY" : "")`, "
        + "or make the store from a database with `sluice init --from`")
  }
}

/// A statement as it goes into a batch.
private struct ReadStatement {
  let statement: Batch.Statement
  let line: Int
  let foreignKeysAreOff: Bool
  let altersAsLegacy: Bool
  let isDeferred: Bool
  /// About what it takes there: values as they are and not as they were written.
  let bytes: Int

  /// `entry` is what `statement` was made of; its text may be large, and is not kept.
  init(_ statement: Batch.Statement, _ entry: ScriptStatements.Entry) {
    self.statement = statement
    line = entry.line
    foreignKeysAreOff = entry.foreignKeysAreOff
    altersAsLegacy = entry.altersAsLegacy
    isDeferred = entry.isDeferred
    let values = statement.rows.joined().reduce(0) { sum, value in
      switch value {
      case .blob(let bytes): sum + bytes.count
      case .text(let text): sum + text.utf8.count
      case .null, .integer, .real: sum
      }
    }
    bytes = statement.sql.utf8.count + values
  }
}

/// Statements of a script on their way into a batch.
private struct ScriptBatch {
  private(set) var bytes = 0
  /// On which each statement begins.
  private(set) var lines: [Int] = []
  private(set) var hasForeignKeysOff = false
  private var statements: [Batch.Statement] = []
  private var switches: [SettingSwitch] = []
  private var foreignKeysAreOff = false
  private var altersAsLegacy = false

  var isEmpty: Bool { statements.isEmpty }
  var count: Int { statements.count }

  mutating func append(_ entry: ReadStatement) {
    if isEmpty, entry.isDeferred {
      // An earlier piece turned it on, and its own end turned it off.
      statements.append(Batch.Statement("PRAGMA defer_foreign_keys=ON"))
      lines.append(entry.line)
    }
    if entry.foreignKeysAreOff != foreignKeysAreOff {
      foreignKeysAreOff.toggle()
      turn(.foreignKeys, on: !foreignKeysAreOff)
    }
    if entry.altersAsLegacy != altersAsLegacy {
      altersAsLegacy.toggle()
      turn(.legacyAlterTable, on: altersAsLegacy)
    }
    hasForeignKeysOff = hasForeignKeysOff || foreignKeysAreOff
    statements.append(entry.statement)
    lines.append(entry.line)
    bytes += entry.bytes
  }

  private mutating func turn(_ setting: SettingSwitch.Setting, on: Bool) {
    switches.append(SettingSwitch(setting, on: on, beforeStatement: statements.count))
  }

  /// A script that is without foreign keys from its first statement to its last, as a dump is, says so
  /// in the way that appliers know longest.
  func batch(key: String?, _ check: ForeignKeyCheck) -> Batch {
    let isDump =
      check == .whereOff
      && switches == [SettingSwitch(.foreignKeys, on: false, beforeStatement: 0)]
    return Batch(
      statements, key: key, checksForeignKeysAtEnd: isDump, switches: isDump ? [] : switches,
      foreignKeyCheck: check)
  }
}
