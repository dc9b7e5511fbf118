import SluiceFakes
import SluiceJournal
import SluiceShared

/// What happens to one process's file operations, as the weather has it.
final class ProcessFaults: @unchecked Sendable {
  // Sendable: touched by the strand that has the scheduler's baton only.
  private let process: SimulatedProcess
  private let world: World
  private let machine: Machine
  private let weather: Weather
  /// A reader: nothing is written, and only what a read can meet happens.
  private let isReader: Bool

  static let inputOutputError: Int32 = 5
  static let fullDisk: Int32 = 28
  static let exists: Int32 = 17
  static let missing: Int32 = 2

  init(_ process: SimulatedProcess, _ machine: Machine, _ world: World, isReader: Bool) {
    self.process = process
    self.machine = machine
    self.world = world
    self.isReader = isReader
    weather = world.weather
  }

  private var random: SeededRandom {
    get { process.scheduler.random }
    set { process.scheduler.random = newValue }
  }

  func fate(_ operation: FileOperation) -> FileFate {
    process.operations += 1
    world.operations += 1
    let looks = world.looks[process.number]
    looks?.begins()
    defer { looks?.ends() }
    wait(operation)
    guard !process.isGone else { return .fails(died(operation)) }
    let fate = drawn(operation)
    world.trace(process, operation, fate)
    return fate
  }

  /// The longest waits come where they hurt most: before something is told to others, and before the
  /// mark of a log segment is looked at.
  private func hurts(_ operation: FileOperation) -> Bool {
    guard operation.path.hasSuffix(".log") else { return false }
    switch operation.action {
    case .write: return operation.offset != 0
    case .read: return operation.offset == 0 && operation.count <= 4096
    default: return false
    }
  }

  /// Between what an operation did and its answer.
  func wait() {
    guard !process.isGone, !world.isStill, random.chance(weather.slowReply) else { return }
    defer { world.looks[process.number]?.ends() }
    world.count(.lateAnswers)
    if random.chance(weather.freeze * 15) {
      process.freeze(UInt64(random.below(Int(world.plan.lease.inNanoseconds) * 20)))
      world.count(.froze)
    }
    process.scheduler.sleep(UInt64(random.below(random.chance(0.1) ? 500_000_000 : 5_000_000)))
  }

  private func wait(_ operation: FileOperation) {
    guard !process.isGone else { return }
    let freeze = weather.freeze * (hurts(operation) ? 15 : 1)
    if !world.isStill, random.chance(freeze) {
      process.freeze(UInt64(random.below(Int(world.plan.lease.inNanoseconds) * 20)))
      world.count(.froze)
    }
    let usual =
      machine.isNetwork ? 300_000 + random.below(1_500_000) : 20_000 + random.below(80_000)
    var duration = Double(usual) * process.slowness
    if !world.isStill {
      if random.chance(weather.slow) { duration *= Double(10 + random.below(90)) }
      if random.chance(weather.stuck) {
        duration += Double(random.below(4_000_000_000))
        world.count(.slow)
      }
      if operation.action == .listOn, random.chance(world.plan.hasShortSegments ? 0.7 : 0.3) {
        waitForSegments()
      }
      // Time for its writer to flush once more, and again not as long as the lease.
      if operation.closesJournal, random.chance(0.3) {
        process.scheduler.sleep(UInt64(random.below(Int(world.plan.lease.inNanoseconds) / 2)))
      }
      if random.chance(0.01) { process.slowness = [0.3, 1, 1, 5, 30][random.below(5)] }
    }
    process.scheduler.sleep(UInt64(duration))
    while machine.isCutOff || world.serverIsAway, !process.isGone {
      process.scheduler.sleep(50_000_000)
    }
    if random.chance(weather.drift) { world.disk.drift(&random) }
  }

  /// In the midst of a listing: until a writer has made two segments, but not as long as the lease, for
  /// it hurts who still leads.
  private func waitForSegments() {
    let limit_ns = UInt64(random.below(Int(world.plan.lease.inNanoseconds) / 2))
    let end_ns = process.scheduler.now_ns + limit_ns
    let before = world.segmentsMade
    while !process.isGone, process.scheduler.now_ns < end_ns,
      world.segmentsMade.allSatisfy({ $0.value < before[$0.key, default: 0] + 2 })
    {
      process.scheduler.sleep(5_000_000)
    }
    process.scheduler.sleep(UInt64(random.below(20_000_000)))
  }

  private func drawn(_ operation: FileOperation) -> FileFate {
    guard !world.isStill else { return .done }
    let isWrite = operation.action == .write
    let pieceBytes = weather.pieceBytes
    if random.chance(weather.death * (isReader ? 0.2 : 1)) {
      process.die()
      world.count(.diedInOperation)
      let error = died(operation)
      switch random.below(3) {
      case 0: return .fails(error)
      case 1: return .doneButFails(error)
      default: return isWrite ? .failsTorn(pieceBytes: pieceBytes, error) : .fails(error)
      }
    }
    if random.chance(weather.failure) { return .fails(inputOutputError(operation)) }
    if needsRoom(operation), random.chance(weather.fullDisk) {
      let error = StoreError.posix(Self.fullDisk, operation.path, "\(operation.action)")
      return isWrite && random.chance(0.5)
        ? .failsTorn(pieceBytes: pieceBytes, error) : .fails(error)
    }
    switch operation.action {
    case .write:
      if random.chance(weather.lateWrite) {
        return .failsTorn(pieceBytes: pieceBytes, inputOutputError(operation))
      }
      // How a client sends what it has cached.
      return .torn(pieceBytes: pieceBytes)
    case .sync where random.chance(weather.lateWrite): return .fails(inputOutputError(operation))
    case .read where random.chance(weather.tornRead): return .torn(pieceBytes: 0)
    case .list where random.chance(weather.tornListing):
      return .torn(pieceBytes: random.below(1 << 16))
    case .link, .create:
      if random.chance(weather.lostReply) {
        return .doneButFails(.posix(Self.exists, operation.path, "repeated"))
      }
    case .unlink where random.chance(weather.lostReply):
      return .doneButFails(.posix(Self.missing, operation.path, "repeated"))
    case .replaceSymbolicLink where random.chance(weather.lostReply):
      return .doneButFails(.posix(Self.missing, operation.path, "repeated"))
    default: break
    }
    return .done
  }

  private func needsRoom(_ operation: FileOperation) -> Bool {
    switch operation.action {
    case .write, .writeOn, .resize, .sync, .create, .link, .makeDirectory, .replaceSymbolicLink:
      true
    default: false
    }
  }

  private func died(_ operation: FileOperation) -> StoreError {
    .posix(Self.inputOutputError, operation.path, "the process died")
  }

  private func inputOutputError(_ operation: FileOperation) -> StoreError {
    .posix(Self.inputOutputError, operation.path, "\(operation.action) fails here")
  }
}

extension Duration {
  var inNanoseconds: UInt64 {
    let (seconds, attoseconds) = components
    return UInt64(seconds) * 1_000_000_000 + UInt64(attoseconds / 1_000_000_000)
  }
}

extension FileOperation {
  /// It writes the mark of a journal segment.
  var closesJournal: Bool {
    action == .write && offset == Block.mark && path.hasSuffix(".seg")
  }
}
