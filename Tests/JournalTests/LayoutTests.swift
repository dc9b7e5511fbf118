import SluiceJournal
import SluiceShared
import Testing

@Suite("Names that do not match exactly are ignored")
struct LayoutTests {
  @Test func namesAreReadAsTheyAreWritten() {
    let writer = WriterID(high: 0x0190_0000_0000_7ABC, low: 0x8000_0000_0000_0001)
    let segment = JournalSegmentID(writer: writer, number: 7)
    #expect(
      StoreLayout.journalName(segment) == "01900000-0000-7abc-8000-000000000001.00000007.seg")
    #expect(StoreLayout.journalSegment(StoreLayout.journalName(segment)) == segment)
    #expect(StoreLayout.logName(42) == "000000000042.log")
    #expect(StoreLayout.logNumber("000000000042.log") == 42)
    #expect(StoreLayout.checkpointName(TxID(42)) == "0000000000000042.sqlite")
    #expect(StoreLayout.checkpointTxID("0000000000000042.sqlite") == TxID(42))
    #expect(StoreLayout.sidecarName(TxID(42)) == "0000000000000042.pages")
    #expect(StoreLayout("/mnt/efs/orders//").log == "/mnt/efs/orders/log")
  }

  @Test(arguments: [
    ".nfs00000001", "000000000042.log.0123456789abcdef.tmp", "42.log", "00000000004a.log",
    "0000000000042.log", "000000000042.LOG", "+00000000042.log", "",
  ])
  func otherLogNames(name: String) { #expect(StoreLayout.logNumber(name) == nil) }

  @Test(arguments: [
    "01900000-0000-7abc-8000-000000000001.00000000.seg",
    "01900000-0000-7abc-8000-000000000001.7.seg",
    "01900000-0000-7ABC-8000-000000000001.00000007.seg",
    "01900000-0000-7abc-8000-000000000001-00000007.seg",
    "01900000-0000-7abc-8000-000000000001.00000007.seg.tmp",
    "0190000000007abc8000000000000001.00000007.seg", ".nfs0000", "quarantine", "",
  ])
  func otherJournalNames(name: String) { #expect(StoreLayout.journalSegment(name) == nil) }
}
