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
      for (i, outcome) in outcomes.enumerated() {
        guard case .rejected(let rejection) = outcome.outcome else { continue }
        rejected.insert(outcome.batch)
        // Why its frame could not be opened, only the frame said.
        let isUnreadable = rejection.code == Outcome.Rejection.Code.malformed && isEmpty(i)
        let isOfItsPages = rejection.code != Outcome.Rejection.Code.conflict && lacksPages(i)
        if rejection.comesFromEnvironment || isUnreadable || isOfItsPages {
          given[outcome.batch] = rejection
        }
      }
      self.given = given
      self.rejected = rejected
    }

    func isRejected(_ batch: BatchID) -> Bool { rejected.contains(batch) }

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
