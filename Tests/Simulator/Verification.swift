import SluiceApplier
import SluiceFakes
import SluiceJournal
import SluiceQuery
import SluiceReader
import SluiceShared
import SluiceWriter

/// What is checked when the storm is over: a healthy applier applies what is left, and then every
/// promise is compared with what was told.
struct Verification: @unchecked Sendable {
  // Sendable: used by the strand that has the scheduler's baton only.
  let world: World
  private let machine: Machine

  init(_ world: World) {
    self.world = world
    machine = world.freshMachine("after")
  }

  func run() {
    lookAlone()
    guard world.oracle.violation == nil else { return }
    let asking = world.scheduler.start(nil) {
      world.live("asker", on: machine, isReader: false) { try ask($0) }
    }
    drain(while: asking)
    world.scheduler.join(asking)
    guard world.oracle.violation == nil else { return }
    let seen = Seen()
    world.live("history", on: machine, isReader: true) { life in
      seen.history = try history(life)
      let database = Database(
        try PageStore(path: World.layout.root, environment: life.environment),
        executor: life.environment.executor)
      try database.read { transaction in
        let content = try world.shown(transaction)
        seen.content = content
        world.oracle.read(
          content, at: transaction.txid, since: world.oracle.now, by: "the end")
        let check = try transaction.scalar("PRAGMA integrity_check")
        if check != .text("ok") {
          world.oracle.violate(
            .corruptDatabase, "integrity_check says \(String(describing: check))")
        }
      }
    }
    guard world.oracle.violation == nil else { return }
    if let path = world.disk.forbiddenWrites.first {
      return world.oracle.violate(.readerWrote, "a reader tried to change \(path)")
    }
    world.count(.batches, seen.history.count)
    compare(seen.history)
    guard world.oracle.violation == nil else { return }
    // Before a new checkpoint makes the log needless to readers.
    let trial = DamageTrial(
      world, txid: TxID(UInt64(seen.history.count)), content: seen.content)
    trial.run()
    guard world.oracle.violation == nil else { return }
    world.live("checkpoint", on: machine, isReader: false) { life in
      // Compares the content with the checksum that the last commit states.
      let store = try PageStore(path: World.layout.root, environment: life.environment)
      try Checkpoint(of: store.handle).make(of: try store.published())
    }
    guard world.oracle.violation == nil, world.scheduler.random.chance(0.2) else { return }
    JournalDamageTrial(world).run()
  }

  /// The history alone, of which `lacking` and what its writer sent after it may be missing.
  func checkHistory(without lacking: BatchID?) {
    world.live("history", on: world.freshMachine("fresh"), isReader: true) { life in
      compare(try history(life), without: lacking)
    }
  }

  /// What the store holds in the end.
  private final class Seen: @unchecked Sendable {
    // Sendable: touched by the strand that has the scheduler's baton only.
    var history: [Entry] = []
    var content = ""
  }

  /// With no applier alive a reader waits for nobody: it is shown what was published, or told soon
  /// that the last one ended in the midst of a beacon.
  private func lookAlone() {
    world.live("alone", on: machine, isReader: true) { life in
      let begun_ns = world.scheduler.now_ns
      do {
        let reader = World.Opened(
          Database(
            try PageStore(path: World.layout.root, environment: life.environment),
            executor: life.environment.executor))
        try world.read(.latest, since: world.oracle.now, reader, life)
      } catch let error as StoreError {
        guard error.code == .damaged, error.offset == Block.beacons.0 else { throw error }
        // It is so: the file server itself has no beacon that can be believed.
        guard world.observer.present == nil else {
          return world.oracle.violate(
            .readerWaited, "without an applier \(life.name) was told: \(error)")
        }
        world.count(.tornBeacons)
        world.note("\(life.name): \(error)")
      }
      if world.scheduler.now_ns - begun_ns > 15_000_000_000 {
        world.oracle.violate(
          .readerWaited,
          "without an applier a reader waited for \(world.scheduler.now_ns - begun_ns) ns")
      }
    }
  }

