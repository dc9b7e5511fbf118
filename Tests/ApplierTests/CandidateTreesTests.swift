import SluiceShared
import Testing

@testable import SluiceApplier

@Suite("A page of a tree is looked at as that, and one of overflow as that")
struct CandidateTreesTests {
  /// A database with auto_vacuum, which has a page of pointers among each 205.
  private let trees: CandidateTrees

  init() {
    var first = [UInt8](repeating: 0, count: 1024)
    first[55] = 1
    trees = CandidateTrees(
      base: [5: .bookkeeping], candidate: CandidatePages(base: first, first: first, pageCount: 900),
      schema: [], makesCheck: true)
  }

  private func objection(to page: [UInt8]) throws -> String? {
    try trees.objection(toLinksOf: [10]) { _ in page }
  }

  /// Its first bytes are its kind and the place of what is free in it, and may be any number.
  @Test func aLeafIsNoPageOfOverflow() throws {
    for free in 0..<1024 {
      var leaf = [UInt8](repeating: 0, count: 1024)
      (leaf[0], leaf[1], leaf[2]) = (13, UInt8(free >> 8), UInt8(free & 255))
      #expect(try objection(to: leaf) == nil, "\(free)")
    }
  }

  @Test func overflowLeadsToNoPageOfSluices() throws {
    var overflow = [UInt8](repeating: 0, count: 1024)
    for (next, isRefused) in [(5, true), (6, false), (0, false)] {
      overflow[3] = UInt8(next)
      #expect(try (objection(to: overflow) != nil) == isRefused, "\(next)")
    }
  }
}
