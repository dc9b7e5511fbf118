import ArgumentParser
import BenchmarkSupport

/// Prints the longest time, in seconds, in which a reader saw nothing new from a point in time on
/// while batches were submitted: how long there was no applier. Ends with 1 when that is too long, has
/// no end, or is shorter than it can have been.
struct Gap: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "gap")

  @Argument(help: "A reader's diary.") var diary: String
  @Argument(help: "Since when, in ms.") var from: Int64
  @Argument(help: "A batch that was applied when all was well again; 0: none was.")
  var until: UInt64
  @Argument(help: "At most so many seconds.") var most: Double
  @Option(help: "At least so many: without the applier that there was nobody leads for that long.")
  var least = 0.0

  func run() throws {
    let sightings = try readLines(diary).compactMap { Sighting($0) }
    guard until > 0, let longest = longest(in: sightings) else {
      say("no end")
      throw ExitCode.failure
    }
    let seconds = Double(longest) / 1000
    say("\(fixed(seconds, 2)) s")
    if !(seconds <= most && seconds >= least) { throw ExitCode.failure }
  }

  /// In ms; nil when the batch was never seen.
  private func longest(in sightings: [Sighting]) -> Int64? {
    var last = from
    var longest: Int64 = 0
    var seen: UInt64 = 0
    for sighting in sightings where sighting.txid > seen {
      seen = sighting.txid
      if sighting.ended_ms > from {
        longest = max(longest, sighting.ended_ms - last)
        last = sighting.ended_ms
      }
      if seen >= until { return longest }
    }
    return nil
  }
}
