import SluiceShared

/// Runs seeds, one after the other, in this process.
package struct Simulation: Sendable {
  private let templates: [StoreTemplate]
  private let omitted: Set<SafetyCheck>

  /// `check`: the name of one to leave out.
  package init(omitting check: String? = nil) throws {
    templates = try [512, 4096].map { try StoreTemplate(pageSize: $0) }
    omitted = try Set(
      [check].compactMap { $0 }.map { name in
        guard let check = SafetyCheck(rawValue: name) else {
          throw StoreError(
            .invalid,
            "there is no check \(name); there are \(SafetyCheck.allCases.map(\.rawValue).joined(separator: ", "))"
          )
        }
        return check
      })
  }

  /// What a run consists of.
  package enum Kind: String, CaseIterable, Sendable {
    /// Whole processes: writers, appliers, readers.
    case system
    /// The log's handshake alone: claimants, holders and followers.
    case log
    /// The journal's handshake alone: writers, and an applier's reading, closing and removing.
    case journal
    /// The lease in a table alone: standbys and holders, and a table behind a bad network.
    case lease
  }

  /// The first violation, or nil. `trace` gets a line for everything that happens.
  package func run(_ kind: Kind, seed: UInt64, trace: ((String) -> Void)? = nil) -> (
    violation: Violation?, statistics: World.Statistics
  ) {
    switch kind {
    case .system: run(seed: seed, trace: trace)
    case .log: runLog(seed: seed, trace)
    case .journal: runJournal(seed: seed, trace)
    case .lease: runLease(seed: seed, trace)
    }
  }

  private func runLog(seed: UInt64, _ trace: ((String) -> Void)?) -> (Violation?, World.Statistics)
  {
    let run = LogRun(seed: seed, omitting: omitted, trace: trace)
    let violation = run.run()
    var statistics = World.Statistics()
    statistics[.terms] = run.claims
    statistics[.batches] = Int(run.believed.last?.last.rawValue ?? 0)
    statistics[.reads] = run.reads
    statistics[.retired] = run.retired
    return (violation, statistics)
  }

  private func runJournal(seed: UInt64, _ trace: ((String) -> Void)?) -> (
    Violation?, World.Statistics
  ) {
    let run = JournalRun(seed: seed, omitting: omitted, trace: trace)
    let violation = run.run()
    var statistics = World.Statistics()
    statistics[.batches] = run.acknowledged.count
    statistics[.removedSegments] = run.removals
    return (violation, statistics)
  }

  /// Whether nobody waits for an answer of the table in a run of the lease with this seed.
  package static func waitsForNoAnswer(_ seed: UInt64) -> Bool { seed.isMultiple(of: 2) }

  private func runLease(seed: UInt64, _ trace: ((String) -> Void)?) -> (
    Violation?, World.Statistics
  ) {
    let run = LeaseRun(seed: seed, omitting: omitted, trace: trace)
    let violation = run.run()
    var statistics = World.Statistics()
    statistics[.terms] = run.terms
    statistics[.refusedRenewals] = run.refused
    statistics[.lockRequests] = run.requests.requests
    statistics[.lostAnswers] = run.requests.lost
    statistics[.lateRequests] = run.requests.late
    statistics[.doubledRequests] = run.requests.doubled
    statistics[.throttled] = run.requests.refusedByServer
    statistics[.lostClaims] = run.lostClaims
    statistics[.termsBeside] = run.isBeside ? run.terms : 0
    return (violation, statistics)
  }

  /// Of a whole system.
  package func run(seed: UInt64, trace: ((String) -> Void)? = nil) -> (
    violation: Violation?, statistics: World.Statistics
  ) {
    let world = World(
      SimulationPlan(seed: seed), from: templates[Int(seed % UInt64(templates.count))],
      omitting: omitted, trace: trace)
    let violation = world.run()
    return (violation, world.statistics)
  }
}
