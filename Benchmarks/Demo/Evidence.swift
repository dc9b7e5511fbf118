import SluiceJournal
import SluiceSQLite
import SluiceShared

/// What is to be found in the store at the end: in the log, and in a checkpoint read as the plain
/// SQLite database that it is.
struct Evidence {
  struct Execution: Hashable {
    var txid: TxID
    var outcome: Outcome
  }

  /// What has a number of its own within its worker: a batch, an event.
  struct Place: Hashable, CustomStringConvertible {
    var worker: Int64
    var number: Int64
    var description: String { "\(number) of worker \(worker)" }
  }

  /// The log's outcomes of each batch: one, if all is well.
  var executions: [BatchID: [Execution]] = [:]
  var lastTxID = TxID.zero
  /// The rows of `transfers` that each batch left.
  var transfers: [Place: [Deed.Transfer]] = [:]
  /// How often each event is there.
  var events: [Place: Int] = [:]
  var balances: [Int64: Int64] = [:]
  /// How often each batch is recorded as rejected.
  var rejections: [BatchID: Int] = [:]
  /// What `PRAGMA integrity_check` says.
  var integrity: [String] = []
}

extension Evidence {
  /// Reads the whole log of a store, and the SQLite database at `checkpoint`.
  init(log: Log, checkpoint path: String) throws {
    let present = try log.present()
    var follower = LogFollower(after: .empty)
    var found: [BatchID: [Execution]] = [:]
    try follower.advance(log, to: present) { (commit, cursor) throws(StoreError) in
      for (i, outcome) in try cursor.outcomes(of: commit.header).enumerated() {
        let execution = Execution(
          txid: commit.first.advanced(by: UInt64(i)), outcome: outcome.outcome)
        found[outcome.batch, default: []].append(execution)
      }
    }
    executions = found
    lastTxID = follower.extent.txid
    try read(
      Connection(path: "file:\(path)?mode=ro&immutable=1", flags: [.readOnly, .uri, .noMutex]))
  }

  private mutating func read(_ database: Connection) throws(SQLiteError) {
    for row in try database.query("PRAGMA integrity_check") {
      integrity.append("\(row.first ?? .null)")
    }
    for row in try database.query("SELECT worker, number, source, target, amount FROM transfers") {
      let place = Place(worker: integer(row, 0), number: integer(row, 1))
      transfers[place, default: []].append(
        Deed.Transfer(source: integer(row, 2), target: integer(row, 3), amount: integer(row, 4)))
    }
    for row in try database.query("SELECT worker, event FROM events") {
      events[Place(worker: integer(row, 0), number: integer(row, 1)), default: 0] += 1
    }
    for row in try database.query("SELECT id, balance FROM accounts") {
      balances[integer(row, 0)] = integer(row, 1)
    }
    for row in try database.query("SELECT hex(writer), sequence FROM _sluice_rejected") {
      guard case .text(let digits)? = row.first, let writer = WriterID(hexadecimal: digits) else {
        throw SQLiteError(code: 0, message: "_sluice_rejected has no writer id: \(row)")
      }
      let sequence = SequenceNumber(UInt64(integer(row, 1)))
      rejections[BatchID(writer: writer, sequence: sequence), default: 0] += 1
    }
  }
}

extension Identifier128 {
  fileprivate init?(hexadecimal digits: String) {
    guard digits.utf8.count == 32, let high = UInt64(digits.prefix(16), radix: 16),
      let low = UInt64(digits.suffix(16), radix: 16)
    else { return nil }
    self.init(high: high, low: low)
  }
}
