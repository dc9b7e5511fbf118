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
      guard state.openImport == nil else { return }
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
    guard batch.foreignKeyCheck != .byLaterBatch else { return try keepImportOpen(context) }
    guard settings.mayBeViolated || batch.foreignKeyCheck == .all else { return }
    let before = state.openImport?.violations ?? state.violationsBefore ?? ForeignKeyViolations()
    let added = try looking { () throws(SQLiteError) in try before.added(in: connection) }
    guard added.count > 0 else {
      if batch.foreignKeyCheck == .all, state.openImport != nil { try closeImport() }
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
    try looking { () throws(SQLiteError) in try ForeignKeyViolations(of: connection) }
  }

  private func looking<T>(_ body: () throws(SQLiteError) -> T) throws(Stop) -> T {
    permissions.mode = .applier
    do throws(SQLiteError) { return try body() } catch {
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
/// There is one for the store, whosever pieces they are: an import that was interrupted goes on under
/// another writer's id. Of two imports at a time the one that ends first answers for both, and the other
/// begins anew there, when nothing is left that they added. One of which no piece came for as long as a key
/// is remembered is given up: what it left is from then on what was there before.
///
/// Its row is among the keys: a blob is the key of no batch.
extension BatchRun {
  private static let importKey = "x''"

  func openImport(_ context: Context) throws(Stop) -> OpenImport? {
    let rows = try ownQuery(
      "SELECT hash, time FROM main._sluice_keys WHERE key = \(Self.importKey) AND time >= ?",
      [.integer(context.time_ms - Bookkeeping.keyHorizon_ms)])
    guard let row = rows.first, case .blob(let bytes) = row[0], case .integer(let time) = row[1]
    else { return nil }
    do throws(DecodingError) {
      return OpenImport(violations: try ForeignKeyViolations(decoding: bytes), time_ms: time)
    } catch {
      throw .fatal(StoreError(.damaged, error.description))
    }
  }

  /// A piece that is not the last has been executed. At its end, since a batch must not feel it.
  func keepImportOpen(_ context: Context) throws(Stop) {
    if let open = state.openImport {
      // Seldom, since the row may be large.
      guard context.time_ms - open.time_ms > Bookkeeping.keyHorizon_ms / 24 else { return }
      _ = try ownQuery(
        "UPDATE main._sluice_keys SET time = ? WHERE key = \(Self.importKey)",
        [.integer(context.time_ms)])
    } else if let before = state.violationsBefore {
      _ = try ownQuery(
        "INSERT OR REPLACE INTO main._sluice_keys VALUES(\(Self.importKey), ?, ?, ?, x'')",
        [
          .blob(before.encoded), .integer(Int64(context.txid.rawValue)), .integer(context.time_ms),
        ])
    }
  }

  func closeImport() throws(Stop) {
    _ = try ownQuery("DELETE FROM main._sluice_keys WHERE key = \(Self.importKey)")
  }
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
