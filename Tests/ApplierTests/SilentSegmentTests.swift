import Glibc
import SluiceJournal
import SluiceShared
import SluiceWriter
import Testing

@testable import SluiceApplier

@Suite("A segment that nobody ended goes by the date of its file")
struct SilentSegmentTests {
  /// A drain is over long before anybody could have been silent in it.
  @Test(arguments: [0, 3600]) func aDrainRemovesWhatWasLeftLongAgo(age_s: Int) throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a)")
    let writer = try store.writer()
    let receipt = try writer.submitBlocking(
      Batch([Batch.Statement("INSERT INTO t VALUES (1)")]))
    let name = StoreLayout.journalName(
      JournalSegmentID(writer: receipt.batch.writer, number: 1))
    var times = [timespec(), timespec()]
    clock_gettime(CLOCK_REALTIME, &times[0])
    times[0].tv_sec -= age_s
    times[1] = times[0]
    try #require(utimensat(AT_FDCWD, "\(store.layout.journal)/\(name)", times, 0) == 0)
    try store.drain()
    #expect(try store.query("SELECT a FROM t") == [[1]])
    let isThere = try store.names(store.layout.journal).contains(name)
    #expect(isThere == (age_s == 0))
  }
}
