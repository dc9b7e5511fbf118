internal import SluiceShared

/// Keeps the number of segments that are open within a bound, however many wait.
///
/// A file that stays open costs a read a request less, so nothing is closed before the bound is met; then
/// those that rest longest are. What an open file gives beside that is not needed: of a file that was
/// removed all that was acknowledged is in the history.
struct OpenSegments {
  private var most: Int
  private var segments: [JournalSegmentReader] = []

  /// What is read at once is open at once.
  private static let least = 4

  init(most: Int) { self.most = max(OpenSegments.least, most) }

  /// So many may be read together.
  var atOnce: Int { most / 2 }

  /// Closes some where `coming` would be too many.
  mutating func makeRoom(for coming: [JournalSegmentReader]) {
    guard segments.count + coming.count > most else { return }
    segments.removeAll { $0.file == nil }
    guard segments.count + coming.count > most else { return }
    let needed = Set(coming.map(ObjectIdentifier.init))
    segments.sort { $0.lastUse > $1.lastUse }
    let room = max(0, most / 2 - coming.count)
    let rest = segments.filter { !needed.contains(ObjectIdentifier($0)) }
    for segment in rest.dropFirst(room) { segment.closeFile() }
    segments.removeAll { $0.file == nil }
  }

  /// A segment that may have been opened.
  mutating func note(_ segment: JournalSegmentReader) {
    if segment.takeForCounting() { segments.append(segment) }
  }

  /// There were too many after all: others of this process have files open too.
  mutating func shrink() {
    segments.removeAll { $0.file == nil }
    most = max(OpenSegments.least, min(most, segments.count) / 2)
    for segment in segments { segment.closeFile() }
    segments = []
  }
}
