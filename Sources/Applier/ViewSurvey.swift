internal import CSQLite
internal import SluiceSQLite
internal import SluiceShared

/// The views of a schema, each compiled over nothing but the columns of the views that it reads.
///
/// SQLite puts a view's text in place of its name, and so compiles views over views in time without
/// bound: forty of them, each joined with itself, are 2^40 tables. So they get other names, under
/// which nobody finds them; one that can be compiled comes back under its own, with its columns and
/// NULL in each; then those can be compiled that read it, and so on.
///
/// Afterwards the schema has the views in this short form, and without those that cannot be used.
///
/// A view's own triggers would have no view to be read with, so they go and come with it.
struct ViewSurvey {
  private let survey: SchemaSurvey
  private var database: Connection { survey.database }
  /// By name in lower case.
  private var views: [String: View] = [:]
  /// In the order in which they were made.
  private var names: [String] = []

  private struct View {
    var name: String
    var alias: String
    var state = State.untried
    /// Rows of the schema.
    var triggers: [[SQLValue]] = []
  }

  private enum State {
    case untried, usable
    /// Until the view of this name can be used.
    case waiting(String)
    case unusable(String)
    /// Its text alone may be too much: how SQLite expands it is not asked.
    case unknown
  }

  init(_ survey: SchemaSurvey) { self.survey = survey }

  /// A sentence for each view that cannot be used.
  var findings: [String] {
    names.compactMap { name in
      guard let view = views[name], let reason = reason(name) else { return nil }
      return "view \(view.name) cannot be used here: \(reason)\(SchemaSurvey.advice(reason))"
    }
  }

  mutating func look() throws(SQLiteError) {
    try hide()
    var tried = names
    while !tried.isEmpty {
      var found: [String] = []
      for name in tried {
        if try compile(name) { found.append(name) }
      }
      try show(found)
      let waited = Set(found)
      tried = names.filter {
        if case .waiting(let other)? = views[$0]?.state { waited.contains(other) } else { false }
      }
    }
  }

  /// What a statement cannot be compiled for, where that is a view that is not in the schema: nil where
  /// it is another thing, and in it nil where nothing is known to be wrong with the view.
  func meaning(_ complaint: String) -> String?? {
    guard let name = missing(complaint) else { return nil }
    return .some(reason(name).map { _ in reads(name) })
  }

  /// The view that is said to be no table.
  private func missing(_ complaint: String) -> String? {
    let head = "no such table: "
    guard complaint.hasPrefix(head) else { return nil }
    var name = complaint.dropFirst(head.count).lowercased()
    if views[name] == nil, name.hasPrefix("main.") { name.removeFirst("main.".count) }
    return views[name] == nil ? nil : name
  }

  private func reads(_ name: String) -> String {
    "view \(views[name]?.name ?? name), which it reads, cannot be used"
  }

  /// Gives all views that are written as SQLite writes them their other names.
  private mutating func hide() throws(SQLiteError) {
    let rows = try database.query(
      "SELECT name, sql FROM main.sqlite_schema WHERE type = 'view' ORDER BY rowid")
    var texts: [(View, String)] = []
    for (i, row) in rows.enumerated() {
      guard row.count == 2, case .text(let name) = row[0], case .text(let sql) = row[1],
        let text = ViewText(sql)
      else { continue }
      var view = View(name: name, alias: "\(Bookkeeping.prefix)view_\(i)")
      if text.mayGrow { view.state = .unknown }
      view.triggers = try database.query(
        "SELECT * FROM main.sqlite_schema WHERE type = 'trigger' AND lower(tbl_name) = lower(?)",
        [.text(name)])
      names.append(name.lowercased())
      views[name.lowercased()] = view
      texts.append((view, "CREATE VIEW \(view.alias)\(text.rest)"))
    }
    guard !texts.isEmpty else { return }
    try survey.editing { () throws(SQLiteError) in
      for (view, text) in texts {
        try write(view.alias, text, over: view.name)
        guard !view.triggers.isEmpty else { continue }
        _ = try database.query(
          "DELETE FROM main.sqlite_schema WHERE type = 'trigger' AND lower(tbl_name) = lower(?)",
          [.text(view.name)])
      }
    }
  }

  /// Whether it can be used.
  private mutating func compile(_ name: String) throws(SQLiteError) -> Bool {
    guard let view = views[name] else { return false }
    if case .unknown = view.state { return false }
    guard let reason = try survey.complaint("SELECT * FROM main.\(view.alias)") else {
      views[name]?.state = .usable
      return true
    }
    let state: State =
      missing(reason).map { .waiting($0) }
      ?? .unusable(
        reason.split(separator: view.alias, omittingEmptySubsequences: false)
          .joined(separator: view.name))
    views[name]?.state = state
    return false
  }

