/// Measured values, to ask for quantiles of.
package struct Sample: Sendable {
  private var sorted: [Double]

  package init(_ values: some Sequence<Double>) { sorted = values.sorted() }

  package var count: Int { sorted.count }
  package var median: Double { quantile(0.5) }
  package var least: Double { sorted.first ?? .nan }
  package var greatest: Double { sorted.last ?? .nan }

  /// The smallest value that at least the fraction `q` of all is not greater than.
  package func quantile(_ q: Double) -> Double {
    guard !sorted.isEmpty else { return .nan }
    let rank = (q * Double(sorted.count)).rounded(.up)
    return sorted[min(max(0, Int(rank) - 1), sorted.count - 1)]
  }
}

/// `value` with `digits` decimals.
package func fixed(_ value: Double, _ digits: Int) -> String {
  guard value.isFinite else { return "–" }
  var scale = 1.0
  for _ in 0..<digits { scale *= 10 }
  let scaled = Int64((value.magnitude * scale).rounded())
  let sign = value < 0 && scaled != 0 ? "-" : ""
  let whole = grouped(scaled / Int64(scale))
  guard digits > 0 else { return sign + whole }
  let fraction = String(scaled % Int64(scale))
  return sign + whole + "." + String(repeating: "0", count: digits - fraction.count) + fraction
}

/// `value` with a comma between groups of three digits.
package func grouped(_ value: some BinaryInteger) -> String {
  var text = ""
  for (i, digit) in String(value).reversed().enumerated() {
    if i > 0, i % 3 == 0, digit != "-" { text.append(",") }
    text.append(digit)
  }
  return String(text.reversed())
}

/// Microseconds in the unit that suits their size, with about three digits.
package func time(microseconds value: Double) -> String {
  switch value {
  case ..<10: fixed(value, 2) + " µs"
  case ..<100: fixed(value, 1) + " µs"
  case ..<1000: fixed(value, 0) + " µs"
  case ..<10_000: fixed(value / 1000, 2) + " ms"
  case ..<1_000_000: fixed(value / 1000, 0) + " ms"
  default: fixed(value / 1_000_000, 2) + " s"
  }
}

/// Something that happens so many times a second, with about three digits.
package func rate(_ perSecond: Double) -> String {
  switch perSecond {
  case ..<1000: fixed(perSecond, 0) + "/s"
  case ..<100_000: fixed(perSecond / 1000, 1) + " k/s"
  default: fixed(perSecond / 1000, 0) + " k/s"
  }
}
