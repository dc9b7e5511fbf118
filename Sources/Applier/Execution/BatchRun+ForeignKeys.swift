internal import SluiceJournal
internal import SluiceSQLite
internal import SluiceShared

/// How a batch's foreign keys are judged at its end: by what it added, as SQLite itself judges a
/// statement.
///
/// What was violated before is none of the batch's affair. SQLite carries such rows along, and would take
/// from nobody the right to switch foreign keys off because of them. So what there was is noted before a
/// statement can add to it without SQLite's own counter knowing, and at the end only what is there beside
/// it counts. A batch that switches nothing is judged by the counter alone, and looks at no table.
///
/// Both looks come to the same in every execution, since each sees nothing but the database. So does a
/// replay.
extension BatchRun {
  /// `batch` is about to begin.
  func noteViolations(before batch: EncodedBatch, _ context: Context) throws(Stop) {
    guard settings.enforcesForeignKeys else { return }
    switch batch.foreignKeyCheck {
    case .whereOff:
      guard batch.turnsForeignKeysOff else { return }
    case .all, .byLaterBatch:
      // Pieces belong together: what an earlier one added is no piece's past.
      state.openImport = try openImport(context)
      state.isBesideImports = try isBesideImports(context)
      guard state.openImport == nil || state.isBesideImports else { return }
    }
    state.violationsBefore = try violations()
  }

  /// The batch has just run a PRAGMA that defers foreign keys. While they are deferred
  /// SQLite's counter has what is violated, and a second such PRAGMA has it forget: at the end it would
  /// be too late to tell that from what was there before.
  func noteViolations(beforeForgetting batch: EncodedBatch) throws(Stop) {
    state.hasJustDeferred = false
    guard settings.enforcesForeignKeys, state.violationsBefore == nil, state.openImport == nil,
      settings.mayBeViolated || batch.pragmaCount > 1
    else { return }
    // Where SQLite's counter has been made to forget already, what there is now may be the batch's own: a
    // PRAGMA was not recognized as one. Then all that there is counts.
    state.violationsBefore = settings.mayBeViolated ? ForeignKeyViolations() : try violations()
  }

  func checkForeignKeys(_ batch: EncodedBatch, _ context: Context) throws(Stop) {
    // Also where all of them are looked at: SQLite's own COMMIT, which must not fail, has the counter.
    guard !connection.deferredForeignKeyViolations else {
      throw .rejected(foreignKeyRejection("a deferred foreign key is violated at the batch's end"))
    }
    guard settings.enforcesForeignKeys else { return }
    guard batch.foreignKeyCheck != .byLaterBatch else {
      try tellOtherImports(context)
      return try keepImportOpen(context)
    }
    guard settings.mayBeViolated || batch.foreignKeyCheck == .all else { return }
    let before = state.openImport?.violations ?? state.violationsBefore ?? ForeignKeyViolations()
    let added = try looking { (isOutOfTime) throws(SQLiteError) in
      try before.added(in: connection, isOutOfTime: isOutOfTime)
    }
    guard added.count > 0 else {
      try tellOtherImports(context)
      if batch.foreignKeyCheck == .all, state.openImport != nil { try closeImport(context) }
      return
    }
    var message =
      "\(added.count) \(added.count == 1 ? "row violates a foreign key" : "rows violate foreign keys") at the batch's end, the first: \(added.first)"
    if before.count > 0 {
      let place = batch.foreignKeyCheck == .all ? "the first piece of its script" : "the batch"
      message += "; beside \(before.count) that did before \(place), which do not count"
    }
    throw .rejected(foreignKeyRejection(message))
  }

  private func foreignKeyRejection(_ message: String) -> Outcome.Rejection {
    // Names of tables may be long.
    Outcome.Rejection(
      code: Outcome.Rejection.Code.foreignKey,
      message: String(decoding: message.utf8.prefix(Limits.messageBytes), as: UTF8.self))
  }

  private func violations() throws(Stop) -> ForeignKeyViolations {
    try looking { (isOutOfTime) throws(SQLiteError) in
      try ForeignKeyViolations(of: connection, isOutOfTime: isOutOfTime)
    }
  }

  /// Looks at all tables, for as long as the batch has time left.
  private func looking<T>(_ body: (_ isOutOfTime: () -> Bool) throws(SQLiteError) -> T)
    throws(Stop) -> T
  {
    permissions.mode = .check
    defer { permissions.mode = .applier }
    do throws(SQLiteError) { return try body { state.isOutOfTime() } } catch {
      var told = error
      told.message += " (found when the foreign keys of all tables were checked)"
      throw .sqlite(told)
    }
  }
}

