import SluiceJournal
import SluiceReader
import SluiceShared
import Testing

@testable import SluiceApplier

@Suite("A verdict is executed on the batch that it names")
struct VerdictTests {
  /// The first batch of a group is to be alone in its commit, and the verdict is another one's. The check
  /// taken out: whoever is last in what is left of the group is rejected.
  @Test(arguments: [true, false])
  func whoIsAloneIsNotRejectedForAnother(_ isChecked: Bool) throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a)")
    if !isChecked { store.environment.omittedChecks = [.verdictByName] }
    let pages = try PageStore(path: store.path, environment: store.environment)
    let session = try Session(
      pages.snapshot(.latest), Session.Settings(pages.description, store.options),
      store.environment)
    let batches = try pendingBatches(2)
    var request = Session.Request(batches: batches[...], time_ms: 1)
    request.isAlone = true
    request.verdict = Session.Verdict(
      batch: batches[1].id,
      rejection: Outcome.Rejection(code: Outcome.Rejection.Code.timeLimit, message: "too long"))
    var outcomes: [Outcome] = []
    _ = try? session.commit(request) { (content, _) throws(StoreError) in
      outcomes = ((try? BatchOutcome.decode(content.outcomes, count: content.count)) ?? []).map(
        \.outcome)
      throw StoreError(.io, "seen")
    }
    #expect(outcomes.map(\.isApplied) == [isChecked])
  }
}

/// So many batches of one writer, in a frame.
func pendingBatches(_ count: Int) throws -> [PendingBatch] {
  var list = ByteWriter()
  for n in 1...count {
    let batch = try Batch([Batch.Statement("INSERT INTO t VALUES(\(n))")]).encoded()
    list.append(UInt32(batch.count))
    list.append(raw: batch)
  }
  let frame = PendingFrame(
    JournalSegmentID(writer: WriterID(time_ms: 1, random: { 5 }), number: 1), owner: 0,
    .init(
      first: SequenceNumber(1), count: UInt32(count), end: 12288, stored: list.bytes, codec: .raw,
      rawBytes: Int64(list.bytes.count)))
  return (0..<count).map { PendingBatch(frame, $0) }
}
