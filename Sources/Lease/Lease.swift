public import SluiceShared

/// The right to be applier for a while. It decides who works and how soon; nothing that is promised
/// rests on it (two that both believe they hold it waste work, and the log lets one of them
/// publish).
///
/// Not safe to use from two threads at once; the applier's loop owns it.
public protocol Lease: AnyObject {
  /// A standby's look at the newest segment: true when this process may claim its successor now.
  func mayClaim(_ seen: LeaseObservation) throws(StoreError) -> Bool
  /// The claim succeeded, begun at `started` (boot time).
  func claimed(at started: Duration) throws(StoreError)
  /// The holder made a beat that it began at `started`. False when the lease had run out before:
  /// then it must stop leading. Called from the loop's own progress, so that a hung applier does
  /// not keep its office.
  func renew(beatStarted started: Duration) throws(StoreError) -> Bool
  /// The holder stops; others need not wait for the lease to run out.
  func release() throws(StoreError)
}

/// What a standby sees of the newest log segment.
public struct LeaseObservation: Hashable, Sendable {
  public var segment: UInt64
  /// The beacon's counter; 0 where the segment has none yet.
  public var counter: UInt64
  public var isReleased: Bool

  public init(segment: UInt64, counter: UInt64, isReleased: Bool) {
    self.segment = segment
    self.counter = counter
    self.isReleased = isReleased
  }
}
