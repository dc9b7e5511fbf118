import ArgumentParser
import BenchmarkSupport
import SluiceJournal
import SluiceReader
import SluiceShared

/// Holds what the writers were told and the readers saw against what is in the store at the end.
///
/// Prints a line for each broken promise and ends with 1, or one line of counts.
struct VerifyRole: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "verify")

  @Argument var store: String
  @Argument(help: "The diaries of all writers and readers.") var diaries: [String]
  @Option(help: "Pretend something, to see that it is noticed: lost, twice, order, older.")
  var sabotage: String?

  func run() throws {
    var verdict = Verdict(store: store)
    verdict.sabotage = sabotage
    var reads: [Sighting] = []
    for path in diaries {
      let diary = path.split(separator: "/").last.map(String.init) ?? path
      let name = String(diary.prefix { $0 != "." })
      let lines = try readLines(path)
      if diary.hasSuffix(".writer") {
        verdict.writers[name] = Testimony(lines)
      } else {
        let sightings = lines.compactMap { Sighting($0) }
        if sightings.isEmpty { verdict.violations.append("reader \(name) read nothing") }
        reads += sightings
        verdict.violations += lines.filter { $0.hasPrefix("violation ") }.map { "\(name): \($0)" }
        let failures = lines.filter { $0.hasPrefix("failure ") }
        if let first = failures.first {
          verdict.violations.append("reader \(name) failed \(failures.count) times: \(first)")
        }
      }
    }
    try verdict.checkStore()
    verdict.checkReads(reads)
    for violation in verdict.violations.prefix(20) { say("BROKEN \(violation)") }
    if verdict.violations.count > 20 { say("BROKEN … and \(verdict.violations.count - 20) more") }
    say(
      "\(verdict.durable) durable batches, \(verdict.absent) not submitted, \(verdict.unknown) unknown, \(reads.count) reads"
    )
    if !verdict.violations.isEmpty { throw ExitCode.failure }
  }
}

/// What a writer was told.
private struct Testimony {
  var begun: Set<Int64> = []
  var durable: Set<Int64> = []
  var absent: Set<Int64> = []
  var unknown: Set<Int64> = []
  var applied: [Int64: TxID] = [:]
  /// Durable batches of which the writer was told something else than that they were applied.
  var refused: [String] = []

  init(_ lines: [Substring]) {
    for line in lines {
      let words = line.split(separator: " ")
      guard words.count >= 2, let number = Int64(words[1]) else { continue }
      switch words[0] {
      case "begin": begun.insert(number)
      case "durable": durable.insert(number)
      case "absent": absent.insert(number)
      case "unknown": unknown.insert(number)
      case "applied":
        if words.count > 2, let txid = UInt64(words[2]) { applied[number] = TxID(txid) }
      // A batch that was submitted again may be its own duplicate.
      case "duplicate" where Workload.isTransfer(number): break
      case "duplicate", "rejected", "lost": refused.append(String(line))
      default: break
      }
    }
  }
}

/// A read: what it saw, and when at the earliest and the latest.
private struct Sighting {
  var began_ms: Int64
  var ended_ms: Int64
  var txid: UInt64

  init?(_ line: Substring) {
    let words = line.split(separator: " ")
    guard words.count == 4, words[0] == "read", let began = Int64(words[1]),
      let ended = Int64(words[2]), let txid = UInt64(words[3])
    else { return nil }
    (began_ms, ended_ms, self.txid) = (began, ended, txid)
  }
}

private struct Verdict {
  let store: String
  var sabotage: String?
  var writers: [String: Testimony] = [:]
  var violations: [String] = []
  private(set) var lastTxID = TxID.zero

  init(store: String) { self.store = store }

  var durable: Int { writers.values.reduce(0) { $0 + $1.durable.count } }
  var absent: Int { writers.values.reduce(0) { $0 + $1.absent.count } }
  var unknown: Int { writers.values.reduce(0) { $0 + $1.unknown.count } }

