import Logging
import SluiceApplier
import SluiceFakes
import SluiceJournal
import SluiceLease
import SluiceShared

extension World {
  /// An applier process: stands by and leads until it is stopped, dies or fails.
  func applier(_ life: Life) throws {
    let options = applierOptions(life)
    let applier = try Applier(
      path: World.layout.root, options: options, lease: lease(life), environment: life.environment)
    // Now and then one is told to stop in order.
    let stopsAt_ns =
      scheduler.random.chance(0.3)
      ? scheduler.now_ns + UInt64(scheduler.random.below(20_000_000_000)) : UInt64.max
    try applier.run { [self] in life.isGone || isCalm || scheduler.now_ns > stopsAt_ns }
  }

  func applierOptions(_ life: Life) -> ApplierOptions {
    var options = ApplierOptions(holder: life.name, logger: logger(life))
    options.leaseTime = plan.lease
    options.beat = plan.lease / 5
    options.standbyPoll = plan.lease / 10
    options.retireAfter = plan.silence
    options.checkpointBytes = plan.checkpointBytes
    options.segmentBytes = plan.logSegmentBytes
    options.cacheBytes = 256 << 10
    options.beforeBatch = { [self] (batch) throws(StoreError) in
      try poison.meets(batch, life.process)
    }
    return options
  }

  private func lease(_ life: Life) -> any Lease {
    if plan.hasFakeLease {
      return FakeLease(life.environment.random) { [self] in began() }
    }
    return fileLease(life, plan.lease)
  }

  func fileLease(_ life: Life, _ duration: Duration) -> any Lease {
    WatchedLease(
      FileLease(duration: duration, environment: life.environment), duration,
      claimed: { [self] in began() }, violated: { [self] in oracle.violate("\(life.name) \($0)") })
  }

  private func logger(_ life: Life) -> Logger {
    Logger(label: life.name) { [self] name in
      TracingLogHandler { text in self.note("\(name): \(text)") }
    }
  }
}

/// Grants and refuses the lease as it likes: late, never, or to several at once.
private final class FakeLease: Lease {
  private let random: () -> UInt64
  private let didClaim: () -> Void

  init(_ random: @escaping () -> UInt64, didClaim: @escaping () -> Void) {
    self.random = random
    self.didClaim = didClaim
  }

  func mayClaim(_ seen: LeaseObservation) -> Bool { random() % 4 == 0 }
  func claimed(at started: Duration) { didClaim() }
  func renew(beatStarted started: Duration) -> Bool { random() % 40 != 0 }
  func release() {}
}

/// The real lease, with what its holder may assume checked: that it leads only as long as a beat was
/// *begun* within the lease time before.
private final class WatchedLease: Lease {
  private let base: any Lease
  private let duration: Duration
  private let didClaim: () -> Void
  private let violated: (String) -> Void
  private var lastStart: Duration = .zero

  init(
    _ base: any Lease, _ duration: Duration, claimed: @escaping () -> Void,
    violated: @escaping (String) -> Void
  ) {
    self.base = base
    self.duration = duration
    didClaim = claimed
    self.violated = violated
  }

  func mayClaim(_ seen: LeaseObservation) throws(StoreError) -> Bool { try base.mayClaim(seen) }

  func claimed(at started: Duration) throws(StoreError) {
    if lastStart < started { didClaim() }
    lastStart = started
    try base.claimed(at: started)
  }

  func renew(beatStarted started: Duration) throws(StoreError) -> Bool {
    guard try base.renew(beatStarted: started) else { return false }
    if started > lastStart + duration {
      violated("led on although its lease had run out \(started - lastStart - duration) before")
    }
    lastStart = started
    return true
  }

  func release() throws(StoreError) { try base.release() }
}

/// Puts what is logged into the run's trace.
private struct TracingLogHandler: LogHandler {
  let write: @Sendable (String) -> Void
  var metadata: Logger.Metadata = [:]
  var logLevel = Logger.Level.debug

  init(_ write: @escaping @Sendable (String) -> Void) { self.write = write }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    let parts = (event.metadata ?? [:]).sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }
    write("\(event.message)\(parts.joined())")
  }
}