  /// Has them under their own names again, with their columns and no more.
  private func show(_ found: [String]) throws(SQLiteError) {
    var texts: [(View, String)] = []
    for case let view? in found.map({ views[$0] }) {
      let rows = try database.query(SchemaPragma.columns.text(of: view.alias))
      let columns = rows.compactMap {
        if case .text(let name) = $0[1] { quoted(name) } else { nil }
      }
      let nulls = [String](repeating: "NULL", count: columns.count).joined(separator: ",")
      texts.append(
        (
          view,
          "CREATE VIEW \(quoted(view.name))(\(columns.joined(separator: ","))) AS SELECT \(nulls)"
        ))
    }
    try survey.editing { () throws(SQLiteError) in
      for (view, text) in texts {
        try write(view.name, text, over: view.alias)
        for trigger in view.triggers {
          _ = try database.query(
            "INSERT INTO main.sqlite_schema VALUES (?, ?, ?, ?, ?)", trigger)
        }
      }
    }
  }

  private func write(_ name: String, _ text: String, over old: String) throws(SQLiteError) {
    _ = try database.query(
      "UPDATE main.sqlite_schema SET name = ?1, tbl_name = ?1, sql = ?2 WHERE type = 'view' AND name = ?3",
      [.text(name), .text(text), .text(old)])
  }

  /// Why a view cannot be used; nil where nothing is known to be wrong.
  private func reason(_ name: String) -> String? {
    var passed: Set<String> = []
    var last = name
    while case .waiting(let other)? = views[last]?.state {
      guard passed.insert(last).inserted else {
        return "it is made of itself, or of a view that is"
      }
      last = other
    }
    guard case .unusable(let reason)? = views[last]?.state else { return nil }
    return last == name ? reason : reads(last)
  }
}

/// A view's definition.
private struct ViewText {
  /// What follows the name.
  let rest: Substring
  /// SQLite may make much of it without any other view: queries within queries, or WITH tables that
  /// read one another several times each.
  let mayGrow: Bool

  /// More than anybody's come to: 2^16 tables, which take a fraction of a second.
  private static let mostDoublings = 16

  /// Nil where it is not as SQLite itself writes it.
  init?(_ sql: String) {
    let head = "CREATE VIEW "
    guard sql.hasPrefix(head) else { return nil }
    let text = sql.utf8.dropFirst(head.utf8.count)
    guard let first = text.first else { return nil }
    let close: UInt8? =
      switch first {
      case UInt8(ascii: "\""), UInt8(ascii: "'"), UInt8(ascii: "`"): first
      case UInt8(ascii: "["): UInt8(ascii: "]")
      default: nil
      }
    var end = text.startIndex
    if let close {
      repeat {
        // A quote in quotes is written twice.
        guard let next = text[text.index(after: end)...].firstIndex(of: close) else { return nil }
        end = text.index(after: next)
      } while close != UInt8(ascii: "]") && end < text.endIndex && text[end] == close
    } else {
      end =
        text.firstIndex { !LeadingTokens.isWord($0) && $0 != UInt8(ascii: "$") } ?? text.endIndex
    }
    rest = sql[end...]
    mayGrow = ViewText.doublings(sql[end...]) > ViewText.mostDoublings
  }

  /// At most 2 to this power tables are made of it: the deepest nesting of queries and the tables that WITH
  /// makes are levels, and each may multiply by how often one name is read.
  private static func doublings(_ text: Substring) -> Int {
    var tokens = LeadingTokens(String(text))
    var open: [Bool] = []
    var reads: [String: Int] = [:]
    var read: String?
    var depth = 0
    var deepest = 0
    var tables = 0
    var previous: String?
    while let token = tokens.next() {
      // Behind a comma it may be a column, mostly with its table's name before it.
      if let name = read, token != "." { reads[name, default: 0] += 1 }
      read = previous == "from" || previous == "join" || previous == "," ? token : nil
      if token == "(" {
        open.append(false)
        if previous == "as" || previous == "materialized" { tables += 1 }
      } else if token == ")" {
        if open.popLast() == true { depth -= 1 }
      } else if token == "select" || token == "values", previous == "(", !open.isEmpty {
        open[open.count - 1] = true
        depth += 1
        deepest = max(deepest, depth)
      }
      previous = token
    }
    let times = max(2, reads.values.max() ?? 0)
    return (deepest + tables) * (Int.bitWidth - (times - 1).leadingZeroBitCount)
  }
}
