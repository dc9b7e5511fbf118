import BenchmarkSupport

/// The table's text.
enum Table {
  static let head =
    cells("", "work", "against", "aim", "measured", "")
    + "ours / baseline\n" + String(repeating: "─", count: 160)

  static func line(_ row: Row, _ result: Result) -> String {
    let ratio = result.ratios.median
    let spread = "\(text(result.ratios.least))–\(text(result.ratios.greatest))"
    let verdict = row.aim.isMet(by: ratio) ? "✓" : "MISSED"
    var figures = "\(row.text(result.ours)) / \(row.text(result.baseline)), \(spread)"
    for note in result.notes { figures += "; \(note.name) \(note.text)" }
    if let limit = result.limit {
      let share = text(result.ours / limit.value)
      figures += "; limit \(row.text(limit.value)), \(limit.name): \(share) of it"
    }
    if !row.aim.isMet(by: ratio), let cause = result.cause ?? row.cause {
      figures += "; missed because \(cause)"
    }
    return cells("\(row.number)", row.work, row.against, row.aim.text, text(ratio), verdict)
      + figures
  }

  static func line(_ row: Row, _ skipped: Skipped) -> String {
    cells("\(row.number)", row.work, row.against, row.aim.text, "", "skipped") + skipped.reason
  }

  private static func cells(
    _ number: String, _ work: String, _ against: String, _ aim: String, _ ratio: String,
    _ verdict: String
  ) -> String {
    padded(number, 2) + padded(work, 52) + padded(against, 56) + padded(aim, 8)
      + padded(ratio, 9) + padded(verdict, 8)
  }

  private static func padded(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(1, width - text.count))
  }

  /// A ratio with two digits that count, or two decimals.
  fileprivate static func text(_ ratio: Double) -> String {
    fixed(ratio, ratio < 0.1 ? 3 : ratio < 10 ? 2 : 1)
  }
}

extension Row {
  fileprivate func text(_ value: Double) -> String {
    switch unit {
    case .perSecond: rate(value)
    case .microseconds: time(microseconds: value)
    case .megabytesPerSecond: "\(fixed(value, 0)) MB/s"
    case .megabytes: "\(fixed(value, 0)) MB"
    }
  }
}

extension Row.Aim {
  fileprivate var text: String {
    switch self {
    case .atLeast(let bound): "≥ " + number(bound)
    case .atMost(let bound): "≤ " + number(bound)
    }
  }

  private func number(_ value: Double) -> String {
    value == value.rounded() ? fixed(value, 0) : "\(value)"
  }
}
