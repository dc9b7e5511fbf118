/// Who sees to it that batches are applied while somebody in this process waits for them.
public protocol Assisting: Sendable {
  /// Somebody waits from now on. Returns at once.
  func begin()
  /// One who began waits no more. Returns at once.
  func end()
  /// Called now and then by one who waits for long.
  func goOn()
  /// Answers when nothing is held any more for those who have ended: not before, a process may be
  /// frozen or end without being waited for.
  func finish(_ waker: Waker<Void>)
  /// Why nothing could be done lately, where that is so.
  var trouble: StoreError? { get }
}

extension Assisting {
  public func goOn() {}

  /// As `finish`, blocking the calling thread.
  package func finishBlocking(_ clock: any Clock) {
    let mailbox = Mailbox<Void>()
    finish(.thread(mailbox))
    mailbox.take(clock)
  }
}
