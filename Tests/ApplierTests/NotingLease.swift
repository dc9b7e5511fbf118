import SluiceLease
import SluiceShared

/// Grants everything at once, but for a renewal when told to, and notes what it is asked.
final class NotingLease: Lease, Sendable {
  enum Event {
    case acquired, abandoned, claimed, renewed, refused, released
    /// Noted by the test: a batch is executed; a segment is made, and given its number.
    case executed, made, numbered
  }

  private let state = Monitor((events: [Event](), refuses: false))

  var events: [Event] { state.withLock { $0.events } }

  func note(_ event: Event) { state.withLock { $0.events.append(event) } }
  func refuseOnce() { state.withLock { $0.refuses = true } }

  func mayClaim(_ seen: LeaseObservation) -> Bool { true }
  func acquire() -> Bool {
    note(.acquired)
    return true
  }

  func abandon() { note(.abandoned) }
  func claimed(at started: Duration) { note(.claimed) }

  func renew(beatStarted started: Duration, nextBeat: Duration) -> Bool {
    state.withLock { state in
      defer { state.refuses = false }
      state.events.append(state.refuses ? .refused : .renewed)
      return !state.refuses
    }
  }

  func release() { note(.released) }
}
