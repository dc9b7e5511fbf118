import Glibc
import SluiceFakes
import SluiceJournal
import SluiceReader
import SluiceSQLite
import SluiceShared
import SluiceTeardown
import Testing

@testable import SluiceApplier

@Suite(
  "Who reads the past begins anew where what it reads is removed, or damaged, and another file has the same"
)
struct OvertakenTests {
  /// A store with checkpoints as of batches 0, 3 and 5, and six batches.
  private func worked() throws -> BackedUpStore {
    let store = try BackedUpStore()
    try store.work(1...2)
    try store.makeCheckpoint()
    try store.work(3...4)
    try store.makeCheckpoint()
    try store.work(5...5)
    return store
  }

  private static func remove(_ checkpoint: UInt64, of store: BackedUpStore) throws {
    store.store.isDamagedOnPurpose = true
    let layout = store.store.layout
    for name in [
      StoreLayout.checkpointName(TxID(checkpoint)), StoreLayout.sidecarName(TxID(checkpoint)),
    ] {
      try PosixFileSystem().unlink("\(layout.checkpoints)/\(name)")
    }
  }

  /// Of every page a byte.
  private static func damage(_ checkpoint: UInt64, of store: BackedUpStore) throws {
    store.store.isDamagedOnPurpose = true
    let layout = store.store.layout
    let path = "\(layout.checkpoints)/\(StoreLayout.checkpointName(TxID(checkpoint)))"
    try PosixFileSystem().setPermissions(path, mode: 0o644)
    let file = try PosixFileSystem().open(path, .write)
    for offset in stride(from: Int64(2000), to: try file.status().size, by: 4096) {
      try file.write([file.read(1, at: offset)[0] ^ 1], at: offset)
    }
  }

  /// Another host removes a checkpoint when the file is begun.
  private func removing(_ checkpoint: UInt64, of store: BackedUpStore, _ path: String)
    -> (Environment, Monitor<Bool>)
  {
    // Used by this one thread, in the hook too.
    nonisolated(unsafe) let store = store
    let isDue = Monitor(true)
    var environment = store.environment
    environment.fileSystem = HookedFileSystem(StaleFileSystem()) { operation in
      guard operation.action == .create, operation.path.hasPrefix(path),
        isDue.withLock({
          let was = $0; $0 = false; return was
        })
      else { return .done }
      #expect(throws: Never.self) { try Self.remove(checkpoint, of: store) }
      return .done
    }
    return (environment, isDue)
  }

