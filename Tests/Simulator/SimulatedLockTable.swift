import SluiceFakes
import SluiceLease
import SluiceShared

/// A table of locks in simulated time: one item, and a network between it and each process.
final class SimulatedLockTable: @unchecked Sendable {
  // Sendable: touched by the strand that has the scheduler's baton only.
  private(set) var item: LockItem?
  /// Since when its holder has it (simulated time).
  private(set) var heldSince_ns: UInt64 = 0
  private let scheduler: EventScheduler
  private(set) var counts = Counts()
  /// Nothing goes wrong any more.
  var isCalm = false

  /// What happened to requests.
  struct Counts {
    var requests = 0
    var lost = 0
    var late = 0
    var doubled = 0
    var refusedByServer = 0
  }

  init(_ scheduler: EventScheduler) { self.scheduler = scheduler }

  /// As the server carries a request out: at one moment.
  private func carryOut(_ request: LockRequest) -> LockAnswer {
    switch request {
    case .read: return .item(item)
    case .put(let new, let condition):
      guard condition.holds(of: item) else { return .refused(item) }
      if new.holder != item?.holder { heldSince_ns = scheduler.now_ns }
      item = new
      return .written
    case .update(let new, let condition):
      guard condition.holds(of: item), var changed = item else { return .refused(item) }
      changed.lockID = new.lockID
      changed.state = new.state
      changed.expires_s = new.expires_s
      item = changed
      return .written
    }
  }

  /// The way from a process to it.
  struct Way: LockTable {
    let table: SimulatedLockTable
    let process: SimulatedProcess
    /// Nothing gets through.
    let isCut: @Sendable () -> Bool

    func perform(_ request: LockRequest, atMost limit: Duration) -> Result<LockAnswer, LockFailure>
    {
      table.perform(request, limit.inNanoseconds, process, isCut)
    }
  }

  private func perform(
    _ request: LockRequest, _ limit_ns: UInt64, _ process: SimulatedProcess, _ isCut: () -> Bool
  ) -> Result<LockAnswer, LockFailure> {
    let deadline_ns = scheduler.now_ns + limit_ns
    counts.requests += 1
    scheduler.sleep(UInt64(500_000 + scheduler.random.below(10_000_000)))
    guard !process.isGone else { return .failure(LockFailure(isPassing: true, "gone")) }
    if isCut() { return timeOut(deadline_ns) }
    guard !isCalm else { return .success(carryOut(request)) }
    switch scheduler.random.below(20) {
    case 0:
      counts.lost += 1
      if scheduler.random.chance(0.5) { _ = carryOut(request) }
      return timeOut(deadline_ns)
    case 1:
      // On its way for longer than anybody waits.
      counts.late += 1
      carryOutLate(request, deadline_ns)
      return timeOut(deadline_ns)
    case 2:
      // As libcurl sends it again when a kept connection dies: its sender hears of the second one.
      counts.doubled += 1
      _ = carryOut(request)
      scheduler.sleep(UInt64(scheduler.random.below(20_000_000)))
    case 3:
      counts.refusedByServer += 1
      return .failure(LockFailure(isPassing: true, "ThrottlingException"))
    case 4, 5: scheduler.sleep(UInt64(scheduler.random.below(Int(limit_ns) / 2)))
    default: break
    }
    let answer = carryOut(request)
    // The answer's way, which may be long.
    scheduler.sleep(
      UInt64(scheduler.random.below(scheduler.random.chance(0.2) ? Int(limit_ns) : 10_000_000)))
    return scheduler.now_ns > deadline_ns ? timeOut(deadline_ns) : .success(answer)
  }

  private func carryOutLate(_ request: LockRequest, _ deadline_ns: UInt64) {
    // Whose machine was suspended meanwhile is late already.
    let left_ns = Int(deadline_ns) - Int(scheduler.now_ns)
    let delay_ns = UInt64(scheduler.random.below(max(1, left_ns * 2)))
    scheduler.start(nil) { [self] in
      scheduler.sleep(delay_ns)
      guard !scheduler.isOver else { return }
      _ = carryOut(request)
    }
  }

  private func timeOut(_ deadline_ns: UInt64) -> Result<LockAnswer, LockFailure> {
    if scheduler.now_ns < deadline_ns { scheduler.sleep(deadline_ns - scheduler.now_ns) }
    return .failure(LockFailure(isPassing: true, "no answer in time"))
  }
}
