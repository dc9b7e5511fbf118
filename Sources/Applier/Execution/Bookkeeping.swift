internal import SluiceJournal
internal import SluiceSQLite
internal import SluiceShared

/// The applier's memory, in tables of the database itself, so that it changes in the same
/// transaction as what it speaks of.
enum Bookkeeping {
  static let prefix = "_sluice_"
  /// Writers that one commit forgets at most.
  static let mostPruned = 10_000

  /// Made by `init`. Times are Unix milliseconds of commit time.
  static let schema = """
    CREATE TABLE _sluice_state(
      id INTEGER PRIMARY KEY CHECK(id = 1), txid INTEGER NOT NULL, commits INTEGER NOT NULL,
      time INTEGER NOT NULL, rejected INTEGER NOT NULL, watermark BLOB NOT NULL);
    INSERT INTO _sluice_state VALUES(1, 0, 0, 0, 0, x'');
    CREATE TABLE _sluice_writers(
      writer BLOB PRIMARY KEY, sequence INTEGER NOT NULL, time INTEGER NOT NULL,
      expired INTEGER NOT NULL, owner INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE _sluice_keys(
      key TEXT PRIMARY KEY, hash BLOB NOT NULL, txid INTEGER NOT NULL, time INTEGER NOT NULL,
      outcome BLOB NOT NULL) WITHOUT ROWID;
    CREATE INDEX _sluice_keys_time ON _sluice_keys(time);
    CREATE TABLE _sluice_rejected(
      txid INTEGER PRIMARY KEY, writer BLOB NOT NULL, sequence INTEGER NOT NULL, key TEXT,
      time INTEGER NOT NULL, code TEXT NOT NULL, message TEXT NOT NULL);
    """

  /// How long a key is remembered, in commit time.
  static let keyHorizon_ms: Int64 = 24 * 3600 * 1000
  /// How long a writer is remembered after its last batch, in commit time.
  static let writerHorizon_ms: Int64 = 7 * 24 * 3600 * 1000
  /// Keys forgotten in one commit at most.
  static let keysPrunedAtOnce = 1000
}

/// What is known of a writer: its last batch, whether its batches are refused, and whose its files are.
struct WriterState {
  var sequence: SequenceNumber
  var isExpired: Bool
  var owner: UInt32
}

/// A key's first use.
struct KeyRecord {
  var hash: [UInt8]
  var txid: TxID
  var outcome: Outcome
}

/// The bookkeeping tables through prepared statements of one connection. Every change happens in the
/// transaction that is open; after a rollback `forget` drops what was cached of it.
final class BookkeepingTables {
  private let connection: Connection
  private let selectWriter: Statement
  private let upsertWriter: Statement
  private let selectKey: Statement
  private let insertKey: Statement
  private let insertRejected: Statement
  private let deleteOldestRejected: Statement
  private let updateState: Statement
  private let pruneKeys: Statement
  private var writers: [WriterID: WriterState] = [:]
  private var changed: Set<WriterID> = []
  private(set) var watermark: WriterID?

  init(_ connection: Connection) throws(SQLiteError) {
    self.connection = connection
    do throws(SQLiteError) {
      selectWriter = try connection.prepare(BookkeepingTables.writerQuery, persistent: true)
    } catch {
      guard error.message.contains("no such column") else { throw error }
      throw SQLiteError(
        code: error.code,
        message:
          "an earlier version of Sluice made this store, without its writers' owners; make a new one with `sluice init --from` its current.sqlite"
      )
    }
    upsertWriter = try connection.prepare(
      "INSERT INTO main._sluice_writers VALUES(?,?,?,?,?) ON CONFLICT(writer) DO UPDATE SET sequence = excluded.sequence, time = excluded.time, expired = excluded.expired",
      persistent: true)
    selectKey = try connection.prepare(
      "SELECT hash, txid, outcome FROM main._sluice_keys WHERE key = ? AND time >= ?",
      persistent: true)
    insertKey = try connection.prepare(
      "INSERT OR REPLACE INTO main._sluice_keys VALUES(?,?,?,?,?)", persistent: true)
    insertRejected = try connection.prepare(
      "INSERT INTO main._sluice_rejected VALUES(?,?,?,?,?,?,?)", persistent: true)
    deleteOldestRejected = try connection.prepare(
      "DELETE FROM main._sluice_rejected WHERE txid = (SELECT min(txid) FROM main._sluice_rejected)",
      persistent: true)
    updateState = try connection.prepare(
      "UPDATE main._sluice_state SET txid = ?, commits = ?, time = ?, rejected = ?",
      persistent: true)
    pruneKeys = try connection.prepare(
      "DELETE FROM main._sluice_keys WHERE key IN (SELECT key FROM main._sluice_keys WHERE time < ? ORDER BY time, key LIMIT \(Bookkeeping.keysPrunedAtOnce))",
      persistent: true)
    if case .blob(let bytes)? = try connection.scalar("SELECT watermark FROM main._sluice_state"),
      bytes.count == 16
    {
      watermark = WriterID(blob: bytes)
    }
  }

