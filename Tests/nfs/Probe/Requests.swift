import ArgumentParser
import BenchmarkSupport
import SluiceShared

/// Prints how many requests of each kind a mount made so far.
struct Requests: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "requests")

  @Argument var path: String

  func run() throws {
    print("TIME_ms", SystemClock().elapsed().wholeMilliseconds)
    for (name, count) in try MountStatistics.now(of: path).requests { print(name, count) }
  }
}

/// A `budget` line from what `requests` printed before and after so many repetitions.
struct Budget: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "budget")

  @Argument var name: String
  @Argument var most: Double
  @Argument(help: "0: the seconds that passed.") var repetitions: Int
  @Argument var before: String
  @Argument var after: String
  @Option(help: "What it must cost.") var least = 0.0
  @Option(help: "What it must cost of a kind, as KIND=NUMBER.") var needs: [String] = []
  @Option(name: .customLong("of"), help: "Count this kind only.") var kind: String?
  @Option(name: .customLong("each"), help: "A request of this kind is a repetition.")
  var unit: String?

  func run() throws {
    var used = try MountStatistics(readLines(after)) - MountStatistics(readLines(before))
    let time_ms = used.requests.removeValue(forKey: "TIME_ms") ?? 0
    var count = Double(repetitions)
    if repetitions == 0 { count = Double(time_ms) / 1000 }
    if let unit { count = Double(used.requests[unit] ?? 0) }
    var allowance = Allowance(name: name, most: most, least: least)
    for need in needs {
      let parts = need.split(separator: "=")
      guard parts.count == 2, let number = Double(parts[1]) else {
        throw ValidationError("\(need) is not KIND=NUMBER")
      }
      allowance.kinds[String(parts[0])] = number
    }
    allowance.report(used, per: count, of: kind)
  }
}