  /// Everything durable is there once and in order, nothing else is, and the money is where it has
  /// to be; nothing lies in quarantine.
  mutating func checkStore() throws {
    try checkLog()
    var (entries, balances) = try read()
    switch sabotage {
    case "lost": entries.removeFirst()
    case "twice": entries.append(entries[0])
    case "order": entries.swapAt(0, entries.count - 1)
    default: break
    }
    var counts: [String: [Int64: Int]] = [:]
    var last: [String: Int64] = [:]
    for (writer, number) in entries {
      counts[writer, default: [:]][number, default: 0] += 1
      if number < last[writer, default: 0] {
        violations.append("\(writer) \(number) was applied after \(last[writer, default: 0])")
      }
      last[writer] = number
    }
    for (writer, told) in writers {
      if told.durable.isEmpty { violations.append("\(writer) made nothing durable") }
      violations += told.refused.map { "\(writer) was told: \($0)" }
      let found = counts.removeValue(forKey: writer) ?? [:]
      for (number, count) in found {
        if count > 1 { violations.append("\(writer) \(number) was applied \(count) times") }
        if !told.begun.contains(number) {
          violations.append("\(writer) \(number) is there and was never submitted")
        }
        if told.absent.contains(number) {
          violations.append("\(writer) \(number) is there, though it was not submitted")
        }
      }
      for number in told.durable where found[number] == nil {
        violations.append("\(writer) \(number) was durable and is not there")
      }
      for number in found.keys where Workload.isTransfer(number) {
        let transfer = Workload.transfer(number)
        balances[transfer.source, default: 0] += transfer.amount
        balances[transfer.target, default: 0] -= transfer.amount
      }
    }
    for writer in counts.keys { violations.append("there is a writer \(writer)") }
    // With every transfer taken back, all accounts are as they were in the beginning.
    for (account, balance) in balances where balance != Workload.balance {
      violations.append("account \(account) is off by \(balance - Workload.balance)")
    }
    let quarantined = try PosixFileSystem().list(StoreLayout(store).quarantine)
    if !quarantined.isEmpty { violations.append("in quarantine: \(quarantined)") }
  }

  private func read() throws -> ([(String, Int64)], [Int64: Int64]) {
    try Database(path: store).read(.latest) { transaction in
      let entries = try transaction.query("SELECT writer, number FROM entries ORDER BY rowid")
        .map { row in
          guard case .text(let writer) = row[0] else { return ("?", row[1].integer) }
          return (writer, row[1].integer)
        }
      var balances: [Int64: Int64] = [:]
      for row in try transaction.query("SELECT id, balance FROM accounts") {
        balances[row[0].integer] = row[1].integer
      }
      return (entries, balances)
    }
  }

  /// The log has every TxID once, and every batch once.
  private mutating func checkLog() throws {
    let environment = Environment.posix()
    let layout = StoreLayout(store)
    let id = try StoreDescription.read(layout, environment.fileSystem).id
    let log = Log(layout: layout, store: id, environment: environment)
    var follower = LogFollower(after: .empty)
    var seen: Set<BatchID> = []
    var repeated: [BatchID] = []
    try follower.advance(log, to: try log.present()) { (commit, cursor) throws(StoreError) in
      for outcome in try cursor.outcomes(of: commit.header)
      where !seen.insert(outcome.batch).inserted {
        repeated.append(outcome.batch)
      }
    }
    for batch in repeated { violations.append("the log has batch \(batch) twice") }
    lastTxID = follower.extent.txid
    if seen.count != Int(lastTxID.rawValue) {
      violations.append("\(seen.count) batches were executed under \(lastTxID) TxIDs")
    }
  }

  /// All hosts' clocks are this machine's, and are apart by less than this.
  private static let clockDifference_ms: Int64 = 50

  /// A read that began after another one had ended, on whatever host, sees no less.
  mutating func checkReads(_ reads: [Sighting]) {
    var reads = reads
    if sabotage == "older", let middle = reads.indices.randomElement() { reads[middle].txid = 0 }
    let ended = reads.sorted { $0.ended_ms < $1.ended_ms }
    var next = 0
    var known: UInt64 = 0
    for read in reads.sorted(by: { $0.began_ms < $1.began_ms }) {
      while next < ended.count, ended[next].ended_ms + Self.clockDifference_ms < read.began_ms {
        known = max(known, ended[next].txid)
        next += 1
      }
      if read.txid < known {
        violations.append("a read saw batch \(read.txid) after another had seen \(known)")
      }
    }
    if known > lastTxID.rawValue { violations.append("batch \(known) was seen and is gone") }
  }
}
