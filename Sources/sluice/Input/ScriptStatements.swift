import SluiceJournal
import SluiceSQLite
import SluiceShared

/// The statements of a script that are to be executed, each with what the script turned on or off
/// before it; what stands between them is obeyed or left out.
struct ScriptStatements: ~Copyable {
  /// A statement, and what is in force where it stands.
  struct Entry {
    var text: String
    /// Of its texts and blobs what was too long for it.
    var folded: [FoldedLiteral] = []
    /// On which it begins.
    var line: Int
    var foreignKeysAreOff: Bool
    var altersAsLegacy: Bool
    /// Foreign keys are deferred by what stands before it.
    var isDeferred: Bool
  }

  private var text: InputText
  private let statementBytesLimit: Int
  /// Literals that no text may have are kept as what they mean, while they are read.
  private var splitter = ScriptSplitter(foldingLiteralsAbove: Limits.statementTextBytes)
  /// Bytes read since the last statement was complete.
  private var unfinishedBytes = 0
  private var isAtEnd = false

  private var foreignKeysAreOff = false
  private var altersAsLegacy = false
  private var isDeferred = false
  /// Where the transaction that is open began.
  private var transactionLine: Int?
  var lastLine = 1
  private var hasStatement = false

  private var hasStatistics = false
  private var bookkeepingCount = 0
  private var statisticsCount = 0
  private var hasEnded = false
  /// To come before the rest of the script, the next one last.
  private var waiting: [Entry] = []
  private var hasAutoincrement = false
  /// The ordinary tables that the script makes, as long as it has no virtual one, and the virtual ones.
  var tables: [String] = []
  var virtualTables: ScratchVirtualTables?
  /// Of the last virtual table: of what fills them all.
  var virtualTableLine: Int?
  var isFillingVirtualTables = false

  init(_ file: consuming InputFile, statementBytesLimit: Int) {
    text = InputText(file)
    self.statementBytesLimit = statementBytesLimit
  }

  var name: String { text.name }

  /// What of the script was left out that somebody may look for later. Complete at its end.
  var notes: [String] {
    var notes: [String] = []
    if hasStatistics {
      notes.append(
        "\(name): query-planner statistics are not written by hand (\(statisticsCount) statements left out); "
          + "ANALYZE at the end of the script makes them anew")
    }
    if bookkeepingCount > 0 {
      notes.append(
        "\(name): \(bookkeepingCount) statements about tables of Sluice's own (_sluice_…) were left out; "
          + "`sluice dump STORE` writes a dump without them")
    }
    return notes
  }

  /// The next statement of a batch; nil at the end, where an empty input is an error.
  mutating func next() throws(StoreError) -> Entry? {
    if let entry = waiting.popLast() { return entry }
    guard !hasEnded else { return nil }
    while let statement = try nextStatement() {
      hasStatement = true
      lastLine = statement.line
      switch ScriptDirective(statement.text) {
      case .execute:
        if let entry = try keptApart(statement) { return entry }
      case .virtualTable: return try virtualTable(statement)
      case .begin:
        if let transactionLine {
          throw error(statement, "a transaction is open since line \(transactionLine)")
        }
        transactionLine = statement.line
      case .commit:
        guard transactionLine != nil else {
          throw error(statement, "no transaction is open; the script may be cut off at its start")
        }
        transactionLine = nil
        if isDeferred {
          defer { isDeferred = false }
          return entry("PRAGMA defer_foreign_keys=OFF", statement.line)
        }
      case .foreignKeys(let on):
        // SQLite takes no notice of it within a transaction.
        if transactionLine == nil { foreignKeysAreOff = !on }
      case .legacyAlterTable(let on): altersAsLegacy = on
      case .deferForeignKeys(let on):
        // In a piece of its own it would be turned on twice.
        defer { isDeferred = on }
        return entry(statement.text, statement.line)
      case .statistics:
        hasStatistics = true
        statisticsCount += 1
      case .bookkeeping: bookkeepingCount += 1
      case .ignore: break
      case .refuse(let reason): throw error(statement, reason)
      }
    }
    return try end()
  }

  private mutating func end() throws(StoreError) -> Entry? {
    hasEnded = true
    if let transactionLine {
      throw StoreError(
        input: name, line: transactionLine,
        "the script ends within the transaction that begins here and may be cut off; end it with "
          + "COMMIT")
    }
    guard hasStatement else {
      throw StoreError(
        .invalid,
        "\(name): there is no statement in it; did what should have written it fail? Nothing was submitted"
      )
    }
    if try fillsVirtualTables() {
      hasEnded = false
      return try next()
    }
    return hasStatistics ? entry("ANALYZE", lastLine) : nil
  }

