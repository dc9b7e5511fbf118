internal import SluiceShared

/// Runs several processes, each on a thread of its own, one at a time: whoever has the baton runs to
/// its next step, where a seeded choice says who goes on. So the schedule is a function of the seed.
///
/// From time to time the odds change, so that each process is now fast, now all but frozen.
package final class Scheduler: @unchecked Sendable {
  // Sendable: whatever is not `let` is touched by the thread that has the baton only, and the baton
  // passes through the mutex of a `Monitor`.

  /// One process: lives, dies, and is followed by another of the same name.
  package final class Process: @unchecked Sendable {
    // Sendable: as the scheduler.
    package let name: String
    /// Died: nothing that it still asks for is done.
    package fileprivate(set) var isDead = false
    /// How many lived here before.
    package fileprivate(set) var life: UInt64 = 0
    fileprivate let turn = Monitor(false)
    fileprivate var isFinished = false
    fileprivate let share: Double
    fileprivate var weight = 1.0
    fileprivate var frozenUntil = 0

    fileprivate init(_ name: String, share: Double) {
      self.name = name
      self.share = share
    }

    package func die() { isDead = true }
  }

  package var random: SeededRandom
  package private(set) var steps = 0
  private let limit: Int
  private var processes: [Process] = []
  private var total = 0.0
  private var isOver = false
  private let mainTurn = Monitor(false)
  /// Called at every step, by whoever has the baton.
  package var onStep: (() -> Void)?

  package init(seed: UInt64, steps limit: Int) {
    random = SeededRandom(seed: seed)
    self.limit = limit
  }

  /// A process to run: `body` is one life of it, and must return soon after `step` returned false.
  package struct Role {
    let name: String
    let share: Double
    let body: @Sendable (Process) -> Void

    /// `share`: how often it goes on, compared to the others.
    package init(_ name: String, share: Double = 1, _ body: @escaping @Sendable (Process) -> Void) {
      self.name = name
      self.share = share
      self.body = body
    }
  }

  /// Runs the roles, each life after life, until all steps are made.
  package func run(_ roles: [Role]) {
    processes = roles.map { Process($0.name, share: $0.share) }
    drawWeights()
    for (process, body) in zip(processes, roles.map(\.body)) {
      startThread { [self] in
        Scheduler.wait(process.turn)
        while !isOver {
          process.isDead = false
          body(process)
          process.life += 1
          _ = step(process)
        }
        process.isFinished = true
        Scheduler.give(mainTurn)
      }
    }
    Scheduler.give(choose().turn)
    Scheduler.wait(mainTurn)
    for process in processes where !process.isFinished {
      Scheduler.give(process.turn)
      Scheduler.wait(mainTurn)
    }
  }

  /// No more steps: something was found.
  package func stop() { steps = max(steps, limit) }

  /// Lets others go first, as the seed has it. False: the run is over or the process is dead, and
  /// nothing may be done any more.
  package func step(_ process: Process) -> Bool {
    if isOver { return false }
    steps += 1
    if steps >= limit {
      isOver = true
      Scheduler.give(mainTurn)
      Scheduler.wait(process.turn)
      return false
    }
    if process.isDead { return false }
    onStep?()
    if steps % 12 == 0 { drawWeights() }
    let next = choose()
    if next !== process {
      Scheduler.give(next.turn)
      Scheduler.wait(process.turn)
    }
    return !isOver
  }

  private func drawWeights() {
    total = 0
    for process in processes {
      process.weight = [0.01, 0.3, 1, 3][random.below(4)] * process.share
      if process.frozenUntil > steps { process.weight = 0 }
      total += process.weight
    }
  }

  /// Lets a process stand still for the next `steps`, as long as others can go on.
  package func freeze(_ process: Process, steps count: Int) {
    process.frozenUntil = steps + count
    drawWeights()
  }

  private func choose() -> Process {
    var place = Double(random.next() >> 11) / 9_007_199_254_740_992 * total
    for process in processes {
      place -= process.weight
      if place < 0 { return process }
    }
    return processes[processes.count - 1]
  }

  private static func give(_ turn: Monitor<Bool>) {
    turn.withLock { $0 = true }
    turn.wakeOne()
  }

  private static func wait(_ turn: Monitor<Bool>) {
    turn.wait { turn -> Void? in
      guard turn else { return nil }
      turn = false
      return ()
    }
  }
}
