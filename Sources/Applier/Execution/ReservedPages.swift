internal import SluiceJournal
internal import SluiceReader
internal import SluiceShared

/// Which pages of a database an interactive transaction must leave as they are, or is asked about.
///
/// They are found by walking trees from their roots. What a page refers to is remembered until a commit changes
/// it, so that a walk reads each page once in a term, and later what was changed.
final class ReservedPages {
  enum Use: Hashable {
    /// A table of Sluice's own, or an index of one.
    case bookkeeping
    /// `sqlite_schema`.
    case schema
    /// What `ANALYZE` found: SQLite reads it when a connection is opened.
    case statistics
  }

  struct Root: Hashable {
    var page: UInt32
    var use: Use
  }

  private struct Node {
    var isOverflow: Bool
    var links: [BTreePage.Link]
  }

  private var roots: [Root] = []
  private var nodes: [UInt32: Node] = [:]
  private var uses: [UInt32: Use] = [:]
  /// Changed since they were looked at.
  private var stale: Set<UInt32> = []

  /// A commit changed these.
  func forget(_ entries: [PageEntry]) {
    guard !uses.isEmpty else { return }
    for entry in entries where uses[entry.page] != nil { stale.insert(entry.page) }
  }

  /// The use of each page that has one, as of `snapshot`. `onRead` is called for each page that is read.
  func uses(from roots: [Root], in snapshot: Snapshot, onRead: () -> Void) throws(StoreError)
    -> [UInt32: Use]
  {
    var isSame = roots == self.roots
    for page in stale {
      guard let known = nodes[page] else { continue }
      let links = try self.links(page, isOverflow: known.isOverflow, snapshot, onRead)
      if links != known.links {
        isSame = false
        nodes[page]?.links = links
      }
    }
    stale = []
    guard !isSame else { return uses }
    self.roots = roots
    try walk(snapshot, onRead)
    return uses
  }

  private func walk(_ snapshot: Snapshot, _ onRead: () -> Void) throws(StoreError) {
    var reached: [UInt32: Node] = [:]
    uses = [:]
    var waiting = roots.map { (BTreePage.Link(page: $0.page, isOverflow: false), $0.use) }
    while let (link, use) = waiting.popLast() {
      guard link.page > 0, link.page <= snapshot.pageCount, uses[link.page] == nil else { continue }
      uses[link.page] = use
      var node = nodes[link.page]
      if node?.isOverflow != link.isOverflow { node = nil }
      let links =
        if let node { node.links } else {
          try self.links(link.page, isOverflow: link.isOverflow, snapshot, onRead)
        }
      reached[link.page] = Node(isOverflow: link.isOverflow, links: links)
      for next in links { waiting.append((next, use)) }
    }
    nodes = reached
  }

  /// The pages of `sqlite_schema` as a transaction leaves it, which may give back some and take others. `page` reads
  /// one, `isSame` says of one of the base's that it is what it was.
  func schema(
    in pageCount: UInt32, usable: Int, isSame: (UInt32) -> Bool,
    _ page: (UInt32) throws(StoreError) -> [UInt8]?
  ) throws(StoreError) -> Set<UInt32> {
    var reached: Set<UInt32> = []
    var waiting = [BTreePage.Link(page: 1, isOverflow: false)]
    while let link = waiting.popLast() {
      guard link.page > 0, link.page <= pageCount, reached.insert(link.page).inserted else {
        continue
      }
      if isSame(link.page), let node = nodes[link.page], node.isOverflow == link.isOverflow {
        waiting += node.links
      } else if let bytes = try page(link.page) {
        let page = BTreePage(bytes, number: link.page, usable: usable)
        waiting += link.isOverflow ? page.overflowLinks : page.links
      }
    }
    return reached
  }

  private func links(
    _ number: UInt32, isOverflow: Bool, _ snapshot: Snapshot, _ onRead: () -> Void
  ) throws(StoreError) -> [BTreePage.Link] {
    guard number <= snapshot.pageCount else { return [] }
    onRead()
    let bytes = try snapshot.copy(ofPage: number)
    let page = BTreePage(
      bytes, number: number, usable: snapshot.pageSize - Int(try snapshot.firstPage()[20]))
    return isOverflow ? page.overflowLinks : page.links
  }
}

extension Snapshot {
  func copy(ofPage number: UInt32) throws(StoreError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: pageSize)
    try bytes.withUnsafeMutableBytes { raw in
      Result { () throws(StoreError) in try read(page: number, into: raw) }
    }.get()
    return bytes
  }
}
