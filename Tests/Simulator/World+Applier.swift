import Logging
import SluiceApplier
import SluiceFakes
import SluiceJournal
import SluiceLease
import SluiceShared

extension World {
  /// An applier process: stands by and leads until it is stopped, dies or fails.
  func applier(_ life: Life) throws {
    let options = applierOptions(life)
    let applier = try Applier(
      path: World.layout.root, options: options, lease: lease(life), environment: life.environment)
    // Now and then one is told to stop in order.
    let stopsAt_ns =
      scheduler.random.chance(0.3)
      ? scheduler.now_ns + UInt64(scheduler.random.below(20_000_000_000)) : UInt64.max
    try applier.run { [self] in life.isGone || isEnding || scheduler.now_ns > stopsAt_ns }
  }

  func applierOptions(_ life: Life) -> ApplierOptions {
    var options = ApplierOptions(holder: life.name, logger: logger(life))
    options.leaseTime = plan.lease
    options.beat = plan.lease / 5
    options.standbyPoll = plan.lease / 10
    options.hints = hintAddress(of: life.machine)
    options.retireAfter = plan.silence
    options.checkpointBytes = plan.checkpointBytes
    options.segmentBytes = plan.logSegmentBytes
    options.cacheBytes = 256 << 10
    if let retention = plan.retention {
      options.retention = retention
    } else {
      options.retention.keep = nil
      options.retention.checkpoints = .max
    }
    options.beforeBatch = { [self] (batch) throws(StoreError) in
      do throws(StoreError) { try poison.meets(batch, life.process) } catch {
        note("\(life.name) is ended by \(batch)")
        count(.poisoned)
        throw error
      }
    }
    if plan.workersEnd {
      options.workerFault = { [self] in workerFault(at: $0, life) }
    }
    return options
  }

  /// A batch that would end its process ends the worker only here.
  private func workerFault(at moment: WorkerMoment, _ life: Life) -> WorkerFault? {
    let fault: WorkerFault?
    switch moment {
    case .batch(let batch):
      fault =
        poison.batches.contains(batch) || happens(0.01) ? .ends : happens(0.005) ? .overruns : nil
      if fault == .overruns {
        overran.insert(batch)
      } else if fault == .ends {
        workerEnds[batch, default: 0] += 1
      }
    case .commit: fault = happens(0.02) ? .ends : nil
    case .confirmed: fault = happens(0.03) ? .ends : nil
    }
    if let fault {
      count(fault == .overruns ? .overran : .workerEnds)
      note("\(life.name)'s worker \(fault == .overruns ? "is ended" : "ends") at \(moment)")
    }
    return fault
  }

  private func happens(_ chance: Double) -> Bool { !isCalm && scheduler.random.chance(chance) }

  func lease(_ life: Life) -> any Lease {
    if plan.hasTableLease {
      let way = SimulatedLockTable.Way(table: lockTable, process: life.process) { [self] in
        (life.process.machine as? Machine)?.isCutOff == true && !isCalm
      }
      let lease = TableLease(
        way, duration: plan.lease, name: life.name, environment: life.environment
      ) { [self] in note("\(life.name): \($0.message)") }
      return watched(lease, nil, life)
    }
    guard plan.hasFakeLease else { return fileLease(life, plan.lease) }
    let lease = FakeLease(life.environment.random) { [self] () throws(StoreError) in
      try leaseTrouble(life)
    }
    return watched(lease, nil, life)
  }

  /// Its server takes seconds, or answers with an error.
  private func leaseTrouble(_ life: Life) throws(StoreError) {
    guard !isCalm, !life.isGone else { return }
    if scheduler.random.chance(weather.stuck * 3) {
      scheduler.sleep(UInt64(scheduler.random.below(5_000_000_000)))
    }
    guard scheduler.random.chance(weather.failure) else { return }
    note("\(life.name)'s lease answers with an error")
    count(.leaseErrors)
    throw .posix(ProcessFaults.inputOutputError, "lease")
  }

