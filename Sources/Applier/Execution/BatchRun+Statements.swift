internal import CSQLite
internal import SluiceJournal
internal import SluiceSQLite
internal import SluiceShared

/// How a batch's guards and statements are compiled and run.
extension BatchRun {
  func run(guard check: EncodedBatch.Statement, _ number: Int, _ context: Context)
    throws(Stop)
  {
    let name = "guard \(number)"
    guard let statement = try prepared(check, name, context) else {
      throw .rejected(failed(name, "is empty"))
    }
    guard statement.statement.isReadOnly else {
      throw .rejected(
        Outcome.Rejection(code: Outcome.Rejection.Code.denied, message: "\(name) is no query"))
    }
    var values = check.values
    try bind(&values, check, statement.statement, name)
    try checkEnd(of: values, name)
    defer { statement.statement.reset() }
    guard try step(statement.statement, name) else {
      throw .rejected(failed(name, "returned no row"))
    }
    guard statement.statement.columnCount == 1 else {
      throw .rejected(failed(name, "returned \(statement.statement.columnCount) columns"))
    }
    let isTrue =
      switch statement.statement.columnValue(0) {
      case .null: false
      case .integer(let number): number != 0
      case .real(let number): number != 0
      case .text, .blob: statement.statement.columnReal(0) != 0
      }
    guard isTrue else { throw .rejected(failed(name, "is not true")) }
    if try step(statement.statement, name) {
      throw .rejected(failed(name, "returned more than one row"))
    }
  }

  private func failed(_ name: String, _ how: String) -> Outcome.Rejection {
    Outcome.Rejection(
      code: Outcome.Rejection.Code.guardFailed,
      message: "\(name) \(how); a guard must return exactly one true value")
  }

  func run(
    _ encoded: EncodedBatch.Statement, _ number: Int, _ context: Context, wantsRows: Bool,
    _ rows: inout [[SQLValue]], _ resultBytes: inout Int
  ) throws(Stop) {
    let name = "statement \(number)"
    guard let prepared = try prepared(encoded, name, context) else { return }
    if prepared.analyzes { reopenAfterwards() }
    try noteVirtual(prepared)
    let statement = prepared.statement
    if prepared.schemaChange != nil {
      onSchemaChange(false)
      if state.schemaBytesBefore == nil { state.schemaBytesBefore = try schemaBytes() }
    }
    let change = try prepared.schemaChange.map { (change) throws(Stop) in try widened(change) }
    var values = encoded.values
    for _ in 0..<encoded.rows {
      try bind(&values, encoded, statement, name)
      defer { statement.reset() }
      while try step(statement, name) {
        guard wantsRows else { continue }
        let row = statement.row
        resultBytes += row.reduce(8) { $0 + 9 + $1.byteCount }
        guard resultBytes <= Limits.resultBytes else {
          throw .rejected(
            Outcome.Rejection(
              code: Outcome.Rejection.Code.resultLimit,
              message:
                "\(name): the rows of one batch have at most \(Limits.resultBytes) bytes; read them with a query instead"
            ))
        }
        rows.append(row)
      }
      // OR ROLLBACK, RAISE(ROLLBACK), a full disk and an interrupt end the whole transaction.
      if environment.makes(.autocommit), connection.isAutocommit {
        throw .sqlite(
          SQLiteError(code: SQLITE_ABORT, message: "\(name) ended the transaction"))
      }
    }
    if let change {
      state.add(change)
      forgetStatements()
      onSchemaChange(true)
      try checkShadowTables(change)
    }
    try checkEnd(of: values, name)
  }

  /// What a statement is about to do to virtual tables.
  private func noteVirtual(_ prepared: StatementCache.Entry) throws(Stop) {
    if !state.hasWrittenOlderVirtual, !prepared.written.isEmpty,
      try virtualTables().contains(where: prepared.written.contains)
    {
      state.wroteVirtual(prepared.written)
    }
    guard prepared.schemaChange?.isWide == true, state.olderVirtualTables == nil else { return }
    state.olderVirtualTables = try virtualTables()
  }

  /// What lies behind the last value was meant by somebody, and would be left out without a word.
  private func checkEnd(of values: ByteReader, _ name: String) throws(Stop) {
    guard values.isAtEnd else {
      throw .rejected(
        Outcome.Rejection(
          code: Outcome.Rejection.Code.malformed, message: "\(name): bytes behind its last value"))
    }
  }

