public import CoreMetrics
internal import SluiceShared
internal import Synchronization

/// What a process has measured, for who asks: a backend of swift-metrics that keeps numbers only.
///
/// `prometheusText` is what Prometheus reads, `EmbeddedMetrics` what CloudWatch does. A metric with the same name
/// and dimensions is one metric, whoever makes it; none is forgotten while the process lives.
public final class MetricsRegistry: MetricsFactory, Sendable {
  /// A metric's name and its dimensions in the order of their names.
  struct Key: Hashable, Comparable {
    var name: String
    var dimensions: [Dimension]

    struct Dimension: Hashable, Comparable {
      var name: String
      var value: String

      static func < (a: Self, b: Self) -> Bool { (a.name, a.value) < (b.name, b.value) }
    }

    static func < (a: Self, b: Self) -> Bool {
      a.name == b.name
        ? a.dimensions.lexicographicallyPrecedes(b.dimensions) : a.name < b.name
    }
  }

  enum Metric: Sendable {
    case count(CountCell)
    case level(LevelCell)
    case distribution(DistributionCell)
  }

  private let metrics = Monitor<[Key: Metric]>([:])

  public init() {}

  var sorted: [(key: Key, metric: Metric)] {
    metrics.withLock { $0.map { (key: $0.key, metric: $0.value) } }.sorted { $0.key < $1.key }
  }

  /// The metric of that name and kind; one apart, which nobody sees, where another kind has the name.
  private func cell<Cell>(
    _ label: String, _ dimensions: [(String, String)], _ known: (Metric) -> Cell?,
    _ make: () -> (Cell, Metric)
  ) -> Cell {
    let key = Key(
      name: label, dimensions: dimensions.map { Key.Dimension(name: $0.0, value: $0.1) }.sorted())
    return metrics.withLock { metrics in
      if let found = metrics[key] { return known(found) ?? make().0 }
      let (cell, metric) = make()
      metrics[key] = metric
      return cell
    }
  }

  // MARK: MetricsFactory

  public func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
    cell(label, dimensions, { if case .count(let cell) = $0 { cell } else { nil } }) {
      let cell = CountCell()
      return (cell, .count(cell))
    }
  }

  public func makeRecorder(label: String, dimensions: [(String, String)], aggregate: Bool)
    -> any RecorderHandler
  {
    guard aggregate else {
      return cell(label, dimensions, { if case .level(let cell) = $0 { cell } else { nil } }) {
        let cell = LevelCell()
        return (cell, .level(cell))
      }
    }
    return distribution(label, dimensions, .sizes)
  }

  public func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
    distribution(label, dimensions, .seconds)
  }

  private func distribution(
    _ label: String, _ dimensions: [(String, String)], _ unit: DistributionCell.Unit
  ) -> DistributionCell {
    cell(label, dimensions, { if case .distribution(let cell) = $0 { cell } else { nil } }) {
      let cell = DistributionCell(unit)
      return (cell, .distribution(cell))
    }
  }

  // Whoever made one may make it again, and what was counted goes on.
  public func destroyCounter(_ handler: any CounterHandler) {}
  public func destroyRecorder(_ handler: any RecorderHandler) {}
  public func destroyTimer(_ handler: any TimerHandler) {}
}

/// What only grows.
final class CountCell: CounterHandler {
  private let count = Atomic<Int64>(0)

  var value: Int64 { count.load(ordering: .relaxed) }
  func increment(by amount: Int64) { count.wrappingAdd(amount, ordering: .relaxed) }
  func reset() { count.store(0, ordering: .relaxed) }
}

/// What is so at this moment; not a number until it is known.
final class LevelCell: RecorderHandler {
  private let bits = Atomic<UInt64>(Double.nan.bitPattern)

  var value: Double { Double(bitPattern: bits.load(ordering: .relaxed)) }
  func record(_ value: Int64) { record(Double(value)) }
  func record(_ value: Double) { bits.store(value.bitPattern, ordering: .relaxed) }
}

/// Many values, as how many are how large.
final class DistributionCell: RecorderHandler, TimerHandler {
  enum Unit: Sendable {
    case seconds, sizes

    /// Upper ends of the buckets; values above all of them are counted, too.
    var bounds: [Double] {
      switch self {
      case .seconds:
        [
          0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5,
          5, 10, 30, 60,
        ]
      case .sizes: (0...16).map { Double(1 << (2 * $0)) }
      }
    }
  }

  struct Values: Sendable {
    /// One more than there are bounds; not cumulative.
    var buckets: [UInt64]
    var count: UInt64 = 0
    var sum = 0.0
    /// The largest since `takeLargest`.
    var largest = 0.0
  }

  let unit: Unit
  private let bounds: [Double]
  private let state: Monitor<Values>

  init(_ unit: Unit) {
    self.unit = unit
    bounds = unit.bounds
    state = Monitor(Values(buckets: Array(repeating: 0, count: unit.bounds.count + 1)))
  }

  var values: Values { state.withLock { $0 } }

  /// What there is, and the largest since the last time this was asked.
  func takeValues() -> Values {
    state.withLock { state in
      defer { state.largest = 0 }
      return state
    }
  }

  func record(_ value: Int64) { record(Double(value)) }

  func record(_ value: Double) {
    let place = bounds.firstIndex { value <= $0 } ?? bounds.count
    state.withLock { state in
      state.buckets[place] += 1
      state.count += 1
      state.sum += value
      state.largest = max(state.largest, value)
    }
  }

  func recordNanoseconds(_ duration: Int64) { record(Double(duration) / 1e9) }
}
