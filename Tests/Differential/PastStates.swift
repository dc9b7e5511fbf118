import SluiceApplier
import SluiceJournal
import SluiceQuery
import SluiceReader
import SluiceSQLite
import SluiceShared

/// What plain SQLite had as of some batches, and whether a reader of the past, a restored file and a replayed
/// one have the same.
struct PastStates {
  private let store: String
  private let directory: String
  private let environment: Environment
  /// Has a stream of its own, so that what is executed is the same with it.
  private var choose: Chooser
  private var noted: [(txid: TxID, content: Content)] = []

  struct Counts {
    /// States that were looked at in three ways.
    var same = 0
    /// Those that retention had removed, which everybody was told.
    var gone = 0

    mutating func add(_ other: Counts) {
      same += other.same
      gone += other.gone
    }
  }

  init(seed: UInt64, store: String, directory: String, _ environment: Environment) {
    self.store = store
    self.directory = directory
    self.environment = environment
    choose = Chooser(seed: ~seed.byteSwapped)
  }

  /// `txid` was executed last; now and then its state is kept.
  mutating func executed(_ txid: TxID, _ connection: Connection, always: Bool = false) throws {
    guard always || choose.chance(0.01), noted.last?.txid != txid else { return }
    noted.append((txid, try Content { try connection.query($0) }))
  }

  /// A checkpoint in the middle, as an applier that runs for days makes them.
  mutating func mayCheckpoint() throws {
    guard choose.chance(0.5) else { return }
    let pages = try PageStore(path: store, environment: environment)
    try Checkpoint(of: pages.handle).make(of: pages.published(.latest))
  }

  func check() throws -> Counts {
    var counts = Counts()
    let pages = try PageStore(path: store, environment: environment)
    let database = Database(pages, executor: environment.executor)
    for (txid, expected) in noted {
      let snapshot: Snapshot
      do throws(StoreError) { snapshot = try pages.snapshot(.asOf(.txid(txid))) } catch {
        guard error.code == .snapshotExpired else { throw error }
        counts.gone += 1
        continue
      }
      // Batches that were committed together have one state.
      guard snapshot.txid == txid else { continue }
      try compare(
        expected,
        try database.read(.asOf(.txid(txid))) { transaction in
          try Content { try transaction.query($0) }
        }, "a reader's state as of batch \(txid)")
      let restored = "\(directory)/restored-\(txid.rawValue).sqlite"
      try Restoration.write(snapshot, to: restored, environment)
      try compare(expected, try content(restored), "what was restored as of batch \(txid)")
      let replayed = "\(directory)/replayed-\(txid.rawValue).sqlite"
      _ = try Replay.run(
        RecordedHistory(store: store, environment), into: replayed, to: .txid(txid))
      try compare(expected, try content(replayed), "what was replayed to batch \(txid)")
      counts.same += 1
    }
    return counts
  }

  private func content(_ path: String) throws -> Content {
    let connection = try Connection(path: path, flags: [.readOnly])
    return try Content { try connection.query($0) }
  }

  private func compare(_ expected: Content, _ found: Content, _ what: String) throws {
    guard found != expected else { return }
    throw Difference(
      description: "\(what) differs\n  "
        + found.differences(from: expected).joined(separator: "\n  "))
  }
}