  private func prepared(_ encoded: EncodedBatch.Statement, _ name: String, _ context: Context)
    throws(Stop) -> StatementCache.Entry?
  {
    let entry: StatementCache.Entry
    if let cached = statements[encoded.sql] {
      entry = cached
    } else {
      permissions.mode = .batch
      permissions.beginStatement(encoded.sql)
      let isViolated = connection.deferredForeignKeyViolations
      defer {
        permissions.endStatement()
        if permissions.sawDeferral { noteDeferral(isViolated: isViolated) }
      }
      do throws(SQLiteError) {
        guard let (statement, length) = try connection.prepare(encoded.sql, persistent: true) else {
          return nil
        }
        let rest = UnsafeRawBufferPointer(rebasing: encoded.sql[length...])
        if try connection.prepare(rest) != nil {
          throw SQLiteError(
            code: SQLITE_ERROR, message: "more than one statement in a text; pass each by itself")
        }
        entry = StatementCache.Entry(
          statement: statement, analyzes: permissions.sawAnalyze,
          schemaChange: permissions.schemaChange, written: permissions.written)
      } catch {
        // The text is not at fault then.
        guard ![SQLITE_IOERR, SQLITE_CORRUPT, SQLITE_NOMEM].contains(error.primary) else {
          throw .sqlite(error)
        }
        throw .rejected(rejection(error, name))
      }
      // It shows addresses of this process, which are others' the next time.
      guard !entry.statement.listsProgram else {
        throw .rejected(
          Outcome.Rejection(
            code: Outcome.Rejection.Code.denied,
            message: "\(name): EXPLAIN is not allowed in a batch; EXPLAIN QUERY PLAN is"))
      }
      // From the cache it would not be compiled, and so do nothing.
      if !permissions.sawDeferral, !permissions.sawUnordered {
        statements.insert(entry, for: encoded.sql)
      }
    }
    if entry.analyzes, !context.isAlone { throw .needsOwnCommit }
    // Without rows it is not run, and how many values a row would have is not said.
    guard entry.statement.parameterCount == encoded.columns || encoded.rows == 0 else {
      throw .rejected(
        Outcome.Rejection(
          code: Outcome.Rejection.Code.wrongParameters,
          message:
            "\(name): it has \(entry.statement.parameterCount) parameters, \(encoded.columns) values were given"
        ))
    }
    return entry
  }

  /// SQLite defers when the pragma is compiled, run or not.
  private func noteDeferral(isViolated: Bool) {
    state.hasDeferred = true
    state.hasJustDeferred = true
    // Turned off it makes SQLite forget what was deferred by it.
    if isViolated { settings.mayBeViolated = true }
  }

  private func bind(
    _ values: inout ByteReader, _ encoded: EncodedBatch.Statement, _ statement: Statement,
    _ name: String
  ) throws(Stop) {
    for column in 0..<Int32(encoded.columns) {
      let value = try value(&values, name)
      do throws(SQLiteError) {
        // The frame's buffer outlives the statement's run: nothing is copied.
        switch value {
        case .null: try statement.bindNull(at: column + 1)
        case .integer(let number): try statement.bind(integer: number, at: column + 1)
        case .real(let number): try statement.bind(real: number, at: column + 1)
        case .text(let bytes): try statement.bind(text: bytes, at: column + 1, lifetime: .borrowed)
        case .blob(let bytes): try statement.bind(blob: bytes, at: column + 1, lifetime: .borrowed)
        }
      } catch {
        throw .rejected(rejection(error, name))
      }
    }
  }

  private func value(_ values: inout ByteReader, _ name: String) throws(Stop) -> EncodedValue {
    do throws(DecodingError) { return try values.encodedValue() } catch {
      throw .rejected(
        Outcome.Rejection(
          code: Outcome.Rejection.Code.malformed,
          message: "\(name): its values are damaged: \(error)"
        ))
    }
  }

  private func step(_ statement: Statement, _ name: String) throws(Stop) -> Bool {
    permissions.mode = .batch
    do throws(SQLiteError) { return try statement.step() } catch {
      var named = error
      named.message = "\(name): \(error.message)"
      throw .sqlite(named)
    }
  }
}
