package import SluiceJournal
package import SluiceShared

/// What is known of a batch, as the command and PRAGMAs tell it in JSON.
///
/// A duplicate is reported with the TxID and all else of the batch that was the first with its key.
package struct OutcomeReport: Sendable {
  package enum Status: String, Sendable {
    case durable, applied, rejected, duplicate
  }

  /// The idempotency key, where there is one.
  package let key: String?
  package let status: Status
  package let txid: TxID?
  /// What became of the batch, of a duplicate the first one; nil while it is only durable.
  package let outcome: Outcome?

  /// `known` nil: the batch is durable, and that is all.
  package init(key: String?, _ known: AppliedOutcome?) {
    self.key = key
    switch known?.outcome {
    case nil: (status, txid, outcome) = (.durable, nil, nil)
    case .applied?: (status, txid, outcome) = (.applied, known?.txid, known?.outcome)
    case .rejected?: (status, txid, outcome) = (.rejected, known?.txid, known?.outcome)
    case .duplicate(let first, let original)?:
      (status, txid, outcome) = (.duplicate, first, original)
    }
  }

  /// Why nothing was done, where nothing was.
  package var rejection: Outcome.Rejection? {
    if case .rejected(let rejection)? = outcome { rejection } else { nil }
  }

  /// An object, what does not apply left out: what `head` adds, `status`, `txid`, `changes`, `lastRowID`, `rows`,
  /// `id` and, of a rejection, `error` with `code`, `message` and what `place` adds.
  package func json(
    head: (inout JSONObject) -> Void = { _ in }, place: (inout JSONObject) -> Void = { _ in }
  ) -> String {
    var line = JSONObject()
    head(&line)
    line.add("status", status.rawValue)
    if let txid { line.add("txid", txid.rawValue) }
    if case .applied(let applied)? = outcome {
      line.add("changes", applied.changes)
      if applied.lastRowID != 0 { line.add("lastRowID", applied.lastRowID) }
      if let rows = applied.rows { line.add("rows", rows) }
    }
    if let key { line.add("id", key) }
    if let rejection {
      var error = JSONObject()
      error.add("code", rejection.code)
      error.add("message", rejection.message)
      place(&error)
      line.add("error", error)
    }
    return line.text
  }
}