  func fileLease(_ life: Life, _ duration: Duration) -> any Lease {
    watched(FileLease(duration: duration, environment: life.environment), duration, life)
  }

  /// For how long a holder that says so may rest.
  fileprivate static func patience(_ nextBeat: Duration, _ lease: Duration) -> Duration {
    max(lease, min(nextBeat, .seconds(30)) * 5 / 4)
  }

  private func watched(_ lease: any Lease, _ duration: Duration?, _ life: Life) -> any Lease {
    WatchedLease(
      lease, duration, life.environment.clock,
      acquiring: { [self] in claimsBegan[life.process.number] = scheduler.now_ns },
      claimed: { [self] in termBegan(life) },
      renewed: { [self] in beaconReturned(to: life) },
      heard: { [self] in count(.unansweredHolders) }, ended: { [self] in termEnded(life, $0) },
      violated: { [self] in if !life.isGone { oracle.violate($0, "\(life.name) \($1)") } })
  }

  private func termBegan(_ life: Life) {
    count(.terms)
    if !inOffice.filter({ !$0.isGone && $0 !== life.process }).isEmpty { count(.sharedLeases) }
    inOffice.append(life.process)
    if plan.assists { judgePause(life) }
    noteAttempts()
  }

  /// What a claimant may read now of batches that were being executed.
  func noteAttempts() {
    let beacons = observer.beacons.map { ($0.header.number, $0.beacon) }
    poison.claims(after: beacons)
    // A beacon that was read and then lost with the server's power counted all the same.
    guard !oracle.lostPower else { return }
    for (number, beacon) in beacons {
      if let complaint = poison.complaint(beacon, of: number) { return oracle.violate(complaint) }
    }
  }

  private func termEnded(_ life: Life, _ isRefused: Bool) {
    if isRefused { count(.refusedRenewals) }
    inOffice.removeAll { $0.isGone || $0 === life.process }
  }

  /// The beacon that this holder wrote last is durable, for it has waited for that.
  private func beaconReturned(to life: Life) {
    guard !life.isGone else { return }
    if let present = observer.present, present.segment.header.holder == life.name {
      return oracle.beaconReturned(present.extent.txid)
    }
    guard let own = observer.beacons.first(where: { $0.header.holder == life.name }) else { return }
    oracle.beaconReturned(own.beacon.extent.txid)
  }

  private func logger(_ life: Life) -> Logger {
    Logger(label: life.name) { [self] name in
      WritingLogHandler { text in self.note("\(name): \(text)") }
    }
  }
}

/// Grants and refuses the lease as it likes: late, never, or to several at once.
private final class FakeLease: Lease {
  private let random: () -> UInt64
  private let trouble: () throws(StoreError) -> Void

  init(_ random: @escaping () -> UInt64, _ trouble: @escaping () throws(StoreError) -> Void) {
    self.random = random
    self.trouble = trouble
  }

  func mayClaim(_ seen: LeaseObservation) throws(StoreError) -> Bool {
    try trouble()
    return random() % 4 == 0
  }
  func claimed(at started: Duration) throws(StoreError) { try trouble() }
  func renew(beatStarted started: Duration, nextBeat: Duration) throws(StoreError) -> Bool {
    try trouble()
    return random() % 40 != 0
  }
  func release() throws(StoreError) { try trouble() }
}

