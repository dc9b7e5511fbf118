/// The right to do, for everybody who waits, what one at a time does: a flush, a look, a refresh.
///
/// It lies under the lock of the state that it guards, and is free or held. Whoever holds it passes it on to
/// one who waits, or lays it down.
public struct Baton: Sendable {
  public private(set) var isHeld = false

  public init() {}

  /// True where it was free; the caller holds it now.
  public mutating func take() -> Bool {
    guard !isHeld else { return false }
    isHeld = true
    return true
  }

  /// Only for who holds it. Returns `next`, who holds it now; nobody lays it down.
  public mutating func pass<Answer>(to next: Runner<Answer>) -> Runner<Answer> {
    if case .nobody = next { layDown() } else { precondition(isHeld, "a free baton is not passed") }
    return next
  }

  /// Only for who holds it.
  public mutating func layDown() {
    precondition(isHeld, "a free baton is not laid down")
    isHeld = false
  }
}

/// To whom a baton goes.
public enum Runner<Answer: Sendable>: Sendable {
  case nobody
  /// Who has it keeps it.
  case holder
  /// A thread that waits for an answer and is woken to run instead.
  case thread(Mailbox<Answer>)
  /// A thread that does nothing else: those who wait are tasks, and may not block.
  case ownThread
}
