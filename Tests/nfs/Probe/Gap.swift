import ArgumentParser
import BenchmarkSupport

/// Prints the longest time, in seconds, in which a reader saw nothing new between two points in time
/// while batches were submitted: how long there was no applier.
struct Gap: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "gap")

  @Argument(help: "A reader's diary.") var diary: String
  @Argument(help: "Since when, in ms.") var from: Int64
  @Argument(help: "Until when, in ms.") var until: Int64

  func run() throws {
    var last = from
    var longest: Int64 = 0
    var txid: Substring = ""
    for line in try readLines(diary) {
      let words = line.split(separator: " ")
      guard words.count == 4, words[0] == "read", let ended = Int64(words[2]), words[3] != txid
      else { continue }
      txid = words[3]
      guard ended > from else { continue }
      longest = max(longest, min(ended, until) - last)
      last = ended
      if ended > until { break }
    }
    longest = max(longest, until - last)
    say(fixed(Double(longest) / 1000, 2))
  }
}
