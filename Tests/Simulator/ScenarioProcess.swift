import SluiceFakes
import SluiceJournal
import SluiceShared

/// Somebody who plays a part in a scenario. Each step runs on a thread of its own while all others wait,
/// until it ends or comes to the operation before which it is to stop.
final class ScenarioProcess: @unchecked Sendable {
  // Sendable: touched by whoever has the turn, which passes through the mutex of a `Monitor`.
  private enum Turn { case script, process }

  let name: String
  /// Of its file system.
  let client: UInt64
  private let turn = Monitor(Turn.script)
  private let disk: MemoryDisk
  private let trace: ((String) -> Void)?
  private var halt: Scenario.Halt?
  private var ending: Scenario.Ending?
  private var isDead = false

  init(_ name: String, client: UInt64, _ disk: MemoryDisk, trace: ((String) -> Void)?) {
    self.name = name
    self.client = client
    self.disk = disk
    self.trace = trace
  }

  /// It is in the middle of a step.
  var hasStopped: Bool { ending == .stopped }

  // MARK: The script's side

  func begin(_ halt: Scenario.Halt?, _ step: @escaping @Sendable () -> Scenario.Ending)
    -> Scenario.Ending
  {
    self.halt = halt
    return follow {
      startThread { [self] in
        let ending = step()
        self.ending = ending
        pass(to: .script)
      }
    }
  }

  func resume(_ halt: Scenario.Halt?) -> Scenario.Ending {
    guard hasStopped else { return .idle }
    self.halt = halt
    return follow {}
  }

  /// Nothing that it still asks for is done.
  func die() {
    isDead = true
    disk.abandon(client: client)
    if hasStopped { _ = follow {} }
  }

  /// Lets it go on until it ends or stops.
  private func follow(_ start: () -> Void) -> Scenario.Ending {
    ending = nil
    turn.withLock { $0 = .process }
    start()
    turn.wakeAll()
    wait(for: .script)
    return ending ?? .stopped
  }

  // MARK: The process's side

  func fate(_ operation: FileOperation) -> FileFate {
    let fate = isDead ? .fails(Self.error(operation)) : halted(at: operation)
    trace?("\(name)    \(operation.description(fate))")
    return fate
  }

  private func halted(at operation: FileOperation) -> FileFate {
    guard let halt, halt.operation.matches(operation) else { return .done }
    self.halt = nil
    let error = Self.error(operation)
    switch halt.way {
    case .fails: return .fails(error)
    case .failsLate: return .failsTorn(pieceBytes: Block.size, error)
    case .stops:
      trace?("\(name)    stops before \(operation.description(.done))")
      ending = .stopped
      pass(to: .script)
      wait(for: .process)
      return isDead ? .fails(error) : .done
    }
  }

  private static func error(_ operation: FileOperation) -> StoreError {
    .posix(HandshakeFaults.injected, operation.path, "\(operation.action) fails here")
  }

  private func pass(to side: Turn) {
    turn.withLock { $0 = side }
    turn.wakeAll()
  }

  private func wait(for side: Turn) {
    turn.wait { turn -> Void? in turn == side ? () : nil }
  }
}