  /// Applies all there is, until no journal file is left. Poisonous batches end it some times first.
  func drain(while asking: EventScheduler.Strand? = nil) {
    let before = world.poison.deaths
    let mostEnds = world.poison.expected * Poison.mostEnds
    var ends = -1
    while ends < world.poison.deaths - before, world.oracle.violation == nil {
      ends = world.poison.deaths - before
      guard ends <= mostEnds else {
        return world.oracle.violate(
          .noCauseNamed, "\(ends) appliers ended, and no batch is named as the cause")
      }
      world.live("drain", on: machine, isReader: false) { try drain($0, while: asking) }
    }
  }

  /// With an applier at work and nothing going wrong, outcomes come and tokens are satisfied.
  private func ask(_ life: Life) throws {
    // Before an applier leads there is nothing to look for, again and again.
    let terms = world.statistics[.terms]
    let patience_ns = world.scheduler.now_ns + UInt64(world.plan.patience / .nanoseconds(1))
    let writer = try Writer(store: World.layout.root, environment: life.environment)
    do {
      var (receipts, before): ([Receipt], BatchID?) = ([], nil)
      for _ in 0..<2 {
        receipts += world.submit(world.nextWorks(2), to: writer, after: &before, life)
      }
      while world.statistics[.terms] == terms, !life.isGone, world.scheduler.now_ns < patience_ns {
        world.scheduler.sleep(20_000_000)
      }
      guard receipts.count == 4 || life.isGone else {
        return world.oracle.violate(.notTaken, "in the calm, a batch was not taken")
      }
      // Where a holder died in the middle of a beacon, a reader is told so until somebody leads.
      let pages = try PageStore(path: World.layout.root, environment: life.environment)
      let reader = World.Opened(Database(pages, executor: life.environment.executor))
      var last = TxID.zero
      for receipt in receipts where !life.isGone {
        let outcome = try world.outcome(of: receipt, writer, atMost: world.plan.patience, life)
        last = max(last, outcome.txid)
      }
      try world.readAtLeast(last, atMost: world.plan.patience, reader, life)
      writer.closeBlocking()
    } catch let error as StoreError where error.code == .timeout {
      world.oracle.violate(.didNotCome, "in the calm, what was waited for did not come: \(error)")
    }
  }

  private func drain(_ life: Life, while asking: EventScheduler.Strand?) throws {
    var options = world.applierOptions(life)
    options.leaseTime = .seconds(2)
    options.beat = .milliseconds(400)
    options.standbyPoll = .milliseconds(100)
    options.retireAfter = .seconds(1)
    options.slowestPoll = .milliseconds(500)
    options.clockTolerance = nil
    let applier = try Applier(
      path: World.layout.root, options: options, lease: world.fileLease(life, options.leaseTime),
      environment: life.environment)
    // A journal full of VACUUMs takes minutes, and goes all the same.
    var progress = (files: world.journalFiles, since_ns: world.scheduler.now_ns)
    // Leading once at least: whoever died in the midst of a beacon leaves one that nobody can read.
    let terms = world.statistics[.terms]
    try applier.run {
      if world.journalFiles.isEmpty, world.statistics[.terms] > terms, asking?.isDone != false {
        return true
      }
      if world.journalFiles != progress.files {
        progress = (world.journalFiles, world.scheduler.now_ns)
      }
      if world.scheduler.now_ns - progress.since_ns > 60_000_000_000, !progress.files.isEmpty {
        world.oracle.violate(
          .notDrained, "for a minute the journal has held \(progress.files)")
      }
      return life.isGone
    }
  }
}

extension World {
  /// A machine that nothing has happened to and whose caches are empty.
  func freshMachine(_ name: String) -> Machine {
    let clock = SimulatedClock(scheduler)
    return Machine(
      name,
      MemoryHost(
        disk, clock: clock, random: SeededRandom(seed: 1),
        kind: plan.isNetwork ? .network : .local), clock)
  }

  /// What is in the journal, but for quarantine and what is none of ours.
  var journalFiles: [String] {
    disk.names(in: World.layout.journal).filter { $0.hasSuffix(".seg") && !forged.contains($0) }
      .map { "\(World.layout.journal)/\($0)" }
  }
}
