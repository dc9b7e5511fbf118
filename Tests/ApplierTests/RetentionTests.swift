import Glibc
import SluiceFakes
import SluiceJournal
import SluiceReader
import SluiceShared
import SluiceTeardown
import SluiceWriter
import Testing

@testable import SluiceApplier

@Suite("What is older than what is to be kept goes, and nothing else", .serialized)
struct RetentionTests {
  /// A term and a checkpoint for each of batches 1 to `terms`; all of it is kept.
  func worked(_ terms: Int = 6) throws -> TestStore {
    let store = try TestStore()
    store.options.retention.keep = nil
    for i in 1...terms {
      try store.apply(i == 1 ? "CREATE TABLE t(a)" : "INSERT INTO t VALUES(\(i))")
      try makeCheckpoint(store)
    }
    return store
  }

  private func makeCheckpoint(_ store: TestStore) throws {
    let pages = try PageStore(path: store.path, environment: store.environment)
    try checkpointing(store).make(of: pages.published(.latest))
  }

  func checkpointing(_ store: TestStore) throws -> Checkpoint {
    Checkpoint(of: try store.handle)
  }

  func settings(readers: Duration = .zero) -> RetentionSettings {
    var settings = RetentionSettings()
    settings.keep = .milliseconds(1)
    settings.checkpoints = 2
    settings.readers = readers
    settings.listing = .zero
    return settings
  }

  /// One round, as the store's present applier would make it, half a minute from now.
  @discardableResult
  func retire(
    _ store: TestStore, _ settings: RetentionSettings, isUrgent: Bool = false
  ) throws -> Retention.Done {
    let log = Log(of: try store.handle)
    let present = try log.present()
    var options = store.options
    options.retention = settings
    return try Retention(checkpointing(store), options, store.environment).run(
      Retention.Occasion(
        now_ms: store.environment.clock.wallTime_ms() + 30_000, published: present.published,
        segment: present.segment.number, isSettled: true, isUrgent: isUrgent))
  }

  func numbers(_ store: TestStore, _ directory: String) throws -> [UInt64] {
    try store.names(directory).compactMap(StoreLayout.logNumber).sorted()
  }

  func checkpoints(_ store: TestStore) throws -> [UInt64] {
    try store.names(store.layout.checkpoints).compactMap(StoreLayout.checkpointTxID)
      .map(\.rawValue).sorted()
  }

  func damages(_ store: TestStore) throws -> [Verification.Damage] {
    var damages: [Verification.Damage] = []
    _ = try Verification(store: store.path, store.environment, onDamage: { damages.append($0) })
      .run()
    return damages
  }

  // MARK: what goes