/// An import in pieces of which the last has not come yet.
struct OpenImport {
  /// Before its first piece.
  let violations: ForeignKeyViolations
  let time_ms: Int64
}

/// What was violated before the first piece of an import, kept in the database until a last piece is
/// applied.
///
/// There is one for each user, whichever of the user's writers sends the pieces: an import that was interrupted
/// goes on under another writer's id. Of two imports of one user at a time the one that ends first answers for
/// both, and the other begins anew there, when nothing is left that they added. One of which no piece came for
/// as long as a key is remembered is given up: what it left is from then on what was there before.
///
/// While several users have one, each piece looks what it added and what it took away, and that is from
/// then on what was there before the others' imports: nobody answers for what another one has not ended.
///
/// The rows are among the keys: a blob is the key of no batch. It is the user's number, big-endian.
extension BatchRun {
  func openImport(_ context: Context) throws(Stop) -> OpenImport? {
    let rows = try ownQuery(
      "SELECT hash, time FROM main._sluice_keys WHERE key = ? AND time >= ?",
      [context.importKey, .integer(context.oldestKey_ms)])
    guard let row = rows.first, case .blob(let bytes) = row[0], case .integer(let time) = row[1]
    else { return nil }
    return OpenImport(violations: try recorded(bytes), time_ms: time)
  }

  private func recorded(_ bytes: [UInt8]) throws(Stop) -> ForeignKeyViolations {
    do throws(DecodingError) { return try ForeignKeyViolations(decoding: bytes) } catch {
      throw .fatal(StoreError(.damaged, error.description))
    }
  }

  /// Of others' imports, which are blobs and so behind all texts.
  private static let others =
    "FROM main._sluice_keys WHERE key >= x'' AND key <> ? AND time >= ?"

  func isBesideImports(_ context: Context) throws(Stop) -> Bool {
    guard environment.makes(.ownImport) else { return false }
    let rows = try ownQuery(
      "SELECT 1 \(Self.others) LIMIT 1", [context.importKey, .integer(context.oldestKey_ms)])
    return !rows.isEmpty
  }

  /// A piece has been executed: what it added and took away counts for no other user's import.
  func tellOtherImports(_ context: Context) throws(Stop) {
    guard state.isBesideImports, let before = state.violationsBefore else { return }
    let after = try violations()
    let rows = try ownQuery(
      "SELECT key, hash \(Self.others)", [context.importKey, .integer(context.oldestKey_ms)])
    for row in rows {
      guard case .blob(let bytes) = row[1] else { continue }
      var theirs = try recorded(bytes)
      theirs.shift(from: before, to: after)
      guard theirs.encoded != bytes else { continue }
      _ = try ownQuery(
        "UPDATE main._sluice_keys SET hash = ? WHERE key = ?", [.blob(theirs.encoded), row[0]])
    }
  }

  /// A piece that is not the last has been executed. At its end, since a batch must not feel it.
  func keepImportOpen(_ context: Context) throws(Stop) {
    if let open = state.openImport {
      // Seldom, since the row may be large.
      guard context.time_ms - open.time_ms > Bookkeeping.keyHorizon_ms / 24 else { return }
      _ = try ownQuery(
        "UPDATE main._sluice_keys SET time = ? WHERE key = ?",
        [.integer(context.time_ms), context.importKey])
    } else if let before = state.violationsBefore {
      _ = try ownQuery(
        "INSERT OR REPLACE INTO main._sluice_keys VALUES(?, ?, ?, ?, x'')",
        [
          context.importKey, .blob(before.encoded), .integer(Int64(context.txid.rawValue)),
          .integer(context.time_ms),
        ])
    }
  }

  func closeImport(_ context: Context) throws(Stop) {
    _ = try ownQuery("DELETE FROM main._sluice_keys WHERE key = ?", [context.importKey])
  }
}

extension BatchRun.Context {
  /// Of the row of its user's import.
  fileprivate var importKey: SQLValue {
    .blob((0..<4).map { UInt8(truncatingIfNeeded: owner >> (24 - 8 * $0)) })
  }

  /// Of this time a key is still remembered.
  fileprivate var oldestKey_ms: Int64 { time_ms - Bookkeeping.keyHorizon_ms }
}

extension EncodedBatch {
  fileprivate var turnsForeignKeysOff: Bool {
    checksForeignKeysAtEnd || switches.contains { $0.setting == .foreignKeys && !$0.isOn }
  }

  /// How many of its statements are PRAGMAs.
  fileprivate var pragmaCount: Int {
    statements.count {
      var tokens = LeadingTokens(String(decoding: $0.sql.prefix(4096), as: UTF8.self))
      return tokens.keyword() == "pragma"
    }
  }
}
