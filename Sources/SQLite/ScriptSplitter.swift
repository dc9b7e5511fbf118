internal import CSQLite

/// One statement of a script.
package struct ScriptStatement: Hashable, Sendable {
  /// From its first token on, without the semicolon and white space before that.
  package var text: String
  /// The line on which the text begins, from 1.
  package var line: Int
  /// Long literals whose first parts are not in the text.
  package var folded: [FoldedLiteral] = []
}

/// Splits an SQL script into its statements while it is being read.
///
/// Takes the script in chunks that may end anywhere, holds one chunk and one statement in memory,
/// and looks at each byte once, at few twice. Statements end where `sqlite3_complete` says (the tail of
/// `sqlite3_prepare` is wrong after an error), and where `go` or `/` stands alone on a line, as for the
/// sqlite3 shell (`TerminatorLine`); whether they are SQL is not its business.
///
///     while let chunk = try read() {
///       splitter.append(chunk)
///       while let statement = try splitter.next() { … }
///     }
///     splitter.finish()
///     while let statement = try splitter.next() { … }
package struct ScriptSplitter {
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
  /// At `scanned` a line begins, and whether it is one that ends the statement is not decided.
  private var isAtLineStart = true
  /// The line before ended in a `--` comment.
  private var isBehindComment = false
  /// How far the line was looked at, and what it may be.
  private var terminator = TerminatorLine()
  private var lookedAt = 0
  /// nil: nothing is folded.
  private var folding: LiteralFolding?

  /// Of texts and blobs of which so many bytes were read, the first parts are taken out of the statement
  /// (`ScriptStatement.folded`); nil: of none.
  package init(foldingLiteralsAbove bytes: Int? = nil) {
    folding = bytes.map { LiteralFolding(threshold: $0) }
  }

  /// All statements of a script.
  package static func split(_ script: String) throws(SQLiteError) -> [ScriptStatement] {
    var splitter = ScriptSplitter()
    splitter.append(script)
    splitter.finish()
    var statements: [ScriptStatement] = []
    while let statement = try splitter.next() { statements.append(statement) }
    return statements
  }

  package mutating func append(_ script: String) {
    var script = script
    script.withUTF8 { append(UnsafeRawBufferPointer($0)) }
  }

  /// Takes the next bytes of the script, in UTF-8. Call `next` until nil before the next chunk.
  package mutating func append(_ chunk: UnsafeRawBufferPointer) {
    precondition(!isFinished, "append after finish")
    buffer.removeSubrange(..<start)
    scanned -= start
    start = 0
    if boundary.lexeme == .quoted(UInt8(ascii: "'")), scanned == buffer.count {
      scanned -= folding?.fold(&buffer) ?? 0
    }
    buffer.append(contentsOf: chunk)
  }

  /// Of the statement that is being read, what was taken out of its text until now.
  package var foldedByteCount: Int { folding?.byteCount ?? 0 }

  /// Says that the script ends here: a last statement needs no semicolon.
  package mutating func finish() { isFinished = true }

  /// The next statement that is complete; nil when more of the script is needed, or at its end.
  ///
  /// Throws `SQLITE_ERROR` for text that is not UTF-8, and at the end of a script that ends within
  /// a string, a quoted name or a comment (SQLite itself would ignore what such a comment covers).
  package mutating func next() throws(SQLiteError) -> ScriptStatement? {
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

  /// Looks at bytes up to what ends a statement, and returns its place.
  private mutating func scan() -> Int? {
    while scanned < buffer.count {
      if isAtLineStart {
        guard let end = endOfTerminator() else { return nil }
        isAtLineStart = false
        if end > scanned {
          defer { scanned = end }
          // The shell takes the line for a semicolon.
          if boundary.consume(UInt8(ascii: ";")) { return scanned }
          continue
        }
      }
      if let end = scanLine() { return end }
    }
    return nil
  }

  /// Where the line that begins here ends, if it ends the statement; else where it begins. Nil: more of
  /// it is needed to tell.
  ///
  /// The shell asks whether a semicolon behind the line before would make the statement complete. Behind a
  /// `--` comment it would not.
  private mutating func endOfTerminator() -> Int? {
    guard boundary.lexeme == .none,
      boundary.isBlank || (boundary.endsAtSemicolon && !isBehindComment)
    else { return scanned }
    while scanned + lookedAt < buffer.count {
      let verdict = terminator.consume(buffer[scanned + lookedAt])
      lookedAt += 1
      switch verdict {
      case .undecided: continue
      case .isNone: return decided(scanned)
      // The newline is white space.
      case .isTerminator: return decided(scanned + lookedAt - 1)
      }
    }
    guard isFinished else { return nil }
    if case .isTerminator = terminator.end { return decided(buffer.count) }
    return decided(scanned)
  }

  private mutating func decided(_ end: Int) -> Int {
    terminator = TerminatorLine()
    lookedAt = 0
    return end
  }

  /// Looks at bytes up to the semicolon that ends a statement, whose place it returns, or behind the
  /// line's end.
  private mutating func scanLine() -> Int? {
    // In locals, so that the loop works in registers.
    var (boundary, position) = (self.boundary, scanned)
    defer { (self.boundary, scanned) = (boundary, position) }
    return buffer.withUnsafeBufferPointer { bytes in
      while position < bytes.count {
        if boundary.lexeme == .none {
          tokenLine = line
          if boundary.isBlank { (start, statementLine) = (position, line) }
        }
        let byte = bytes[position]
        position += 1
        if byte == UInt8(ascii: "\n") {
          line += 1
          isAtLineStart = true
          isBehindComment = boundary.lexeme == .lineComment
          _ = boundary.consume(byte)
          return nil
        }
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
    let folded = folding?.take() ?? []
    let space = UInt8(ascii: " ")
    let last = buffer[start..<end].lastIndex { $0 > space } ?? start
    let bytes = buffer[start..<min(last + 1, end)]
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw SQLiteError(
        code: SQLITE_ERROR,
        message: "the statement that begins on line \(statementLine) is not UTF-8")
    }
    return ScriptStatement(text: text, line: statementLine, folded: folded)
  }
}
