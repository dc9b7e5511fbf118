/// The newest place of each page that a segment's commits changed: what its merged index says.
///
/// Runs of entries, each sorted by page, and each at least twice as long as the next newer one. So the pages of a
/// large commit are kept as they came, without a copy, and a small commit costs a logarithm of merging.
struct MergedPages {
  /// Oldest first.
  private var runs: [[PageEntry]] = []
  /// Shorter runs are always merged.
  private static let shortRun = 64

  var isEmpty: Bool { runs.isEmpty }

  /// What a commit says: `entries` ascend by page.
  mutating func add(_ entries: [PageEntry]) {
    guard !entries.isEmpty else { return }
    var run = entries
    while let older = runs.last, older.count <= max(Self.shortRun, 2 * run.count) {
      runs.removeLast()
      run = Self.merge(older, under: run)
    }
    runs.append(run)
  }

  /// Forgets the pages behind the first `count`.
  mutating func truncate(to count: UInt32) {
    for i in runs.indices { runs[i].removeAll { $0.page > count } }
    runs.removeAll(where: \.isEmpty)
  }

  /// All of them, ascending by page.
  var entries: [PageEntry] {
    var all: [PageEntry] = []
    for run in runs.reversed() { all = all.isEmpty ? run : Self.merge(run, under: all) }
    return all
  }

  private static func merge(_ older: [PageEntry], under newer: [PageEntry]) -> [PageEntry] {
    var entries: [PageEntry] = []
    entries.reserveCapacity(older.count + newer.count)
    var next = 0
    for entry in older {
      while next < newer.count, newer[next].page < entry.page {
        entries.append(newer[next])
        next += 1
      }
      if next < newer.count, newer[next].page == entry.page { continue }
      entries.append(entry)
    }
    entries.append(contentsOf: newer[next...])
    return entries
  }
}
