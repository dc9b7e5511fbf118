import SluiceJournal
import SluiceSQLite
import SluiceShared

/// Batches from an SQL script, such as `sqlite3 .dump` writes: the whole script is one batch, or
/// every N statements are one.
///
/// BEGIN and COMMIT are left out, because a batch is a transaction; they must match, so that a dump
/// that was cut off is not taken for a whole one. With `PRAGMA foreign_keys=OFF` in force, a batch
/// has its foreign keys checked at its end. What else is left out or refused: `ScriptDirective`.
struct SQLScriptReader: BatchSource, ~Copyable {
  private let file: InputFile
  private let key: String?
  private let statementsPerBatch: Int?
  private let batchBytesLimit: Int

  private var splitter = ScriptSplitter()
  /// Bytes read since the last statement was complete.
  private var unfinishedBytes = 0
  private var isAtEnd = false

  private var batchCount = 0
  private var foreignKeysAreOff = false
  /// Where the transaction that is open began.
  private var transactionLine: Int?

  /// With `statementsPerBatch` the batches have the keys KEY/1, KEY/2 …; an error then comes after
  /// the batches before it were returned.
  init(
    _ file: consuming InputFile, key: String? = nil, statementsPerBatch: Int? = nil,
    batchBytesLimit: Int = Limits.batchBytes
  ) throws(StoreError) {
    if let statementsPerBatch, !(1...Limits.statementsPerBatch).contains(statementsPerBatch) {
      throw StoreError(
        .invalid,
        "a batch has 1 to \(Limits.statementsPerBatch) statements; --split \(statementsPerBatch) "
          + "cannot be done")
    }
    self.file = file
    self.key = key
    self.statementsPerBatch = statementsPerBatch
    self.batchBytesLimit = batchBytesLimit
  }

  /// The next batch; nil at the end, at once for a script without statements. Throws `.invalid`, or
  /// `.limit` where the script is too large for one batch, naming the input and the line.
  mutating func next() throws(StoreError) -> InputBatch? {
    var batch = Batch([])
    var firstLine = 0
    var bytes = 0
    while batch.statements.count < statementsPerBatch ?? .max,
      let statement = try nextStatementToExecute()
    {
      if batch.statements.isEmpty { firstLine = statement.line }
      bytes += statement.text.utf8.count
      batch.statements.append(Batch.Statement(statement.text))
      if foreignKeysAreOff { batch.checksForeignKeysAtEnd = true }
      try checkSize(statements: batch.statements.count, bytes: bytes, line: statement.line)
    }
    guard !batch.statements.isEmpty else { return nil }
    batchCount += 1
    batch.key = key.map { statementsPerBatch == nil ? $0 : "\($0)/\(batchCount)" }
    return InputBatch(batch: batch, input: file.name, line: firstLine)
  }

  private func checkSize(statements: Int, bytes: Int, line: Int) throws(StoreError) {
    let excess: String
    if statements > Limits.statementsPerBatch {
      excess = "\(Limits.statementsPerBatch) statements"
    } else if bytes > batchBytesLimit {
      excess = "\(batchBytesLimit) bytes"
    } else {
      return
    }
    let advice =
      statementsPerBatch.map { "split it into smaller batches than with --split \($0)" }
      ?? "split it with --split N, every N statements a batch, or make the store from a database "
      + "with `sluice init --from`"
    throw StoreError(
      .limit, "\(file.name), line \(line): the batch is over \(excess) here; \(advice)")
  }

  /// The next statement of a batch; what stands between those is obeyed or left out.
  private mutating func nextStatementToExecute() throws(StoreError) -> ScriptStatement? {
    while let statement = try nextStatement() {
      switch ScriptDirective(statement.text) {
      case .execute:
        try checkText(statement)
        return statement
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
      case .foreignKeys(let on):
        // SQLite takes no notice of it within a transaction.
        if transactionLine == nil { foreignKeysAreOff = !on }
      case .ignore: break
      case .refuse(let reason): throw error(statement, reason)
      }
    }
    if let transactionLine {
      throw StoreError(
        input: file.name, line: transactionLine,
        "the script ends within the transaction that begins here and may be cut off; end it with "
          + "COMMIT")
    }
    return nil
  }

  private func checkText(_ statement: ScriptStatement) throws(StoreError) {
    guard statement.text.utf8.count <= Limits.statementTextBytes else {
      throw StoreError(
        .limit,
        "\(file.name), line \(statement.line): an SQL text has at most "
          + "\(Limits.statementTextBytes) bytes; pass large values as parameters (--ndjson), or make "
          + "the store from a database with `sluice init --from`")
    }
    // SQLite would stop there and leave out the rest without a word.
    guard !statement.text.utf8.contains(0) else {
      throw error(
        statement, "the SQL text has a NUL character; pass such a text as a parameter (--ndjson)")
    }
  }

  private func error(_ statement: ScriptStatement, _ message: String) -> StoreError {
    StoreError(input: file.name, line: statement.line, message)
  }

  private mutating func nextStatement() throws(StoreError) -> ScriptStatement? {
    while true {
      do throws(SQLiteError) {
        if let statement = try splitter.next() {
          unfinishedBytes = 0
          return statement
        }
      } catch {
        throw StoreError(.invalid, "\(file.name): \(error.message); correct it there")
      }
      if isAtEnd { return nil }
      try readMore()
    }
  }

  private mutating func readMore() throws(StoreError) {
    guard unfinishedBytes <= batchBytesLimit else {
      throw StoreError(
        .limit,
        "\(file.name): no statement ends within \(batchBytesLimit) bytes; look for a missing "
          + "semicolon or quote")
    }
    let chunk = try file.readChunk()
    guard !chunk.isEmpty else {
      splitter.finish()
      isAtEnd = true
      return
    }
    unfinishedBytes += chunk.count
    chunk.withUnsafeBytes { splitter.append($0) }
  }
}
