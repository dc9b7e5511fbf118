import ArgumentParser
import BenchmarkSupport
import SluiceReader
import SluiceShared

/// A reader on a read-only mount: reads the latest without pause for long, checks each snapshot, and
/// writes down when it saw what.
///
/// Its diary has a line `read BEGAN_ms ENDED_ms TXID` for each read, and `violation …` for each broken
/// promise.
struct ReadRole: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "read")

  @Argument var store: String
  @Argument var diary: String
  @Option(help: "Between two reads, in milliseconds.") var pause = 20
  @Option(help: "A file to be made on the server, whose clock all hosts have in common.")
  var clockFile: String

  func run() throws {
    let termination = TerminationRequest()
    let diary = try Diary(diary)
    let database = try Database(path: store)
    let clock = ServerClock(difference_ms: try ServerClock.difference(clockFile))
    var last = TxID.zero
    var entries: [String: Int64] = [:]
    while !termination.isPending {
      let began = clock.wallTime_ms()
      do {
        let view = try database.read(.latest) { try View($0) }
        diary.add("read \(began) \(clock.wallTime_ms()) \(view.txid)")
        if view.txid < last { diary.add("violation batch \(last) was followed by \(view.txid)") }
        for violation in view.violations(after: entries) {
          diary.add("violation as of batch \(view.txid): \(violation)")
        }
        (last, entries) = (view.txid, view.entries)
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

    init(_ transaction: ReadTransaction) throws {
      txid = transaction.txid
      total = try transaction.scalar("SELECT sum(balance) FROM accounts")?.integer ?? 0
      let rows = try transaction.query("SELECT writer, count(*) FROM entries GROUP BY writer")
      for row in rows where row.count == 2 {
        if case .text(let writer) = row[0] { entries[writer] = row[1].integer }
      }
    }

    func violations(after before: [String: Int64]) -> [String] {
      var found: [String] = []
      if total != Workload.total { found.append("all accounts have \(total)") }
      for (writer, count) in before where (entries[writer] ?? 0) < count {
        found.append("writer \(writer) had \(count) entries, then \(entries[writer] ?? 0)")
      }
      return found
    }
  }
}

/// This host's clock, set by the file server's: reads on several hosts are compared.
private struct ServerClock {
  let difference_ms: Int64

  func wallTime_ms() -> Int64 { SystemClock().wallTime_ms() + difference_ms }

  /// How much the server's clock is ahead, from the request that was answered soonest.
  static func difference(_ path: String) throws -> Int64 {
    let fileSystem = PosixFileSystem()
    let clock = SystemClock()
    var best = (took: UInt64.max, difference: Int64(0))
    for i in 0..<20 {
      let file = try fileSystem.create("\(path).\(i)", mode: 0o600)
      let began = clock.bootTime_ns()
      let before = clock.wallTime_ms()
      try file.write([1], at: 0)
      try file.sync()
      let difference = try file.status().modified_ms - (before + clock.wallTime_ms()) / 2
      let took = clock.bootTime_ns() - began
      if took < best.took { best = (took, difference) }
      try fileSystem.unlink("\(path).\(i)")
    }
    return best.difference
  }
}

extension SQLValue {
  var integer: Int64 { if case .integer(let value) = self { value } else { 0 } }
}
