internal import SluiceReader
internal import SluiceShared

/// What the pages that a commit changed look like.
struct ChangeScan {
  /// A rowid of each changed page that looks like one of a table's tree in the state before; ascending. (That it is one
  /// is not known, nor needed: a probe too many costs the reading of some interior pages.)
  private(set) var probes: [Int64] = []
  /// Pages that look like pages of overflow in both states, where SQLite may have overwritten a value whose row's own
  /// page is as it was.
  private(set) var suspects: Set<UInt32> = []
  private let pair: StatePair

  init(_ pair: StatePair) throws(StatePair.Failure) {
    self.pair = pair
    for page in pair.changed where page > 1 {
      let bytes = try pair.page(page, .before)
      if let probe = bytes.anyRowID { probes.append(probe) }
      guard mayBeOverflow(bytes, .before) else { continue }
      if mayBeOverflow(try pair.page(page, .behind), .behind) { suspects.insert(page) }
    }
    // What is in a tree in one state only is below a page that was changed.
    probes.sort()
  }

  /// A page of overflow begins with the number of the next one. The first byte of one of a tree is its kind, which makes
  /// a number of 2²⁵ and more of it. (With auto_vacuum pages of pointers begin with a kind, too, from 1 to 5: 2 stands for
  /// a free page, which nothing points to, so that no cells are read of it; 5 looks like an interior page of a table,
  /// which leads to no overflow.)
  private func mayBeOverflow(_ page: BTreePage, _ side: StatePair.Side) -> Bool {
    page.integer32(0) <= pair[side].pageCount
  }

  /// Takes away those that are free, or hold a value of a changed page, in one of the states: there they are no page
  /// of a row whose own page is as it was.
  mutating func explainSuspects() throws(StatePair.Failure) {
    for side in StatePair.Side.allCases {
      guard !suspects.isEmpty else { return }
      let free = try changedFreePages(side)
      suspects.subtract(free)
      for page in pair.changed where !free.contains(page) {
        guard !suspects.isEmpty else { return }
        let bytes = try pair.page(page, side)
        guard bytes.isOfTree, page == 1 || !mayBeOverflow(bytes, side) else { continue }
        for link in bytes.links where link.isOverflow {
          _ = try remove(from: link.page, side)
        }
      }
    }
  }

  /// Takes away the suspects that hold a value which begins in page `first`, and says whether there were some.
  mutating func remove(from first: UInt32, _ side: StatePair.Side) throws(StatePair.Failure)
    -> Bool
  {
    var page = first
    var steps: UInt32 = 0
    var found = false
    while page > 0, !suspects.isEmpty {
      steps += 1
      guard steps <= pair[side].pageCount else {
        throw .untold("page \(page) of overflow leads to itself")
      }
      if suspects.remove(page) != nil { found = true }
      page = try pair.page(page, side).integer32(0)
    }
    return found
  }

  private func changedFreePages(_ side: StatePair.Side) throws(StatePair.Failure) -> Set<UInt32> {
    var free: Set<UInt32> = []
    var steps: UInt32 = 0
    var trunk = try pair.page(1, side).integer32(32)
    while trunk > 0 {
      steps += 1
      guard steps <= pair[side].pageCount else {
        throw .untold("the list of free pages leads to itself")
      }
      let bytes = try pair.page(trunk, side)
      if pair.isChanged(trunk) { free.insert(trunk) }
      for place in 0..<Int(bytes.integer32(4)) {
        guard 8 + 4 * place + 4 <= pair[side].pageSize else {
          throw .untold("page \(trunk) is no list of free pages")
        }
        let leaf = bytes.integer32(8 + 4 * place)
        if pair.isChanged(leaf) { free.insert(leaf) }
      }
      trunk = bytes.integer32(0)
    }
    return free
  }
}
