import ArgumentParser
import BenchmarkSupport
import Glibc
import SluiceQuery
import SluiceReader
import SluiceShared

/// A reader process: queries without pause until it is told to end, and checks every snapshot.
struct Observer: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "reader", shouldDisplay: false)

  @Argument var store: String
  @Argument var workers: Int

  func run() throws {
    let termination = TerminationRequest()
    let database = try Database(path: store)
    let clock = SystemClock()
    var check = SnapshotCheck()
    var times: [Double] = []
    var violations: [String] = []
    while !termination.isPending {
      let began = clock.bootTime_ns()
      do {
        let view = try database.read(.latest) { try SnapshotView($0) }
        times.append(Double(clock.bootTime_ns() - began) / 1000)
        for violation in check.violations(of: view) where !violations.contains(violation) {
          violations.append(violation)
        }
      } catch let error as StoreError where error.code == .snapshotExpired {
        continue
      } catch {
        violations.append("a read failed: \(error)")
      }
      if violations.count > 20 { break }
    }
    for violation in violations { print("violation \(violation)") }
    let sample = Sample(times)
    let summary: [any CustomStringConvertible] = [
      "read", times.count, check.snapshots, check.last.rawValue, sample.median,
      sample.quantile(0.99),
    ]
    print(summary.map(\.description).joined(separator: " "))
  }
}

/// What one read transaction finds.
struct SnapshotView {
  struct Events: Hashable {
    var count: Int64
    var first: Int64
    var last: Int64
  }

  var txid: TxID
  var accounts: Int64
  var total: Int64
  var events: [Int64: Events] = [:]

  init(_ transaction: ReadTransaction) throws {
    txid = transaction.txid
    let sums = try transaction.query("SELECT count(*), sum(balance) FROM accounts").first ?? []
    (accounts, total) = (integer(sums, 0), integer(sums, 1))
    let rows = try transaction.query(
      "SELECT worker, count(*), min(event), max(event) FROM events GROUP BY worker")
    for row in rows {
      events[integer(row, 0)] = Events(
        count: integer(row, 1), first: integer(row, 2), last: integer(row, 3))
    }
  }
}

/// What must hold for each snapshot, and from one to the next.
struct SnapshotCheck {
  private(set) var last = TxID.zero
  private(set) var snapshots = 0
  private var events: [Int64: SnapshotView.Events] = [:]

  mutating func violations(of view: SnapshotView) -> [String] {
    var found: [String] = []
    if view.txid < last { found.append("batch \(last) was followed by an older \(view.txid)") }
    if view.accounts != Bank.accounts || view.total != Bank.total {
      found.append(
        "as of batch \(view.txid) \(view.accounts) accounts have \(view.total), not \(Bank.total)")
    }
    for (worker, now) in view.events where now.first != 1 || now.last != now.count {
      found.append(
        "as of batch \(view.txid) worker \(worker) has \(now.count) events from \(now.first) to \(now.last)"
      )
    }
    for (worker, before) in events where (view.events[worker]?.count ?? 0) < before.count {
      found.append("as of batch \(view.txid) events of worker \(worker) are gone")
    }
    if view.txid > last { snapshots += 1 }
    last = max(last, view.txid)
    events = view.events
    return found
  }
}

/// The integer in a column of a row; 0 where there is none.
func integer(_ row: [SQLValue], _ column: Int) -> Int64 {
  guard column < row.count, case .integer(let value) = row[column] else { return 0 }
  return value
}