  /// A dump ends with the numbers that AUTOINCREMENT gave out, also where the last table with it was
  /// dropped since. SQLite makes the table for them with the first such table, and keeps it.
  mutating func execute(_ statement: ScriptStatement) -> Entry {
    var asked = entry(statement.text, statement.line)
    asked.folded = statement.folded
    hasAutoincrement = hasAutoincrement || ScriptStatements.makesAutoincrement(statement.text)
    guard statement.text == "DELETE FROM sqlite_sequence", !hasAutoincrement else { return asked }
    hasAutoincrement = true
    let name = "sluice_makes_sqlite_sequence"
    waiting = [asked, entry("DROP TABLE \(name)", statement.line)]
    return entry("CREATE TABLE \(name)(i INTEGER PRIMARY KEY AUTOINCREMENT)", statement.line)
  }

  private static func makesAutoincrement(_ statement: String) -> Bool {
    var tokens = LeadingTokens(statement)
    guard tokens.keyword() == "create" else { return false }
    while let token = tokens.next() { if token == "autoincrement" { return true } }
    return false
  }

  func entry(_ text: String, _ line: Int) -> Entry {
    Entry(
      text: text, line: isFillingVirtualTables ? virtualTableLine ?? line : line,
      foreignKeysAreOff: foreignKeysAreOff, altersAsLegacy: altersAsLegacy,
      isDeferred: isDeferred)
  }

  func error(_ statement: ScriptStatement, _ message: String) -> StoreError {
    StoreError(input: name, line: statement.line, message)
  }

  // MARK: Reading

  /// What `file` has comes behind what was read.
  mutating func goOn(with file: consuming InputFile) {
    text = InputText(file)
    splitter = ScriptSplitter(foldingLiteralsAbove: Limits.statementTextBytes)
    unfinishedBytes = 0
    isAtEnd = false
    isFillingVirtualTables = true
  }

  private mutating func nextStatement() throws(StoreError) -> ScriptStatement? {
    while true {
      do throws(SQLiteError) {
        if let statement = try splitter.next() {
          unfinishedBytes = 0
          return statement
        }
      } catch {
        throw StoreError(.invalid, "\(name): \(error.message); correct it there")
      }
      if isAtEnd { return nil }
      try readMore()
    }
  }

  private mutating func readMore() throws(StoreError) {
    // A blob is written with two digits a byte.
    guard unfinishedBytes <= 2 * statementBytesLimit else {
      throw StoreError(
        .limit,
        "\(name): no statement ends within \(2 * statementBytesLimit) bytes; look for a missing "
          + "semicolon or quote")
    }
    let chunk = try text.readChunk()
    guard !chunk.isEmpty else {
      splitter.finish()
      isAtEnd = true
      return
    }
    unfinishedBytes += chunk.count
    chunk.withUnsafeBytes { splitter.append($0) }
    guard splitter.foldedByteCount <= statementBytesLimit else {
      throw StoreError(
        .limit,
        "\(name): the texts and blobs of one statement, which begins behind line \(lastLine), have more than "
          + "\(statementBytesLimit) bytes, and a batch has at most that; make the store from a "
          + "database with `sluice init --from`")
    }
  }
}

extension ScriptStatements.Entry {
  /// As it goes into a batch: where the text is too long for SQL, its longest values are parameters.
  func statement(input: String) throws(StoreError) -> Batch.Statement {
    // SQLite would stop there and leave out the rest without a word.
    guard !text.utf8.contains(0) else {
      throw StoreError(
        input: input, line: line,
        "the SQL text has a NUL character; write it as char(0), or pass such a text as a parameter "
          + "(--ndjson)")
    }
    guard text.utf8.count > Limits.statementTextBytes || !folded.isEmpty else {
      return Batch.Statement(text)
    }
    let limit = Limits.statementTextBytes
    guard let lifted = LongLiterals.lifted(text, folded: folded, limit: limit) else {
      throw StoreError(
        .limit,
        "\(input), line \(line): an SQL text has at most \(Limits.statementTextBytes) bytes beside "
          + "the texts and blobs in it; make several statements of it, or make the store from a "
          + "database with `sluice init --from`")
    }
    return lifted
  }
}
