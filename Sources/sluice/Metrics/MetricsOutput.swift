import ArgumentParser
import CoreMetrics
import SluiceMetrics
import SluiceShared

/// Where the metrics of `apply` go. Without one of these options nothing is measured.
struct MetricsOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Show metrics to Prometheus, at /metrics of a numeric address and port, as 127.0.0.1:9464 or [::]:9464.",
      valueName: "ADDRESS"))
  var metrics: MetricsAddress?

  @Option(
    help: ArgumentHelp(
      "Print metrics to standard output every S seconds, as lines in CloudWatch's embedded metric format.",
      valueName: "S"))
  var metricsLines: Seconds?

  func validate() throws {
    if let metricsLines, metricsLines.duration < .seconds(1) {
      throw ValidationError("--metrics-lines is 1 second at least, not \(metricsLines)")
    }
  }

  /// Begins to measure; nil where nobody wants it. Before anything of a store is opened.
  func start() throws(StoreError) -> MetricsOutput? {
    guard metrics != nil || metricsLines != nil else { return nil }
    let registry = MetricsRegistry()
    MetricsSystem.bootstrap(registry)
    return MetricsOutput(
      server: try metrics.map { (address) throws(StoreError) in
        try MetricsServer(registry, host: address.host, port: address.port)
      }, lines: metricsLines.map { MetricsLines(registry, every: $0.duration) })
  }
}

/// Metrics go out while this is there.
struct MetricsOutput {
  let server: MetricsServer?
  let lines: MetricsLines?

  /// Where Prometheus is answered.
  var port: UInt16? { server?.port }

  /// What was measured last goes out, too.
  func finish() { lines?.finish() }
}

/// Lines for CloudWatch, on a thread of their own.
final class MetricsLines: Sendable {
  private struct State {
    var isFinished = false
    var isDone = false
  }

  private let state = Monitor(State())

  init(_ registry: MetricsRegistry, every interval: Duration) {
    startThread { [state] in
      var metrics = EmbeddedMetrics(registry)
      var output = OutputFile()
      var isLast = false
      while !isLast {
        isLast = state.wait(atMost: interval) { $0.isFinished ? true : nil } ?? false
        for line in metrics.lines(time_ms: SystemClock().wallTime_ms()) {
          // Where nobody reads them, the applier goes on.
          try? output.write(line + "\n")
        }
        try? output.flush()
      }
      state.withLock { $0.isDone = true }
      state.wakeAll()
    }
  }

  func finish() {
    state.withLock { $0.isFinished = true }
    state.wakeAll()
    _ = state.wait(atMost: .seconds(5)) { $0.isDone ? () : nil }
  }
}
