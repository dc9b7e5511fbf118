import SluiceFakes
import SluiceShared

extension World {
  /// No writer submits anything, and nothing goes wrong but with hints, for so long that the leader, where a standby of
  /// another machine hears it, makes its beats further apart than a lease. Then, mostly, it dies, or its machine does.
  /// Returns how many file operations that took.
  func restAll() -> Int {
    let before = operations
    note("all writers rest")
    count(.rests)
    allRest = true
    let lease_ns = Int(plan.lease.inNanoseconds)
    // A beat is an eighth of the quiet after the one before.
    scheduler.sleep(UInt64(lease_ns * 10 + scheduler.random.below(lease_ns * 10)))
    guard !scheduler.isOver else { return operations - before }
    if scheduler.random.chance(0.7), let leader = inOffice.last(where: { !$0.isGone }) {
      if scheduler.random.chance(0.5), let machine = leader.machine as? Machine {
        stop(machine)
      } else {
        kill(leader)
      }
      scheduler.sleep(UInt64(lease_ns * 3))
    }
    allRest = false
    note("writers go on")
    return operations - before
  }

  /// A writer does, before each thing that it submits.
  func restWithAll(_ life: Life) {
    while allRest, !life.isGone, !isEnding { scheduler.sleep(50_000_000) }
  }
}
