import CoreMetrics
import SluiceFakes
import SluiceHints
import SluiceJournal
import SluiceLease
import SluiceMetrics
import SluiceShared
import SluiceWriter
import Testing

@testable import SluiceApplier

/// What one process has measured, as Prometheus would read it, and which measures a test has looked at.
final class Measured {
  private let registry = MetricsRegistry()
  private(set) var seen: Set<Measure> = []

  /// What is made in `body` is measured here, whatever it does later.
  func by<R>(_ body: () throws -> R) throws -> R { try withMetricsFactory(registry, body) }

  /// The sum of those with this label; nil: there is none.
  func value(_ measure: Measure, _ suffix: String = "", _ label: String = "") -> Double? {
    let name = measure.rawValue + suffix
    let found = registry.prometheusText.split(separator: "\n").filter {
      ($0.hasPrefix("\(name){") || $0.hasPrefix("\(name) ")) && $0.contains(label)
    }
    guard !found.isEmpty else { return nil }
    seen.insert(measure)
    return found.reduce(0) { $0 + ($1.split(separator: " ").last.flatMap { Double($0) } ?? .nan) }
  }

  func expect(
    _ measure: Measure, _ suffix: String = "", _ label: String = "", is expected: Double,
    at place: SourceLocation = #_sourceLocation
  ) {
    let found = value(measure, suffix, label)
    #expect(
      found == expected, "\(measure)\(suffix) \(label): \(String(describing: found))",
      sourceLocation: place)
  }

  /// It is not known.
  func expectNone(_ measure: Measure, at place: SourceLocation = #_sourceLocation) {
    let found = value(measure)
    #expect(found?.isNaN == true, "\(measure): \(String(describing: found))", sourceLocation: place)
  }
}

/// A leader in one thread, on a clock that a test moves.
final class MeasuredLeader {
  let store: TestStore
  let clock = ManualClock(wall_ms: SystemClock().wallTime_ms())
  let applier: Applier
  let leader: Leader
  private var stops = false

  init(
    _ measured: Measured, _ store: TestStore, hints: any HintNetwork = NoHints(),
    _ change: (inout ApplierOptions) -> Void = { _ in }
  ) throws {
    self.store = store
    var (options, environment) = (store.options, store.environment)
    change(&options)
    environment.clock = clock
    environment.executor = InlineExecutor()
    environment.hints = hints
    applier = try measured.by {
      try Applier(
        path: store.path, options: options, lease: NotingLease(), environment: environment)
    }
    guard case .leads(let leader) = try applier.look() else {
      throw StoreError(.notLeading, "nobody leads")
    }
    self.leader = leader
    leader.begin { [unowned self] in stops }
  }

  /// Steps until there is nothing to do. `executes` false: batches wait. Ends with the term.
  func step(executes: Bool = true) throws {
    for _ in 0..<1000 {
      switch try leader.step(mayExecute: { executes }) {
      case .goesOn: continue
      case .waitsToExecute, .rests: return
      case .ended(let end):
        _ = applier.ended(end, leader)
        return
      }
    }
    Issue.record("it does not come to rest")
  }

  /// A beat says what is so.
  func beat(executes: Bool = true) throws {
    clock.sleep(.seconds(5))
    try step(executes: executes)
  }

  func stop() throws {
    stops = true
    try step()
  }
}