  /// What the database says of itself: its last TxID and how many commits and rejections made it.
  func state() throws(SQLiteError) -> (extent: LogExtent, rejected: UInt64) {
    let rows = try connection.query("SELECT txid, commits, time, rejected FROM main._sluice_state")
    let values = rows.first.map { row in
      row.map { value -> Int64 in if case .integer(let number) = value { number } else { 0 } }
    }
    guard let values, values.count == 4 else {
      throw SQLiteError(code: 11, message: "_sluice_state is empty")
    }
    return (
      LogExtent(
        txid: TxID(UInt64(values[0])), commits: UInt64(values[1]), time_ms: values[2]),
      UInt64(values[3])
    )
  }

  func writer(_ id: WriterID) throws(SQLiteError) -> WriterState? {
    if let known = writers[id] { return known }
    let key = id.blob
    try selectWriter.bind(.blob(key), at: 1)
    defer { selectWriter.reset() }
    guard try selectWriter.step() else { return nil }
    let state = WriterState(
      sequence: SequenceNumber(UInt64(selectWriter.columnInteger(0))),
      isExpired: selectWriter.columnInteger(1) != 0,
      owner: UInt32(truncatingIfNeeded: selectWriter.columnInteger(2)))
    writers[id] = state
    return state
  }

  private static let writerQuery =
    "SELECT sequence, expired, owner FROM main._sluice_writers WHERE writer = ?"

  /// As `writer`, of a database that is only read.
  static func writer(_ id: WriterID, in connection: Connection) throws(SQLiteError) -> WriterState?
  {
    let row = try connection.query(writerQuery, [.blob(id.blob)]).first
    guard let row, case .integer(let sequence) = row[0], case .integer(let expired) = row[1],
      case .integer(let owner) = row[2]
    else { return nil }
    return WriterState(
      sequence: SequenceNumber(UInt64(sequence)), isExpired: expired != 0,
      owner: UInt32(truncatingIfNeeded: owner))
  }

  /// Whether the definition of another table names one of these, as a foreign key to it would. (A name cannot be
  /// written in another way, but for small and capital letters.)
  static func mayBeBound(in connection: Connection) throws(SQLiteError) -> Bool {
    try connection.scalar(
      "SELECT 1 FROM main.sqlite_schema WHERE lower(type) = 'table' AND name NOT LIKE '\\_sluice\\_%' ESCAPE '\\' AND sql LIKE '%\\_sluice\\_%' ESCAPE '\\' LIMIT 1"
    ) != nil
  }

  func setWriter(_ id: WriterID, _ state: WriterState) {
    writers[id] = state
    changed.insert(id)
  }

  /// A key's first use within the horizon before `now_ms`.
  func key(_ key: String, now_ms: Int64) throws(SQLiteError) -> KeyRecord? {
    try selectKey.bind(text: key, at: 1)
    try selectKey.bind(integer: now_ms - Bookkeeping.keyHorizon_ms, at: 2)
    defer { selectKey.reset() }
    guard try selectKey.step(), case .blob(let hash) = selectKey.columnValue(0),
      case .blob(let bytes) = selectKey.columnValue(2)
    else { return nil }
    let outcome: Outcome
    do throws(DecodingError) { outcome = try Outcome(decoding: bytes) } catch {
      throw SQLiteError(code: 11, message: "the outcome recorded for key \(key) is damaged")
    }
    return KeyRecord(
      hash: hash, txid: TxID(UInt64(selectKey.columnInteger(1))), outcome: outcome)
  }

  func record(key: String, hash: [UInt8], txid: TxID, time_ms: Int64, outcome: Outcome)
    throws(SQLiteError)
  {
    try insertKey.bind(
      [
        .text(key), .blob(hash), .integer(Int64(txid.rawValue)), .integer(time_ms),
        .blob(outcome.encoded),
      ])
    try insertKey.run()
  }

