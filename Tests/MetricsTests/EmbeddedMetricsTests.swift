import CoreMetrics
import SluiceMetrics
import SluiceShared
import Testing

extension JSON {
  fileprivate var array: [JSON]? { if case .array(let elements) = self { elements } else { nil } }
}

@Suite("What is measured goes to CloudWatch as lines of its embedded metric format")
struct EmbeddedMetricsTests {
  private struct Line {
    let json: JSON
    init(_ text: String) throws { json = try JSON.parse(text) }

    /// The names that the directive declares.
    var names: [String] {
      directive?["Metrics"]?.array?.compactMap { $0["Name"]?.string } ?? []
    }
    var dimensions: [String] {
      directive?["Dimensions"]?.array?.first?.array?.compactMap(\.string) ?? []
    }
    private var directive: JSON? { json["_aws"]?["CloudWatchMetrics"]?.array?.first }

    func number(_ name: String) -> Double? {
      switch json[name] {
      case .integer(let number)?: Double(number)
      case .real(let number)?: number
      default: nil
      }
    }
  }

  @Test(
    "Counts are what is new, levels what is so, and of a distribution there is what is new of it")
  func new() throws {
    let registry = MetricsRegistry()
    var metrics = EmbeddedMetrics(registry)
    #expect(metrics.lines(time_ms: 1).isEmpty)
    let store = [("store", "/mnt/\"a\"")]
    let counter = Counter(label: "n_total", dimensions: store, factory: registry)
    let level = Gauge(label: "age_seconds", dimensions: store, factory: registry)
    let timer = Timer(label: "took_seconds", dimensions: store, factory: registry)
    counter.increment(by: 4)
    level.record(2.5)
    timer.recordNanoseconds(1_000_000_000)
    timer.recordNanoseconds(3_000_000_000)
    let first = metrics.lines(time_ms: 1_700_000_000_123)
    #expect(first.count == 1 && first[0].contains("\"Timestamp\": 1700000000123"))
    let line = try Line(first[0])
    #expect(line.dimensions == ["store"])
    #expect(line.json["store"]?.string == "/mnt/\"a\"")
    #expect(
      Set(line.names) == [
        "n_total", "age_seconds", "took_seconds_count", "took_seconds_mean", "took_seconds_max",
      ])
    // What is declared is there.
    #expect(line.names.allSatisfy { line.number($0) != nil })
    #expect(line.number("n_total") == 4 && line.number("age_seconds") == 2.5)
    #expect(line.number("took_seconds_count") == 2 && line.number("took_seconds_mean") == 2)
    #expect(line.number("took_seconds_max") == 3)

    counter.increment()
    timer.recordNanoseconds(500_000_000)
    let second = try Line(try #require(metrics.lines(time_ms: 2).first))
    #expect(second.number("n_total") == 1)
    #expect(second.number("took_seconds_mean") == 0.5 && second.number("took_seconds_max") == 0.5)
    let third = try Line(try #require(metrics.lines(time_ms: 3).first))
    #expect(third.names == ["age_seconds"])
    level.record(Double.nan)
    #expect(metrics.lines(time_ms: 4).isEmpty)
  }

  @Test("A line for each set of dimensions, of 100 metrics at most")
  func lines() throws {
    let registry = MetricsRegistry()
    for n in 0..<150 {
      Counter(label: "n\(n)", dimensions: [("store", "/a")], factory: registry).increment()
    }
    Counter(label: "other", dimensions: [], factory: registry).increment()
    var metrics = EmbeddedMetrics(registry)
    let lines = try metrics.lines(time_ms: 1).map { try Line($0) }
    #expect(lines.map(\.names.count) == [1, 100, 50])
    #expect(lines[0].dimensions.isEmpty)
    #expect(Set(lines.flatMap(\.names)).count == 151)
  }
}
