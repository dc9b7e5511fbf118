/// Which rows the values belong to that were overwritten in pages of overflow alone.
///
/// SQLite overwrites a row in place where the new one has the size of the old one, page by page, and leaves a page as it
/// is whose part of the row is the same: so a row may be another although its own page is not. Which row a page of
/// overflow is of, only the row says: the tables are searched for it, leaf by leaf, until each suspect is found.
/// That is dear, and seldom: it takes a change in the rear of a large value and in no other row of its leaf.
struct OverflowSearch {
  /// By the roots of tables in the state before, ascending.
  private(set) var rowIDs: [UInt32: [Int64]] = [:]
  /// Whether there are some that no table with rowids has.
  private(set) var isIncomplete = false

  init(
    _ scan: ChangeScan, roots: [UInt32], _ pair: StatePair, _ nodes: TreeNodes
  ) throws(StatePair.Failure) {
    var scan = scan
    try scan.explainSuspects()
    for root in roots where !scan.suspects.isEmpty {
      guard try nodes.node(root, .before, of: pair).isOfTable else { continue }
      var cursor = TreeCursor(root: root, .before, of: pair, nodes)
      while let segment = cursor.current, !scan.suspects.isEmpty {
        if try cursor.open() { continue }
        for row in try pair.page(segment.page, .before).largeRows
        where try scan.remove(from: row.overflow, .before) {
          rowIDs[root, default: []].append(row.rowID)
        }
        cursor.skip()
      }
    }
    isIncomplete = !scan.suspects.isEmpty
  }
}
