public import SluiceShared

/// The default lease: the beacon is the heartbeat, and nothing else is needed.
///
/// A standby claims when it saw the holder's beacon released, or unchanged for the lease time by its
/// own boot-time clock. No two clocks are ever compared.
public final class FileLease: Lease {
  private let duration: Duration
  private let environment: Environment
  private var seen: LeaseObservation?
  private var unchangedSince: Duration = .zero
  private var deadline: Duration = .zero

  public init(duration: Duration, environment: Environment) {
    self.duration = duration
    self.environment = environment
  }

  public func mayClaim(_ observation: LeaseObservation) -> Bool {
    let now = environment.clock.elapsed()
    if observation != seen {
      seen = observation
      unchangedSince = now - observation.silence
    }
    // A holder that has been given a longer lease than this process may rest for longer.
    let patience = max(duration, min(observation.nextBeat, Limits.longestRestingBeat) * 5 / 4)
    return observation.isReleased || now - unchangedSince >= patience
  }

  public func claimed(at started: Duration) { deadline = started + duration }

  public func renew(beatStarted started: Duration) -> Bool {
    guard started <= deadline else { return false }
    let from =
      environment.makes(.renewalFromRequest) ? started : environment.clock.elapsed()
    deadline = from + duration
    return true
  }

  public func release() { seen = nil }

  /// One beat may fail, and the next is in time.
  public var longestPauseBetweenBeats: Duration? { duration * 2 / 5 }
}
