internal import SluiceShared

/// When a standby of many stores looks at a beacon, or an item, next: seldom, and shortly after it changed, so that little of
/// the lease is over when it sees a beat, and a leader's end is noticed within a lease and a moment.
///
/// It finds the moment by itself. Behind a look that found a new beat the next comes a little less than a beat
/// later; behind one that found none, the next comes a moment later. So a beat costs somewhat more than one look, and is
/// seen a twentieth of the lease after it was made, at most. Where none comes for a beat and a moment, it looks
/// a few times more, and when the lease is over.
package struct StandbyPace {
  let lease: Duration
  /// Between two beats of a leader at rest.
  let beat: Duration

  package init(lease: Duration, beat: Duration) { (self.lease, self.beat) = (lease, beat) }

  /// `silence`: for how long the beacon is what it is; zero where the look found another.
  package func pause(afterSilence silence: Duration) -> Duration {
    guard silence > .zero else { return beat - lease / 100 }
    let step = lease / 20
    // Who may not claim it yet, as by another clock than its own, need not look all the time.
    if silence < beat + step * 4 || silence >= lease { return step }
    return max(step / 5, min(lease - silence, lease / 4))
  }
}
