internal import SluiceJournal
internal import SluiceSQLite
internal import SluiceShared

/// Batches that are executed again: what decided beside SQL the first time is taken from the history.
extension Session {
  /// What a commit says of the first execution.
  struct Recorded {
    let entropy: Identifier128
    let pruned: [WriterID]
    /// Rejections that no execution would come to by itself.
    private let given: [BatchID: Outcome.Rejection]
    private let rejected: Set<BatchID>
    private let denied: [BatchID: Outcome.Rejection]

    /// `isEmpty` says of the batch at an index that the history has no bytes of it; `lacksPages`, that it has not
    /// what it was judged by.
    init(
      _ meta: CommitMeta, _ outcomes: [BatchOutcome], pruned: [WriterID],
      isEmpty: (Int) -> Bool, lacksPages: (Int) -> Bool
    ) {
      entropy = meta.entropy
      self.pruned = pruned
      var given: [BatchID: Outcome.Rejection] = [:]
      var rejected: Set<BatchID> = []
      var denied: [BatchID: Outcome.Rejection] = [:]
      for (i, outcome) in outcomes.enumerated() {
        guard case .rejected(let rejection) = outcome.outcome else { continue }
        rejected.insert(outcome.batch)
        if rejection.code == Outcome.Rejection.Code.denied { denied[outcome.batch] = rejection }
        // Why its frame could not be opened, only the frame said.
        let isUnreadable = rejection.code == Outcome.Rejection.Code.malformed && isEmpty(i)
        let isOfItsPages = rejection.code != Outcome.Rejection.Code.conflict && lacksPages(i)
        if rejection.comesFromEnvironment || isUnreadable || isOfItsPages {
          given[outcome.batch] = rejection
        }
      }
      self.given = given
      self.rejected = rejected
      self.denied = denied
    }

    func isRejected(_ batch: BatchID) -> Bool { rejected.contains(batch) }

    /// What a batch was rejected with as one that says what no batch may.
    func denial(of batch: BatchID) -> Outcome.Rejection? { denied[batch] }

    /// What the batch is rejected with, unexecuted.
    func verdict(on batch: BatchID) -> Outcome.Rejection? { given[batch] }
  }

  /// A batch's place in its writer's order. Which batches were missing before it, or what was forgotten,
  /// was known the first time only.
  func standing(of batch: PendingBatch, _ recorded: Recorded) throws(SQLiteError) -> Standing {
    if let known = try tables.writer(batch.id.writer), batch.id.sequence <= known.sequence {
      return .repeated
    }
    if let rejection = recorded.verdict(on: batch.id),
      rejection.code == Outcome.Rejection.Code.expiredWriter
    {
      return .refused(rejection)
    }
    return .next
  }
}
