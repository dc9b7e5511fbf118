package import SluiceShared

/// The right to be applier for a while. It decides who works and how soon; nothing that is promised
/// rests on it (two that both believe they hold it waste work, and the log lets one of them
/// publish).
///
/// Not safe to use from two threads at once; the applier's loop owns it.
package protocol Lease: AnyObject {
  /// A standby's look at the newest segment: true when this process may try to lead now.
  func mayClaim(_ seen: LeaseObservation) throws(StoreError) -> Bool
  /// Takes what the others elect by, before the log is claimed. False: somebody else has it.
  func acquire() throws(StoreError) -> Bool
  /// Gives back what `acquire` took: the log's claim was lost, or the term ended out of order.
  func abandon()
  /// The claim succeeded, begun at `started` (boot time).
  func claimed(at started: Duration) throws(StoreError)
  /// The holder made a beat that it began at `started`, and that says that the next one may take `nextBeat`. False
  /// when the lease had run out before: then it must stop leading. Called from the loop's own progress, so that a hung
  /// applier does not stay the leader.
  func renew(beatStarted started: Duration, nextBeat: Duration) throws(StoreError) -> Bool
  /// Between two beats of a holder at rest: renews what beats do not. False as of `renew`.
  func keep() throws(StoreError) -> Bool
  /// The holder stops; others need not wait for the lease to run out.
  func release() throws(StoreError)
  /// When `keep` is to be called next (boot time); nil: it does nothing.
  var nextKeep: Duration? { get }
  /// When `mayClaim` is to be called next, whatever the beacon does (boot time); nil: the beacon is all there is.
  var nextLook: Duration? { get }
  /// Goes on with what answers that have come allow. True where `mayClaim` may say now what it did not before. For who
  /// waits for none (see `TableLease`).
  func goOn() throws(StoreError) -> Bool
  /// It is still being given back.
  var isParting: Bool { get }
  /// It is being taken, and the answer is not there yet.
  var isBeingTaken: Bool { get }
  /// The longest pause between two beats of a holder that has nothing to do; nil: no longer than else. `isHeard`: a
  /// standby asks it by hints whether it is there, again and again (`HintDesk.isAskedByStandby`).
  func longestPauseBetweenBeats(isHeard: Bool) -> Duration?
}

extension Lease {
  package func acquire() throws(StoreError) -> Bool { true }
  package func abandon() {}
  package func keep() throws(StoreError) -> Bool { true }
  package func longestPauseBetweenBeats(isHeard: Bool) -> Duration? { nil }
  package var nextKeep: Duration? { nil }
  package var nextLook: Duration? { nil }
  package func goOn() throws(StoreError) -> Bool { false }
  package var isParting: Bool { false }
  package var isBeingTaken: Bool { false }
}

/// What a standby sees of the newest log segment.
package struct LeaseObservation: Hashable, Sendable {
  package var segment: UInt64
  /// The beacon's counter; 0 where the segment has none yet.
  package var counter: UInt64
  package var isReleased: Bool
  /// For how long it has been so at least, where that is known otherwise than by looking; no part of what
  /// makes two observations the same.
  package var silence: Duration = .zero
  /// Where its holder takes hints, and what it has published; no part of that either.
  package var hints: HintEndpoint?
  package var txid = TxID.zero
  /// For how long its holder may be silent before its next beat, as it says.
  package var nextBeat: Duration = .zero
  /// When its holder last answered a hint of this process (boot time); nil: never. No part of that either.
  package var heard: Duration?

  package init(segment: UInt64, counter: UInt64, isReleased: Bool) {
    self.segment = segment
    self.counter = counter
    self.isReleased = isReleased
  }

  package static func == (a: Self, b: Self) -> Bool {
    a.segment == b.segment && a.counter == b.counter && a.isReleased == b.isReleased
  }

  package func hash(into hasher: inout Hasher) {
    hasher.combine(segment)
    hasher.combine(counter)
    hasher.combine(isReleased)
  }
}
