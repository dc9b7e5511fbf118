/// What a writer was told, by its diary.
struct Testimony {
  var begun: Set<Int64> = []
  var durable: Set<Int64> = []
  var absent: Set<Int64> = []
  var unknown: Set<Int64> = []
  /// What it was told of batches and may not be told: of a durable one anything but that it was
  /// applied, and an exit status that is none of the command's.
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
      // A batch that was submitted again may be its own duplicate.
      case "duplicate" where Workload.isTransfer(number): break
      case "duplicate", "rejected", "lost", "status": refused.append(String(line))
      default: break
      }
    }
  }
}
