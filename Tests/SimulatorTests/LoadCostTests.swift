import Foundation
import SluiceFakes
import SluiceJournal
import SluiceShared
import SluiceSimulator
import SluiceWriter
import Testing

/// What a leader, a standby and writers that wait for each outcome ask of the file server, in simulated time. An idle
/// store's column is `IdleCostTests`'.
@Suite("A store that is written costs what OPERATIONS says", .serialized)
struct LoadCostTests {
  struct Load: CustomTestStringConvertible {
    var writers: Int
    /// Of all writers together, a second.
    var writes: Int
    /// Its place among the table's figures.
    var column: Int
    var warming: Duration
    var measured: Duration
    var testDescription: String { "\(writes) a second, of \(writers)" }
  }

  private static let loads = [
    Load(writers: 1, writes: 1, column: 1, warming: .seconds(60), measured: .seconds(300)),
    Load(writers: 10, writes: 100, column: 2, warming: .seconds(10), measured: .seconds(30)),
  ]

  /// What is asked a second.
  private struct Rates: CustomStringConvertible {
    var listings = 0.0
    var reads = 0.0
    var writes = 0.0

    init(_ asked: [FileOperation.Action: Int], over time: Duration) {
      for (action, count) in asked {
        let rate = Double(count) / time.inSeconds
        switch action {
        case .read: reads += rate
        case .write: writes += rate
        // A sync is the request that takes a write to the server.
        case .sync, .scratchFile, .nextData, .readOn, .writeOn, .listOn: break
        default: listings += rate
        }
      }
    }

    var readMiB: Double { (listings * 4 + reads * 32) / 1024 }
    var writtenMiB: Double { writes * 32 / 1024 }
    var elastic: Double { (readMiB * 0.03 + writtenMiB * 0.06) / 1024 * 2_628_000 }
    var metered: Double { readMiB / 3 + writtenMiB }

    var description: String {
      String(
        format: "a second: %.3f listings, %.3f reads, %.3f writes; %.4f MiB/s; a month: $%.2f",
        listings, reads,
        writes, metered, elastic)
    }
  }

  private let template: StoreTemplate
  private let operations: [Substring]

  init() throws {
    template = try StoreTemplate(pageSize: 4096)
    let place = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("../../docs/OPERATIONS.md")
    operations = try String(contentsOf: place, encoding: .utf8).split(separator: "\n")
  }

  /// The figures of a row of the table, each the first number of its column.
  private func said(_ row: String, _ column: Int) throws -> [Double] {
    let line = try #require(operations.first { $0.hasPrefix("| \(row)") }, "no row \(row)")
    let cell = line.split(separator: "|")[1 + column]
    return cell.split(whereSeparator: { !"0123456789.,".contains($0) })
      .compactMap { Double($0.replacing(",", with: "")) }
  }

  /// As far as it is rounded.
  private func expect(
    _ found: Double, is said: Double?, _ what: String, at place: SourceLocation = #_sourceLocation
  ) throws {
    let said = try #require(said, "\(what)")
    #expect(
      abs(found - said) <= said * 0.05, "\(what): \(found), and \(said) is said",
      sourceLocation: place)
  }

  /// One writer: at moments that nobody has arranged with others, as often as the load wants.
  private func write(
    _ distance: Distance, _ process: Distance.Process, _ load: Load, _ random: SeededRandom,
    until end: Duration
  ) throws {
    var random = random
    let writer = try distance.writer(process)
    let clock = process.environment.clock
    let longest = 2_000_000 * load.writers / load.writes
    var next = clock.elapsed()
    while true {
      next += .microseconds(random.below(longest))
      guard next < end else { return }
      distance.sleep(max(.zero, next - clock.elapsed()))
      let receipt = try writer.submitBlocking(Batch([Batch.Statement("SELECT 1")]))
      _ = try writer.outcomeBlocking(of: receipt, timeout: .seconds(60))
    }
  }

  private func rates(_ load: Load, hasHints: Bool = true) -> Rates {
    let distance = Distance(
      template, roundTrip: .milliseconds(3), execution: .microseconds(500), costs: .asOnNFS,
      hasHints: hasHints, wakesReceivers: true)
    distance.lease = .seconds(10)
    var asked: [FileOperation.Action: Int] = [:]
    distance.run { [self] in
      distance.applier(distance.process("first", on: 0))
      distance.sleep(.seconds(12))
      distance.applier(distance.process("second", on: 1))
      distance.sleep(.seconds(2))
      for number in 0..<load.writers {
        let process = distance.process("writer \(number)", on: number % 2)
        let end = process.environment.clock.elapsed() + load.warming + load.measured + .seconds(5)
        distance.strand(process) { [self] in
          try write(
            distance, process, load, SeededRandom(seed: UInt64(number)), until: end)
        }
      }
      distance.sleep(load.warming)
      distance.asked = [:]
      distance.sleep(load.measured)
      asked = distance.asked
    }
    #expect(distance.failures == [])
    return Rates(asked, over: load.measured)
  }

  @Test(arguments: loads) func withHints(_ load: Load) throws {
    let rates = rates(load)
    print("\(load.testDescription): \(rates)")
    try expect(rates.listings, is: said("listings and the like", load.column).first, "listings")
    try expect(rates.reads, is: said("reads, each metered", load.column).first, "reads")
    try expect(rates.writes, is: said("writes, each metered", load.column).first, "writes")
    let both = try said("read, written", load.column)
    try expect(rates.readMiB, is: both.first, "MiB read")
    try expect(rates.writtenMiB, is: both.last, "MiB written")
    try expect(rates.elastic, is: said("`elastic`", load.column).first, "dollars")
    try expect(rates.metered, is: said("metered otherwise", load.column).first, "MiB")
    let provisioned = try said("`provisioned`", load.column)
    #expect(
      provisioned == [6 * max(1, rates.metered.rounded(.up)), max(1, rates.metered.rounded(.up))])
  }

  @Test func withoutHints() throws {
    let words =
      /at 1 write a second (\d+) listings and (\d+) reads a second were counted \(\$(\d+)\), at 100 a second ([\d,]+) reads \(\$([\d,]+)\)/
    let text = operations.joined(separator: " ")
    let said = try #require(text.firstMatch(of: words), "OPERATIONS says no more: \(words)")
    func number(_ text: Substring) -> Double? { Double(text.replacing(",", with: "")) }
    let found = Self.loads.map { rates($0, hasHints: false) }
    for (load, rates) in zip(Self.loads, found) {
      print("\(load.testDescription), without hints: \(rates)")
    }
    try expect(found[0].listings, is: number(said.1), "listings at 1 a second")
    try expect(found[0].reads, is: number(said.2), "reads at 1 a second")
    try expect(found[0].elastic, is: number(said.3), "dollars at 1 a second")
    try expect(found[1].reads, is: number(said.4), "reads at 100 a second")
    try expect(found[1].elastic, is: number(said.5), "dollars at 100 a second")
  }

  @Test func aRunIsTheSameEachTime() {
    let two = (0..<2).map { _ in "\(rates(Self.loads[1]))" }
    #expect(two[0] == two[1])
  }
}
