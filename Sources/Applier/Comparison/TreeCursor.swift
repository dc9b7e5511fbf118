internal import SluiceReader

/// Walks the tree of a table with rowids in the order of its keys, and reads no page before it is asked to.
struct TreeCursor {
  /// A page, and which rowids it may have or lead to: each rowid is in one of them, as interior pages say.
  struct Segment {
    var page: UInt32
    var rowIDs: ClosedRange<Int64>
    fileprivate var depth: Int

    func isSame(as other: Segment) -> Bool { page == other.page && rowIDs == other.rowIDs }
  }

  private let pair: StatePair
  private let side: StatePair.Side
  private let nodes: TreeNodes
  /// What comes next is last.
  private var waiting: [Segment]
  /// All leaves are equally deep; nil: no leaf was seen yet.
  private var leafDepth: Int?
  private var opened: UInt32 = 0

  init(root: UInt32, _ side: StatePair.Side, of pair: StatePair, _ nodes: TreeNodes) {
    self.pair = pair
    self.side = side
    self.nodes = nodes
    waiting = [Segment(page: root, rowIDs: Int64.min...Int64.max, depth: 0)]
  }

  var current: Segment? { waiting.last }

  /// Goes on behind the segment.
  mutating func skip() { waiting.removeLast() }

  /// Puts the pages below the segment in its place; false: it is a leaf.
  mutating func open() throws(StatePair.Failure) -> Bool {
    guard let segment = waiting.last, segment.depth != leafDepth else { return false }
    let node = try nodes.node(segment.page, side, of: pair)
    guard node.isOfTable else {
      throw .untold("page \(segment.page) of a table is one of an index")
    }
    guard !node.isLeaf else {
      leafDepth = segment.depth
      return false
    }
    // What refers to itself would have no end.
    opened += 1
    guard opened <= pair[side].pageCount else {
      throw .untold("page \(segment.page) of a table is below itself")
    }
    waiting.removeLast()
    let below = waiting.count
    var first = segment.rowIDs.lowerBound
    for (index, child) in node.children.enumerated() {
      let last = child.last ?? segment.rowIDs.upperBound
      guard first <= last, last <= segment.rowIDs.upperBound else {
        throw .untold("the rowids of page \(segment.page) are not in their order")
      }
      waiting.append(
        Segment(page: child.page, rowIDs: first...last, depth: segment.depth + 1))
      guard index + 1 < node.children.count else { break }
      guard last < segment.rowIDs.upperBound else {
        throw .untold("the rowids of page \(segment.page) are not in their order")
      }
      first = last + 1
    }
    waiting[below...].reverse()
    return true
  }
}