  @Test("Log and checkpoints go up to the second newest checkpoint, and the rest is whole")
  func goes() throws {
    let store = try worked()
    // Segment 1 is `init`'s, each term has one more; the last batch is in 7.
    #expect(try numbers(store, store.layout.log) == Array(1...7))
    let done = try retire(store, settings())
    #expect(done.base == TxID(5))
    #expect(done.retired == Array(1...6))
    #expect(try numbers(store, store.layout.log) == [7])
    #expect(try numbers(store, store.layout.oldLog) == [])
    #expect(try checkpoints(store) == [5, 6])
    #expect(try damages(store) == [])
    #expect(
      try Replay.compare(RecordedHistory(store: store.path, store.environment)).last == TxID(6))
    #expect(try store.query("SELECT count(*) FROM t") == [[5]])
    try store.apply("INSERT INTO t VALUES(7)")
    #expect(try store.query("SELECT count(*) FROM t") == [[6]])
    #expect(try damages(store) == [])
  }

  @Test(
    "An applier does it by itself, and where it keeps all, nothing goes", arguments: [true, false])
  func byApplier(keepsAll: Bool) throws {
    let store = try worked()
    store.options.retention = settings()
    if keepsAll { store.options.retention.keep = nil }
    store.options.retention.checkpoints = keepsAll ? 100 : 2
    try store.drain()
    // Its own segment is 8, and has the last batch's checkpoint before it.
    #expect(try numbers(store, store.layout.log) == (keepsAll ? Array(1...8) : [7, 8]))
    #expect(try checkpoints(store) == (keepsAll ? Array(0...6) : [5, 6]))
    #expect(try damages(store) == [])
  }

  /// As old advice had it, and as a damaged one is removed.
  @Test("However young the oldest checkpoint is, the log before it stays", arguments: [nil, 60])
  func youngCheckpoints(keep_s: Int?) throws {
    let store = try worked()
    for txid in try checkpoints(store).dropLast(2) {
      for name in [
        StoreLayout.checkpointName(TxID(txid)), StoreLayout.sidecarName(TxID(txid)),
      ] { try store.environment.fileSystem.unlink("\(store.layout.checkpoints)/\(name)") }
    }
    var settings = settings(readers: .seconds(3600))
    settings.keep = keep_s.map { .seconds($0) }
    #expect(try retire(store, settings).isEmpty)
    #expect(try numbers(store, store.layout.log) == Array(1...7))
  }

  @Test("Who was not told how much is kept keeps what the term before did")
  func adopted() throws {
    var untold = settings()
    untold.isGiven = false
    let stated = untold.adopted(after: StatedRetention(keep_ms: 5000, bytes: 77, checkpoints: 3))
    #expect(stated.keep == .seconds(5) && stated.bytes == 77 && stated.checkpoints == 3)
    #expect(untold.adopted(after: StatedRetention(checkpoints: 3)).keep == nil)
    for nothing in [nil, StatedRetention()] {
      #expect(untold.adopted(after: nothing).removesNothing)
      #expect(!settings().adopted(after: nothing).removesNothing)
    }
    // The terms before kept all.
    let store = try worked()
    store.options.retention = untold
    try store.drain()
    #expect(try numbers(store, store.layout.log) == Array(1...8))
    store.options.retention = settings()
    try store.drain()
    #expect(try numbers(store, store.layout.log).first != 1)
    // A new store states what is kept before there is a term.
    let fresh = try TestStore()
    let beacon = try Log(of: fresh.handle).present().beacon
    #expect(beacon.status.retention == RetentionSettings().stated)
  }

  @Test("What is younger than what is kept stays")
  func young() throws {
    let store = try worked()
    var settings = settings(readers: .seconds(3600))
    settings.keep = .seconds(60)
    settings.checkpoints = 100
    #expect(try retire(store, settings).isEmpty)
    #expect(try numbers(store, store.layout.log) == Array(1...7))
  }

  @Test("The segment before a new one stays for longer than a listing takes")
  func unsettled() throws {
    let store = try worked()
    let log = Log(of: try store.handle)
    let present = try log.present()
    var options = store.options
    options.retention = settings()
    _ = try Retention(checkpointing(store), options, store.environment).run(
      Retention.Occasion(
        now_ms: store.environment.clock.wallTime_ms() + 30_000, published: present.published,
        segment: present.segment.number, isSettled: false))
    #expect(try numbers(store, store.layout.log) == [6, 7])
  }

  @Test("A checkpoint that is not published, or not what it says, supersedes nothing")
  func unsound() throws {
    let store = try worked()
    store.isDamagedOnPurpose = true
    let path = "\(store.layout.checkpoints)/\(StoreLayout.checkpointName(TxID(5)))"
    try store.environment.fileSystem.setPermissions(path, mode: 0o644)
    let file = try store.environment.fileSystem.open(path, .write)
    try file.resize(to: try file.status().size - 512)
    let error = #expect(throws: StoreError.self) { try retire(store, settings()) }
    #expect(error?.code == .damaged)
    #expect(try numbers(store, store.layout.log) == Array(1...7))
    #expect(try checkpoints(store) == Array(0...6))
  }

  @Test("Too many bytes make it less")
  func bytes() throws {
    let store = try worked()
    var settings = settings()
    settings.keep = .seconds(3600)
    settings.checkpoints = 100
    settings.bytes = 1 << 30
    #expect(try retire(store, settings).removedCheckpoints == [])
    settings.bytes = 1
    #expect(try retire(store, settings).base == TxID(5))
    #expect(try checkpoints(store) == [5, 6])
  }

  // MARK: who still reads

  @Test("What is superseded stays for an hour, for readers that are behind")
  func readers() throws {
    let store = try worked()
    let behind = try PageStore(path: store.path, environment: store.environment)
    let done = try retire(store, settings(readers: .seconds(3600)))
    #expect(done.removedCheckpoints == [] && done.deletedSegments == 0)
    #expect(try numbers(store, store.layout.log) == [7])
    #expect(try numbers(store, store.layout.oldLog) == Array(1...6))
    #expect(try damages(store) == [])
    for txid in 0...6 as ClosedRange<UInt64> {
      #expect(try behind.snapshot(.asOf(.txid(TxID(txid)))).txid == TxID(txid))
    }
    // A round later nothing more goes; with the hour over, all.
    #expect(try retire(store, settings(readers: .seconds(3600))).isEmpty)
    _ = try retire(store, settings())
    #expect(try numbers(store, store.layout.oldLog) == [])
    #expect(try checkpoints(store) == [5, 6])
  }

  @Test("Without that it would not", arguments: [SafetyCheck.keepForReaders, .keepTwoCheckpoints])
  func leftOut(_ check: SafetyCheck) throws {
    let store = try worked()
    store.environment.omittedChecks = [check]
    try retire(store, settings(readers: .seconds(check == .keepForReaders ? 3600 : 0)))
    #expect(try checkpoints(store) == (check == .keepForReaders ? [5, 6] : [6]))
  }

  @Test("What is gone is said to be gone")
  func expired() throws {
    let store = try worked()
    try retire(store, settings())
    let pages = try PageStore(path: store.path, environment: store.environment)
    for point in [HistoryPoint.txid(TxID(4)), .time_ms(0)] {
      let error = #expect(throws: StoreError.self) { try pages.snapshot(.asOf(point)) }
      #expect(error?.code == .snapshotExpired)
      #expect(
        error?.message.contains("what is kept begins with the state as of batch 5, since 20")
          == true,
        "\(String(describing: error))")
    }
    #expect(try pages.snapshot(.asOf(.txid(TxID(5)))).txid == TxID(5))
    let log = Log(of: pages.handle)
    let error = #expect(throws: StoreError.self) {
      try log.history(after: TxID(2), upTo: log.present())
    }
    #expect(error?.code == .snapshotExpired)
    #expect(error?.message.contains("begins with batch 6, since 20") == true)
    let history = try RecordedHistory(store: store.path, store.environment)
    let path = "\(store.path)/again.sqlite"
    #expect(throws: StoreError.self) { try Replay.run(history, into: path, from: TxID(3)) }
  }

  @Test("A feed says what is gone, and goes on behind it")
  func feed() throws {
    let store = try worked()
    var elsewhere = store.environment
    elsewhere.fileSystem = StaleFileSystem(store.environment.fileSystem)
    let early = try ChangeFeed(path: store.path, from: TxID(1), environment: elsewhere)
    var seen: [UInt64] = []
    struct Enough: Error {}
    #expect(throws: Enough.self) {
      try early.advance { entry in
        guard entry.txid < TxID(3) else { throw Enough() }
        seen.append(entry.txid.rawValue)
      }
    }
    try retire(store, settings())
    let behind = try ChangeFeed(path: store.path, from: TxID(3), environment: store.environment)
    for (feed, first) in [(early, 3), (behind, 3)] as [(ChangeFeed, UInt64)] {
      var gaps: [ChangeFeed.Gap] = []
      seen = []
      try feed.advance(onGap: { gaps.append($0) }) { seen.append($0.txid.rawValue) }
      #expect(gaps.map(\.batches) == [TxID(first)...TxID(5)])
      #expect(seen == [6])
    }
    let late = try ChangeFeed(path: store.path, from: TxID(6), environment: store.environment)
    try late.advance(onGap: { _ in Issue.record("a gap") }) { #expect($0.txid == TxID(6)) }
  }
}
