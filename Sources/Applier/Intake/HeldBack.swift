internal import SluiceJournal
internal import SluiceShared

/// Writers with a file that could not be used, whatever the reason: each is left alone for a while, and
/// the longer the more often that happened in a row.
struct HeldBack {
  private struct Pause {
    var duration: Duration
    var until: Duration
    var errno: Int32?
  }

  static let longestPause: Duration = .seconds(30)
  private static let shortestPause: Duration = .seconds(1)

  private var pauses: [WriterID: Pause] = [:]
  private var waiting: Set<WriterID> = []

  /// Whether the writer is to be left alone.
  func has(_ writer: WriterID) -> Bool { waiting.contains(writer) }
  /// Whether nobody is.
  var isEmpty: Bool { waiting.isEmpty }
  /// How many are.
  var count: Int { waiting.count }

  /// Lets go on whose time has come.
  mutating func goOn(_ now: Duration) {
    if !waiting.isEmpty { waiting = waiting.filter { (pauses[$0]?.until ?? now) > now } }
  }

  /// Returns whether this is news: the first time, or for another reason than the last.
  mutating func holdBack(_ writer: WriterID, _ error: StoreError, _ now: Duration) -> Bool {
    let before = pauses[writer]
    let pause = before.map { min($0.duration * 2, HeldBack.longestPause) } ?? HeldBack.shortestPause
    pauses[writer] = Pause(duration: pause, until: now + pause, errno: error.errno)
    waiting.insert(writer)
    return before == nil || before?.errno != error.errno
  }

  /// A file of the writer could be used.
  mutating func worked(_ writer: WriterID) {
    if !pauses.isEmpty { pauses[writer] = nil }
  }
}
