internal import Glibc
internal import SluiceShared
internal import Synchronization

/// A process that this one started, and no other: the only kind it ever signals.
package final class ChildProcess {
  package enum Ending: Equatable, Sendable, CustomStringConvertible {
    case exited(Int32)
    case killed(signal: Int32)

    package var description: String {
      switch self {
      case .exited(let code): "ended with status \(code)"
      case .killed(let signal): "ended by signal \(signal)"
      }
    }
  }

  package let name: String
  package let pid: Int32
  private let log: String
  private var ending: Ending?

  /// Starts `executable`, its standard output and error in files of these paths
  /// (`posix_spawn`). A crash of it ends at once, without a trace.
  package init(
    _ name: String, _ executable: String, _ arguments: [String], output: String, log: String
  ) throws(RunError) {
    self.name = name
    self.log = log
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    let flags = O_WRONLY | O_CREAT | O_APPEND
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output, flags, 0o644)
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, log, flags, 0o644)
    // A thread of a pool may have signals blocked, SIGTERM among them: the process begins with none.
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var nothing = sigset_t()
    sigemptyset(&nothing)
    posix_spawnattr_setsigmask(&attributes, &nothing)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
    var started: pid_t = 0
    let status = Self.withPointers([executable] + arguments) { arguments in
      Self.withPointers(environmentOfChildren()) { environment in
        posix_spawn(&started, executable, &actions, &attributes, arguments, environment)
      }
    }
    guard status == 0 else {
      throw RunError("\(executable) cannot be started: \(String(cString: strerror(status)))")
    }
    pid = started
  }

  deinit {
    guard ending == nil else { return }
    kill(pid, SIGKILL)
    waitpid(pid, nil, 0)
  }

  package var isRunning: Bool { poll() == nil }

  package func signal(_ number: Int32) {
    guard poll() == nil else { return }
    kill(pid, number)
  }

  /// Waits until the process has ended; nil when it has not after `limit`.
  package func wait(atMost limit: Duration) -> Ending? {
    let clock = SystemClock()
    let deadline = clock.elapsed() + limit
    while true {
      if let ending = poll() { return ending }
      guard clock.elapsed() < deadline else { return nil }
      clock.sleep(.milliseconds(2))
    }
  }

  /// SIGTERM, and a failure unless the process then ends with status 0.
  package func stop(atMost limit: Duration = .seconds(10)) throws(RunError) {
    signal(SIGTERM)
    try expectSuccess(atMost: limit)
  }

  package func expectSuccess(atMost limit: Duration) throws(RunError) {
    guard let ending = wait(atMost: limit) else {
      throw RunError("\(name) did not end within \(limit)")
    }
    guard ending == .exited(0) else {
      let said = (try? readLines(log))?.last.map { ": \($0)" } ?? ""
      throw RunError("\(name) \(ending)\(said)")
    }
  }

  private func poll() -> Ending? {
    if let ending { return ending }
    var status: Int32 = 0
    guard waitpid(pid, &status, WNOHANG) == pid else { return nil }
    let signal = status & 0x7F
    ending = signal == 0 ? .exited(status >> 8 & 0xFF) : .killed(signal: signal)
    return ending
  }

  private static func withPointers<R>(
    _ texts: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> R
  ) -> R {
    let pointers = texts.map { strdup($0) }
    defer { for pointer in pointers { free(pointer) } }
    return body(pointers + [nil])
  }
}

/// A request to end that a loop asks for: SIGTERM ends nothing in the middle.
package struct TerminationRequest: Sendable {
  package init() {
    // Made here, so that the handler only stores.
    termination.store(false, ordering: .relaxed)
    signal(SIGTERM) { _ in termination.store(true, ordering: .relaxed) }
  }

  /// True from the signal's arrival on.
  package var isPending: Bool { termination.load(ordering: .relaxed) }
}

private let termination = Atomic<Bool>(false)
