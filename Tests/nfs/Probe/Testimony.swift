/// What a writer was told, by its diary.
struct Testimony {
  /// That the batch `number` was executed under `txid`: told at `time_ms` at the latest.
  struct Outcome {
    var number: Int64
    var txid: UInt64
    var time_ms: Int64
    /// Where another batch with its key was first, which is what the tables have.
    var isDuplicate: Bool
  }

  var begun: Set<Int64> = []
  /// With the names that they have in the log.
  var durable: [Int64: String] = [:]
  var absent: Set<Int64> = []
  var unknown: Set<Int64> = []
  var outcomes: [Int64: Outcome] = [:]
  /// Of which it asked, knowing the TxID, and saw the one entry.
  var seen: Set<Int64> = []
  /// What it was told of batches and may not be told: of a durable one anything but that it was
  /// applied, an exit status that is none of the command's, a query that did not see the entry.
  var refused: [String] = []

  init(_ lines: [Substring]) {
    for line in lines {
      let words = line.split(separator: " ")
      guard words.count >= 2, let number = Int64(words[1]) else { continue }
      switch words[0] {
      case "begin": begun.insert(number)
      case "durable": durable[number] = words.count > 2 ? String(words[2]) : ""
      case "absent": absent.insert(number)
      case "unknown": unknown.insert(number)
      case "applied": hear(number, words, line)
      // A batch that was submitted again may be its own duplicate.
      case "duplicate" where Workload.isTransfer(number): hear(number, words, line)
      case "query" where words.dropFirst(2) == ["0", "1"]: seen.insert(number)
      case "query", "duplicate", "rejected", "lost", "status": refused.append(String(line))
      default: break
      }
    }
  }

  private mutating func hear(_ number: Int64, _ words: [Substring], _ line: Substring) {
    guard words.count == 4, let txid = UInt64(words[2]), let time_ms = Int64(words[3]) else {
      refused.append(String(line))
      return
    }
    outcomes[number] = Outcome(
      number: number, txid: txid, time_ms: time_ms, isDuplicate: words[0] == "duplicate")
  }
}
