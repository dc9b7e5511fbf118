package import SluiceShared

/// The default lease: the beacon is the heartbeat, and nothing else is needed.
///
/// A standby claims when it saw the holder's beacon released, or unchanged for the lease time by its
/// own boot-time clock. No two clocks are ever compared.
///
/// A holder at rest that a standby asks by hints makes a beat less often than once in a lease, and its beacon says
/// so. A standby that was answered and is answered no more claims when a lease has passed since the last
/// answer. One that was never answered waits for as long as the beacon says. So hints shorten that wait, and never make
/// it longer: forged answers delay nobody beyond what is written in the store. Where answers are lost, the standby
/// asks more seldom (`HintLine`), and the holder, which takes it for gone, makes its beats as often as without hints: it is
/// not claimed from while it lives.
package final class FileLease: Lease {
  private let duration: Duration
  private let environment: Environment
  private var seen: LeaseObservation?
  private var unchangedSince: Duration = .zero
  private var deadline: Duration = .zero

  package init(duration: Duration, environment: Environment) {
    self.duration = duration
    self.environment = environment
  }

  package func mayClaim(_ observation: LeaseObservation) -> Bool {
    let now = environment.clock.elapsed()
    if observation != seen {
      seen = observation
      unchangedSince = now - observation.silence
    }
    let silence = now - unchangedSince
    if observation.isReleased || silence >= patience(observation.nextBeat) { return true }
    guard let heard = observation.heard, silence >= duration else { return false }
    return now - heard >= duration || !environment.makes(.silenceSinceAnswer)
  }

  /// For how long a holder that says so is taken to be at rest; it may have been given a longer lease than this
  /// process.
  private func patience(_ nextBeat: Duration) -> Duration {
    max(duration, min(nextBeat, Limits.longestRestingBeat) * 5 / 4)
  }

  package func claimed(at started: Duration) { deadline = started + duration }

  package func renew(beatStarted started: Duration, nextBeat: Duration) -> Bool {
    guard started <= deadline else { return false }
    let from =
      environment.makes(.renewalFromRequest) ? started : environment.clock.elapsed()
    deadline = from + patience(nextBeat)
    return true
  }

  package func release() { seen = nil }

  /// One beat may fail, and the next is in time.
  package func longestPauseBetweenBeats(isHeard: Bool) -> Duration? {
    isHeard ? max(Limits.longestRestingBeat, duration * 2 / 5) : duration * 2 / 5
  }
}
