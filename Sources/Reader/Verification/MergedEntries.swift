internal import SluiceJournal

/// Where a segment's commits put each page last: what the merged index at its end has to say.
struct MergedEntries {
  /// nil where not all commits could be read.
  private var entries: [UInt32: PageEntry]? = [:]
  private var last: CommitMeta?

  /// The next commit's.
  mutating func add(_ parts: SegmentSurvey.Parts) {
    guard let meta = parts.meta, let new = parts.entries else { return forget() }
    if let last, meta.pageSize != last.pageSize {
      entries = entries.map { _ in [:] }
    } else if let last, meta.pageCount < last.pageCount {
      entries = entries?.filter { $0.key <= meta.pageCount }
    }
    last = meta
    for entry in new { entries?[entry.page] = entry }
  }

  /// A commit cannot be read.
  mutating func forget() { entries = nil }

  var isKnown: Bool { entries != nil }

  /// Whether an index says the same; also where that is not known.
  func agree(with index: [PageEntry]) -> Bool {
    guard let entries else { return true }
    return index == entries.values.sorted { $0.page < $1.page }
  }
}
