import SluiceJournal
import SluiceShared
import SluiceWriter

/// What one of those who play a part in a scenario has and does. It ends with its process.
protocol ScenarioRole: AnyObject {
  func perform(_ action: Scenario.Action) throws(StoreError) -> Scenario.Ending
}

/// Somebody at the log: claims it, holds a segment of it, or reads it.
final class LogRole: ScenarioRole {
  private let name: String
  private let environment: Environment
  private let witness: LogWitness
  /// Kept open, as a reader keeps it.
  private let log: Log
  private var follower = LogFollower(after: .empty)
  private var holder: LogHolder?
  private var hasFinished = false
  private var unpublished: [LogWitness.Commit] = []

  init(_ name: String, _ environment: Environment, _ witness: LogWitness) {
    self.name = name
    self.environment = environment
    self.witness = witness
    log = Log(of: LogRun.handle(environment))
  }

  func perform(_ action: Scenario.Action) throws(StoreError) -> Scenario.Ending {
    switch action {
    case .claims: return try claim()
    case .reads: try read()
    default:
      guard let holder else { return .idle }
      switch action {
      case .commits: try commit(behind: holder)
      case .publishes: try publish(.active, holder)
      case .finishes:
        try holder.finish()
        hasFinished = true
      case .retires:
        let number = holder.header.number
        _ = try LogRetirement(layout: LogRun.layout, environment: environment, name: name)
          .retire(below: number, beneath: number)
      case .releases:
        try holder.finish()
        try publish(.released, holder)
        self.holder = nil
      default: return .idle
      }
    }
    return .done
  }

  private func claim() throws(StoreError) -> Scenario.Ending {
    let won = try LogRun.claim(environment, name).claim(
      successorOf: try freshLog().listed().first ?? 0, rotating: hasFinished,
      firstBeacon: { holder, _ in holder.beacon(.active, ApplierStatus(), time_ms: 0) })
    (holder, hasFinished, unpublished) = (won?.holder, false, [])
    guard let holder else { return .lost }
    _ = try witness.inherit(holder, freshLog, name)
    return .done
  }

  private func freshLog() -> Log {
    Log(of: LogRun.handle(environment))
  }

  private func commit(behind holder: LogHolder) throws(StoreError) {
    let (content, commit) = witness.content(behind: holder, count: 1, bytes: 100)
    _ = try holder.commit(content)
    unpublished.append(commit)
  }

  /// Publishes, and believes what the beacon says.
  private func publish(_ state: Beacon.State, _ holder: LogHolder) throws(StoreError) {
    try holder.publish(holder.beacon(state, ApplierStatus(), time_ms: 0))
    let before = holder.extent.commits - UInt64(unpublished.count)
    for (i, commit) in unpublished.enumerated() {
      witness.believe(commit, at: before + UInt64(i) + 1, name)
    }
    unpublished = []
  }

  private func read() throws(StoreError) {
    let present = try witness.present(log, name)
    try witness.follow(&follower, log, present, name)
  }
}

/// Somebody at the journal: a writer, or what stands for an applier.
final class JournalRole: ScenarioRole {
  private let environment: Environment
  private let witness: JournalWitness
  private let writer: JournalWriter

  init(_ environment: Environment, _ witness: JournalWitness) {
    self.environment = environment
    self.witness = witness
    writer = JournalWriter(to: LogRun.handle(environment))
  }

  func perform(_ action: Scenario.Action) throws(StoreError) -> Scenario.Ending {
    switch action {
    case .submits:
      let content = witness.nextContent()
      let first = writer.nextBatch()
      try writer.flush([JournalWitness.bytes(content, padding: 100)], as: first)
      witness.acknowledge([content], as: first)
    case .closes: writer.close()
    case .applies: try visit(leads: true, retires: false)
    case .retires: try visit(leads: true, retires: true)
    case .retiresLate: try visit(leads: false, retires: true)
    default: return .idle
    }
    return .done
  }

  private func visit(leads: Bool, retires: Bool) throws(StoreError) {
    for name in try environment.fileSystem.list(LogRun.layout.journal) {
      do throws(StoreError) {
        let visit = try JournalVisit(
          "\(LogRun.layout.journal)/\(name)", environment, witness, leads: leads)
        if retires { try visit.retire() }
      } catch {
        guard error.isNoSuchFile || error.isStaleHandle else { throw error }
      }
    }
  }
}
