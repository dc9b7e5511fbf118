internal import SluiceJournal
internal import SluiceShared

/// Where the newest version of each page lies, as far as the log behind a checkpoint holds one.
///
/// Immutable runs of entries sorted by page, each at least twice as long as the next newer one: a
/// commit costs its own pages and, amortised, a logarithm of merging; a lookup searches each run.
///
/// Each run also records the fewest pages that the database had in its commits. A page beyond that
/// was dropped there, so whatever older runs and the checkpoint say of it is void, also when the
/// database grew again later.
struct PageIndex: Sendable {
  /// Three words.
  struct Entry: Sendable {
    var page: UInt32
    var crc: UInt32
    /// Stored bytes: the page size where the page is stored as it is, less where it is compressed.
    var stored: UInt32
    /// Which of `segments`.
    var slot: UInt32
    var offset: Int64
  }

  enum Place {
    case log(Entry)
    case checkpoint
    /// Dropped by a commit that made the database smaller, and not written since.
    case nowhere
  }

  private struct Run: Sendable {
    var entries: [Entry]
    /// Pages beyond it are void in older runs.
    var fewestPages: UInt32
  }

  /// Runs shorter than this are always merged.
  private static let shortRun = 8
  /// More segments than this are worth a look for those that nothing points to any more.
  private static let manySegments = 64

  /// Oldest first.
  private var runs: [Run] = []
  private(set) var segments: [SegmentPages] = []

  /// Entries, superseded ones that were not merged yet included.
  var count: Int { runs.reduce(0) { $0 + $1.entries.count } }

  func place(of page: UInt32) -> Place {
    var number = runs.count
    while number > 0 {
      number -= 1
      if let found = Self.search(runs[number].entries, page) { return .log(found) }
      if page > runs[number].fewestPages { return .nowhere }
    }
    return .checkpoint
  }

  private static func search(_ entries: [Entry], _ page: UInt32) -> Entry? {
    entries.withUnsafeBufferPointer { entries in
      var low = 0
      var high = entries.count
      while low < high {
        let middle = (low + high) / 2
        if entries[middle].page < page { low = middle + 1 } else { high = middle }
      }
      return low < entries.count && entries[low].page == page ? entries[low] : nil
    }
  }

  /// Adds what one commit, or one merged index, says: `entries` ascending by page. Pages beyond
  /// `pageCount`, which it leaves, do not count.
  mutating func add(
    _ entries: [PageEntry], in segment: LogSegment, pageCount: UInt32, fewestPages: UInt32,
    files: StoreFiles
  ) {
    let slot = slot(of: segment, files)
    var run = Run(entries: [], fewestPages: min(pageCount, fewestPages))
    run.entries.reserveCapacity(entries.count)
    for entry in entries where entry.page <= pageCount {
      run.entries.append(
        Entry(
          page: entry.page, crc: entry.crc, stored: entry.storedBytes, slot: slot,
          offset: entry.offset))
    }
    while let older = runs.last,
      older.entries.count <= max(Self.shortRun, 2 * run.entries.count)
    {
      run = Self.merge(older, under: run)
      runs.removeLast()
    }
    runs.append(run)
  }

  private static func merge(_ older: Run, under newer: Run) -> Run {
    var entries: [Entry] = []
    entries.reserveCapacity(older.entries.count + newer.entries.count)
    var next = 0
    for entry in older.entries where entry.page <= newer.fewestPages {
      while next < newer.entries.count, newer.entries[next].page < entry.page {
        entries.append(newer.entries[next])
        next += 1
      }
      if next < newer.entries.count, newer.entries[next].page == entry.page { continue }
      entries.append(entry)
    }
    entries.append(contentsOf: newer.entries[next...])
    return Run(entries: entries, fewestPages: min(older.fewestPages, newer.fewestPages))
  }

  private mutating func slot(of segment: LogSegment, _ files: StoreFiles) -> UInt32 {
    let isItself = { (other: SegmentPages) in
      other.segment.header == segment.header || !files.environment.makes(.placeInItsSegment)
    }
    if let known = segments.lastIndex(where: isItself) { return UInt32(known) }
    if segments.count >= Self.manySegments { forgetUnusedSegments() }
    segments.append(SegmentPages(segment, files))
    return UInt32(segments.count - 1)
  }

  /// Merges everything and lets go of the segments that no entry points to.
  private mutating func forgetUnusedSegments() {
    guard var whole = runs.popLast() else { return }
    while let older = runs.popLast() { whole = Self.merge(older, under: whole) }
    var slots = [UInt32?](repeating: nil, count: segments.count)
    var kept: [SegmentPages] = []
    for i in whole.entries.indices {
      let old = Int(whole.entries[i].slot)
      let new = slots[old] ?? UInt32(kept.count)
      if slots[old] == nil {
        slots[old] = new
        kept.append(segments[old])
      }
      whole.entries[i].slot = new
    }
    runs = [whole]
    segments = kept
  }
}
