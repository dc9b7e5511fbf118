import SluiceEdits
import SluiceFakes
import SluiceJournal
import SluiceReader
import SluiceShared
import SluiceSimulator
import SluiceWriter
import Testing

/// One writer on one machine, the applier on another, and hints between them: what the writer waits for, in round
/// trips to the file server.
@Suite("Who writes alone waits for the round trips that the promises need", .serialized)
struct RoundTripTests {
  private static let seeds: ClosedRange<UInt64> = 1...3
  /// While hints prove themselves more is asked.
  private static let warming = 20
  private static let measured = 20
  private let template: StoreTemplate
  init() throws { template = try StoreTemplate(pageSize: 4096) }

  private func batch() -> Batch { Batch([Batch.Statement("SELECT 1")]) }

  /// Round trips by what was waited for, each time it was, and what was asked the last time.
  private struct Figures {
    var trips: [String: [Double]] = [:]
    var last: [Distance.Noted] = []

    func median(_ name: String) -> Double {
      let all = (trips[name] ?? []).sorted()
      return all.isEmpty ? .infinity : all[all.count / 2]
    }
  }

  private func measure(
    seed: UInt64, _ body: @escaping (Distance, Writer, PageStore, inout Figures) throws -> Void
  ) -> Figures {
    let distance = Distance(
      template, roundTrip: .milliseconds(5), execution: .zero, costs: .asOnNFS, hasHints: true,
      seed: seed)
    var figures = Figures()
    distance.run {
      distance.applier(distance.process("applier", on: 0))
      distance.sleep(.seconds(2))
      let process = distance.process("writer", on: 1)
      let writer = try distance.writer(process)
      let store = try PageStore(path: Distance.store, environment: process.environment)
      for number in 0..<Self.warming + Self.measured {
        distance.sleep(.milliseconds(300))
        if number == Self.warming { figures = Figures() }
        let before = figures.trips
        figures.last = try distance.noting { try body(distance, writer, store, &figures) }
        if number < Self.warming { figures.trips = before }
      }
    }
    #expect(distance.failures == [])
    return figures
  }

  @Test(arguments: seeds) func aSubmit(seed: UInt64) {
    let figures = measure(seed: seed) { [self] distance, writer, _, figures in
      let applied = try distance.roundTrips {
        var receipt: Receipt?
        let durable = try distance.roundTrips { receipt = try writer.submitBlocking(batch()) }
        figures.trips["durable", default: []].append(durable)
        if let receipt { _ = try writer.outcomeBlocking(of: receipt, timeout: .seconds(60)) }
      }
      figures.trips["applied", default: []].append(applied)
    }
    // Two hints are on their way for less than a tenth of one, each.
    expect(figures, "durable", atMost: 2)
    expect(figures, "applied", atMost: 6.2)
  }

  @Test(arguments: seeds) func aTransaction(seed: UInt64) {
    let figures = measure(seed: seed) { distance, writer, store, figures in
      let client = JournalTransactions(writer)
      var turn: Turn?
      figures.trips["turn", default: []].append(
        try distance.roundTrips { turn = try client.requestTurn { true } })
      guard let turn else { throw StoreError(.timeout, "no turn") }
      var snapshot: Snapshot?
      figures.trips["state", default: []].append(
        try distance.roundTrips { snapshot = try store.latest(behind: turn.base) })
      guard let snapshot, snapshot.txid == turn.base else { throw StoreError(.busy, "behind") }
      let edited = try EditedSnapshot(snapshot)
      try edited.execute("UPDATE account SET balance = balance + 1 WHERE id = 1")
      try edited.take()
      let pages = try edited.batch(turn: turn.number)
      figures.trips["commit", default: []].append(
        try distance.roundTrips {
          guard case .committed = try client.commit(pages, of: turn, timeout: .seconds(60)) else {
            throw StoreError(.busy, "a conflict")
          }
        })
    }
    expect(figures, "turn", atMost: 6.2)
    expect(figures, "state", atMost: 1)
    expect(figures, "commit", atMost: 6.2)
  }

  /// A leader ends in order while its standby waits for that: from then to the outcome of a new batch.
  @Test(arguments: seeds) func aHandOver(seed: UInt64) {
    let distance = Distance(
      template, roundTrip: .milliseconds(5), execution: .zero, costs: .asOnNFS, hasHints: true,
      seed: seed)
    var figures = Figures()
    distance.run { [self] in
      var isStopped = false
      let term = distance.applier(distance.process("first", on: 0)) { isStopped }
      distance.sleep(.seconds(2))
      distance.applier(distance.process("second", on: 1))
      distance.sleep(.seconds(4))
      let writer = try distance.writer(distance.process("writer", on: 1))
      func submit() throws {
        let receipt = try writer.submitBlocking(batch())
        _ = try writer.outcomeBlocking(of: receipt, timeout: .seconds(60))
      }
      for _ in 0..<20 {
        distance.sleep(.milliseconds(300))
        try submit()
      }
      isStopped = true
      distance.scheduler.join(term)
      figures.last = try distance.noting {
        figures.trips["hand-over"] = [try distance.roundTrips(submit)]
      }
    }
    #expect(distance.failures == [])
    expect(figures, "hand-over", atMost: 45)
  }

  /// What is in `figures`, and what was asked the last time where that is too much.
  private func expect(_ figures: Figures, _ name: String, atMost trips: Double) {
    let median = figures.median(name)
    print("\(name): \(median) round trips")
    let first = figures.last.first?.at_ns ?? 0
    let asked = figures.last.map { "\(Double($0.at_ns - first) / 5e6) \($0)" }
    #expect(median <= trips, "\(asked.joined(separator: "\n"))")
  }
}
