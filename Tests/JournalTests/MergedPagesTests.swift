import SluiceFakes
import Testing

@testable import SluiceJournal

@Suite("A merged index has the newest place of each page, whatever the sizes of the commits")
struct MergedPagesTests {
  @Test(arguments: 1...50 as ClosedRange<UInt64>)
  func asADictionary(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    var merged = MergedPages()
    var expected: [UInt32: PageEntry] = [:]
    for commit in 1...40 as ClosedRange<Int64> {
      let most = 1 << UInt32(random.next() % 10)
      var entries: [PageEntry] = []
      for page in 1...600 as ClosedRange<UInt32> where random.next() % 600 < most {
        entries.append(PageEntry(page: page, storedBytes: 1, crc: 2, offset: commit))
      }
      merged.add(entries)
      for entry in entries { expected[entry.page] = entry }
      if random.next() % 8 == 0 {
        let count = UInt32(random.next() % 600)
        merged.truncate(to: count)
        expected = expected.filter { $0.key <= count }
      }
      #expect(merged.isEmpty == expected.isEmpty)
      #expect(merged.entries == expected.values.sorted { $0.page < $1.page })
    }
  }
}
