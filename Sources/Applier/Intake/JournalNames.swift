internal import SluiceJournal
internal import SluiceShared

/// What became of each name that a listing of `journal/` showed.
///
///     new ──▶ taken in ── removed, or another file's now ──▶ gone ── a moment later ──▶ new
///                └─────── not to be read ──▶ ignored ── no longer listed ──▶ new
struct JournalNames {
  private enum Disposition {
    /// Its segment is in its writer's queue, or finished.
    case takenIn
    /// For good, for as long as it is listed.
    case ignored(isNewer: Bool)
    /// Until then (boot time) it is not looked for: a listing made before may show it.
    case gone(until: Duration)
  }

  private var dispositions: [String: Disposition] = [:]
  /// What the last listing showed of names that may be segments'.
  private(set) var listed: [String] = []
  private(set) var listings: UInt64 = 0
  /// Files that are not read.
  private(set) var ignoredCount = 0

  private static let goneFor: Duration = .milliseconds(20)

  /// Whether a listing is to show a name at all. Anybody who may write can make a million others.
  static func isWanted(_ name: String) -> Bool { StoreLayout.mayBeJournalSegment(name) }

  /// Takes in a listing; returns the segments that are new, in the order of their names.
  mutating func take(_ names: [String], _ now: Duration) -> [JournalSegmentID] {
    listings += 1
    listed = names
    let present = Set(names)
    for (name, disposition) in dispositions {
      switch disposition {
      case .gone(let until) where until <= now: dispositions[name] = nil
      case .ignored where !present.contains(name):
        dispositions[name] = nil
        ignoredCount -= 1
      default: break
      }
    }
    let new = names.compactMap { name -> JournalSegmentID? in
      guard dispositions[name] == nil, let id = StoreLayout.journalSegment(name) else { return nil }
      dispositions[name] = .takenIn
      return id
    }
    return new.sorted()
  }

  /// Passes over it. `isNewer`: a newer version of Sluice wrote it.
  mutating func ignore(_ id: JournalSegmentID, isNewer: Bool) {
    if case .ignored? = dispositions[id.name] { return }
    dispositions[id.name] = .ignored(isNewer: isNewer)
    ignoredCount += 1
  }

  /// The segment was removed: under its name comes another one, if any.
  mutating func forget(_ id: JournalSegmentID) { dispositions[id.name] = nil }

  mutating func noteGone(_ id: JournalSegmentID, _ now: Duration) {
    dispositions[id.name] = .gone(until: now + JournalNames.goneFor)
  }

  /// Whether batches may come from a name: not from a stranger's, but from one that waits for a newer applier.
  func isExpected(_ name: String) -> Bool {
    if case .ignored(let isNewer)? = dispositions[name] { isNewer } else { true }
  }
}

extension JournalSegmentID {
  /// Of its file.
  var name: String { StoreLayout.journalName(self) }
}

/// Writers that are not forgotten, since they have files in the journal.
struct WritersWithFiles {
  var all: Set<WriterID> = []
  /// Of these, those with a file whose batches are or will be executed.
  var waiting: Set<WriterID> = []
}
