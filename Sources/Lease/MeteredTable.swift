internal import CoreMetrics
package import SluiceShared

/// Counts what is asked of another table.
package struct MeteredTable: LockTable {
  private let base: any LockTable
  private let clock: any Clock
  private let reads, puts, updates, failures: Counter
  private let seconds: Timer

  /// `store`: its directory.
  package init(_ base: any LockTable, store: String, clock: any Clock) {
    self.base = base
    self.clock = clock
    func counter(_ operation: String) -> Counter {
      Measure.lockRequests.counter([("store", store), ("operation", operation)])
    }
    reads = counter("read")
    puts = counter("put")
    updates = counter("update")
    failures = Measure.lockFailures.counter([("store", store)])
    seconds = Measure.lockSeconds.timer([("store", store)])
  }

  package func perform(_ request: LockRequest, atMost limit: Duration) -> Result<
    LockAnswer, LockFailure
  > {
    count(request)
    let began = clock.elapsed()
    let result = base.perform(request, atMost: limit)
    count(result, since: began)
    return result
  }

  package func start(
    _ request: LockRequest, atMost limit: Duration,
    done: @escaping @Sendable (Result<LockAnswer, LockFailure>) -> Void
  ) -> Bool {
    let began = clock.elapsed()
    let isStarted = base.start(request, atMost: limit) { result in
      count(result, since: began)
      done(result)
    }
    if isStarted { count(request) }
    return isStarted
  }

  private func count(_ request: LockRequest) {
    switch request {
    case .read: reads.increment()
    case .put: puts.increment()
    case .update: updates.increment()
    }
  }

  private func count(_ result: Result<LockAnswer, LockFailure>, since began: Duration) {
    switch result {
    case .success: seconds.record(clock.elapsed() - began)
    case .failure: failures.increment()
    }
  }
}
