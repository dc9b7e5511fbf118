internal import CoreMetrics
internal import SluiceJournal
internal import SluiceShared

/// What is measured of the writers of a store in this process.
struct WriterMetrics: Sendable {
  private let submit: Timer
  private let failures: Counter
  private let flushBatches: Recorder
  private let flushBytes: Recorder

  init(_ layout: StoreLayout) {
    let store = [("store", layout.root)]
    submit = Measure.submitSeconds.timer(store)
    failures = Measure.submitFailures.counter(store)
    flushBatches = Measure.flushBatches.sizes(store)
    flushBytes = Measure.flushBytes.sizes(store)
  }

  /// What a submit that began at `begin_ns` (boot time) came to.
  func noted<R>(_ result: Result<R, StoreError>, since begin_ns: UInt64, _ clock: any Clock)
    -> Result<R, StoreError>
  {
    switch result {
    case .success: submit.recordNanoseconds(clock.bootTime_ns() - begin_ns)
    case .failure: failures.increment()
    }
    return result
  }

  func flushed(_ batches: Int, _ bytes: Int) {
    flushBatches.record(batches)
    flushBytes.record(bytes)
  }
}
