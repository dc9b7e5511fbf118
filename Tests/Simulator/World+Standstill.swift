import SluiceFakes
import SluiceShared

extension World {
  private static let day_ns: UInt64 = 24 * 3600 * 1_000_000_000

  /// Some processes stand still in the middle of what they do, while all that there is is applied and
  /// removed from the journal, and then go on: they write, claim, lead and read as before.
  func standStill(_ verification: Verification) {
    for process in processes where !process.isDead && scheduler.random.chance(0.5) { process.die() }
    freezeAll()
    verification.drain()
    if scheduler.random.chance(0.3) {
      if scheduler.random.chance(0.7) {
        letPass(days: 8, verification)
      } else {
        // A writer is heard of in between, or seems to be.
        letPass(days: 5.9, verification)
        goOn()
        freezeAll()
        verification.drain()
        letPass(days: 1.2, verification)
      }
    }
    goOn()
  }

  private func freezeAll() {
    for process in processes where !process.isDead {
      process.freeze(100 * World.day_ns)
      note("\(process.name) stands still")
    }
  }

  /// Into the storm once more.
  private func goOn() {
    guard !scheduler.isOver else { return }
    isCalm = false
    for process in processes where !process.isDead {
      process.thaw()
      note("\(process.name) goes on")
      count(.outlasted)
    }
    scheduler.sleep(UInt64(scheduler.random.below(10_000_000_000)))
    calmDown()
  }

  /// After more than a week keys, and writers who have no file, are forgotten by the next commit.
  private func letPass(days: Double, _ verification: Verification) {
    guard !scheduler.isOver else { return }
    note("\(days) days pass")
    let stopped = machines.filter { _ in scheduler.random.chance(0.4) }
    for machine in stopped {
      note("\(machine.name)'s clocks stand still with it")
      machine.clock.stop()
    }
    let duration_ns = UInt64(days * Double(World.day_ns))
    scheduler.sleep(duration_ns)
    guard !scheduler.isOver else { return }
    passed_ns += duration_ns
    count(.silences)
    for machine in machines {
      machine.clock.goOn()
      // As they are kept right all the time, within a second or so; but not all of those that stood still.
      if stopped.contains(where: { $0 === machine }), scheduler.random.chance(0.5) { continue }
      let ahead_ms = machine.clock.wallTime_ms() - SimulatedClock(scheduler).wallTime_ms()
      if abs(ahead_ms) > 20_000 { machine.clock.offset_ms -= ahead_ms }
    }
    submitSome()
    verification.drain()
  }
}
