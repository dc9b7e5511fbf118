import SluiceJournal
import SluiceShared
import SluiceWriter

/// What is known of a batch, as `submit` and `outcome` print it.
///
/// A duplicate is reported with the TxID and all else of the batch that was the first with its key.
struct BatchReport {
  private enum Status: String {
    case durable, applied, rejected, duplicate
  }

  /// The idempotency key, where there is one.
  private let key: String?
  private let status: Status
  private let txid: TxID?
  /// What became of the batch, of a duplicate the first one; nil while it is only durable.
  private let outcome: Outcome?

  /// `known` nil: the batch is durable, and that is all.
  init(key: String?, _ known: AppliedOutcome?) {
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
  var rejection: Outcome.Rejection? {
    if case .rejected(let rejection)? = outcome { rejection } else { nil }
  }

  /// A batch with the same key was there before.
  var isDuplicate: Bool { status == .duplicate }

  /// Nothing of the batch was done, nor of the one that it is a duplicate of.
  var isRejected: Bool { if case .rejected? = outcome { true } else { false } }

  /// `input` is where the batch stands in an input.
  func json(of input: InputBatch? = nil) -> String {
    var line = JSONObject()
    line.add("status", status.rawValue)
    if let txid { line.add("txid", txid.rawValue) }
    if case .applied(let applied)? = outcome {
      line.add("changes", applied.changes)
      if applied.lastRowID != 0 { line.add("lastRowID", applied.lastRowID) }
      if let rows = applied.rows { line.add("rows", rows) }
    }
    if let key { line.add("id", key) }
    if case .rejected(let rejection)? = outcome {
      var error = JSONObject()
      error.add("code", rejection.code)
      error.add("message", rejection.message)
      if let place = input.flatMap({ StatementPlace(rejection, in: $0) }) {
        error.add("input", place.input)
        error.add("line", place.line)
        error.add("statement", place.text)
      }
      line.add("error", error)
    }
    return line.text
  }

  /// One line, then a line for each row that the batch returned. Where the batch stands in an input
  /// is shown where something has to be looked up there.
  func text(of input: InputBatch? = nil) -> String {
    var line = status.rawValue
    if status == .duplicate { line += " of" }
    if let txid { line += " \(txid)" }
    switch outcome {
    case .applied(let applied)?:
      line += ": \(applied.changes) \(applied.changes == 1 ? "change" : "changes")"
      for row in applied.rows ?? [] {
        line += "\n  " + row.map(\.plainText.printable).joined(separator: " | ")
      }
    case .rejected(let rejection)?:
      if let place = input.flatMap({ StatementPlace(rejection, in: $0) }) {
        line += ": \(rejection.code): \(place.message) (\(place.description))".printable
      } else {
        line += ": \(rejection.code): \(rejection.message)".printable
        if let input, input.isFromFile { line += " (\(input.input), line \(input.line))" }
      }
    case .duplicate?, nil: break
    }
    return line
  }
}
