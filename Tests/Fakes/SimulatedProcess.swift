package import SluiceShared

/// A process of a simulated machine, from its start to its death.
package final class SimulatedProcess: @unchecked Sendable {
  // Sendable: touched by the strand that has the scheduler's baton only.
  package let name: String
  package let scheduler: EventScheduler
  package let number: UInt64
  /// Died: nothing that it still asks for is done.
  package private(set) var isDead = false
  /// It stands still until then (SIGSTOP, a frozen virtual machine).
  package private(set) var frozenUntil_ns: UInt64 = 0
  /// How much longer its file operations take than usual.
  package var slowness = 1.0
  /// The machine that it runs on, for whoever stops that.
  package weak var machine: AnyObject?
  /// File operations that it began.
  package var operations = 0
  /// Where identifiers, nonces and jitter come from.
  package var random: SeededRandom

  package init(_ name: String, number: UInt64, _ scheduler: EventScheduler) {
    self.name = name
    self.number = number
    self.scheduler = scheduler
    random = SeededRandom(seed: scheduler.random.next())
  }

  /// Its strands go on only to find that everything fails.
  package func die() {
    guard !isDead else { return }
    isDead = true
    scheduler.wakeAll(of: self)
  }

  package func freeze(_ duration_ns: UInt64) {
    frozenUntil_ns = max(frozenUntil_ns, scheduler.now_ns &+ duration_ns)
  }

  /// Ends a freeze.
  package func thaw() { frozenUntil_ns = min(frozenUntil_ns, scheduler.now_ns) }

  /// Nothing may be done any more: it died, or the run is over.
  package var isGone: Bool { isDead || scheduler.isOver }
}

/// Runs work as further strands of a process.
package struct SimulatedExecutor: Executor {
  let process: SimulatedProcess

  package init(_ process: SimulatedProcess) { self.process = process }

  private struct Work: StartedWork {
    let strand: EventScheduler.Strand
    let scheduler: EventScheduler
    var isDone: Bool { strand.isDone }
    func wait() { scheduler.join(strand) }
  }

  package func start(_ work: @escaping @Sendable () -> Void) -> any StartedWork {
    Work(strand: process.scheduler.start(process, work), scheduler: process.scheduler)
  }

  package func detach(_ work: @escaping @Sendable () -> Void) {
    process.scheduler.start(process, work)
  }

  /// One after the other: how they overlap matters to speed only, since each has a file of its own.
  package func concurrently(_ count: Int, _ body: @Sendable (Int) -> Void) {
    for i in 0..<count { body(i) }
  }
}
