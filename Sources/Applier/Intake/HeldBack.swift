internal import SluiceJournal
internal import SluiceShared

/// Writers with a file that could not be used, whatever the reason, or with a batch for which there was no room:
/// each is left alone for a while, and the longer the more often that happened in a row.
struct HeldBack {
  private struct Pause {
    var duration: Duration
    var until: Duration
    var errno: Int32?
    var isForbidden: Bool
  }

  static let longestPause: Duration = .seconds(30)
  private static let shortestPause: Duration = .seconds(1)

  private var pauses: [WriterID: Pause] = [:]
  private var waiting: Set<WriterID> = []
  /// How many have a file that the applier has no right to read, or to close.
  private(set) var forbiddenCount = 0

  /// Whether the writer is to be left alone.
  func has(_ writer: WriterID) -> Bool { waiting.contains(writer) }
  /// Whether nobody is.
  var isEmpty: Bool { waiting.isEmpty }
  /// How many are, or were and did not do what they were to do.
  var knownCount: Int { pauses.count }
  /// How many are.
  var count: Int { waiting.count }

  /// Lets go on whose time has come.
  mutating func goOn(_ now: Duration) {
    if !waiting.isEmpty { waiting = waiting.filter { (pauses[$0]?.until ?? now) > now } }
  }

  /// Returns whether this is news: the first time, or for another reason than the last.
  mutating func holdBack(_ writer: WriterID, _ error: StoreError, _ now: Duration) -> Bool {
    let before = pauses[writer]
    let longest = max(HeldBack.longestPause, Limits.pauseBetweenUnusable * pauses.count)
    let pause = before.map { min($0.duration * 2, longest) } ?? HeldBack.shortestPause
    forget(writer)
    pauses[writer] = Pause(
      duration: pause, until: now + pause, errno: error.errno, isForbidden: error.isForbidden)
    if error.isForbidden { forbiddenCount += 1 }
    waiting.insert(writer)
    return before == nil || before?.errno != error.errno
  }

  /// A file of the writer could be used, or it has none any more.
  mutating func forget(_ writer: WriterID) {
    guard !pauses.isEmpty, let pause = pauses.removeValue(forKey: writer) else { return }
    if pause.isForbidden { forbiddenCount -= 1 }
  }
}
