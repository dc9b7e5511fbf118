extension JSON {
  /// Appends a value as the NDJSON input reads it: 1.0 stays a real, a blob is {"base64": "…"}.
  /// JSON has no infinity: null.
  package static func append(_ value: SQLValue, to line: inout String) {
    switch value {
    case .null: line += "null"
    case .integer(let number): line += String(number)
    case .real(let number): line += number.isFinite ? number.description : "null"
    case .text(let text): append(quoting: text, to: &line)
    case .blob(let bytes): line += "{\"base64\": \"\(Base64.encode(bytes))\"}"
    }
  }

  /// Appends rows of values as an array of arrays.
  package static func append(_ rows: [[SQLValue]], to line: inout String) {
    line += "["
    for (i, row) in rows.enumerated() {
      if i > 0 { line += ", " }
      append(row: row, to: &line)
    }
    line += "]"
  }

  package static func append(row: [SQLValue], to line: inout String) {
    line += "["
    for (i, value) in row.enumerated() {
      if i > 0 { line += ", " }
      append(value, to: &line)
    }
    line += "]"
  }
}
