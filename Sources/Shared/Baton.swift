/// The right to do, for everybody who waits, what one at a time does: a flush, a look, a refresh.
///
/// It lies under the lock of the state that it guards, and is free or held. Whoever holds it passes it on to
/// one who waits, or lays it down.
package struct Baton: Sendable {
  package private(set) var isHeld = false

  package init() {}

  /// True where it was free; the caller holds it now.
  package mutating func take() -> Bool {
    guard !isHeld else { return false }
    isHeld = true
    return true
  }

  /// Only for who holds it. Returns `next`, who holds it now; nobody lays it down.
  package mutating func pass<Answer>(to next: Runner<Answer>) -> Runner<Answer> {
    if case .nobody = next { layDown() } else { precondition(isHeld, "a free baton is not passed") }
    return next
  }

  /// Only for who holds it.
  package mutating func layDown() {
    precondition(isHeld, "a free baton is not laid down")
    isHeld = false
  }
}

/// To whom a baton goes.
package enum Runner<Answer: Sendable>: Sendable {
  case nobody
  /// Who has it keeps it.
  case holder
  /// A thread that waits for an answer and is woken to run instead.
  case thread(Mailbox<Answer>)
  /// A thread that does nothing else: those who wait are tasks, and may not block.
  case ownThread
}
