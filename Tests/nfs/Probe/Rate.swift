import ArgumentParser
import BenchmarkSupport

/// Prints how many batches a second were applied while so many of a backlog were, by what a reader saw: from
/// the first news behind a point in time on. Ends with 1 where that is too few, or it never saw that many.
struct Rate: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "rate")

  @Argument(help: "A reader's diary.") var diary: String
  @Argument(help: "Since when, in ms.") var from: Int64
  @Argument(help: "Batches.") var count: UInt64
  @Option(help: "At least so many a second.") var least = 0.0

  func run() throws {
    let sightings = try readLines(diary).compactMap { Sighting($0) }
    guard let rate = rate(in: sightings) else {
      say("never so many")
      throw ExitCode.failure
    }
    say("\(Int(rate))")
    if rate < least { throw ExitCode.failure }
  }

  private func rate(in sightings: [Sighting]) -> Double? {
    let before = sightings.last { $0.ended_ms <= from }?.txid ?? 0
    guard let first = sightings.first(where: { $0.ended_ms > from && $0.txid > before }),
      let last = sightings.first(where: { $0.txid >= first.txid + count })
    else { return nil }
    return Double(last.txid - first.txid) * 1000 / Double(max(1, last.ended_ms - first.ended_ms))
  }
}
