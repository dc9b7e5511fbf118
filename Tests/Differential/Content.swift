import SluiceSQLite
import SluiceShared

/// All that a database says, in an order that does not depend on where it is kept.
struct Content: Equatable {
  /// A line for each thing and each row; two that look the same may differ in their bytes.
  private(set) var lines: [ExactText] = []

  /// `prepare` is the one way to ask, since two kinds of connections are compared.
  init(_ query: (String) throws -> [[SQLValue]]) throws {
    let schema = try query(
      "SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema WHERE tbl_name NOT LIKE '\\_sluice\\_%' ESCAPE '\\' ORDER BY 1, 2"
    )
    for row in schema { add(Content.text(row)) }
    for row in schema where row[0] == .text("table") {
      // An R-tree's nodes keep what was deleted, random rowids too; its rows are compared.
      guard case .text(let name) = row[1], !name.hasSuffix("_node") else { continue }
      try addTable(name, query)
    }
    for pragma in ["user_version", "application_id"] {
      add("\(pragma) \(try query("PRAGMA \(pragma)"))")
    }
    do {
      // In no order: tables are looked at as a hash table has them.
      let violations = try query("PRAGMA foreign_key_check")
      add(sorted: violations.map { "foreign key: " + Content.text($0) })
    } catch {
      // A key to columns that are not unique; which of several is met first is anyone's guess.
      add("foreign keys: \(error)".contains("mismatch") ? "a mismatch" : "\(error)")
    }
    // A CHECK may ask for what only the connection that wrote the row knew.
    for row in try query("PRAGMA integrity_check(1000)") {
      let line = Content.text(row)
      if line != "'ok'", !line.contains("CHECK constraint failed") { add("integrity: \(line)") }
    }
  }

  private mutating func add(_ line: String) { lines.append(ExactText(line)) }

  /// In the order of their text: a table may be read through an index.
  private mutating func add(sorted unsorted: [String]) {
    for line in unsorted.sorted(by: { $0.utf8.lexicographicallyPrecedes($1.utf8) }) { add(line) }
  }

  private mutating func addTable(_ name: String, _ query: (String) throws -> [[SQLValue]]) throws {
    if name.hasPrefix("sqlite_stat") {
      // ANALYZE looks at the applier's tables too.
      let rows = try query(
        "SELECT * FROM \(name) WHERE tbl NOT LIKE '\\_sluice\\_%' ESCAPE '\\' ORDER BY 1, 2, 3")
      for row in rows { add("\(name): " + Content.text(row)) }
      return
    }
    let table = quote(name)
    var rows: [[SQLValue]]
    do {
      rows = try query("SELECT rowid, * FROM \(table)")
    } catch {
      // Without rowids, or a virtual table that has lost what it stands on.
      do { rows = try query("SELECT * FROM \(table)") } catch {
        add("\(name): \(error)")
        return
      }
    }
    add("\(name): \(rows.count) rows")
    add(sorted: rows.map { "\(name): " + Content.text($0) })
    // Text that is no UTF-8 was repaired above: its bytes count too.
    let names = try query("SELECT name FROM pragma_table_info(\(Values.literal(.text(name))))")
    for case .text(let column)? in names.map(\.first) {
      let sums = try? query(
        "SELECT count(*) FROM \(table) WHERE typeof(\(quote(column))) = 'text' AND hex(\(quote(column))) <> hex(CAST(\(quote(column)) AS BLOB))"
      )
      add("\(name).\(column): \(sums ?? [])")
    }
    let casts = names.compactMap { row -> String? in
      guard case .text(let column)? = row.first else { return nil }
      return "CAST(\(quote(column)) AS BLOB)"
    }
    // One of which not every column can be read: each by itself.
    let all = casts.joined(separator: ", ")
    let bytes =
      (try? query("SELECT rowid, \(all) FROM \(table)"))
      ?? (try? query("SELECT \(all) FROM \(table)"))
      ?? casts.flatMap { cast in (try? query("SELECT \(cast) FROM \(table)")) ?? [] }
    add(sorted: bytes.map { "\(name), bytes: " + Content.text($0) })
  }

  private static func text(_ row: [SQLValue]) -> String {
    row.map(Content.text).joined(separator: " | ")
  }

  static func text(_ value: SQLValue) -> String {
    switch value {
    case .null: "NULL"
    case .integer(let number): "\(number)"
    case .real(let number): "\(number) (\(hexadecimal(number.bitPattern, width: 16)))"
    case .text(let text):
      text.count > 200
        ? "'\(text.prefix(200))…' \(text.utf8.count) \(crc32c(Array(text.utf8)))" : "'\(text)'"
    case .blob(let bytes):
      "x'\(bytes.prefix(64).map { hexadecimal($0, width: 2) }.joined())' \(bytes.count) \(crc32c(bytes))"
    }
  }

  /// The first lines in which two databases differ.
  func differences(from other: Content) -> [String] {
    lines.difference(from: other.lines).prefix(12).map { change in
      switch change {
      case .insert(_, let line, _): "queue: \(line.text.prefix(400))"
      case .remove(_, let line, _): "plain: \(line.text.prefix(400))"
      }
    }
  }
}
