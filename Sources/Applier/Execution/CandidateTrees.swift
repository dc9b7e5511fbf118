internal import SluiceJournal
internal import SluiceShared

/// Where the tables and indexes of an interactive transaction must not lead.
///
/// SQLite believes what a page refers to. A table whose tree led to a page of Sluice's own, of the schema, or to a
/// free one that the applier takes next, would pass all checks, and a later `DELETE` from it would write there.
/// Looked at are the roots, and what the changed pages refer to. (A page that the transaction did not change, and that
/// refers to one that it freed, is not seen: that would be a walk through the whole database.)
struct CandidateTrees {
  /// What the pages of the base are.
  let base: [UInt32: ReservedPages.Use]
  let candidate: CandidatePages
  /// The pages of the schema, as the transaction leaves it.
  let schema: Set<UInt32>
  var free: Set<UInt32> = []
  private let makesCheck: Bool

  init(
    base: [UInt32: ReservedPages.Use], candidate: CandidatePages, schema: Set<UInt32>,
    makesCheck: Bool
  ) {
    self.base = base
    self.candidate = candidate
    self.schema = schema
    self.makesCheck = makesCheck
  }

  /// What a page is that no tree of a batch's has; nil: it may have it.
  private func use(of page: UInt32) -> String? {
    guard page <= candidate.pageCount else { return nil }
    if base[page] == .bookkeeping { return "one of Sluice's own" }
    if page == 1 || schema.contains(page) { return "one of the schema" }
    if free.contains(page) { return "a free one" }
    return candidate.isMap(page) ? "one of pointers" : nil
  }

  /// `changed`: the pages that were. `page` reads one.
  func objection(
    toLinksOf changed: [UInt32], _ page: (UInt32) throws(StoreError) -> [UInt8]?
  ) throws(StoreError) -> String? {
    guard makesCheck else { return nil }
    if let shared = schema.first(where: { base[$0] == .bookkeeping }) {
      return "the schema leads to page \(shared), one of Sluice's own"
    }
    // The schema's own were walked. What is free may have anything in it.
    for number in changed where use(of: number) == nil {
      guard let bytes = try page(number) else { continue }
      let content = BTreePage(bytes, number: number, usable: candidate.usable)
      for link in content.isOfTree ? content.links : content.overflowLinks {
        if let use = use(of: link.page) {
          return "page \(number) leads to page \(link.page), \(use)"
        }
      }
    }
    return nil
  }

  /// `rows`: name, root, and whether it is Sluice's own.
  func objection(toRoots rows: [[SQLValue]]) -> String? {
    guard makesCheck else { return nil }
    var roots: Set<Int64> = []
    for row in rows {
      guard row.count == 3, case .text(let name) = row[0], case .integer(let root) = row[1],
        let page = UInt32(exactly: root), page > 0
      else { return "the schema has a root that is no page" }
      guard roots.insert(root).inserted else {
        return "\(name) has the same root as another: page \(page)"
      }
      if row[2] == .integer(0), let use = use(of: page) {
        return "the root of \(name) is page \(page), \(use)"
      }
    }
    return nil
  }
}
