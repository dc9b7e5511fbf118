/// The ranges of rowids, ascending, outside of which a table has the same records in two states.
///
/// In each state interior pages divide all rowids among the leaves. Where both states have the same page for the
/// same rowids, and neither it nor any page below it was changed, its records are the same, but for what lies in
/// pages of overflow (`OverflowSearch`). All else is a range. That no page below was changed is known without
/// reading one: a changed page has a key, its probe, between the bounds of all pages above it.
struct ChangedRanges {
  private let pair: StatePair
  /// A key of each changed page of any table, as it was before; ascending.
  private let probes: [Int64]
  private var before: TreeCursor
  private var behind: TreeCursor

  init(
    root: (before: UInt32, behind: UInt32), _ pair: StatePair, probes: [Int64], _ nodes: TreeNodes
  ) {
    self.pair = pair
    self.probes = probes
    before = TreeCursor(root: root.before, .before, of: pair, nodes)
    behind = TreeCursor(root: root.behind, .behind, of: pair, nodes)
  }

  mutating func next() throws(StatePair.Failure) -> ClosedRange<Int64>? {
    var found: ClosedRange<Int64>?
    while let a = before.current, let b = behind.current {
      if a.isSame(as: b), !pair.isChanged(a.page) {
        if let found { return found }
        guard mayDiffer(below: a.rowIDs), try openBoth() else {
          before.skip()
          behind.skip()
          continue
        }
        continue
      }
      if try open(a.rowIDs, b.rowIDs) { continue }
      // All before it was passed in both.
      let first = max(a.rowIDs.lowerBound, b.rowIDs.lowerBound)
      let last = min(a.rowIDs.upperBound, b.rowIDs.upperBound)
      found = (found?.lowerBound ?? first)...last
      if a.rowIDs.upperBound == last { before.skip() }
      if b.rowIDs.upperBound == last { behind.skip() }
    }
    return found
  }

  private func mayDiffer(below rowIDs: ClosedRange<Int64>) -> Bool {
    var low = 0
    var high = probes.count
    while low < high {
      let middle = (low + high) / 2
      if probes[middle] < rowIDs.lowerBound { low = middle + 1 } else { high = middle }
    }
    return low < probes.count && probes[low] <= rowIDs.upperBound
  }

  private mutating func openBoth() throws(StatePair.Failure) -> Bool {
    let isOpen = try before.open()
    return try behind.open() || isOpen
  }

  /// Opens the one with more rowids first: what is below it may be what the other one has.
  private mutating func open(_ a: ClosedRange<Int64>, _ b: ClosedRange<Int64>)
    throws(StatePair.Failure) -> Bool
  {
    if a == b { return try openBoth() }
    if a.lowerBound <= b.lowerBound, a.upperBound >= b.upperBound {
      if try before.open() { return true }
      return try behind.open()
    }
    if try behind.open() { return true }
    return try before.open()
  }
}
