import SluiceJournal
import SluiceShared
import SluiceWriter

/// What is known of a batch, as `submit` and `outcome` print it, and where an input has it.
struct BatchReport {
  private let known: OutcomeReport
  var txid: TxID? { known.txid }

  /// `known` nil: the batch is durable, and that is all.
  init(key: String?, _ known: AppliedOutcome?) { self.known = OutcomeReport(key: key, known) }

  /// Why nothing was done, where nothing was.
  var rejection: Outcome.Rejection? { known.rejection }

  /// A batch with the same key was there before.
  var isDuplicate: Bool { known.status == .duplicate }

  /// Nothing of the batch was done, nor of the one that it is a duplicate of.
  var isRejected: Bool { known.rejection != nil }

  /// `input` is where the batch stands in an input.
  func json(of input: InputBatch? = nil) -> String {
    known.json(head: { line in
      if let sequence = input?.sequence { line.add("sequence", sequence.rawValue) }
    }) { error in
      guard let rejection,
        let place = input.flatMap({ StatementPlace(rejection, in: $0) })
      else { return }
      error.add("input", place.input)
      error.add("line", place.line)
      error.add("statement", place.text)
    }
  }

  /// One line, then a line for each row that the batch returned. Where the batch stands in an input
  /// is shown where something has to be looked up there.
  func text(of input: InputBatch? = nil) -> String {
    var line = input?.sequence.map { "batch \($0): " } ?? ""
    line += known.status.rawValue
    if isDuplicate { line += " of" }
    if let txid = known.txid { line += " \(txid)" }
    switch known.outcome {
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
