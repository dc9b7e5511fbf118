import BenchmarkSupport

/// What a run counted.
struct Figures {
  var rounds: [String: Int] = [:]
  var lives = 0
  var deaths = 0
  var submitted = 0
  var durable = 0
  var told = 0
  var unanswered = 0
  var doubtful = 0
  var applied = 0
  var rejected = 0
  var duplicate = 0
  var poisonous = 0
  var sights = 0
  var terms: UInt64 = 0
  var checkpoints = 0
  var quarantined = 0
  var powerFailures = 0
  /// What they took back, by kind (`PowerFailure.lost`).
  var lost: [String: Int] = [:]
  /// Appliers that went on after one, and died where.
  var diedInRecovery: [CrashPoint: Int] = [:]
  /// Times that a read between a power failure and the next applier saw less than had been seen.
  var readsBehind = 0
  var creations = 0
  var creationsCutOff = 0
  var creationsKilled = 0
  /// What one takes at least that nobody disturbs, from the process's start.
  var creation_us = 100_000

  var blocksLost: Int { lost.values.reduce(0, +) - namesLost - lengthsLost }
  var namesLost: Int { lost.reduce(0) { $0 + ($1.key.hasSuffix("/") ? $1.value : 0) } }
  var lengthsLost: Int {
    lost.reduce(0) { $0 + ($1.key.hasPrefix(PowerFailure.size(of: "")) ? $1.value : 0) }
  }

  mutating func note(_ failure: PowerFailure) {
    powerFailures += 1
    lost.merge(failure.lost, uniquingKeysWith: +)
  }

  func lines(seconds: Double) -> [String] {
    let all = rounds.values.reduce(0, +) + creations
    let kinds = rounds.sorted { $0.key < $1.key }.map { "\($0.key) \(grouped($0.value))" }
    var lines = [
      "rounds    \(grouped(all)) in \(fixed(seconds, 1)) s (\(fixed(seconds / Double(max(1, all)) * 1000, 0)) ms each), \(grouped(lives)) stores: \(kinds.joined(separator: ", ")), creation \(grouped(creations))",
      "processes \(grouped(deaths)) died; \(grouped(terms)) terms; \(grouped(checkpoints)) checkpoints checked",
      "batches   \(grouped(submitted)) submitted, \(grouped(durable)) acknowledged, \(grouped(told)) outcomes told; \(grouped(unanswered)) unanswered at a death, \(grouped(doubtful)) in doubt",
      "history   \(grouped(applied)) applied, \(grouped(rejected)) rejected, \(grouped(duplicate)) duplicate; \(grouped(poisonous)) taken for poison",
      "reads     \(grouped(sights)) snapshots, each as the history says",
      "damaged   \(grouped(quarantined)) journal segments in quarantine, none with anything acknowledged",
    ]
    if powerFailures > 0 {
      lines.append(
        "power     \(grouped(powerFailures)) failures took back \(grouped(blocksLost)) blocks, \(grouped(namesLost)) names and \(grouped(lengthsLost)) lengths; \(grouped(readsBehind)) left a read behind what had been seen, until an applier started"
      )
      let kinds = lost.sorted { $0.key < $1.key }.map { "\($0.key) \(grouped($0.value))" }
      let died = diedInRecovery.values.reduce(0, +)
      lines.append(
        "again     \(grouped(died)) appliers died at \(diedInRecovery.count) points while they went on after one, and power failed once more"
      )
      lines.append("lost      \(kinds.joined(separator: ", "))")
    }
    if creations > 0 {
      lines.append(
        "creation  \(grouped(creations)) stores, \(grouped(creationsCutOff)) cut off and refused by name, \(grouped(creationsKilled)) of them killed at any time"
      )
    }
    return lines
  }
}
