import Foundation
import SluiceApplier
import SluiceJournal
import SluiceShared
import SluiceWriter
import Testing

/// By bytes one is due in “checkpointsAreMadeAndUsed” (`TermTests`).
@Suite("A checkpoint is due by the log's segments, or by the age of the last one")
struct DueCheckpointTests {
  private let store: TestStore

  init() throws {
    store = try TestStore()
    store.options.checkpointBytes = .max
    store.options.checkpointSegments = .max
  }

  private func checkpoints() throws -> [TxID] {
    try store.names(store.layout.checkpoints).compactMap(StoreLayout.checkpointTxID).sorted()
  }

  private static func row(_ bytes: Int = 10) -> Batch {
    Batch([Batch.Statement("INSERT INTO t VALUES(randomblob(\(bytes)))")])
  }

  // MARK: segments

  @Test("Of several terms, each of which begins a segment", arguments: [2, 4])
  func segmentsOfTerms(_ segments: UInt64) throws {
    store.options.checkpointSegments = segments
    try store.apply("CREATE TABLE t(x)")
    var found = [try checkpoints()]
    for _ in 1..<12 {
      try store.apply([Self.row()])
      found.append(try checkpoints())
    }
    let last = try #require(found.last)
    #expect(last.count >= 12 / (Int(segments) + 1))
    // The first one is the store's own, and between two of them there are so many.
    #expect(last.first == .zero)
    for (a, b) in zip(last, last.dropFirst()) {
      #expect(b.rawValue - a.rawValue >= segments, "\(last)")
      #expect(b.rawValue - a.rawValue <= segments + 1, "\(last)")
    }
    // Each was made by the term that it is of, and not later.
    for (i, seen) in found.enumerated() {
      #expect(seen == last.filter { $0 <= TxID(UInt64(i) + 1) }, "\(i): \(seen)")
    }
  }

  @Test("Of one term", arguments: [3, UInt64.max])
  func segmentsOfOneTerm(_ segments: UInt64) throws {
    store.options.checkpointSegments = segments
    store.options.segmentBytes = 512 << 10
    try store.apply("CREATE TABLE t(x)")
    try store.apply((0..<300).map { _ in Self.row(20_000) })
    let numbers = try store.names(store.layout.log).compactMap(StoreLayout.logNumber)
    #expect(numbers.count > 4)
    // None is made at the end of a term, so one that is there was due in it.
    let found = try checkpoints().dropFirst()
    #expect(found.isEmpty == (segments == .max), "\(found)")
  }

  // MARK: age

  /// What is there was made so long ago.
  private func age(_ checkpoint: TxID, by time: TimeInterval) throws {
    for name in [StoreLayout.checkpointName(checkpoint), StoreLayout.sidecarName(checkpoint)] {
      try FileManager.default.setAttributes(
        [.modificationDate: Date(timeIntervalSinceNow: -time)],
        ofItemAtPath: "\(store.layout.checkpoints)/\(name)")
    }
  }

  @Test("Of another term", arguments: [3000, 4000] as [TimeInterval])
  func ageAtTheBeginning(_ age: TimeInterval) throws {
    store.options.checkpointAge = .seconds(3600)
    try store.apply("CREATE TABLE t(x)")
    #expect(try checkpoints() == [.zero])
    try self.age(.zero, by: age)
    try store.apply([Self.row()])
    #expect(try checkpoints() == (age < 3600 ? [.zero] : [.zero, TxID(2)]))
    guard age > 3600 else { return }
    // The new one is young; and where nothing is new, it stays the newest.
    try store.apply([Self.row()])
    #expect(try checkpoints() == [.zero, TxID(2)])
    try self.age(TxID(2), by: age)
    try store.apply([Self.row()])
    #expect(try checkpoints() == [.zero, TxID(2), TxID(4)])
    try self.age(TxID(4), by: age)
    try store.drain()
    #expect(try checkpoints() == [.zero, TxID(2), TxID(4)])
  }

  @Test("While a term lasts", arguments: [500, 700])
  func ageInOneTerm(_ seconds: Int) throws {
    try store.apply("CREATE TABLE t(x)")
    store.options.checkpointAge = .seconds(600)
    store.options.leaseTime = .seconds(3600)
    let clock = ShiftedClock()
    store.environment.clock = clock
    // VACUUM is a commit of its own, before which the term has looked how old the last one is.
    store.options.beforeBatch = { (batch) throws(StoreError) in
      if batch.sequence == SequenceNumber(3) { clock.advance(by: .seconds(seconds)) }
    }
    try store.apply([Self.row(), Batch([Batch.Statement("VACUUM")]), Self.row()])
    #expect(try checkpoints() == (seconds < 600 ? [.zero] : [.zero, TxID(4)]))
  }

  /// So that what is older than what is to be kept can go.
  @Test(
    "Where no age is said, it is what is kept of the past, and a day at least",
    arguments: [(keep: 3600, least: 86_400), (keep: 604_800, least: 604_800)])
  func ageOfWhatIsKept(_ keep: Int, _ least: Int) throws {
    store.options.retention.keep = .seconds(keep)
    try store.apply("CREATE TABLE t(x)")
    try age(.zero, by: TimeInterval(least - 1000))
    try store.apply([Self.row()])
    #expect(try checkpoints() == [.zero])
    try age(.zero, by: TimeInterval(least + 1000))
    try store.apply([Self.row()])
    #expect(try checkpoints() == [.zero, TxID(3)])
  }
}
