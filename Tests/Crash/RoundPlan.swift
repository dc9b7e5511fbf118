import ArgumentParser
import SluiceFakes

/// What happens in one round, decided before it begins.
struct RoundPlan: CustomStringConvertible {
  enum Kind: String, CaseIterable, ExpressibleByArgument {
    /// Nothing; for learning which points there are.
    case undisturbed
    /// One process dies at a named point.
    case point
    /// One or two processes are killed at any time.
    case random
    /// All are killed at any time.
    case together
    /// A process stops at a named point, for longer than the lease or the silence that is borne.
    case pause
    /// A process dies at a named point, and its successor at another.
    case chain
    /// Each process has a point of its own to die at.
    case each
    /// A worker dies in the middle of a frame, and appliers die or stop while they move its segment
    /// to quarantine.
    case quarantine
  }

  struct Worker {
    var habit: Habit
    var batches: Int
    var seed: UInt64
  }

  var kind: Kind
  var victim: Role = .worker
  var plans: [CrashPlan] = []
  /// Of the first worker, where the victim is another.
  var torn: CrashPlan?
  var workers: [Worker]
  var appliers: Int
  var hasReader: Bool
  /// One backup after the other is made of the store; into a new directory, or that of the rounds before.
  var hasBackup: Bool
  var beginsBackup: Bool
  /// The others go on after a death; else they are killed too, so many microseconds later.
  var goesOn: Bool
  var delay_us: Int
  /// Seeds what is chosen while the round goes on.
  var seed: UInt64

  /// With a `target`, somebody dies there and nothing else happens.
  init(
    _ kind: Kind, _ catalog: Catalog, isLossy: Bool, at target: Target? = nil,
    _ random: inout SeededRandom
  ) {
    var kind = kind
    let isAgain = target.map { CrashPoint.movingAgain.contains($0.point) } ?? false
    if let target {
      kind = isAgain || CrashPoint.movingToQuarantine.contains(target.point) ? .quarantine : .point
    }
    self.kind = kind
    seed = random.next()
    workers = (0..<1 + random.below(3)).map { _ in
      Worker(
        habit: Habit.allCases[random.below(Habit.allCases.count)],
        batches: 10 + random.below(20), seed: random.next())
    }
    appliers = kind == .pause || random.below(4) == 0 ? 2 : 1
    hasReader = random.below(3) == 0
    hasBackup = target?.role == .backup || random.below(3) == 0
    beginsBackup = random.below(3) == 0
    // Where power fails, all die in the end anyway.
    goesOn = kind == .undisturbed || random.below(isLossy ? 6 : 2) == 0 || kind == .pause
    delay_us = random.below(3) == 0 ? random.below(30_000) : 0
    if kind == .quarantine { tear(&random) }
    if let target {
      victim = target.role
      plans = [target.plan(&random)]
      if isAgain {
        let first = Target(.applier, CrashPoint(.after, .link, "quarantine"))
        plans.insert(first.plan(&random), at: 0)
      }
      return
    }
    switch kind {
    case .point, .chain, .pause:
      victim = random.below(3) == 0 ? .worker : .applier
      // A writer that stops is noticed only while it still has something to write.
      if kind == .pause, random.below(2) == 0 { victim = .worker }
      if kind == .chain { victim = .applier }
      if kind == .point, hasBackup, random.below(3) == 0 { victim = .backup }
      let fate: CrashPlan.Fate = kind == .pause ? .stop : .die
      for _ in 0..<(kind == .chain ? 2 : 1) {
        if let plan = catalog.choose(fate, victim, isLossy: isLossy, &random) { plans.append(plan) }
      }
    case .each:
      goesOn = false
      // First the appliers', then the workers'.
      let roles =
        Array(repeating: Role.applier, count: appliers)
        + Array(repeating: .worker, count: workers.count)
      plans = roles.compactMap { catalog.choose(.die, $0, isLossy: isLossy, &random) }
    case .quarantine:
      victim = .applier
      let steps = CrashPoint.movingToQuarantine
      let first = random.below(steps.count)
      plans = [Target(.applier, steps[first]).plan(&random)]
      if random.below(3) == 0 {
        plans[0].fate = .stop
      } else if first < steps.count - 1, random.below(2) == 0 {
        // The second finds the new name there, and nothing at all where that was the last step.
        let seconds = first == 0 ? steps : CrashPoint.movingAgain + steps[2...]
        plans.append(Target(.applier, seconds[random.below(seconds.count)]).plan(&random))
      }
    case .undisturbed, .random, .together: break
    }
  }

  /// Whether the victim stops, and does not die.
  var stops: Bool { plans.first?.fate == .stop }

  /// One worker leaves a torn frame: of the first 512 bytes of several batches.
  private mutating func tear(_ random: inout SeededRandom) {
    workers[0].habit = .several
    workers[0].batches = 24
    appliers = 1
    torn = CrashPlan(
      .die, CrashPoint(.mid, .write, "journal-frame"), 1 + random.below(4), tear: 1)
  }

  var description: String {
    let what = plans.map(\.description).joined(separator: kind == .each ? " and " : " then ")
    let how = goesOn ? "the others go on" : "all die, \(delay_us) µs later"
    let who = workers.map { "\($0.habit) \($0.batches)" }.joined(separator: ", ")
    let first = torn.map { "worker \($0), " } ?? ""
    return
      "\(kind) \(first)\(plans.isEmpty ? "" : "\(kind == .each ? "" : "\(victim.rawValue) ")\(what)"); \(how); workers: \(who); \(appliers) appliers\(hasReader ? ", a reader" : "")\(hasBackup ? beginsBackup ? ", a new backup" : ", a backup" : "")"
  }
}
