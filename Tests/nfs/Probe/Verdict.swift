/// Which promises were broken, by what the writers were told, the readers saw and somebody found.
struct Verdict {
  var writers: [String: Testimony] = [:]
  var reads: [Sighting] = []
  /// Those of whom each batch comes from a writer of its own: between writers no order is promised.
  private var ofManyWriters: Set<String> = []
  private(set) var violations: [String] = []

  var durable: Int { writers.values.reduce(0) { $0 + $1.durable.count } }
  var outcomes: Int { writers.values.reduce(0) { $0 + $1.outcomes.count } }
  var seen: Int { writers.values.reduce(0) { $0 + $1.seen.count } }
  var absent: Int { writers.values.reduce(0) { $0 + $1.absent.count } }
  var unknown: Int { writers.values.reduce(0) { $0 + $1.unknown.count } }

  /// What the ending of a diary's name says of who wrote it.
  enum Part: String {
    /// Makes batches durable and asks no further: a process, and so a writer, for each.
    case submitter
    /// Waits for each batch's outcome.
    case writer
    /// Queries, with the outcome's TxID, what each batch did.
    case asker
    case reader
  }

  /// A diary; who lived to the end says so in its last line.
  mutating func hear(_ name: String, _ part: Part, _ lines: [Substring], lived: Bool) {
    if lived, lines.last != "end" { violations.append("\(name) did not come to its end") }
    guard part == .reader else {
      let told = Testimony(lines)
      if told.durable.isEmpty { violations.append("\(name) made nothing durable") }
      violations += told.refused.map { "\(name) was told: \($0)" }
      if lived, part != .submitter {
        for number in told.durable.keys where told.outcomes[number] == nil {
          violations.append("\(name) was told no outcome of \(number)")
        }
      }
      if lived, part == .asker {
        for number in told.outcomes.keys where !told.seen.contains(number) {
          violations.append("\(name) saw no entry of \(number)")
        }
      }
      writers[name] = told
      if part == .submitter { ofManyWriters.insert(name) }
      return
    }
    let sightings = lines.compactMap { Sighting($0) }
    if sightings.isEmpty { violations.append("\(name) read nothing") }
    reads += sightings
    violations += lines.filter { $0.hasPrefix("violation ") }.map { "\(name): \($0)" }
    let failures = lines.filter { $0.hasPrefix("failure ") }
    if let first = failures.first {
      violations.append("\(name) failed \(failures.count) times: \(first)")
    }
  }

  /// Everything durable is there once and in order, nothing else is, and the money is where it has
  /// to be; nothing lies in quarantine; the log has every TxID and every batch once.
  mutating func check(_ found: Findings, by finder: String) {
    var verdict: [String] = []
    checkTables(found, &verdict)
    checkOrder(found, &verdict)
    if !found.quarantined.isEmpty { verdict.append("in quarantine: \(found.quarantined)") }
    if let history = found.history { checkHistory(history, &verdict) }
    violations += verdict.map { "\(finder): \($0)" }
  }

  private func checkTables(_ found: Findings, _ verdict: inout [String]) {
    var balances = found.balances
    var counts: [String: [Int64: Int]] = [:]
    var last: [String: Int64] = [:]
    for (writer, number) in found.entries {
      counts[writer, default: [:]][number, default: 0] += 1
      if number < last[writer, default: 0], !ofManyWriters.contains(writer) {
        verdict.append("\(writer) \(number) was applied after \(last[writer, default: 0])")
      }
      last[writer] = number
    }
    for (writer, told) in writers {
      let found = counts.removeValue(forKey: writer) ?? [:]
      for (number, count) in found {
        if count > 1 { verdict.append("\(writer) \(number) was applied \(count) times") }
        if !told.begun.contains(number) {
          verdict.append("\(writer) \(number) is there and was never submitted")
        }
        if told.absent.contains(number) {
          verdict.append("\(writer) \(number) is there, though it was not submitted")
        }
        guard Workload.isTransfer(number) else { continue }
        let transfer = Workload.transfer(number)
        balances[transfer.source, default: 0] += transfer.amount
        balances[transfer.target, default: 0] -= transfer.amount
      }
      for number in told.durable.keys where found[number] == nil {
        verdict.append("\(writer) \(number) was durable and is not there")
      }
    }
    for writer in counts.keys { verdict.append("there is a writer \(writer)") }
    // With every transfer taken back, all accounts are as they were in the beginning.
    if balances.count != Workload.accounts {
      verdict.append("there are \(balances.count) accounts")
    }
    for (account, balance) in balances where balance != Workload.balance {
      verdict.append("account \(account) is off by \(balance - Workload.balance)")
    }
  }

  /// Batches are in the tables in the order of the TxIDs that their writers were told.
  private func checkOrder(_ found: Findings, _ verdict: inout [String]) {
    var last: UInt64 = 0
    for (writer, number) in found.entries {
      guard let outcome = writers[writer]?.outcomes[number], !outcome.isDuplicate else { continue }
      if outcome.txid <= last {
        verdict.append("\(writer) \(number) was told \(outcome.txid), and one before it \(last)")
      }
      last = outcome.txid
    }
  }

  private func checkHistory(_ history: Findings.History, _ verdict: inout [String]) {
    var seen: [String: UInt64] = [:]
    for (batch, txid) in history.batches where seen.updateValue(txid, forKey: batch) != nil {
      verdict.append("the log has batch \(batch) twice")
    }
    for (writer, told) in writers {
      for (number, outcome) in told.outcomes {
        // What `sluice submit` prints does not name the batch.
        guard let batch = told.durable[number], !batch.isEmpty, seen[batch] != outcome.txid else {
          continue
        }
        let found = seen[batch].map { "\($0)" } ?? "not there"
        verdict.append("\(writer) \(number) was told \(outcome.txid), in the log it is \(found)")
      }
    }
    if seen.count != Int(history.last) {
      verdict.append("\(seen.count) batches were executed under \(history.last) TxIDs")
    }
    if let newest = reads.map(\.txid).max(), newest > history.last {
      verdict.append("batch \(newest) was seen and is gone")
    }
  }

  /// All times are the server's, as the hosts know it to within half of this.
  private static let clockDifference_ms: Int64 = 50

  /// A read sees no less than another one that had ended before it began, and than what a writer had
  /// been told before, on whatever host.
  mutating func checkReads() {
    var known = reads.map { (at_ms: $0.ended_ms, txid: $0.txid, by: "another had seen") }
    for (writer, told) in writers {
      known += told.outcomes.values.map { ($0.time_ms, $0.txid, "\(writer) was told of") }
    }
    known.sort { $0.at_ms < $1.at_ms }
    var next = 0
    var most = (txid: UInt64(0), by: "")
    for read in reads.sorted(by: { $0.began_ms < $1.began_ms }) {
      while next < known.count, known[next].at_ms + Self.clockDifference_ms < read.began_ms {
        if known[next].txid > most.txid { most = (known[next].txid, known[next].by) }
        next += 1
      }
      if read.txid < most.txid {
        violations.append("a read saw batch \(read.txid) after \(most.by) \(most.txid)")
      }
    }
  }
}
