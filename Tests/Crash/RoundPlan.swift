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
  }

  struct Worker {
    var habit: Habit
    var batches: Int
    var seed: UInt64
  }

  var kind: Kind
  var victim: Role = .worker
  var plans: [CrashPlan] = []
  var workers: [Worker]
  var appliers: Int
  var hasReader: Bool
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
    let kind = target == nil ? kind : .point
    self.kind = kind
    seed = random.next()
    workers = (0..<1 + random.below(3)).map { _ in
      Worker(
        habit: Habit.allCases[random.below(Habit.allCases.count)],
        batches: 10 + random.below(20), seed: random.next())
    }
    appliers = kind == .pause || random.below(4) == 0 ? 2 : 1
    hasReader = random.below(3) == 0
    // Where power fails, all die in the end anyway.
    goesOn = kind == .undisturbed || random.below(isLossy ? 6 : 2) == 0 || kind == .pause
    delay_us = random.below(3) == 0 ? random.below(30_000) : 0
    if let target {
      victim = target.role
      plans = [target.plan(&random)]
      return
    }
    switch kind {
    case .point, .chain, .pause:
      victim = random.below(3) == 0 ? .worker : .applier
      // A writer that stops is noticed only while it still has something to write.
      if kind == .pause, random.below(2) == 0 { victim = .worker }
      if kind == .chain { victim = .applier }
      let fate: CrashPlan.Fate = kind == .pause ? .stop : .die
      for _ in 0..<(kind == .chain ? 2 : 1) {
        if let plan = catalog.choose(fate, victim, &random) { plans.append(plan) }
      }
    case .each:
      goesOn = false
      // First the appliers', then the workers'.
      let roles =
        Array(repeating: Role.applier, count: appliers)
        + Array(repeating: .worker, count: workers.count)
      plans = roles.compactMap { catalog.choose(.die, $0, &random) }
    case .undisturbed, .random, .together: break
    }
  }

  var description: String {
    let what = plans.map(\.description).joined(separator: kind == .each ? " and " : " then ")
    let how = goesOn ? "the others go on" : "all die, \(delay_us) µs later"
    let who = workers.map { "\($0.habit) \($0.batches)" }.joined(separator: ", ")
    return
      "\(kind) \(plans.isEmpty ? "" : "\(kind == .each ? "" : "\(victim.rawValue) ")\(what)"); \(how); workers: \(who); \(appliers) appliers\(hasReader ? ", a reader" : "")"
  }
}
