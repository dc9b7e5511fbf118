internal import SluiceJournal
internal import SluiceShared
internal import SluiceWriter

/// What a report of an outcome says, or its JSON.
struct ReportedOutcome {
  let status: OutcomeReport.Status
  private(set) var txid: UInt64 = 0
  private(set) var changes: Int64 = 0
  private(set) var lastRowID: Int64 = 0
  private(set) var rows: [[SQLValue]] = []
  private(set) var rejection: Outcome.Rejection?
  let json: String

  init(_ report: OutcomeReport) {
    status = report.status
    txid = report.txid?.rawValue ?? 0
    rejection = report.rejection
    json = report.json()
    if case .applied(let applied)? = report.outcome {
      (changes, lastRowID, rows) = (applied.changes, applied.lastRowID, applied.rows ?? [])
    }
  }

  /// Throws for what is no report of an outcome, and for that of a batch that has none yet.
  init(json text: String) throws(DecodingError) {
    json = text
    guard case .object(let members) = try JSON.parse(text),
      let status = members["status"]?.string.flatMap(OutcomeReport.Status.init(rawValue:)),
      status != .durable, let txid = members["txid"]?.integer, txid > 0
    else { throw DecodingError("it is no outcome of a batch") }
    self.status = status
    self.txid = UInt64(txid)
    changes = members["changes"]?.integer ?? 0
    lastRowID = members["lastRowID"]?.integer ?? 0
    if case .array(let list)? = members["rows"] { rows = try list.map(Self.row) }
    guard case .object(let error)? = members["error"] else { return }
    rejection = Outcome.Rejection(
      code: error["code"]?.string ?? "", message: error["message"]?.string ?? "")
  }

  private static func row(_ json: JSON) throws(DecodingError) -> [SQLValue] {
    guard case .array(let values) = json else { throw DecodingError("a row is no array") }
    return try values.map { value throws(DecodingError) in try SQLValue(json: value) }
  }
}
