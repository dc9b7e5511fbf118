internal import SluiceShared

/// How a flush waits on a full disk: whoever leads may remove what is superseded, and is told to look.
///
/// Nothing else is different from any failed write. Each try goes into a new segment, and where the wait is over the
/// error says what it would have said at once: that the batch is not there, or that nobody knows.
struct RoomWait {
  /// How long in all; zero: not at all.
  var patience: Duration = .zero
  /// Tells whoever leads.
  var tell: (() -> Void)?
  /// Sees to it that somebody leads.
  var assistant: (any Assisting)?

  /// Since when (boot time), and how long the next pause is.
  private var since: Duration?
  private var pause = Limits.fullDiskPauses.lowerBound

  init() {}

  /// Waits for a moment; false where it was waited for long enough.
  mutating func wait(_ clock: any Clock) -> Bool {
    tell?()
    let now = clock.elapsed()
    let began = since ?? now
    let left = patience - (now - began)
    guard left > .zero else { return false }
    if since == nil { assistant?.begin() }
    since = began
    assistant?.goOn()
    clock.sleep(min(pause, left))
    pause = min(pause * 2, Limits.fullDiskPauses.upperBound)
    return true
  }

  /// The flush is over.
  func end() { if since != nil { assistant?.end() } }
}
