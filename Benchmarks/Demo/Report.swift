import BenchmarkSupport
import SluiceShared

/// What a reader process says at its end.
struct Observation {
  var violations: [String] = []
  var reads = 0
  var snapshots = 0
  var last = TxID.zero
  var median_us = 0.0
  var p99_us = 0.0

  init(of name: String, _ output: String) throws {
    var isComplete = false
    for line in try readLines(output) {
      if line.hasPrefix("violation ") {
        violations.append("\(name): \(line.dropFirst("violation ".count))")
        continue
      }
      let fields = line.split(separator: " ")
      guard fields.count == 6, fields[0] == "read", let reads = Int(fields[1]),
        let snapshots = Int(fields[2]), let last = UInt64(fields[3]),
        let median = Double(fields[4]), let p99 = Double(fields[5])
      else { throw RunError("\(name) said what is no observation: \(line)") }
      (self.reads, self.snapshots, self.last) = (reads, snapshots, TxID(last))
      (median_us, p99_us) = (median, p99)
      isComplete = true
    }
    guard isComplete else { throw RunError("\(name) ended without saying what it saw") }
  }
}

/// The run in some lines for people, and every promise that it found broken.
struct Report {
  let verification: Verification
  let observations: [Observation]
  let takeover: Takeover
  /// Names that stay in `journal/`.
  let leftInJournal: [String]
  let elapsed: Duration

  var violations: [String] {
    var all = verification.violations + observations.flatMap(\.violations)
    for (i, observation) in observations.enumerated()
    where observation.last != verification.evidence.lastTxID {
      all.append(
        "reader \(i + 1) last saw batch \(observation.last), the last is \(verification.evidence.lastTxID)"
      )
    }
    if !leftInJournal.isEmpty { all.append("journal/ is not empty: \(leftInJournal)") }
    return all
  }

  var text: String {
    let lines = [batches, takeoverLine, submitLine, visibleLine, readsLine, endLine, "", verdict]
    return lines.joined(separator: "\n")
  }

  // MARK: the lines

  private var batches: String {
    let counts = verification.counts
    let each = verification.violations.isEmpty ? "; each exactly once" : ""
    return line(
      "batches",
      "\(grouped(counts.sent)) sent: \(grouped(counts.applied)) applied, \(grouped(counts.rejected)) rejected, \(grouped(counts.duplicate)) duplicate\(each)"
    )
  }

  private var takeoverLine: String {
    line(
      "takeover",
      "\(takeover.killed) killed; \(takeover.successor) led after \(time(nanoseconds: takeover.led_ns)), its first commit was published \(time(nanoseconds: takeover.committed_ns)) after the kill"
    )
  }

  private var submitLine: String {
    line("submit", "durable after \(quantiles(verification.testimonies.map(\.durable_ns)))")
  }

  private var visibleLine: String {
    let outcomes = verification.testimonies.filter { $0.visible_ns > 0 }
    let before = outcomes.filter { $0.began_ns + $0.visible_ns < takeover.killed_ns }
    // What was on its way while nobody led waited for the takeover.
    let end = takeover.killed_ns + takeover.committed_ns
    let waited = outcomes.filter {
      $0.began_ns < end && $0.began_ns + $0.visible_ns > takeover.killed_ns
    }
    let all = quantiles(outcomes.map(\.visible_ns))
    return line("", "visible after \(quantiles(before.map(\.visible_ns))) before the kill") + "\n"
      + line("", "              \(all) in all; \(grouped(waited.count)) waited for the takeover")
  }

  private var readsLine: String {
    let reads = observations.map(\.reads).reduce(0, +)
    let snapshots = observations.map(\.snapshots).reduce(0, +)
    let broken = observations.map(\.violations.count).reduce(0, +)
    let verdict =
      broken == 0
      ? "each balanced, complete and none older than the one before" : "\(broken) broken"
    let median = observations.map(\.median_us).max() ?? 0
    let p99 = observations.map(\.p99_us).max() ?? 0
    return line(
      "reads",
      "\(grouped(reads)) of \(grouped(snapshots)) snapshots, \(verdict); p50 \(time(microseconds: median)), p99 \(time(microseconds: p99))"
    )
  }

  private var endLine: String {
    let evidence = verification.evidence
    let journal = leftInJournal.isEmpty ? "journal empty" : "journal NOT empty"
    let integrity = evidence.integrity == ["text(\"ok\")"] ? "intact" : "DAMAGED"
    let total = evidence.balances.values.reduce(0, +)
    return line(
      "end",
      "batch \(grouped(evidence.lastTxID.rawValue)), \(journal); plain SQLite finds the checkpoint \(integrity), \(grouped(total)) of \(grouped(Bank.total)) in all accounts; \(fixed(elapsed.inSeconds, 1)) s in all"
    )
  }

  private var verdict: String {
    let violations = violations
    guard !violations.isEmpty else { return "Every promise was kept." }
    let named = violations.prefix(Verification.mostNamed).map { "  \($0)" }
    let more = violations.count - named.count
    return "BROKEN (\(violations.count)):\n" + named.joined(separator: "\n")
      + (more > 0 ? "\n  … and \(more) more" : "")
  }

  private func line(_ name: String, _ text: String) -> String {
    name + String(repeating: " ", count: max(1, 10 - name.count)) + text
  }

  private func quantiles(_ values_ns: [UInt64]) -> String {
    let sample = Sample(values_ns.map { Double($0) / 1000 })
    return
      "p50 \(time(microseconds: sample.median)), p99 \(time(microseconds: sample.quantile(0.99)))"
  }

  private func time(nanoseconds: UInt64) -> String {
    time(microseconds: Double(nanoseconds) / 1000)
  }

  private func time(microseconds: Double) -> String {
    BenchmarkSupport.time(microseconds: microseconds)
  }
}
