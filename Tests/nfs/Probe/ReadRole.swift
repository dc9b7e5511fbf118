import ArgumentParser
import BenchmarkSupport
import SluiceQuery
import SluiceReader
import SluiceShared

/// A reader on a read-only mount: reads the latest without pause for long, checks each snapshot, and
/// writes down when it saw what.
///
/// Its diary has a line `read BEGAN_ms ENDED_ms TXID` for each read, `compared WRITER NUMBER` for each
/// large row, and `violation …` for each broken promise.
struct ReadRole: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "read")

  @Argument var store: String
  @Argument var diary: String
  @Option(help: "Between two reads, in milliseconds.") var pause = 20
  @Flag(help: "Compare the rows of 4 MiB with what was submitted.") var large = false
  @Option(help: "By how many ms the file server's clock is ahead of this host's.")
  var serverAhead: Int64

  func run() throws {
    let termination = TerminationRequest()
    let diary = try Diary(diary)
    let database = try Database(path: store)
    let clock = ServerClock(ahead_ms: serverAhead)
    var last = TxID.zero
    var entries: [String: Int64] = [:]
    var compared: [String: Int64] = [:]
    while !termination.isPending {
      let began = clock.wallTime_ms()
      do {
        let view = try database.read(.latest) { transaction in
          var view = try View(transaction)
          if large { try view.compareLarge(transaction, since: compared) }
          return view
        }
        diary.add("read \(began) \(clock.wallTime_ms()) \(view.txid)")
        if view.txid < last { diary.add("violation batch \(last) was followed by \(view.txid)") }
        for violation in view.violations(after: entries) {
          diary.add("violation as of batch \(view.txid): \(violation)")
        }
        (last, entries) = (view.txid, view.entries)
        for (writer, number) in view.compared { diary.add("compared \(writer) \(number)") }
        compared.merge(view.compared) { $1 }
      } catch let error as StoreError where error.code == .snapshotExpired {
        continue
      } catch {
        diary.add("failure \(began) \(clock.wallTime_ms()) \(error)")
      }
      SystemClock().sleep(.milliseconds(pause))
    }
    diary.add("end", sync: true)
  }

  /// What one read transaction finds.
  private struct View {
    var txid: TxID
    var total: Int64
    /// How many entries each writer has.
    var entries: [String: Int64] = [:]
    /// Whose large row was compared, with the batch that it is of.
    var compared: [String: Int64] = [:]
    private var wrong: [String] = []

    init(_ transaction: ReadTransaction) throws {
      txid = transaction.txid
      total = try transaction.scalar("SELECT sum(balance) FROM accounts")?.integer ?? 0
      let rows = try transaction.query("SELECT writer, count(*) FROM entries GROUP BY writer")
      for row in rows where row.count == 2 {
        if case .text(let writer) = row[0] { entries[writer] = row[1].integer }
      }
    }

    /// Compares the large rows that are not as they were `before` with what their writers submitted.
    mutating func compareLarge(_ transaction: ReadTransaction, since before: [String: Int64]) throws
    {
      for row in try transaction.query(
        "SELECT writer, number, (SELECT max(number) FROM entries WHERE entries.writer = large.writer) FROM large"
      ) {
        guard case .text(let writer) = row[0], before[writer] != row[1].integer else { continue }
        let number = row[1].integer
        let content = try transaction.scalar(
          "SELECT content FROM large WHERE writer = ?", [row[0]])
        if content != .blob(Workload.largeContent(writer, number)) {
          wrong.append("the large row of \(writer) \(number) has something else in it")
        }
        if row[2] != row[1] {
          wrong.append(
            "the large row of \(writer) is of \(number), its last batch \(row[2].integer)")
        }
        compared[writer] = number
      }
    }

    func violations(after before: [String: Int64]) -> [String] {
      var found = wrong
      if total != Workload.total { found.append("all accounts have \(total)") }
      for (writer, count) in before where (entries[writer] ?? 0) < count {
        found.append("writer \(writer) had \(count) entries, then \(entries[writer] ?? 0)")
      }
      return found
    }
  }
}

extension SQLValue {
  var integer: Int64 { if case .integer(let value) = self { value } else { 0 } }
}
