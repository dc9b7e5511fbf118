import SluiceFakes
import SluiceJournal
import SluiceShared

/// What goes wrong with machines, processes and the file server as wholes. What goes wrong with single
/// file operations is `ProcessFaults`' affair.
extension World {
  /// A while, and perhaps one event at its end.
  func conductEvents() {
    let pause = weather.events == 0 ? 0.5 : min(0.5, 0.5 / weather.events)
    scheduler.sleep(UInt64(pause * 1e9))
    if plan.isIntruded, scheduler.random.chance(0.15) { intrude() }
    guard scheduler.random.chance(weather.events * pause) else { return }
    let machine = machines[scheduler.random.below(machines.count)]
    let living = processes.filter { !$0.isDead }
    switch scheduler.random.below(10) {
    case 0..<3 where !living.isEmpty: kill(living[scheduler.random.below(living.count)])
    case 3..<5 where !living.isEmpty:
      let process = living[scheduler.random.below(living.count)]
      let duration_ns = UInt64(scheduler.random.below(60_000_000_000))
      if scheduler.random.chance(0.3) { return suspend(machine, duration_ns) }
      note("\(process.name) stands still")
      process.freeze(duration_ns)
      count(.froze)
    case 5..<7: stop(machine)
    case 7: scheduler.random.chance(0.5) ? losePower() : forge()
    case 8:
      // Beyond a minute an applier there refuses to lead.
      let most = scheduler.random.chance(0.2) ? 300_000 : 20_000
      machine.clock.offset_ms = Int64(scheduler.random.below(2 * most)) - Int64(most)
      note("\(machine.name)'s wall clock is set to \(machine.clock.offset_ms) ms")
      count(.clockJumps)
    default:
      guard machine.isNetwork else { return }
      note("\(machine.name) is cut off")
      machine.isCutOff = true
      count(.cuts)
      let duration = UInt64(scheduler.random.below(20_000_000_000))
      scheduler.start(nil) { [self] in
        scheduler.sleep(duration)
        machine.isCutOff = false
        if scheduler.random.chance(0.5) {
          machine.host.loseOpens(&scheduler.random)
          machine.hasLostOpens = true
        }
        note("\(machine.name) is back")
      }
    }
  }

  /// A virtual machine stands still, and its clocks with it. Its wall clock is set right when it goes on,
  /// or not.
  private func suspend(_ machine: Machine, _ duration_ns: UInt64) {
    note("\(machine.name) is suspended")
    count(.suspended)
    for process in processes where !process.isDead && process.machine === machine {
      // Its clocks go on first.
      process.freeze(duration_ns + 1000)
    }
    machine.clock.stop()
    let isSetRight = scheduler.random.chance(0.5)
    scheduler.start(nil) { [self] in
      scheduler.sleep(duration_ns)
      guard !isCalm else { return }
      machine.clock.goOn()
      if isSetRight { machine.clock.offset_ms += Int64(duration_ns / 1_000_000) }
      note("\(machine.name) goes on")
    }
  }

  func kill(_ process: SimulatedProcess) {
    note("\(process.name) is killed")
    count(.killed)
    process.die()
  }

  /// A machine loses power. A local one is the file server too.
  func stop(_ machine: Machine) {
    guard machine.isNetwork else { return losePower() }
    note("\(machine.name) stops")
    count(.machineStops)
    for process in processes where !process.isDead && process.machine === machine { process.die() }
    machine.host.die()
  }

  /// The file server's: what is not synced may be lost. A local machine is its own.
  func losePower() {
    note("the file server restarts")
    count(.powerLosses)
    if !plan.isNetwork {
      for process in processes where !process.isDead { process.die() }
      for process in processes { disk.abandon(client: process.number) }
      for machine in machines { machine.host.die() }
    }
    _ = observer.look()
    let before = observer.extent.txid
    disk.losePower(&scheduler.random)
    oracle.serverLostPower(before: before) { [unowned self] in observer.published }
    oracle.acknowledged.forEach(checkDurable)
    checkCurrent()
    guard plan.isNetwork, !isCalm, !serverIsAway, scheduler.random.chance(0.7) else { return }
    serverIsAway = true
    let duration = UInt64(scheduler.random.below(20_000_000_000))
    scheduler.start(nil) { [self] in
      scheduler.sleep(duration)
      serverIsAway = false
      note("the file server is back")
    }
  }

  /// Whoever opened `current.sqlite` before must find something there afterwards.
  private func checkCurrent() {
    guard let target = disk.target(of: World.layout.current),
      disk.inode(of: "\(World.layout.root)/\(target)") == nil, !wasRemoved(target)
    else { return }
    oracle.violate(.currentLeadsNowhere, "current.sqlite points to \(target), which is not there")
  }

  /// It was just said where `current.sqlite` leads to.
  func checkpointWasPublished() {
    guard plan.losesCheckpoints, !isCalm, scheduler.random.chance(0.3) else { return }
    scheduler.start(nil) { [self] in
      scheduler.sleep(UInt64(scheduler.random.below(3_000_000)))
      guard !isCalm, !scheduler.isOver else { return }
      losePower()
    }
  }
}
