import CoreMetrics
import SluiceMetrics
import SluiceShared
import Testing

@Suite("What is measured is shown to Prometheus in its text format")
struct PrometheusTextTests {
  @Test("Counts, levels and distributions, each with its help and type once")
  func kinds() {
    let registry = MetricsRegistry()
    for store in ["/a", "/b"] {
      let dimensions = [("store", store)]
      let counter = Counter(
        label: Measure.terms.rawValue, dimensions: dimensions, factory: registry)
      counter.increment(by: store == "/a" ? 3 : 5)
      Gauge(label: Measure.backlogBatches.rawValue, dimensions: dimensions, factory: registry)
        .record(store == "/a" ? 1.5 : Double.nan)
    }
    let text = registry.prometheusText
    #expect(
      text == """
        # HELP sluice_backlog_batches Batches that are durable and not applied.
        # TYPE sluice_backlog_batches gauge
        sluice_backlog_batches{store="/a"} 1.5
        sluice_backlog_batches{store="/b"} NaN
        # HELP sluice_terms_total Terms that this process began.
        # TYPE sluice_terms_total counter
        sluice_terms_total{store="/a"} 3
        sluice_terms_total{store="/b"} 5

        """)
  }

  @Test("Buckets of a histogram are cumulative, and end with all")
  func histogram() {
    let registry = MetricsRegistry()
    let timer = Timer(label: "took_seconds", dimensions: [], factory: registry)
    for milliseconds in [1, 2, 3, 700, 90_000] as [Int64] {
      timer.recordNanoseconds(milliseconds * 1_000_000)
    }
    let lines = registry.prometheusText.split(separator: "\n").map { String($0) }
    #expect(lines.contains("took_seconds_bucket{le=\"0.0005\"} 0"))
    // An upper end belongs to its bucket.
    #expect(lines.contains("took_seconds_bucket{le=\"0.001\"} 1"))
    #expect(lines.contains("took_seconds_bucket{le=\"0.005\"} 3"))
    #expect(lines.contains("took_seconds_bucket{le=\"1.0\"} 4"))
    #expect(lines.contains("took_seconds_bucket{le=\"60.0\"} 4"))
    #expect(lines.contains("took_seconds_bucket{le=\"+Inf\"} 5"))
    #expect(lines.contains("took_seconds_count 5"))
    #expect(lines.contains("took_seconds_sum 90.706"))
  }

  @Test("The same name and dimensions are one metric, in whatever order they are given")
  func same() {
    let registry = MetricsRegistry()
    for dimensions in [[("a", "1"), ("b", "2")], [("b", "2"), ("a", "1")]] {
      Counter(label: "n", dimensions: dimensions, factory: registry).increment()
    }
    #expect(registry.prometheusText == "# TYPE n counter\nn{a=\"1\",b=\"2\"} 2\n")
    // Another kind under the same name disturbs nothing.
    Timer(label: "n", dimensions: [("a", "1"), ("b", "2")], factory: registry)
      .recordNanoseconds(1)
    #expect(registry.prometheusText.hasSuffix(" 2\n"))
  }

  @Test("Names and values that the format does not take are mended")
  func escaped() {
    let registry = MetricsRegistry()
    Counter(label: "1.a-b", dimensions: [("sto re", "a\"b\\c\nd")], factory: registry).increment()
    #expect(
      registry.prometheusText == """
        # TYPE _1_a_b counter
        _1_a_b{sto_re="a\\"b\\\\c\\nd"} 1

        """)
  }

  @Test("Every measure says what it is")
  func help() {
    for measure in Measure.allCases {
      #expect(measure.help.hasSuffix("."))
      #expect(measure.rawValue.hasPrefix("sluice_"))
    }
  }
}
