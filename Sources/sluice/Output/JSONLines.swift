import SluiceShared

/// One JSON object per row, keyed by column name; a repeated name becomes `name:1`, `name:2` …
struct JSONLinesFormat: RowFormat {
  /// Per column what stands before its value: the name in quotes and a colon.
  private let labels: [String]

  init(columns: [String]) {
    labels = JSONLinesFormat.distinct(columns).map { name in
      var label = ""
      JSON.append(quoting: name, to: &label)
      return label + ": "
    }
  }

  func begin(_ output: inout OutputFile) {}

  func write(_ row: [SQLValue], to output: inout OutputFile) throws(StoreError) {
    var line = "{"
    for (i, (label, value)) in zip(labels, row).enumerated() {
      if i > 0 { line += ", " }
      line += label
      JSON.append(value, to: &line)
    }
    try output.write(line + "}\n")
  }

  func end(_ output: inout OutputFile) {}

  private static func distinct(_ columns: [String]) -> [String] {
    var used = Set(columns)
    var seen: Set<String> = []
    return columns.map { column in
      guard !seen.insert(column).inserted else { return column }
      var suffix = 1
      while !used.insert("\(column):\(suffix)").inserted { suffix += 1 }
      return "\(column):\(suffix)"
    }
  }
}
