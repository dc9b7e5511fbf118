internal import SluiceJournal
internal import SluiceShared
internal import SluiceWriter

/// Why a transaction does not begin to write, or is refused: what SQLITE_BUSY and SQLITE_BUSY_SNAPSHOT do not say.
extension StoreError {
  /// The turn did not come within the busy timeout: who has it, or that nobody gives it, as the applier's beacon
  /// has it now.
  static func lateTurn(_ base: any PinnedFile, now_ms: Int64) -> StoreError {
    let reason: String
    do throws(StoreError) { reason = obstacle(try base.beacon(), now_ms: now_ms) } catch {
      reason = "why is not known, since the applier's beacon cannot be read: \(error)"
    }
    return StoreError(
      .busy, "the turn did not come within the busy timeout: \(reason)", path: base.path)
  }

  private static func obstacle(_ beacon: Beacon, now_ms: Int64) -> String {
    let status = beacon.status
    let age_ms = now_ms.subtractingReportingOverflow(beacon.time_ms).partialValue
    let advice = "start `sluice apply`, or open the store with assist=1"
    guard beacon.state == .active else {
      return
        "nobody leads since \(timestamp(beacon.time_ms)), when the applier stopped in order; \(advice)"
    }
    guard age_ms <= status.longestSilence_ms else {
      return
        "nobody leads, as far as can be seen: the applier was heard last at \(timestamp(beacon.time_ms)), \(age_ms / 1000) s ago; unless another takes over, \(advice)"
    }
    guard let turn = status.turn else {
      guard status.backlogBatches > 0 else {
        return "nobody has it, and the applier leads; run the transaction again"
      }
      return
        "nobody has it; \(status.backlogBatches) batches wait, the oldest for \(status.oldest_ms / 1000) s; see `sluice status`"
    }
    // Nothing is committed behind a grant while the turn is out.
    let since = beacon.extent.txid == turn.number ? beacon.extent.time_ms : nil
    let granted = since.map { " since \(timestamp($0)), for \(max(0, now_ms - $0)) ms" } ?? ""
    return
      "writer \(turn.holder) has it\(granted), as turn \(turn.number); it ends with its transaction, \(Limits.turnTime.wholeMilliseconds / 1000) s after its last sign of life, or after \(Limits.longestTurn.wholeMilliseconds / 1000) s"
  }

  /// Batches up to `newest` are in the history, and the transaction is over an earlier one; or, where none are,
  /// somebody else had the turn when its pages came.
  static func overtaken(_ base: any PinnedFile, by newest: UInt64, _ turn: Turn?) -> StoreError {
    let first = base.txid.rawValue + 1
    guard first <= newest else {
      return StoreError(
        .busy,
        "the transaction came without the turn while another had it, and nothing of it was done; run it again, from BEGIN IMMEDIATE on",
        path: base.path)
    }
    let between = first == newest ? "batch \(first)" : "batches \(first) to \(newest)"
    let late = turn == nil ? "" : " when its turn was over"
    return StoreError(
      .busy,
      "the transaction reads the state behind batch \(base.txid), and \(between) came in between\(late) (`sluice log --from \(first)` shows what); nothing of it was done, run it again",
      path: base.path)
  }

  static func ownCursor(_ path: String) -> StoreError {
    StoreError(
      .busy,
      "a SELECT of this connection is open since before its last write, and sees a state that nothing can be based on; finish it before the next write, or put both writes into one transaction",
      path: path)
  }

  static func unusedTurn(_ path: String) -> StoreError {
    StoreError(
      .busy,
      "the turn came as the busy timeout ended, and was given back; run the transaction again, or give it a longer busy timeout",
      path: path)
  }

  /// SQLite begins again by itself, unless its busy handler says no.
  static func keptTurn(_ path: String) -> StoreError {
    StoreError(
      .busy,
      "the turn came with a newer state than the connection had pinned, and is kept for a second; run the statement again",
      path: path)
  }
}
