internal import SluiceJournal
internal import SluiceSQLite
internal import SluiceShared

/// What is known of a batch before it is executed: by its place in its writer's order, and by its key.
extension Session {
  /// What a batch's key already stands for.
  func earlier(
    _ batch: EncodedBatch, _ bytes: UnsafeRawBufferPointer, _ now_ms: Int64
  ) throws(StoreError) -> BatchEnd? {
    guard let key = batch.key else { return nil }
    guard let record = try own({ () throws(SQLiteError) in try tables.key(key, now_ms: now_ms) })
    else { return nil }
    guard record.hash == BatchRun.hash(bytes) else {
      return .outcome(
        .rejected(
          Outcome.Rejection(
            code: Outcome.Rejection.Code.keyReused,
            message:
              "key \(key) was used for another batch (\(record.txid)) in the last 24 hours; use a new key"
          )))
    }
    return .outcome(.duplicate(of: record.txid, original: record.outcome))
  }

  /// The same for a batch that is to be rejected unexecuted with `verdict`: a repeat of one that was
  /// executed is a repeat all the same. What its process ends with is not even decoded.
  func earlier(
    _ batch: PendingBatch, _ verdict: Outcome.Rejection, _ now_ms: Int64
  ) throws(StoreError) -> BatchEnd? {
    guard verdict.code != Outcome.Rejection.Code.poisonous else { return nil }
    let known = batch.frame.withBatch(batch.index) { bytes -> Result<BatchEnd?, StoreError> in
      guard case .success(let bytes) = bytes, let decoded = try? EncodedBatch(bytes) else {
        return .success(nil)
      }
      do throws(StoreError) { return .success(try earlier(decoded, bytes, now_ms)) } catch {
        return .failure(error)
      }
    }
    return try known.get()
  }

  enum Standing {
    case next
    /// It has its outcome already; this is a resend.
    case repeated
    case refused(Outcome.Rejection)

    var isRefused: Bool { if case .refused = self { true } else { false } }
  }

  /// What the database knows of a writer: its last batch, and whose files its are.
  func known(_ writer: WriterID) throws(StoreError) -> WriterState? {
    try own { () throws(SQLiteError) in try tables.writer(writer) }
  }

  /// A batch's place in its writer's order.
  func standing(of batch: PendingBatch, _ request: Request) throws(SQLiteError) -> Standing {
    let known = try tables.writer(batch.id.writer)
    if let known {
      // Another user's, under this writer's id: nothing of it is executed, or refused.
      if known.owner != batch.owner, environment.makes(.ownWriter) { return .repeated }
      if batch.id.sequence <= known.sequence, environment.makes(.deduplicate) { return .repeated }
      if known.isExpired {
        return .refused(Session.expired("its writer was refused before; use a new writer"))
      }
      if batch.id.sequence > known.sequence.next, !request.mayLackBatches(batch.id.writer) {
        return .refused(
          Session.expired(
            "batches \(known.sequence.next) to \(batch.id.sequence.rawValue - 1) of its writer are missing"
          ))
      }
      return .next
    }
    if let watermark = tables.watermark, batch.id.writer <= watermark {
      return .refused(
        Session.expired("its writer was forgotten, and whether it was executed is unknown"))
    }
    if batch.id.sequence.rawValue != 1, !request.mayLackBatches(batch.id.writer) {
      return .refused(Session.expired("its writer is unknown, and its earlier batches are missing"))
    }
    return .next
  }

  private static func expired(_ why: String) -> Outcome.Rejection {
    Outcome.Rejection(code: Outcome.Rejection.Code.expiredWriter, message: "not executed: \(why)")
  }
}
