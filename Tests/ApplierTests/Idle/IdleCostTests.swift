import Foundation
import SluiceFakes
import SluiceHints
import SluiceJournal
import SluiceLease
import SluiceShared
import Testing

@testable import SluiceApplier

/// Hours of rest, in no time, with the figures and prices of docs/OPERATIONS.
@Suite("An idle store costs what OPERATIONS says")
struct IdleCostTests {
  /// With each space one space.
  private let operations: String

  init() throws {
    let place = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("../../../docs/OPERATIONS.md")
    operations = try String(contentsOf: place, encoding: .utf8)
      .split(whereSeparator: \.isWhitespace).joined(separator: " ")
  }

  /// The number that stands between these words.
  private func said(
    _ before: String, _ after: String, at place: SourceLocation = #_sourceLocation
  ) throws -> Double {
    let begin = try #require(
      operations.range(of: before), "OPERATIONS says no more: \(before)", sourceLocation: place)
    let rest = operations[begin.upperBound...]
    let end = try #require(rest.range(of: after), "\(before) … \(after)", sourceLocation: place)
    return try #require(
      Double(rest[..<end.lowerBound]), "\(before)\(rest.prefix(20))", sourceLocation: place)
  }

  /// As far as it is rounded, and what is done once in a while.
  private func expect(
    _ found: Double, is said: Double, at place: SourceLocation = #_sourceLocation
  ) {
    #expect(
      abs(found - said) <= max(said * 0.05, 0.006), "\(found), and \(said) is said",
      sourceLocation: place)
  }

  /// What is asked in four hours, once hints have proven themselves and pauses are as long as they get.
  private func rest(_ pair: IdlePair) throws -> IdleRates {
    try pair.write(3 * Limits.leastHintProof)
    #expect(pair.leader.desk?.isProven == true, "hints have not proven themselves")
    try pair.run(.seconds(2 * 3600))
    let rates = try pair.rates(over: .seconds(4 * 3600))
    print("an idle store, \(pair.table == nil ? "file" : "table"): \(rates)")
    return rates
  }

  @Test func pricesAreThoseOfOperations() throws {
    for words in [
      "| `elastic`: $0.03 a GiB read, $0.06 a GiB written |", "$0.625 a million writes",
      "$0.125 a million reads",
      "each metered as 4 KiB |", "| reads, each metered as 32 KiB |",
      "| writes, each metered as 32 KiB |", "a month has 2,628,000 seconds",
    ] {
      #expect(operations.contains(words), "\(words)")
    }
    #expect(IdleRates.secondsPerMonth == 2_628_000)
  }

  @Test func withTheLeaseOfAFile() throws {
    let rates = try rest(IdlePair(lease: .seconds(10), onTable: false))
    expect(rates.listings, is: try said("| listings and the like, each metered as 4 KiB | ", " /s"))
    expect(rates.reads, is: try said("| reads, each metered as 32 KiB | ", " /s"))
    expect(rates.writes, is: try said("| writes, each metered as 32 KiB | ", " /s"))
    expect(rates.dollars, is: try said("a GiB written | **$", "**"))
    #expect(rates.dollars <= 1)
    #expect(rates.tableDollars == 0)
    // One request a second to the file server at most with another standby, which reads once in a lease, too.
    #expect(rates.listings + rates.reads + rates.writes + 1.0 / 10 <= 1)
  }

  @Test func withHintsThatStayOnOneHost() throws {
    let rates = try rest(IdlePair(lease: .seconds(10), onTable: false, hints: .host))
    expect(rates.dollars, is: try said("as without `--hints ADDRESS`, it is $", ": a write"))
  }

  /// Of what comes without a hint, and the pause until the next look.
  @Test(arguments: [
    (Duration.seconds(1000), Duration.seconds(1)), (.seconds(3600), .milliseconds(3600)),
    (.seconds(36_000), .seconds(5)),
  ])
  func theFirstBatchWaits(quiet: Duration, longest: Duration) throws {
    #expect(operations.contains("up to a thousandth of the quiet time, 5 s at most"))
    let pair = try IdlePair(lease: .seconds(10), onTable: false, hints: .nowhere)
    try pair.run(quiet)
    let took = try pair.firstOutcome()
    #expect(took > .zero && took <= longest + .milliseconds(20), "\(took)")
  }

  @Test func withALongerLeaseOfAFile() throws {
    let rates = try rest(IdlePair(lease: .seconds(30), onTable: false))
    expect(rates.dollars, is: try said("`--ttl 30` makes $", " of the $0.53"))
    #expect(rates.dollars <= 1)
  }

  @Test func withTheLeaseOfATable() throws {
    let pair = try IdlePair(lease: .seconds(10), onTable: true)
    let rates = try rest(pair)
    expect(rates.fileDollars, is: try said("with the usual ttl of 10 s: $", " for the file"))
    expect(rates.tableDollars, is: try said("for the file server and $", " for the table"))
    expect(rates.dollars, is: try said("an idle store costs $", " with the usual"))
    #expect(rates.dollars <= 1)
    // A renewal in 5 s, and a look in 10 s.
    expect(rates.tableDollars, is: try said("a million reads | **$", "**"))
    expect(rates.tableWrites, is: 1.0 / 5)
    expect(rates.tableReads, is: 1.0 / 10)
    // The beacon is written in 30 s, and says so.
    expect(rates.writes * 30, is: 1)
    #expect(try pair.beacon().status.nextBeat_ms == 30_000)
  }

  @Test func withALongerLeaseOfATable() throws {
    let rates = try rest(IdlePair(lease: .seconds(30), onTable: true))
    expect(rates.fileDollars, is: try said("With `--ttl 30` it is $", " and $"))
    expect(
      rates.tableDollars, is: try said("With `--ttl 30` it is $0.37 and $", ". **The"))
    #expect(rates.dollars <= 1)
    expect(rates.writes * 30, is: 1)
  }

  /// However much is written, no batch asks for the item.
  @Test(arguments: [1, 10]) func withTheLeaseOfATableAtWork(batchesASecond: Int) throws {
    let pair = try IdlePair(lease: .seconds(10), onTable: true)
    try pair.write(3 * Limits.leastHintProof)
    let rates = try pair.rates {
      try pair.write(300 * batchesASecond, each: .seconds(1) / batchesASecond)
    }
    print("a store with \(batchesASecond) batches a second: \(rates)")
    expect(rates.tableWrites, is: 0.5)
    expect(rates.tableReads, is: 0.1)
    expect(rates.tableDollars, is: try said("a million reads | **$0.36** | **$", "**"))
  }

  /// Without hints, which is what is said of them.
  @Test func ofMany() throws {
    let rates = try IdleFleet.rates(lease: .seconds(10), over: .seconds(4 * 3600))
    print("an idle store of many: \(rates)")
    expect(rates.readKiB, is: try said("A store with one standby reads ", " KiB a"))
    expect(rates.writtenKiB, is: try said("as it is metered, and writes ", " KiB. With"))
    expect(rates.dollars, is: try said("With `elastic` throughput that is $", " a month"))
  }
}
