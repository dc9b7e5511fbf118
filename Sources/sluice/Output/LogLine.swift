import SluiceApplier
import SluiceJournal
import SluiceReader
import SluiceShared

/// A batch of the history, as `log` prints it.
struct LogLine {
  private let entry: ChangeFeed.Entry
  /// With the rows that it changed, where these are told.
  private let rows: RowFeed.Entry?

  init(_ entry: ChangeFeed.Entry, changes: RowFeed.Entry? = nil) {
    self.entry = entry
    rows = changes
  }

  var json: String {
    var line = JSONObject()
    line.add("txid", entry.txid.rawValue)
    line.add("time", timestamp(entry.time_ms))
    line.add("commit", entry.commit)
    line.add("writer", "\(entry.outcome.batch.writer)")
    line.add("sequence", entry.outcome.batch.sequence.rawValue)
    if let key = entry.outcome.key { line.add("id", key) }
    switch entry.outcome.outcome {
    case .applied(let applied):
      line.add("status", "applied")
      line.add("changes", applied.changes)
      if applied.lastRowID != 0 { line.add("lastRowID", applied.lastRowID) }
      if let rows = applied.rows { line.add("rows", rows) }
    case .rejected(let rejection):
      line.add("status", "rejected")
      var error = JSONObject()
      error.add("code", rejection.code)
      error.add("message", rejection.message)
      line.add("error", error)
    case .duplicate(let first, _):
      line.add("status", "duplicate")
      line.add("of", first.rawValue)
    }
    if let rows { line.add(rows) }
    guard let batch = entry.batch else { return line.text }
    if let step = batch.step {
      line.add(step)
      return line.text
    }
    if !batch.guards.isEmpty { line.add("guards", batch.guards.map(\.json)) }
    line.add("statements", batch.statements.map(\.json))
    if !batch.switches.isEmpty { line.add("settings", batch.switches.map(\.json)) }
    return line.text
  }

  /// `12  2026-11-22T10:00:00.000Z  applied: 1 change  INSERT INTO item …`
  var text: String {
    let outcome =
      switch entry.outcome.outcome {
      case .applied(let applied):
        "applied: \(applied.changes) \(applied.changes == 1 ? "change" : "changes")"
      case .rejected(let rejection): "rejected: \(rejection.code)"
      case .duplicate(let first, _): "duplicate of \(first)"
      }
    return "\(entry.txid)  \(timestamp(entry.time_ms))  \(outcome)  \(sql)"
  }

  private static let mostCharacters = 80

  private var sql: String {
    guard let batch = entry.batch else { return "(cannot be read)" }
    if let step = batch.step { return step.text }
    let first = (batch.statements.first?.sql ?? "").printable
    let shown = first.prefix(Self.mostCharacters)
    let more = batch.statements.count - 1
    return shown + (shown.count < first.count ? "…" : "") + (more > 0 ? " (and \(more) more)" : "")
  }
}

extension TransactionStep {
  fileprivate var text: String {
    switch self {
    case .requestTurn: "(asks for the turn)"
    case .cancelTurn: "(gives the turn back)"
    case .commit(let pages):
      "(transaction of \(pages.changed) \(pages.changed == 1 ? "page" : "pages"))"
    }
  }
}

extension JSONObject {
  fileprivate mutating func add(_ step: TransactionStep) {
    switch step {
    case .requestTurn: add("kind", "turn")
    case .cancelTurn: add("kind", "endOfTurn")
    case .commit(let pages):
      add("kind", "transaction")
      add("base", pages.base.rawValue)
      if let turn = pages.turn { add("turn", turn.rawValue) }
      add("pages", Int64(pages.changed))
    }
  }
}

extension Batch.Statement {
  /// As `submit --ndjson` reads it.
  var json: String {
    var text = ""
    switch rows.count {
    case 1 where rows[0].isEmpty:
      text = "["
      JSON.append(quoting: sql, to: &text)
      return text + "]"
    case 1:
      text = "["
      JSON.append(quoting: sql, to: &text)
      text += ", "
      JSON.append(row: rows[0], to: &text)
      return text + "]"
    default:
      text = "{\"sql\": "
      JSON.append(quoting: sql, to: &text)
      text += ", \"rows\": "
      JSON.append(rows, to: &text)
      return text + "}"
    }
  }
}

extension SettingSwitch {
  fileprivate var json: String {
    var object = JSONObject()
    object.add("beforeStatement", statement + 1)
    object.add("name", setting == .foreignKeys ? "foreign_keys" : "legacy_alter_table")
    object.add("on", isOn ? 1 : 0)
    return object.text
  }
}
