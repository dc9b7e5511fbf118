internal import CoreMetrics
internal import Glibc

/// Everything a core gets from outside: what the simulator replaces.
public struct Environment: Sendable {
  package var fileSystem: any FileSystem
  package var clock: any Clock
  package var executor: any Executor
  /// What makes somebody look earlier than its poll would; without, everything polls.
  package var hints: any HintNetwork = NoHints()
  /// 64 random bits a call; for identifiers, nonces, entropy and jitter.
  package var random: @Sendable () -> UInt64
  /// The id of the process that the core runs in: a forked child has another one than its parent.
  package var processID: @Sendable () -> Int32
  /// For tests: when commits are large.
  package var commitSizes = CommitSizes()
  /// For tests of a build with `SafetyCheck`s to leave out: those, to see that they were needed.
  package var omittedChecks: Set<SafetyCheck> = []

  package init(
    fileSystem: any FileSystem, clock: any Clock, executor: any Executor,
    random: @escaping @Sendable () -> UInt64
  ) {
    self.fileSystem = fileSystem
    self.clock = clock
    self.executor = executor
    self.random = random
    processID = { getpid() }
  }

  /// The real thing: POSIX files, the system's clocks, a few threads, UDP. What is asked of the file server is counted
  /// where the program has bootstrapped its `MetricsSystem` before.
  public static func posix() -> Environment {
    let files = PosixFileSystem()
    let isMeasured = !(MetricsSystem.factory is NOOPMetricsHandler)
    var environment = Environment(
      fileSystem: isMeasured ? MeteredFileSystem(files) : files, clock: SystemClock(),
      executor: ThreadExecutor.shared,
      random: { UInt64.random(in: .min ... .max) })
    environment.hints = UDPHints()
    return environment
  }
}
