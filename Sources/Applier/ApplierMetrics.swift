internal import CoreMetrics
internal import SluiceJournal
internal import SluiceShared

/// What is measured of an applier.
struct ApplierMetrics: Sendable {
  private let store: Measure.Dimensions
  private let leading, leaseAge: Gauge
  private let terms, lostTerms: Counter
  private let backlogBatches, backlogBytes, oldestBatch, journalWriters: Gauge
  private let txid, rejected, quarantined, ignored, missing: Gauge
  private let hintsReceived, hintsUseful, hintsSent: Gauge
  private let commitSeconds: Timer
  private let commitBatches, commitBytes: Recorder
  let checkpoints, checkpointFailures: Counter

  init(_ layout: StoreLayout) {
    let store = [("store", layout.root)]
    self.store = store
    leading = Measure.leading.gauge(store)
    leaseAge = Measure.leaseAge.gauge(store)
    terms = Measure.terms.counter(store)
    lostTerms = Measure.lostTerms.counter(store)
    backlogBatches = Measure.backlogBatches.gauge(store)
    backlogBytes = Measure.backlogBytes.gauge(store)
    oldestBatch = Measure.oldestBatch.gauge(store)
    journalWriters = Measure.journalWriters.gauge(store)
    txid = Measure.txid.gauge(store)
    rejected = Measure.rejected.gauge(store)
    quarantined = Measure.quarantined.gauge(store)
    ignored = Measure.ignored.gauge(store)
    missing = Measure.missing.gauge(store)
    hintsReceived = Measure.hintsReceived.gauge(store)
    hintsUseful = Measure.hintsUseful.gauge(store)
    hintsSent = Measure.hintsSent.gauge(store)
    commitSeconds = Measure.commitSeconds.timer(store)
    commitBatches = Measure.commitBatches.sizes(store)
    commitBytes = Measure.commitBytes.sizes(store)
    checkpoints = Measure.checkpoints.counter(store)
    checkpointFailures = Measure.checkpointFailures.counter(store)
    leading.record(0)
  }

  func termBegan() {
    terms.increment()
    leading.record(1)
  }

  /// What only who leads knows is not known here any more.
  func termEnded(isLost: Bool) {
    if isLost { lostTerms.increment() }
    leading.record(0)
    for gauge in [backlogBatches, backlogBytes, oldestBatch, journalWriters] {
      gauge.record(Double.nan)
    }
  }

  /// The beacon has been what it is for `age`, or was until now.
  func sees(beatAge age: Duration) {
    leaseAge.record(Double(age.wholeMilliseconds) / 1000)
  }

  func publishes(_ beacon: Beacon) {
    let status = beacon.status
    txid.record(Double(beacon.extent.txid.rawValue))
    backlogBatches.record(Double(status.backlogBatches))
    backlogBytes.record(Double(status.backlogBytes))
    oldestBatch.record(Double(status.oldest_ms) / 1000)
    journalWriters.record(status.writers)
    rejected.record(Double(status.rejected))
    quarantined.record(status.quarantined)
    ignored.record(Double(status.ignored))
    missing.record(Double(status.missing))
    hintsReceived.record(Double(status.hints.received))
    hintsUseful.record(Double(status.hints.useful))
    hintsSent.record(Double(status.hints.sent))
  }

  func committed(_ batches: Int, bytes: Int64, in duration: Duration) {
    commitSeconds.record(duration)
    guard batches > 0 else { return }
    commitBatches.record(batches)
    // A commit that begins a segment of its own is not measured so.
    if bytes > 0 { commitBytes.record(bytes) }
  }
}
