internal import CoreMetrics
internal import SluiceJournal
internal import SluiceShared

/// What is measured of a store that is open for reading in this process.
struct ReaderMetrics: Sendable {
  private let refresh: Timer
  /// Handed out with nothing asked; with what another caller had asked; asked for itself.
  let cached, shared, refreshed: Counter

  init(_ layout: StoreLayout) {
    refresh = Measure.refreshSeconds.timer([("store", layout.root)])
    func counter(_ source: String) -> Counter {
      Measure.snapshots.counter([("store", layout.root), ("source", source)])
    }
    cached = counter("cache")
    shared = counter("shared")
    refreshed = counter("refresh")
  }

  func refreshed(since begin_ns: UInt64, _ clock: any Clock) {
    refresh.recordNanoseconds(clock.bootTime_ns() - begin_ns)
    refreshed.increment()
  }
}
