internal import SluiceJournal
internal import SluiceShared

/// The steps of an interactive transaction, as batches.
///
/// A request for the turn, and the end of one, change nothing in the database: what they do, the term does
/// that sees them committed.
extension Session {
  static let notPermitted = Outcome.Rejection(
    code: Outcome.Rejection.Code.notPermitted,
    message:
      "its writer may not commit interactive transactions here (`sluice config` says who may); submit batches of SQL"
  )

  func execute(
    _ step: EncodedTransactionStep, of frame: PendingFrame, in group: Group, isAlone: Bool,
    turn: TxID?
  ) throws(StoreError) -> BatchEnd {
    switch step {
    case .requestTurn:
      lastAskedForTurn = true
      return .outcome(.granted)
    case .cancelTurn: return .outcome(.granted)
    case .commit(let pages):
      let parts = PartReader(frame, in: journal, environment)
      return try commit(pages, parts, in: group, isAlone: isAlone, turn: turn)
    }
  }
}

extension Outcome {
  /// Applied, and nothing changed.
  static let granted = Outcome.applied(.init(changes: 0, lastRowID: 0, rows: nil))
}