/// A lease, with what is expected of it and of its holder checked: that nobody claims whom it does not allow that; that
/// a claim is allowed only when
/// the holder released the store or made no beat for as long as its last one says, or none and no answer for the lease
/// time; that the holder leads only as long as a beat was *begun* within that time before; and that one who was refused a
/// renewal leads no more.
private final class WatchedLease: Lease {
  private let base: any Lease
  /// nil: it does as it likes.
  private let duration: Duration?
  private let clock: any Clock
  private let willClaim: () -> Void
  private let didClaim: () -> Void
  private let didRenew: () -> Void
  /// A claim is allowed because hints are answered no more.
  private let didHear: () -> Void
  /// Where true: a renewal was refused.
  private let didEnd: (Bool) -> Void
  private let violated: (Violation.Kind, String) -> Void
  /// It said that a claim may be tried, and none was since.
  private var allows = false
  private var seen: LeaseObservation?
  private var seenSince: Duration = .zero
  private enum Lead { case none, claimed, renewed, refused }
  private var lead = Lead.none
  private var lastStart: Duration = .zero
  private var lastNextBeat: Duration = .zero

  init(
    _ base: any Lease, _ duration: Duration?, _ clock: any Clock,
    acquiring: @escaping () -> Void, claimed: @escaping () -> Void,
    renewed: @escaping () -> Void, heard: @escaping () -> Void, ended: @escaping (Bool) -> Void,
    violated: @escaping (Violation.Kind, String) -> Void
  ) {
    self.base = base
    self.duration = duration
    self.clock = clock
    willClaim = acquiring
    didClaim = claimed
    didRenew = renewed
    didHear = heard
    didEnd = ended
    self.violated = violated
  }

  func mayClaim(_ observation: LeaseObservation) throws(StoreError) -> Bool {
    if observation != seen {
      seen = observation
      seenSince = clock.elapsed() - observation.silence
    }
    if lead != .none { didEnd(false) }
    lead = .none
    allows = false
    allows = try base.mayClaim(observation)
    guard allows else { return false }
    if let duration, !observation.isReleased { judge(observation, duration) }
    return true
  }

  private func judge(_ observation: LeaseObservation, _ duration: Duration) {
    let silence = clock.elapsed() - seenSince
    if silence < duration {
      violated(.claimedTooEarly, "may claim \(silence) after the holder's last beat")
    } else if silence < World.patience(observation.nextBeat, duration) {
      didHear()
      let unanswered = observation.heard.map { clock.elapsed() - $0 } ?? .zero
      guard unanswered < duration else { return }
      violated(.claimedTooEarly, "may claim \(unanswered) after the holder's last answer")
    }
  }

  func acquire() throws(StoreError) -> Bool {
    if !allows { violated(.claimedTooEarly, "claims what its lease does not allow") }
    allows = false
    willClaim()
    return try base.acquire()
  }

  func abandon() { base.abandon() }

  /// At a term's beginning, and once more when the database is open.
  func claimed(at started: Duration) throws(StoreError) {
    switch lead {
    case .none:
      didClaim()
      lead = .claimed
    case .claimed: lead = .renewed
    case .renewed, .refused: violated(.ledWithoutLease, "claims what it holds, or was refused")
    }
    (lastStart, lastNextBeat) = (started, .zero)
    try base.claimed(at: started)
  }

  func renew(beatStarted started: Duration, nextBeat: Duration) throws(StoreError) -> Bool {
    if lead == .refused {
      violated(.ledAfterRefusal, "goes on although a renewal was refused")
    }
    didRenew()
    guard try base.renew(beatStarted: started, nextBeat: nextBeat) else {
      lead = .refused
      didEnd(true)
      return false
    }
    if let duration {
      let over = started - lastStart - World.patience(lastNextBeat, duration)
      if over > .zero {
        violated(.ledWithoutLease, "led on although its lease had run out \(over) before")
      }
    }
    (lastStart, lastNextBeat) = (started, nextBeat)
    return true
  }

  func longestPauseBetweenBeats(isHeard: Bool) -> Duration? {
    base.longestPauseBetweenBeats(isHeard: isHeard)
  }

  func release() throws(StoreError) {
    if lead == .refused {
      violated(.ledAfterRefusal, "goes on although a renewal was refused")
    }
    lead = .none
    didEnd(false)
    try base.release()
  }
}
