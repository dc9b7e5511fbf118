import BenchmarkSupport
import Glibc
import Logging
import SluiceApplier
import SluiceFakes
import SluiceJournal
import SluiceShared

/// A store whose making is cut off: either it is one, or everybody is told that it is none.
struct Creation {
  let work: WorkDirectory
  let isLossy: Bool
  let executable: String
  let sabotage: Sabotage?

  /// Without a plan it is killed at any time, or not at all.
  func play(
    _ plan: CrashPlan?, _ random: inout SeededRandom, _ catalog: inout Catalog,
    _ figures: inout Figures
  ) throws -> [String] {
    for directory in [work["disk"], work["layer"], work["layer/grave"], work["notes"]] {
      guard mkdir(directory, 0o755) == 0 else { throw RunError("\(directory) cannot be made") }
    }
    let store = work["disk/store"]
    // A process that is killed as it starts leaves none.
    _ = try PosixFileSystem().create(work["layer/records"], mode: 0o644)
    let cast = Cast(
      executable: executable, store: store, directory: work["notes"],
      layer: isLossy ? work["layer"] : nil, sabotage: sabotage)
    let began = SystemClock().elapsed()
    let index = try cast.start(.creator, plan)
    let isKilled = plan == nil && random.chance(0.7)
    if isKilled {
      // There are no points in what SQLite does to the first checkpoint.
      usleep(UInt32(random.below(figures.creation_us + 1)))
      cast.kill(index)
    }
    try cast.waitForAll()
    if plan == nil, !isKilled {
      let took_us = Int((SystemClock().elapsed() - began) / .microseconds(1))
      figures.creation_us = min(figures.creation_us, took_us)
    }
    // Before its names are lost, or it is made anew.
    let isBegun = access(store, F_OK) == 0
    let account = try cast.account(index)
    catalog.note(account, .creator)
    if let complaint = cast.complaint(index, account) { return [complaint] }
    if !account.errors.isEmpty { return account.errors.map { "a store cannot be made: \($0)" } }
    if isLossy {
      figures.note(try PowerFailure(store: work["disk"], layer: work["layer"], seed: random.next()))
    }
    figures.creations += 1
    if !account.isComplete { figures.deaths += 1 }
    let before = figures.creationsCutOff
    let violations = look(store, account, &figures)
    // It was at work, and not done.
    if isKilled, figures.creationsCutOff > before, isBegun {
      figures.creationsKilled += 1
    }
    return violations
  }

  private func look(_ store: String, _ account: Account, _ figures: inout Figures) -> [String] {
    var options = ApplierOptions.hasty("first")
    options.drains = true
    options.logger.logLevel = .critical
    var environment = Environment.posix()
    environment.clock = ImpatientClock()
    do throws(StoreError) {
      try Applier(path: store, options: options, environment: environment)
        .run(shouldStop: { false })
      return []
    } catch {
      if account.isComplete { return ["the store was made, and then: \(error)"] }
      // Anything else than that there is no store, or no whole one, is an accident.
      guard error.code == .noSuchStore || error.code == .damaged else {
        return ["a making that was cut off is not named as that: \(error.code.rawValue), \(error)"]
      }
      figures.creationsCutOff += 1
    }
    // What is there is named; nothing is made over it.
    do throws(StoreError) {
      try StoreCreation().make(at: store, environment: environment)
      return []
    } catch {
      return error.code == .invalid ? [] : ["after a making that was cut off: \(error)"]
    }
  }
}
