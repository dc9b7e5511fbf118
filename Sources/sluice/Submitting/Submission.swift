import SluiceJournal
import SluiceShared
import SluiceWriter

/// Submits batches of this process to one store and reports what became of them, in order.
struct Submission {
  let store: String
  /// Otherwise only until they are durable.
  let waitsForOutcome: Bool
  /// How long to wait for a batch's outcome from when it is durable, and for room before that.
  let timeout: Seconds
  /// nil: batches wait for an applier.
  var assistance: SubmitAssistance?

  var options: Writer.Options {
    var options = Writer.Options()
    options.followsOutcomes = waitsForOutcome
    options.whenBacklogFull = .wait(atMost: timeout.duration)
    options.fullDiskPatience = min(options.fullDiskPatience, timeout.duration)
    options.assistant = assistance?.whileWaiting
    return options
  }

  /// Submits one batch with the fewest file operations.
  func submitOnce(_ input: InputBatch, _ printer: inout ReportPrinter) throws(StoreError) {
    let (writer, results) = try Writer.submitOnce(store: store, [input.batch], options: options)
    var collector = OutcomeCollector(self, writer)
    for result in results {
      let submitted = SubmittedBatch(
        input: input, result: result, at: SystemClock().elapsed())
      if let report = collector.report(of: submitted) {
        try printer.print(report, of: input)
      }
    }
    try collector.finish()
  }

  /// Submits one batch of the command's own, and waits for what becomes of it.
  func outcome(of batch: Batch) throws(StoreError) -> BatchReport {
    let (writer, results) = try Writer.submitOnce(store: store, [batch], options: options)
    var collector = OutcomeCollector(self, writer)
    var report: BatchReport?
    for result in results {
      let input = InputBatch(batch: batch, input: "the batch", line: 1, isFromFile: false)
      report =
        collector.report(
          of: SubmittedBatch(input: input, result: result, at: SystemClock().elapsed())) ?? report
    }
    try collector.finish()
    guard let report else { throw StoreError(.io, "no outcome of the batch came", path: store) }
    return report
  }

  /// Submits all batches of `source`, many at once. After an error, a time-out included, nothing more
  /// is submitted; what was submitted before is reported, and the error says where to go on.
  func submitAll<Source: BatchSource & ~Copyable>(
    _ source: consuming Source, _ printer: inout ReportPrinter
  ) throws(StoreError) {
    let writer = try Writer(store: store, options: options)
    let stream = SubmitStream()
    let feed = BatchFeed(source)
    // A thread that is not waited for: it may hang in a terminal or a pipe when all is over.
    startThread { stream.read { () throws(StoreError) in try feed.next() } }
    let submitting = ThreadExecutor.shared.start { stream.submit(to: writer) }

    var collector = OutcomeCollector(self, writer)
    while let submitted = stream.next() {
      if let report = collector.report(of: submitted) {
        try printer.print(report, of: submitted.input)
      }
      if collector.hasFailed { stream.stop() }
      stream.finished(submitted)
    }
    submitting.wait()
    writer.closeBlocking()
    try collector.finish(stream.end)
  }
}

/// A source that the reading thread can have.
private final class BatchFeed<Source: BatchSource & ~Copyable>: @unchecked Sendable {
  // Sendable: after `init` only the one thread that calls `next` touches it.
  private var source: Source

  init(_ source: consuming Source) { self.source = source }

  func next() throws(StoreError) -> InputBatch? { try source.next() }
}
