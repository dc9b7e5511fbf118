/// Which promises were broken, by what the writers were told, the readers saw and somebody found.
struct Verdict {
  var writers: [String: Testimony] = [:]
  var reads: [Sighting] = []
  private(set) var violations: [String] = []

  var durable: Int { writers.values.reduce(0) { $0 + $1.durable.count } }
  var absent: Int { writers.values.reduce(0) { $0 + $1.absent.count } }
  var unknown: Int { writers.values.reduce(0) { $0 + $1.unknown.count } }

  /// A diary `NAME.writer` or `NAME.reader`; who lived to the end says so in its last line.
  mutating func hear(_ name: String, _ lines: [Substring], isWriter: Bool, lived: Bool) {
    if lived, lines.last != "end" { violations.append("\(name) did not come to its end") }
    if isWriter {
      let told = Testimony(lines)
      if told.durable.isEmpty { violations.append("\(name) made nothing durable") }
      violations += told.refused.map { "\(name) was told: \($0)" }
      writers[name] = told
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
      if number < last[writer, default: 0] {
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
      for number in told.durable where found[number] == nil {
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

  private func checkHistory(_ history: Findings.History, _ verdict: inout [String]) {
    var seen: Set<String> = []
    for batch in history.batches where !seen.insert(batch).inserted {
      verdict.append("the log has batch \(batch) twice")
    }
    if seen.count != Int(history.last) {
      verdict.append("\(seen.count) batches were executed under \(history.last) TxIDs")
    }
    if let newest = reads.map(\.txid).max(), newest > history.last {
      verdict.append("batch \(newest) was seen and is gone")
    }
  }

  /// All hosts' clocks are this machine's, and are apart by less than this.
  private static let clockDifference_ms: Int64 = 50

  /// A read that began after another one had ended, on whatever host, sees no less.
  mutating func checkReads() {
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
  }
}