  @Test("restore, whose checkpoint is thinned out meanwhile")
  func restored() throws {
    let store = try worked()
    let path = "\(store.place)/restored.sqlite"
    let (environment, isDue) = removing(3, of: store, path)
    let pages = try PageStore(path: store.store.path, environment: environment)
    var begun: [TxID] = []
    let snapshot = try Restoration.write(
      .asOf(.txid(TxID(4))), of: pages, to: path, environment,
      begins: { begun.append($0.checkpointTxID) })
    #expect(snapshot.txid == TxID(4) && !isDue.withLock { $0 })
    #expect(begun == [TxID(3), TxID(0)])
    let connection = try Connection(path: path, flags: [.readOnly])
    #expect(try connection.scalar("SELECT count(*) FROM t") == 3)
    // What nothing gives any more is said.
    let (other, _) = removing(0, of: store, "\(store.place)/other.sqlite")
    let error = #expect(throws: StoreError.self) {
      try Restoration.write(
        .asOf(.txid(TxID(4))), of: PageStore(path: store.store.path, environment: other),
        to: "\(store.place)/other.sqlite", other)
    }
    #expect(error?.code == .snapshotExpired)
    #expect(try store.names(store.place) == ["restored.sqlite"])
  }

  @Test("restore, where a page of the newest checkpoint is damaged")
  func damaged() throws {
    let store = try worked()
    try Self.damage(5, of: store)
    let pages = try PageStore(path: store.store.path, environment: store.environment)
    let path = "\(store.place)/restored.sqlite"
    var notes: [StoreError] = []
    let snapshot = try Restoration.write(
      .latest, of: pages, to: path, store.environment, note: { notes.append($0) })
    #expect(snapshot.txid == TxID(6) && notes.map(\.code) == [.damaged])
    let connection = try Connection(path: path, flags: [.readOnly])
    #expect(try connection.scalar("SELECT count(*) FROM t") == 5)
    try Self.remove(3, of: store)
    try Self.remove(0, of: store)
    let error = #expect(throws: StoreError.self) {
      try Restoration.write(
        .latest, of: PageStore(path: store.store.path, environment: store.environment),
        to: "\(store.place)/other.sqlite", store.environment)
    }
    #expect(error?.code == .damaged && error?.message.contains("page") == true)
  }

  @Test(
    "restore, which finds damage, and looks for another checkpoint just when that is listed and gone"
  )
  func damagedAndRemoved() throws {
    let store = try worked()
    let layout = store.store.layout
    try Self.damage(5, of: store)
    for (failure, code) in [(ENOENT, nil), (EIO, StoreError.Code.io)] as [(Int32, StoreError.Code?)]
    {
      let left = Monitor<Set<String>>([])
      var environment = store.environment
      environment.fileSystem = HookedFileSystem(PosixFileSystem()) { operation in
        guard operation.action == .open, left.withLock({ $0.remove(operation.path) }) != nil
        else { return .done }
        return .fails(StoreError(.io, "open failed", path: operation.path, errno: failure))
      }
      let path = "\(store.place)/restored-\(failure).sqlite"
      var thrown: StoreError?
      do throws(StoreError) {
        let snapshot = try Restoration.write(
          .latest, of: PageStore(path: store.store.path, environment: environment), to: path,
          environment,
          note: { _ in
            left.withLock { left in
              for txid: UInt64 in [3, 0] {
                left.insert("\(layout.checkpoints)/\(StoreLayout.checkpointName(TxID(txid)))")
              }
            }
          })
        #expect(snapshot.txid == TxID(6))
      } catch { thrown = error }
      #expect(thrown?.code == code, "\(failure): \(thrown as Any)")
    }
  }

  @Test("replay, whose first checkpoint is removed meanwhile")
  func replayed() throws {
    let store = try worked()
    let path = "\(store.place)/replayed.sqlite"
    let (environment, isDue) = removing(0, of: store, path)
    var notes: [String] = []
    let summary = try Replay.run(
      store: store.store.path, into: path, environment, note: { notes.append($0) })
    #expect(summary.first == TxID(3) && summary.last == TxID(6) && !isDue.withLock { $0 })
    #expect(notes.count == 1)
  }

  @Test("All checkpoints are lost, and the log from its beginning makes the database")
  func onlyLog() throws {
    let store = try worked()
    for checkpoint: UInt64 in [0, 3, 5] { try Self.remove(checkpoint, of: store) }
    #expect(throws: StoreError.self) {
      try PageStore(path: store.store.path, environment: store.environment)
    }
    store.teardown.isDamagedOnPurpose = true
    let archive = "\(store.place)/archive"
    try copyTree(store.store.layout.log, to: archive)
    try copyTree(store.store.layout.description, to: "\(archive)/store.json")
    let path = "\(store.place)/all.sqlite"
    let history = try RecordedHistory(archive: archive, foreignKeys: true, store.environment)
    let summary = try Replay.run(history, into: path)
    #expect(summary.first == .zero && summary.last == TxID(6))
    // As the documentation goes on.
    var creation = StoreCreation()
    creation.source = path
    let again = try TestStore(creation)
    #expect(try again.query("SELECT count(*) FROM t") == [[5]])
    #expect(try again.apply("INSERT INTO t VALUES(6, 'x')").isApplied)
  }

  @Test("A feed of rows, to which one file is missing when it is opened", arguments: 1...4)
  func missing(times: Int) throws {
    let store = try worked()
    let left = Monitor(times)
    var environment = store.environment
    environment.fileSystem = HookedFileSystem(PosixFileSystem()) { operation in
      guard operation.action == .open, operation.path.hasSuffix(".pages"),
        left.withLock({
          $0 -= 1; return $0 >= 0
        })
      else { return .done }
      return .fails(StoreError(.io, "removed", path: operation.path, errno: ENOENT))
    }
    try Self.remove(3, of: store)
    try Self.remove(5, of: store)
    let feed = try RowFeed(path: store.store.path, from: TxID(2), environment: environment)
    var told: [Int?] = []
    try feed.advance { told.append($0.changes?.count) }
    #expect(told == [1, 1, 1, 1, 1])
    #expect(left.withLock { $0 } < 0)
  }

  @Test("A feed of rows lets go of checkpoints that are superseded, and says what is not kept")
  func letsGo() throws {
    let store = try BackedUpStore()
    let feed = try RowFeed(path: store.store.path, from: TxID(1), environment: store.environment)
    var told: [Int?] = []
    try feed.advance { told.append($0.changes?.count) }
    #expect(feed.execution.base?.checkpointTxID == .zero)
    try store.work(1...2)
    try store.makeCheckpoint()
    try Self.remove(0, of: store)
    try store.work(3...4)
    try feed.advance { told.append($0.changes?.count) }
    #expect(told == [0, 1, 1, 1, 1])
    #expect(feed.execution.base?.checkpointTxID == TxID(3))
    let late = try RowFeed(path: store.store.path, from: TxID(2), environment: store.environment)
    var reasons: [String?] = []
    try late.advance { reasons.append($0.untold) }
    #expect(reasons[0...1].allSatisfy { $0?.contains("is not kept") == true })
    #expect(reasons[2...] == [nil, nil])
  }

  @Test("A feed that gets on between removals is not ended by their number")
  func removals() throws {
    let store = try BackedUpStore()
    try store.work(1...9)
    let feed = try ChangeFeed(path: store.store.path, from: TxID(1), environment: store.environment)
    var met: Set<TxID> = []
    var told: [UInt64] = []
    try feed.advance(
      onGap: { _ in },
      onCommit: { (commit, _) throws(StoreError) in
        guard met.insert(commit.last).inserted else { return }
        throw StoreError(.snapshotExpired, "removed just now")
      }
    ) { told.append($0.txid.rawValue) }
    #expect(told == Array(1...10))
    // But where it does not get on.
    let stuck = try ChangeFeed(
      path: store.store.path, from: TxID(1), environment: store.environment)
    var attempts = 0
    #expect(throws: StoreError.self) {
      try stuck.advance(
        onGap: { _ in },
        onCommit: { (_, _) throws(StoreError) in
          attempts += 1
          throw StoreError(.snapshotExpired, "removed just now")
        }
      ) { _ in }
    }
    #expect(attempts == 5)
  }
}
