import Foundation
import SluiceFakes
import SluiceJournal
import SluiceShared
import SluiceWriter
import Testing

@testable import SluiceApplier

@Suite("What is lost of the journal is counted and told, and what waits is not lost")
struct LostSegmentTests: HostileStore {
  let store: TestStore

  init() throws { store = try Self.makeStore() }

  // MARK: What is missing

  @Test func missingBatchesAreCounted() throws {
    let journal = try store.journal()
    try journal.flush([insert(1).encoded()], ends: true)
    try store.drain()
    for n in Int64(2)...4 { try journal.flush([insert(n).encoded()], ends: true) }
    let writer = try #require(journal.writer)
    for number in UInt64(2)...3 { try store.environment.fileSystem.unlink(path(writer, number)) }
    for _ in 0..<2 { try store.drain() }
    let log = Log(of: try store.handle)
    #expect(try log.present().beacon.status.missing == 2)
    #expect(
      try store.query("SELECT message FROM _sluice_rejected")
        == [["not executed: batches 2 to 3 of its writer are missing"]])
  }

  // MARK: Silence

  /// Nobody ended it, and its date says for how long it was silent.
  @Test func aDrainTakesAwaySegmentsThatAreSilentByTheirDate() throws {
    let clock = ShiftedClock()
    let files = DatingFileSystem(store.environment.fileSystem, clock)
    store.environment.fileSystem = files
    store.environment.clock = clock
    let old = try store.journal()
    try old.flush([insert(1).encoded()])
    clock.advance(by: .seconds(61))
    let young = try store.journal()
    try young.flush([insert(2).encoded()])
    try store.drain()
    #expect(try store.query("SELECT a FROM t") == [[1], [2]])
    let name = StoreLayout.journalName(.init(writer: try #require(young.writer), number: 1))
    #expect(try Set(store.names(store.layout.journal)) == ["quarantine", name])
    // Its writer finds it closed, and goes on.
    try old.flush([insert(3).encoded()], ends: true)
    try store.drain()
    #expect(try store.query("SELECT a FROM t") == [[1], [2], [3]])
  }

  /// Its writer was told that it is durable, and submits nothing more.
  @Test func aBatchThatIsLostInQuarantineHasAResult() throws {
    let clock = ShiftedClock()
    let files = DatingFileSystem(store.environment.fileSystem, clock)
    store.environment.fileSystem = files
    store.environment.clock = clock
    let writer = try store.writer()
    _ = try writer.submitBlocking(insert(1))
    let lost = try writer.submitBlocking(insert(2))
    let path = path(lost.batch.writer, 1)
    try store.environment.fileSystem.open(path, .write).write([1, 2, 3], at: 12288 + 90)
    clock.advance(by: .seconds(61))
    try store.drain()
    #expect(try store.query("SELECT a FROM t") == [[1]])
    #expect(try store.names(store.layout.quarantine).count == 1)
    clock.advance(by: .seconds(16))
    let error = #expect(throws: StoreError.self) {
      try writer.outcomeBlocking(of: lost, timeout: .seconds(60))
    }
    #expect(error?.code == .damaged)
    #expect(error?.batch == lost.batch)
    #expect(error?.message.contains("is lost and was not executed") == true)
  }

  /// One that waits for an applier is not lost, however long.
  @Test func aBatchThatWaitsIsNotLost() throws {
    let clock = ShiftedClock()
    store.environment.clock = clock
    let writer = try store.writer()
    let receipt = try writer.submitBlocking(insert(1))
    clock.advance(by: .seconds(16))
    let error = #expect(throws: StoreError.self) {
      try writer.outcomeBlocking(of: receipt, timeout: .milliseconds(50))
    }
    #expect(error?.code == .timeout)
    try store.drain()
    #expect(try writer.outcomeBlocking(of: receipt, timeout: .seconds(60)).outcome.isApplied)
  }
}
