internal import CSQLite

/// One statement of a script.
public struct ScriptStatement: Hashable, Sendable {
  /// From its first token on, without the semicolon and white space before that.
  public var text: String
  /// The line on which the text begins, from 1.
  public var line: Int
}

/// Splits an SQL script into its statements while it is being read.
///
/// Takes the script in chunks that may end anywhere, holds one chunk and one statement in memory,
/// and looks at each byte once. Statements end where `sqlite3_complete` says (the tail of
/// `sqlite3_prepare` is wrong after an error); whether they are SQL is not its business.
///
///     while let chunk = try read() {
///       splitter.append(chunk)
///       while let statement = try splitter.next() { … }
///     }
///     splitter.finish()
///     while let statement = try splitter.next() { … }
public struct ScriptSplitter {
  private var boundary = StatementBoundary()
  private var buffer: [UInt8] = []
  /// Of `buffer`: what lies before `scanned` was looked at; `start <= scanned` begins the statement.
  private var scanned = 0
  private var start = 0
  private var line = 1
  private var statementLine = 1
  /// Where the token that is being read began.
  private var tokenLine = 1
  private var isFinished = false
  private var isAtStart = true

  public init() {}

  /// All statements of a script.
  public static func split(_ script: String) throws(SQLiteError) -> [ScriptStatement] {
    var splitter = ScriptSplitter()
    splitter.append(script)
    splitter.finish()
    var statements: [ScriptStatement] = []
    while let statement = try splitter.next() { statements.append(statement) }
    return statements
  }

  public mutating func append(_ script: String) {
    var script = script
    script.withUTF8 { append(UnsafeRawBufferPointer($0)) }
  }

  /// Takes the next bytes of the script, in UTF-8. Call `next` until nil before the next chunk.
  public mutating func append(_ chunk: UnsafeRawBufferPointer) {
    precondition(!isFinished, "append after finish")
    buffer.removeSubrange(..<start)
    scanned -= start
    start = 0
    buffer.append(contentsOf: chunk)
  }

  /// Says that the script ends here: a last statement needs no semicolon.
  public mutating func finish() { isFinished = true }

  /// The next statement that is complete; nil when more of the script is needed, or at its end.
  ///
  /// Throws `SQLITE_ERROR` for text that is not UTF-8, and at the end of a script that ends within
  /// a string, a quoted name or a comment (SQLite itself would ignore what such a comment covers).
  public mutating func next() throws(SQLiteError) -> ScriptStatement? {
    if isAtStart, !skipByteOrderMark() { return nil }
    if let end = scan() { return try take(upTo: end) }
    guard isFinished else { return nil }
    try checkEnd()
    defer { boundary = StatementBoundary() }
    guard !boundary.isBlank else {
      start = scanned
      return nil
    }
    return try take(upTo: scanned)
  }

  /// SQLite takes U+FEFF for white space, `sqlite3_complete` for a letter. False: too short to tell.
  private mutating func skipByteOrderMark() -> Bool {
    let mark: [UInt8] = [0xEF, 0xBB, 0xBF]
    guard isFinished || buffer.count >= mark.count || !mark.starts(with: buffer) else {
      return false
    }
    if buffer.starts(with: mark) { scanned = mark.count }
    isAtStart = false
    return true
  }

  /// Looks at bytes up to the semicolon that ends a statement and returns its place.
  private mutating func scan() -> Int? {
    // In locals, so that the loop works in registers.
    var (boundary, line, position) = (self.boundary, self.line, scanned)
    defer { (self.boundary, self.line, scanned) = (boundary, line, position) }
    return buffer.withUnsafeBufferPointer { bytes in
      while position < bytes.count {
        if boundary.lexeme == .none {
          tokenLine = line
          if boundary.isBlank { (start, statementLine) = (position, line) }
        }
        let byte = bytes[position]
        position += 1
        if byte == UInt8(ascii: "\n") { line += 1 }
        if boundary.consume(byte) { return position - 1 }
      }
      return nil
    }
  }

  private func checkEnd() throws(SQLiteError) {
    let unfinished: String
    switch boundary.lexeme {
    case .quoted: unfinished = "string or quoted name"
    case .blockComment, .blockCommentStar: unfinished = "comment"
    default: return
    }
    throw SQLiteError(
      code: SQLITE_ERROR,
      message: "the script ends within the \(unfinished) that begins on line \(tokenLine)")
  }

  private mutating func take(upTo end: Int) throws(SQLiteError) -> ScriptStatement {
    defer { start = scanned }
    let space = UInt8(ascii: " ")
    let last = buffer[start..<end].lastIndex { $0 > space } ?? start
    let bytes = buffer[start..<min(last + 1, end)]
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw SQLiteError(
        code: SQLITE_ERROR,
        message: "the statement that begins on line \(statementLine) is not UTF-8")
    }
    return ScriptStatement(text: text, line: statementLine)
  }
}
