internal import SluiceJournal
internal import SluiceReader
internal import SluiceShared

/// What pages of trees refer to, remembered until a commit changes them: so the interior pages of a table are read
/// once, and later those that were changed.
final class TreeNodes {
  struct Node {
    /// Of a tree of rows with rowids, and not of an index or a table without them.
    var isOfTable: Bool
    /// Below a leaf none.
    var children: [BTreePage.Child]
    var isLeaf: Bool { children.isEmpty }
  }

  /// Of the state behind `txid`.
  private var nodes: [UInt32: Node] = [:]
  private var txid = TxID.zero
  private var links = 0
  /// Pages that were read.
  private(set) var reads = 0

  /// Goes on behind a commit.
  func pass(_ pair: StatePair) {
    if txid != pair.before.txid || pair.before.pageSize != pair.behind.pageSize { forget() }
    if !nodes.isEmpty {
      for page in pair.written { remove(page) }
      if pair.behind.pageCount < pair.before.pageCount {
        for page in nodes.keys.filter({ $0 > pair.behind.pageCount }) { remove(page) }
      }
    }
    txid = pair.behind.txid
  }

  private func forget() {
    nodes = [:]
    links = 0
  }

  private func remove(_ page: UInt32) {
    if let node = nodes.removeValue(forKey: page) { links -= 1 + node.children.count }
  }

  /// A page of a tree in one of the states of a commit that was passed.
  func node(_ page: UInt32, _ side: StatePair.Side, of pair: StatePair)
    throws(StatePair.Failure) -> Node
  {
    let isChanged = pair.isChanged(page)
    if !isChanged, let known = nodes[page] { return known }
    reads += 1
    let bytes = try pair.page(page, side)
    guard let kind = bytes.kind, let children = bytes.children else {
      throw .untold("page \(page) is no whole page of a table or an index")
    }
    let node = Node(isOfTable: kind.isOfTable, children: children)
    guard !isChanged else { return node }
    if links > Limits.rememberedTreeLinks { forget() }
    nodes[page] = node
    links += 1 + children.count
    return node
  }

  /// Whether a page of an index's tree, or of a table's without rowids, was changed. Leaves are not read, but the first.
  func isTreeChanged(root: UInt32, of pair: StatePair) throws(StatePair.Failure) -> Bool {
    var waiting = [(page: root, depth: 0)]
    var leafDepth: Int?
    var opened: UInt32 = 0
    while let (page, depth) = waiting.popLast() {
      if pair.isChanged(page) { return true }
      guard depth != leafDepth else { continue }
      let node = try node(page, .before, of: pair)
      if node.isLeaf { leafDepth = depth }
      opened += 1
      guard opened <= pair.before.pageCount else {
        throw .untold("page \(page) of a table is below itself")
      }
      waiting += node.children.map { ($0.page, depth + 1) }
    }
    return false
  }
}
