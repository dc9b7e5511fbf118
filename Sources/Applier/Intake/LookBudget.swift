internal import SluiceShared

/// How long one look into the journal goes on, and how much of each segment it reads.
///
/// Of one segment in one look: as much as a look's time is enough for. A term's first look is a small one,
/// since nothing is executed before its end, and it may find hours of batches that are in the history.
struct LookBudget {
  static let mostBytes: Int64 = 4 << 20
  static let leastBytes: Int64 = 64 << 10
  /// One look goes on to the next segments for this long.
  private static let longestLook: Duration = .milliseconds(100)

  /// Of one segment.
  private(set) var bytes = LookBudget.leastBytes
  /// When the look that is under way began, its listing apart (boot time).
  private var began: Duration = .zero
  /// Until when nothing is summed again that was found not to be whole.
  private var nextDoubtful: Duration = .zero
  private let environment: Environment

  init(_ environment: Environment) { self.environment = environment }

  /// Something was scanned for remains in this look.
  private var hasScanned = false
  /// What is being scanned, over several looks.
  private weak var scanned: JournalSegmentReader?

  mutating func begin() {
    began = environment.clock.elapsed()
    hasScanned = false
  }

  /// Whether a segment may be scanned for remains: one in each look, and more within its time. One that was begun
  /// is ended before another is begun, so that a term that is over soon has ended some.
  mutating func mayScan(_ segment: JournalSegmentReader) -> Bool {
    guard scanned == nil || scanned === segment, !hasScanned || !isOver else { return false }
    hasScanned = true
    scanned = segment
    return true
  }

  /// All of it was looked at, or it cannot be read at present.
  mutating func didScan(_ segment: JournalSegmentReader) {
    if scanned === segment { scanned = nil }
  }

  var isOver: Bool { LookBudget.isOver(since: began, environment) }

  /// Whether what began then has taken as long as one look may.
  static func isOver(since began: Duration, _ environment: Environment) -> Bool {
    environment.makes(.boundedLooks) && environment.clock.elapsed() - began >= longestLook
  }

  /// The next look at each segment may be twice as long where some of them, read side by side, left time in
  /// this one, and half as long where not. That there are many more does not count: of each the less were read.
  mutating func adapt(to longest: Duration) {
    if longest >= LookBudget.longestLook {
      bytes = max(LookBudget.leastBytes, bytes / 2)
    } else {
      bytes = min(LookBudget.mostBytes, bytes * 2)
    }
  }

  /// Whether what was found not to be whole may be summed again.
  var mayDoubt: Bool { nextDoubtful <= environment.clock.elapsed() }

  /// What was summed since `began` is not whole: such sums take a fifth of the time at most.
  mutating func didDoubt(since began: Duration) {
    let end = environment.clock.elapsed()
    nextDoubtful = end + (end - began) * 4
  }
}
