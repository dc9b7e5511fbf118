internal import CSystem
internal import Glibc
internal import SluiceShared

/// The program that a child process for executing batches runs: one that ends up in `WorkerServer.run`.
public struct WorkerProgram: Sendable {
  public var path: String
  /// Without the program's name.
  public var arguments: [String]
  /// How long it is waited for, beside the processor time of a batch.
  var patience = WorkerPatience()

  public init(path: String, arguments: [String]) {
    self.path = path
    self.arguments = arguments
  }
}

/// A child process with a socket and a page of memory between it and this one; killed when it is let go.
final class WorkerProcess {
  let id: pid_t
  let channel: Channel
  let progress: Progress
  private var status: Int32?

  init(_ program: WorkerProgram) throws(StoreError) {
    let progress = try Progress()
    var ends: (Int32, Int32) = (-1, -1)
    let made = withUnsafeMutableBytes(of: &ends) {
      socketpair(
        AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0,
        $0.assumingMemoryBound(to: Int32.self).baseAddress)
    }
    guard made == 0 else { throw WorkerProcess.error(program, errno) }
    let channel = Channel(owning: ends.0)
    defer { close(ends.1) }

    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_adddup2(&actions, 2, 1)
    // Under the numbers that they have here, and not closed there.
    for descriptor in [ends.1, progress.descriptor] {
      posix_spawn_file_actions_adddup2(&actions, descriptor, descriptor)
    }
    let added = [getpid(), ends.1, progress.descriptor].map { "\($0)" }
    let words = ([program.path] + program.arguments + added).map { strdup($0) } + [nil]
    let variables = environmentOfChildren().map { strdup($0) } + [nil]
    defer { for word in words + variables { free(word) } }
    var id = pid_t()
    let code = posix_spawn(&id, program.path, &actions, nil, words, variables)
    guard code == 0 else { throw WorkerProcess.error(program, code) }
    self.id = id
    self.channel = channel
    self.progress = progress
  }

  private static func error(_ program: WorkerProgram, _ code: Int32) -> StoreError {
    StoreError(
      .io,
      "the process that executes batches cannot be started: \(String(cString: strerror(code)))",
      path: program.path, errno: code)
  }

  deinit { _ = end() }

  /// Kills it, unless it has ended, and says how it ended.
  func end() -> String {
    if status == nil {
      var result: Int32 = 0
      kill(id, SIGKILL)
      while waitpid(id, &result, 0) < 0, errno == EINTR {}
      status = result
    }
    return WorkerProcess.describe(status ?? 0)
  }

  /// For which its end is waited after its end of the socket was closed: a process that leaves much
  /// memory behind, on a host that is busy, takes its time.
  private static let longestEnd = Duration.seconds(5)

  /// How it ended by itself, where its end of the socket is closed. `whileWaiting` is called now and then.
  func awaitEnd(_ clock: any Clock, whileWaiting: () -> Void = {}) -> String {
    guard status == nil else { return end() }
    // It closes the socket when it ends, and not before; but is not waited for without end.
    let until = clock.elapsed() + WorkerProcess.longestEnd
    while clock.elapsed() < until {
      var result: Int32 = 0
      if waitpid(id, &result, WNOHANG) == id {
        status = result
        return WorkerProcess.describe(result)
      }
      usleep(1000)
      whileWaiting()
    }
    let how = end()
    // Another signal was there first.
    guard (status ?? 0) & 0x7F == SIGKILL else { return how }
    return "when it was killed, since it had closed its socket and did not end"
  }

  private static func describe(_ status: Int32) -> String {
    let signal = status & 0x7F
    guard signal == 0 else { return "by signal \(signal) (\(String(cString: strsignal(signal))))" }
    return "with exit code \(status >> 8 & 0xFF)"
  }

  /// Processor time that it has used.
  var processorTime: Duration { .nanoseconds(Int64(csystem_processor_ns(id))) }

  /// How long it was ready to run, and others had the processors.
  var queuedTime: Duration { .nanoseconds(Int64(csystem_queued_ns(id))) }
}
