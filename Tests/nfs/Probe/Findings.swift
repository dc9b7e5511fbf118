import BenchmarkSupport
import SluiceJournal
import SluiceQuery
import SluiceReader
import SluiceShared

/// What is in a store at the end, or in its tables, as somebody found it.
struct Findings {
  /// In the order in which they were made.
  var entries: [(writer: String, number: Int64)] = []
  var balances: [Int64: Int64] = [:]
  /// What the log has, where somebody looked into it.
  var history: History?
  var quarantined: [String] = []

  struct History {
    /// The batch behind each outcome, and the TxID under which it was executed.
    var batches: [(name: String, txid: UInt64)] = []
    var last: UInt64 = 0
  }

  /// By Sluice's own reader.
  init(store: String) throws {
    let environment = Environment.posix()
    let layout = StoreLayout(store)
    history = try Self.history(layout, environment)
    try Database(path: store).read(.latest) { transaction in
      for row in try transaction.query("SELECT writer, number FROM entries ORDER BY rowid") {
        guard case .text(let writer) = row[0] else { continue }
        entries.append((writer, row[1].integer))
      }
      for row in try transaction.query("SELECT id, balance FROM accounts") {
        balances[row[0].integer] = row[1].integer
      }
    }
    quarantined = try environment.fileSystem.list(layout.quarantine)
  }

  private static func history(_ layout: StoreLayout, _ environment: Environment) throws -> History {
    let log = Log(of: try StoreHandle(at: layout, environment))
    var follower = LogFollower(after: .empty)
    var history = History()
    try follower.advance(log, to: try log.present()) { (commit, cursor) throws(StoreError) in
      for (i, outcome) in try cursor.outcomes(of: commit.header).enumerated() {
        let txid = commit.first.advanced(by: UInt64(i))
        history.batches.append(("\(outcome.batch)", txid.rawValue))
      }
    }
    history.last = follower.extent.txid.rawValue
    return history
  }

  /// As `sqlite3` prints rows: `entry|WRITER|NUMBER` and `account|ID|BALANCE`; of the log
  /// `batch|NAME|TXID`, of the quarantine `quarantined|FILE`.
  init(_ lines: [Substring]) throws {
    for line in lines {
      let fields = line.split(separator: "|")
      switch (fields.first, fields.count, fields.last.flatMap { Int64($0) }) {
      case ("entry", 3, let number?): entries.append((String(fields[1]), number))
      case ("account", 3, let balance?): balances[Int64(fields[1]) ?? 0] = balance
      case ("batch", 3, let txid?):
        var history = history ?? History()
        history.batches.append((String(fields[1]), UInt64(txid)))
        history.last = max(history.last, UInt64(txid))
        self.history = history
      case ("quarantined", 2, _): quarantined.append(String(fields[1]))
      default: throw RunError("this is no row of a store: \(line)")
      }
    }
  }
}
