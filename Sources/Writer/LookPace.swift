internal import SluiceShared

/// When the poller looks next: often where somebody just came, seldom where nothing happens. Under the
/// poller's lock.
struct LookPace {
  /// When it was last looked.
  private(set) var looked_ns: UInt64
  /// When an outcome was last found, or it was looked whether the segments are there.
  private(set) var progress_ns: UInt64
  /// When the newest waiter came.
  private var newest_ns: UInt64 = 0
  /// When the first waiter came since it was last looked.
  private var first_ns: UInt64?
  /// How long outcomes take lately, from the newest waiter's coming; a moving average.
  private var usual_ns: UInt64 = 0
  /// A waiter came since the last pause began.
  private(set) var hasNew = false

  private static let shortestPause = Duration.microseconds(50)
  private static let longestPause = Duration.milliseconds(50)
  private static let hintedPause = Duration.milliseconds(250)
  /// After this long without a look the follower is brought up to date, so that it never has far to
  /// go: a batch's outcome lies behind where it stood when the batch was submitted.
  private static let staleness_ns: UInt64 = 1_000_000_000
  /// After this long without an outcome it is looked whether what is waited for is still in the journal.
  private static let lossPause_ns: UInt64 = 15_000_000_000

  init(looked_ns: UInt64) {
    self.looked_ns = looked_ns
    progress_ns = looked_ns
  }

  /// The follower may have fallen behind.
  func isStale(at now_ns: UInt64) -> Bool { now_ns - min(now_ns, looked_ns) > Self.staleness_ns }

  /// `isNew` false: one that goes on to wait. It interrupts a pause, which may be longer than it waits.
  mutating func waiterCame(at now_ns: UInt64, isNew: Bool) {
    if isNew {
      newest_ns = now_ns
      first_ns = first_ns ?? now_ns
    }
    hasNew = true
  }

  /// `finds`: outcomes were found.
  mutating func looked(at now_ns: UInt64, finds: Bool) {
    looked_ns = now_ns
    first_ns = nil
    if finds { progress_ns = now_ns }
  }

  /// Waiters were answered.
  mutating func answered(at now_ns: UInt64) {
    usual_ns = usual_ns / 8 * 7 + (now_ns - min(now_ns, newest_ns)) / 8
  }

  /// Whether what is waited for may be lost; once in a while.
  mutating func doubtsLoss(at now_ns: UInt64) -> Bool {
    guard now_ns - min(now_ns, progress_ns) > Self.lossPause_ns else { return false }
    progress_ns = now_ns
    return true
  }

  /// When to look next. The pause is the longer the longer the newest waiter has waited; at first half of
  /// what outcomes usually take, since looking earlier finds nothing and takes the processor from the
  /// applier, or its share of reads from the file server. `jitter`: of 256. `isHinted`: a hint is to tell of
  /// what is new, and a look is made only in case it does not; `isOnHost`: of a leader on this host.
  mutating func due_ns(at now_ns: UInt64, jitter: Int, isHinted: Bool, isOnHost: Bool = false)
    -> UInt64
  {
    hasNew = false
    let waited = Duration.nanoseconds(Int64(now_ns - min(now_ns, newest_ns)))
    if isHinted {
      // As of the last look: what grows with each time that it is asked would be due a moment later each time.
      let begun_ns = max(looked_ns, first_ns ?? 0)
      let waited = Duration.nanoseconds(Int64(begun_ns - min(begun_ns, newest_ns)))
      let longest = isOnHost ? Limits.longestHintedPauseOnHost : Limits.longestHintedPause
      return begun_ns.saturating(
        adding: min(max(waited, Self.hintedPause), longest) * jitter / 256)
    }
    let usual = Duration.nanoseconds(Int64(min(usual_ns, 1_000_000_000)))
    let eager = max(waited / 64, usual / 32, Self.shortestPause)
    let pause = min(max(eager, usual / 2 - waited), Self.longestPause)
    return looked_ns.saturating(adding: pause * jitter / 256)
  }
}

extension UInt64 {
  /// Nanoseconds, `duration` later; never, where that is very long.
  func saturating(adding duration: Duration) -> UInt64 {
    let (seconds, attoseconds) = duration.components
    guard seconds >= 0, attoseconds >= 0 else { return self }
    guard seconds < 1 << 32 else { return .max }
    return self + UInt64(seconds) * 1_000_000_000 + UInt64(attoseconds / 1_000_000_000)
  }
}
