/// The rows that a page of a table's tree has, or leads to.
extension BTreePage {
  /// A page below this one.
  struct Child: Hashable {
    var page: UInt32
    /// The greatest rowid that is in it or below it; of the last child nil, whose bound is this page's.
    var last: Int64?
  }

  /// A row that goes on in pages of overflow.
  struct LargeRow: Hashable {
    var rowID: Int64
    var overflow: UInt32
  }

  private var cellCount: Int { integer16(start + 3) }

  /// Where a cell begins; nil: outside of the page.
  private func cell(_ index: Int, _ kind: Kind) -> Int? {
    let pointer = start + (kind.isInterior ? 12 : 8) + 2 * index
    guard pointer + 2 <= bytes.count else { return nil }
    let place = integer16(pointer)
    return place > start && place < bytes.count ? place : nil
  }

  /// The rowid at the end of what an interior cell has, or the beginning of a leaf's.
  private func rowID(_ index: Int, _ kind: Kind) -> Int64? {
    guard kind.isOfTable, var place = cell(index, kind) else { return nil }
    if kind == .tableInterior { place += 4 } else if number(&place) == nil { return nil }
    return number(&place).map { Int64(bitPattern: $0) }
  }

  /// A rowid between the bounds of the page; nil of what is no page of a table, and of one without cells.
  var anyRowID: Int64? {
    guard let kind, cellCount > 0 else { return nil }
    return rowID(0, kind)
  }

  /// The pages below, in the order of their keys; none below a leaf. nil: it is damaged.
  var children: [Child]? {
    guard let kind else { return nil }
    guard kind.isInterior else { return [] }
    var children: [Child] = []
    children.reserveCapacity(cellCount + 1)
    for index in 0..<cellCount {
      guard let place = cell(index, kind), place + 4 <= bytes.count else { return nil }
      var child = Child(page: integer32(place), last: nil)
      if kind.isOfTable {
        guard let last = rowID(index, kind) else { return nil }
        child.last = last
      }
      children.append(child)
    }
    children.append(Child(page: integer32(start + 8), last: nil))
    return children.allSatisfy { $0.page > 1 } ? children : nil
  }

  /// Those of its rows that do not fit into it.
  var largeRows: [LargeRow] {
    guard let kind, kind == .tableLeaf else { return [] }
    return (0..<cellCount).compactMap { index in
      guard let place = cell(index, kind), let overflow = overflow(of: place, kind),
        let rowID = rowID(index, kind)
      else { return nil }
      return LargeRow(rowID: rowID, overflow: overflow)
    }
  }
}
