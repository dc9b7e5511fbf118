internal import SluiceShared

/// What was measured since the last time, as lines in CloudWatch's embedded metric format: whoever sends a
/// process's output to CloudWatch Logs has the metrics.
///
/// A line for each set of dimensions. Counts are what came since the last time, levels what is so now; of a
/// distribution there are its count, its mean and its largest value. What did not change has no line.
/// Not safe to use from two threads at once.
public struct EmbeddedMetrics {
  private let registry: MetricsRegistry
  private let namespace: String
  private var counts: [MetricsRegistry.Key: Int64] = [:]
  private var distributions: [MetricsRegistry.Key: DistributionCell.Values] = [:]

  public init(_ registry: MetricsRegistry, namespace: String = "Sluice") {
    self.registry = registry
    self.namespace = namespace
  }

  private struct Value {
    var name: String
    var unit: String
    var number: Double
  }

  /// Lines without their ends; `time_ms` is the present.
  public mutating func lines(time_ms: Int64) -> [String] {
    var lines: [[MetricsRegistry.Key.Dimension]: [Value]] = [:]
    for (key, metric) in registry.sorted {
      let values = values(key, metric)
      if !values.isEmpty { lines[key.dimensions, default: []] += values }
    }
    return lines.sorted { $0.key.lexicographicallyPrecedes($1.key) }.flatMap { dimensions, values in
      stride(from: 0, to: values.count, by: Limits.metricsPerLine).map { start in
        line(dimensions, values[start...].prefix(Limits.metricsPerLine), time_ms)
      }
    }
  }

  private mutating func values(_ key: MetricsRegistry.Key, _ metric: MetricsRegistry.Metric)
    -> [Value]
  {
    switch metric {
    case .count(let cell):
      let count = cell.value
      let before = counts.updateValue(count, forKey: key) ?? 0
      // One that was reset begins anew.
      let new = count >= before ? count - before : count
      return new == 0 ? [] : [Value(name: key.name, unit: "Count", number: Double(new))]
    case .level(let cell):
      let level = cell.value
      let unit = key.name.hasSuffix("_seconds") ? "Seconds" : "None"
      return level.isFinite ? [Value(name: key.name, unit: unit, number: level)] : []
    case .distribution(let cell):
      let values = cell.takeValues()
      let before = distributions.updateValue(values, forKey: key)
      let count = values.count - (before?.count ?? 0)
      guard count > 0 else { return [] }
      let unit = cell.unit == .seconds ? "Seconds" : "None"
      return [
        Value(name: "\(key.name)_count", unit: "Count", number: Double(count)),
        Value(
          name: "\(key.name)_mean", unit: unit,
          number: (values.sum - (before?.sum ?? 0)) / Double(count)),
        Value(name: "\(key.name)_max", unit: unit, number: values.largest),
      ]
    }
  }

  private func line(
    _ dimensions: [MetricsRegistry.Key.Dimension], _ values: ArraySlice<Value>, _ time_ms: Int64
  ) -> String {
    let names = dimensions.map { quoted($0.name) }.joined(separator: ", ")
    let metrics = values.map {
      "{\"Name\": \(quoted($0.name)), \"Unit\": \"\($0.unit)\"}"
    }.joined(separator: ", ")
    let members =
      dimensions.map { "\(quoted($0.name)): \(quoted($0.value))" }
      + values.map { "\(quoted($0.name)): \($0.number)" }
    return
      "{\"_aws\": {\"Timestamp\": \(time_ms), \"CloudWatchMetrics\": [{\"Namespace\": \(quoted(namespace)), \"Dimensions\": [[\(names)]], \"Metrics\": [\(metrics)]}]}, \(members.joined(separator: ", "))}"
  }
}

private func quoted(_ text: String) -> String {
  var line = ""
  JSON.append(quoting: text, to: &line)
  return line
}
