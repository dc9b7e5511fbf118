internal import SluiceJournal
internal import SluiceSQLite
internal import SluiceShared

/// What is collected of the batches that one commit holds.
extension Session {
  struct Group {
    let first: TxID
    let time_ms: Int64
    let entropy: Identifier128
    var outcomes: [BatchOutcome] = []
    var bytes = ByteWriter()
    /// All that the group has is this one batch of a frame's: its section goes into the log as it lies
    /// in the journal, and is not copied.
    var onlyFrame: PendingFrame?
    var consumed: [JournalSegmentID: Int64] = [:]
    var rejected: UInt64 = 0
    /// About the bytes of the rows in `outcomes`.
    var rowBytes = 0
    /// Its last batch asked for the turn.
    var grantsTurn = false
    var nextTxID: TxID { first.advanced(by: UInt64(outcomes.count)) }
  }

  func record(
    _ outcome: Outcome, of batch: PendingBatch, _ group: inout Group, refused: Bool,
    withoutContent: Bool, _ request: Request
  ) throws(StoreError) {
    let txid = group.nextTxID
    let (key, isUnlisted) = try keep(
      outcome, of: batch, txid, &group, withoutContent: withoutContent)
    // A transaction that meets another is run again by who made it, and nobody else sees to it.
    if case .rejected(let rejection) = outcome, !isUnlisted,
      rejection.code != Outcome.Rejection.Code.conflict
    {
      group.rejected += 1
      try bookkeeping { () throws(SQLiteError) in
        try tables.record(
          rejected: batch.id, key: key, txid: txid, time_ms: group.time_ms, rejection)
        // Each is counted for ever, so it is known without counting rows how many there are.
        if rejected + group.rejected > Limits.rejectionsKept { try tables.forgetOldestRejection() }
      }
    }
    tables.setWriter(
      batch.id.writer,
      WriterState(sequence: batch.id.sequence, isExpired: refused, owner: batch.owner))
    group.rowBytes += outcome.rowBytes
    group.outcomes.append(
      BatchOutcome(
        batch: batch.id, key: key, attempts: group.outcomes.isEmpty ? request.attempts : 0,
        outcome: outcome))
    note(batch, in: &group)
  }

  /// Puts a batch's bytes into the commit and records its key; returns the key, and what it says of a rejection.
  func keep(
    _ outcome: Outcome, of batch: PendingBatch, _ txid: TxID, _ group: inout Group,
    withoutContent: Bool
  ) throws(StoreError) -> (key: String?, isUnlisted: Bool) {
    guard !withoutContent else {
      group.onlyFrame = nil
      group.bytes.append(UInt32(0))
      return (nil, false)
    }
    let time_ms = group.time_ms
    // One that is rejected unexecuted is opened here.
    batch.frame.withBatch(batch.index) { _ in }
    if batch.frame.isBroken { group.onlyFrame = nil }
    let copies = group.onlyFrame == nil
    let kept = batch.frame.withBatch(batch.index) {
      bytes -> Result<(key: String?, isUnlisted: Bool, bytes: [UInt8]), StoreError> in
      guard case .success(let bytes) = bytes else { return .success((nil, false, [])) }
      let batch = try? EncodedBatch(bytes)
      let isUnlisted = batch?.isUnlisted ?? false
      guard let key = batch?.key else {
        return .success((nil, isUnlisted, copies ? Array(bytes) : []))
      }
      do throws(StoreError) {
        if outcome.recordsKey {
          try bookkeeping { () throws(SQLiteError) in
            try tables.record(
              key: key, hash: BatchRun.hash(bytes), txid: txid, time_ms: time_ms, outcome: outcome)
          }
        }
        return .success((key, isUnlisted, copies ? Array(bytes) : []))
      } catch {
        return .failure(error)
      }
    }
    let (key, isUnlisted, bytes) = try kept.get()
    guard copies else { return (key, isUnlisted) }
    group.bytes.append(UInt32(bytes.count))
    group.bytes.append(raw: bytes)
    return (key, isUnlisted)
  }

  func note(_ batch: PendingBatch, in group: inout Group) {
    guard batch.isLastOfFrame else { return }
    group.consumed[batch.frame.segmentID] = batch.frame.frame.end
  }
}

extension Outcome {
  /// About the bytes that its rows take in a commit.
  fileprivate var rowBytes: Int {
    switch self {
    case .applied(let applied):
      (applied.rows ?? []).reduce(0) { bytes, row in
        row.reduce(bytes + 8) { $0 + 9 + $1.byteCount }
      }
    case .rejected(let rejection): rejection.message.utf8.count
    case .duplicate(_, let original): original.rowBytes
    }
  }

  /// A first use: a repeat is known by it.
  fileprivate var recordsKey: Bool {
    switch self {
    case .applied: true
    case .rejected(let rejection):
      // Run again, the transaction has other pages under its key.
      ![Rejection.Code.keyReused, Rejection.Code.expiredWriter, Rejection.Code.conflict]
        .contains(rejection.code)
    case .duplicate: false
    }
  }
}
