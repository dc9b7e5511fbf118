import SluiceFakes
import SluiceShared

/// What happens to one process's file operations: pauses, death, torn and failing writes, lost
/// replies, as the scheduler's seed decides.
final class HandshakeFaults: @unchecked Sendable {
  // Sendable: touched by the thread that has the scheduler's baton only.

  /// EIO: of this number nothing else makes errors here.
  static let injected: Int32 = 5

  private let scheduler: Scheduler
  private let process: Scheduler.Process
  private let disk: MemoryDisk
  private let client: UInt64
  private let mayDie: Bool
  private let trace: ((String) -> Void)?

  init(
    _ scheduler: Scheduler, _ process: Scheduler.Process, _ disk: MemoryDisk, client: UInt64,
    mayDie: Bool, trace: ((String) -> Void)?
  ) {
    self.scheduler = scheduler
    self.process = process
    self.disk = disk
    self.client = client
    self.mayDie = mayDie
    self.trace = trace
  }

  func fate(_ operation: FileOperation) -> FileFate {
    let fate = drawn(operation)
    trace?("\(process.name).\(process.life) \(operation.description(fate))")
    return fate
  }

  private func drawn(_ operation: FileOperation) -> FileFate {
    let error = StoreError.posix(
      HandshakeFaults.injected, operation.path, "\(operation.action) fails here")
    let isWrite = operation.action == .write
    // The longest waits where they hurt most: just before something is told to others.
    let isBeacon = isWrite && (8192...12288).contains(operation.offset)
    if mayDie, scheduler.random.chance(isBeacon ? 0.1 : 0.01) {
      scheduler.freeze(process, steps: 50 + scheduler.random.below(150))
    }
    guard scheduler.step(process), !process.isDead else { return .fails(error) }
    // Blocks reach the server whole, or, seldom, not even that.
    let pieceBytes = scheduler.random.chance(0.2) ? 512 : 4096
    if mayDie, scheduler.random.chance(isWrite ? 0.03 : 0.005) {
      process.die()
      disk.abandon(client: client)
      return isWrite ? .failsTorn(pieceBytes: pieceBytes, error) : .fails(error)
    }
    guard mayDie else {
      return operation.action == .read && scheduler.random.chance(0.3)
        ? .torn(pieceBytes: 0) : .done
    }
    switch operation.action {
    case .write where scheduler.random.chance(0.03):
      return .failsTorn(pieceBytes: pieceBytes, error)
    case .write where scheduler.random.chance(0.6): return .torn(pieceBytes: pieceBytes)
    case .sync where scheduler.random.chance(0.02): return .fails(error)
    case .link where scheduler.random.chance(0.1):
      return .doneButFails(.posix(17, operation.path, "a retry after a lost reply"))
    case .read where scheduler.random.chance(0.3): return .torn(pieceBytes: 0)
    default: return .done
    }
  }
}
