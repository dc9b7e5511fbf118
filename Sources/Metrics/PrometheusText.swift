internal import SluiceShared

extension MetricsRegistry {
  /// The content type of `prometheusText`.
  public static let prometheusType = "text/plain; version=0.0.4; charset=utf-8"

  /// What there is now, in Prometheus' text format.
  public var prometheusText: String {
    var text = ""
    var last: String?
    for (key, metric) in sorted {
      if key.name != last {
        last = key.name
        let name = Self.name(key.name)
        if let help = Measure(rawValue: key.name)?.help {
          text += "# HELP \(name) \(Self.escaped(help, quotes: false))\n"
        }
        text += "# TYPE \(name) \(metric.prometheusType)\n"
      }
      metric.write(Self.name(key.name), key.dimensions, to: &text)
    }
    return text
  }

  /// A name in which only letters, digits, `_` and `:` are left.
  static func name(_ label: String) -> String {
    let name = String(
      label.unicodeScalars.map { scalar in
        let isAllowed =
          scalar.isASCII && (scalar.properties.isAlphabetic || ("0"..."9").contains(scalar))
          || scalar == "_" || scalar == ":"
        return isAllowed ? Character(scalar) : "_"
      })
    return name.first?.isNumber ?? true ? "_\(name)" : name
  }

  static func escaped(_ text: String, quotes: Bool = true) -> String {
    var escaped = ""
    for character in text.unicodeScalars {
      switch character {
      case "\\": escaped += "\\\\"
      case "\n": escaped += "\\n"
      case "\"" where quotes: escaped += "\\\""
      default: escaped.unicodeScalars.append(character)
      }
    }
    return escaped
  }
}

extension MetricsRegistry.Metric {
  fileprivate var prometheusType: String {
    switch self {
    case .count: "counter"
    case .level: "gauge"
    case .distribution: "histogram"
    }
  }

  fileprivate func write(
    _ name: String, _ dimensions: [MetricsRegistry.Key.Dimension], to text: inout String
  ) {
    switch self {
    case .count(let cell): text += "\(name)\(labels(dimensions)) \(cell.value)\n"
    case .level(let cell): text += "\(name)\(labels(dimensions)) \(number(cell.value))\n"
    case .distribution(let cell):
      let values = cell.values
      var count: UInt64 = 0
      for (bound, bucket) in zip(cell.unit.bounds.map(number) + ["+Inf"], values.buckets) {
        count += bucket
        text += "\(name)_bucket\(labels(dimensions, ("le", bound))) \(count)\n"
      }
      text += "\(name)_sum\(labels(dimensions)) \(number(values.sum))\n"
      text += "\(name)_count\(labels(dimensions)) \(values.count)\n"
    }
  }

  private func labels(
    _ dimensions: [MetricsRegistry.Key.Dimension], _ last: (String, String)? = nil
  ) -> String {
    var parts = dimensions.map {
      "\(MetricsRegistry.name($0.name))=\"\(MetricsRegistry.escaped($0.value))\""
    }
    if let last { parts.append("\(last.0)=\"\(last.1)\"") }
    return parts.isEmpty ? "" : "{\(parts.joined(separator: ","))}"
  }

  private func number(_ value: Double) -> String {
    if value.isNaN { return "NaN" }
    if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
    return "\(value)"
  }
}
