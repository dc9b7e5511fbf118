internal import SluiceJournal
internal import SluiceSQLite
internal import SluiceShared

/// How a batch's foreign keys are judged at its end.
extension BatchRun {
  func checkForeignKeys(_ batch: EncodedBatch) throws(Stop) {
    // Also where all of them are looked at: SQLite's own COMMIT, which must not fail, has the counter.
    guard !connection.deferredForeignKeyViolations else {
      throw .rejected(foreignKeyRejection("a deferred foreign key is violated at the batch's end"))
    }
    guard settings.enforcesForeignKeys, batch.foreignKeyCheck != .byLaterBatch,
      settings.mayBeViolated || batch.foreignKeyCheck == .all
    else { return }
    let found = try violations()
    guard found.count > 0 else { return }
    var message =
      "\(found.count) \(found.count == 1 ? "row violates a foreign key" : "rows violate foreign keys") at the batch's end, the first: \(found.first)"
    // Rolled back once more by `undo`, which changes nothing then.
    do throws(StoreError) { try own(rollbackTo) } catch { throw .fatal(error) }
    let before = try violations()
    if before.count > 0 {
      message +=
        "; before the batch there were \(before.count) already (PRAGMA foreign_key_check names them), which must be mended first"
    }
    throw .rejected(foreignKeyRejection(message))
  }

  private func foreignKeyRejection(_ message: String) -> Outcome.Rejection {
    // Names of tables may be long.
    Outcome.Rejection(
      code: Outcome.Rejection.Code.foreignKey,
      message: String(decoding: message.utf8.prefix(Limits.messageBytes), as: UTF8.self))
  }

  /// How many rows violate a foreign key, counted one by one: there may be millions.
  private func violations() throws(Stop) -> (count: Int, first: String) {
    permissions.mode = .applier
    do throws(SQLiteError) {
      let check = try connection.prepare("PRAGMA foreign_key_check")
      var count = 0
      var first = ""
      while try check.step() {
        if count == 0 {
          let row = check.columnType(1) == .null ? "" : ", rowid \(check.columnInteger(1))"
          first =
            "in table \(check.columnText(0) ?? "?")\(row), which refers to \(check.columnText(2) ?? "?")"
        }
        count += 1
      }
      return (count, first)
    } catch {
      var told = error
      told.message += " (found when the foreign keys were checked at the batch's end)"
      throw .sqlite(told)
    }
  }
}