  func record(
    rejected batch: BatchID, key: String?, txid: TxID, time_ms: Int64,
    _ rejection: Outcome.Rejection
  ) throws(SQLiteError) {
    try insertRejected.bind(
      [
        .integer(Int64(txid.rawValue)), .blob(batch.writer.blob),
        .integer(Int64(batch.sequence.rawValue)), key.map { .text($0) } ?? .null,
        .integer(time_ms), .text(rejection.code), .text(rejection.message),
      ])
    try insertRejected.run()
  }

  func forgetOldestRejection() throws(SQLiteError) { try deleteOldestRejected.run() }

  /// Writes what a commit ends with: the writers that changed, the state, and forgets old keys.
  func finish(_ extent: LogExtent, rejected: UInt64) throws(SQLiteError) {
    for id in changed.sorted() {
      guard let state = writers[id] else { continue }
      try upsertWriter.bind(
        [
          .blob(id.blob), .integer(Int64(state.sequence.rawValue)), .integer(extent.time_ms),
          .integer(state.isExpired ? 1 : 0), .integer(Int64(state.owner)),
        ])
      try upsertWriter.run()
    }
    try updateState.bind(
      [
        .integer(Int64(extent.txid.rawValue)), .integer(Int64(extent.commits)),
        .integer(extent.time_ms), .integer(Int64(rejected)),
      ])
    try updateState.run()
    try pruneKeys.bind([.integer(extent.time_ms - Bookkeeping.keyHorizon_ms)])
    try pruneKeys.run()
  }

  /// Writers that may be forgotten: silent for longer than the horizon, made before it too, and not
  /// among those `withFiles` in the journal, whose repeats must be known.
  ///
  /// The watermark rises to the highest of them, and refuses whoever is unknown and lower. So they
  /// are lower than each writer whose batches wait in a file and that is not known yet. And since
  /// they were made before the horizon, an id that a clock gone wrong dated forward shuts nobody out.
  func writersToPrune(now_ms: Int64, withFiles: WritersWithFiles) throws(SQLiteError)
    -> [WriterID]
  {
    let horizon_ms = now_ms - Bookkeeping.writerHorizon_ms
    var bound = WriterID(high: UInt64(max(0, horizon_ms)) << 16, low: 0)
    for id in withFiles.waiting where id < bound {
      if try writer(id) == nil { bound = id }
    }
    let rows = try connection.query(
      "SELECT writer FROM main._sluice_writers WHERE time < ? AND writer < ? LIMIT \(Bookkeeping.mostPruned)",
      [.integer(horizon_ms), .blob(bound.blob)])
    var ids: [WriterID] = []
    for case .blob(let bytes)? in rows.map(\.first) {
      if let id = WriterID(blob: bytes), !withFiles.all.contains(id) { ids.append(id) }
    }
    return ids
  }

  /// Forgets writers and raises the watermark to the highest of them: an unknown writer at or below
  /// it is refused, since its batches may have been executed.
  func prune(_ ids: [WriterID]) throws(SQLiteError) {
    guard let highest = ids.max() else { return }
    for id in ids {
      _ = try connection.query(
        "DELETE FROM main._sluice_writers WHERE writer = ?", [.blob(id.blob)])
      writers[id] = nil
      changed.remove(id)
    }
    if highest > watermark ?? Identifier128(high: 0, low: 0) {
      _ = try connection.query(
        "UPDATE main._sluice_state SET watermark = ?", [.blob(highest.blob)])
      watermark = highest
    }
  }

  /// The transaction was committed: what was cached is now true.
  func committed() {
    changed.removeAll(keepingCapacity: true)
    if writers.count > 65_536 { writers.removeAll() }
  }

  /// The transaction was rolled back: what was cached of it is not true.
  func rolledBack() {
    for id in changed { writers[id] = nil }
    changed.removeAll(keepingCapacity: true)
  }
}

extension Identifier128 {
  /// 16 bytes, big-endian, so that SQLite's order is theirs.
  var blob: [UInt8] {
    var writer = ByteWriter(reserving: 16)
    writer.append(self)
    return writer.bytes
  }

  init?(blob bytes: [UInt8]) {
    guard bytes.count == 16 else { return nil }
    let words = bytes.withUnsafeBytes {
      (
        $0.loadUnaligned(fromByteOffset: 0, as: UInt64.self),
        $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
      )
    }
    self.init(high: UInt64(bigEndian: words.0), low: UInt64(bigEndian: words.1))
  }
}
