import Glibc
import SluiceShared
import Testing

/// A process of its own, as a shell would start it. Its output goes to files, which never fill up and
/// can be read while it runs.
final class ChildProcess: @unchecked Sendable {
  // Sendable: `status` is touched by the test's thread only, all else is constant.

  /// What a process left behind; `code` is negative where a signal ended it.
  struct End: Sendable {
    var code: Int32
    var output: String
    var errors: String
  }

  let id: pid_t
  private let output: Int32
  private let errors: Int32
  /// Our end of its standard input, where it has one.
  private let input: Int32
  private var status: Int32?

  /// Standard input is empty, or what is sent with `write`.
  init(_ path: String, _ arguments: [String], hasInput: Bool = false) throws {
    var ends: (Int32, Int32) = (-1, open("/dev/null", O_RDONLY | O_CLOEXEC))
    if hasInput {
      close(ends.1)
      // No pipe: writing to one whose reader was killed ends the writer with SIGPIPE.
      let made = withUnsafeMutableBytes(of: &ends) {
        socketpair(
          AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0,
          $0.assumingMemoryBound(to: Int32.self).baseAddress)
      }
      try #require(made == 0)
    }
    input = ends.0
    defer { close(ends.1) }
    output = try temporaryDescriptor()
    errors = try temporaryDescriptor()

    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    for (descriptor, target) in [(ends.1, 0), (output, 1), (errors, 2)] {
      posix_spawn_file_actions_adddup2(&actions, descriptor, Int32(target))
    }
    let words = ([path] + arguments).map { strdup($0) } + [nil]
    let variables = environmentOfChildren().map { strdup($0) } + [nil]
    defer { for word in words + variables { free(word) } }
    var id = pid_t()
    let code = posix_spawnp(&id, path, &actions, nil, words, variables)
    try #require(code == 0, "\(path) cannot be started: \(String(cString: strerror(code)))")
    self.id = id
  }

  deinit {
    if status == nil {
      kill(id, SIGKILL)
      waitpid(id, nil, 0)
    }
    if input >= 0 { close(input) }
    close(output)
    close(errors)
  }

  func send(_ signal: Int32) { kill(id, signal) }

  /// Ends it with SIGKILL.
  @discardableResult
  func kill9() throws -> End {
    send(SIGKILL)
    return try end()
  }

  /// Sends a text to its standard input; false where nobody reads it any more.
  func write(_ text: String) -> Bool {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes {
        Glibc.send(input, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
      }
      guard count > 0 else { return false }
      rest = rest.dropFirst(count)
    }
    return true
  }

  func endInput() { shutdown(input, Int32(SHUT_WR)) }

  var isRunning: Bool {
    if status != nil { return false }
    var status: Int32 = 0
    guard waitpid(id, &status, WNOHANG) == id else { return true }
    self.status = status
    return false
  }

  /// Waits for its end; one that takes longer than a minute, times `patience`, is killed.
  func end() throws -> End {
    var tries = 0
    while isRunning {
      usleep(500)
      tries += 1
      if tries == 120_000 * patience { kill(id, SIGKILL) }
    }
    let status = try #require(status)
    let signal = status & 0x7F
    return End(
      code: signal == 0 ? (status >> 8) & 0xFF : -signal, output: try text(of: output),
      errors: try text(of: errors))
  }

  /// What it has written to standard output so far.
  func outputSoFar() throws -> String { try text(of: output) }

  /// What it has written to standard error so far.
  func errorsSoFar() throws -> String { try text(of: errors) }

  private func text(of descriptor: Int32) throws -> String {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 64 << 10)
    while true {
      // Not `read`: the file's offset is the child's too.
      let count = pread(descriptor, &chunk, chunk.count, off_t(bytes.count))
      try #require(count >= 0)
      if count == 0 { return String(decoding: bytes, as: UTF8.self) }
      bytes += chunk[..<count]
    }
  }
}

private func temporaryDescriptor() throws -> Int32 {
  var template = Array("/tmp/sluice-process-XXXXXX".utf8CString)
  let descriptor = mkstemp(&template)
  try #require(descriptor >= 0 && fcntl(descriptor, F_SETFD, FD_CLOEXEC) == 0)
  unlink(template)
  return descriptor
}

/// The command that was built with the tests: it lies beside them. Or the one that is named.
let program: String = {
  if let named = getenv("SLUICE_TEST_PROGRAM") { return String(cString: named) }
  var path = [CChar](repeating: 0, count: 4096)
  let count = readlink("/proc/self/exe", &path, path.count - 1)
  let tests = String(decoding: path[..<max(0, count)].map { UInt8(bitPattern: $0) }, as: UTF8.self)
  for start in [tests, CommandLine.arguments[0]] {
    let candidate = start.split(separator: "/").dropLast().reduce("") { "\($0)/\($1)" } + "/sluice"
    if access(candidate, X_OK) == 0 { return candidate }
  }
  return "sluice"
}()

/// Runs the command to its end.
func sluice(_ arguments: String...) throws -> ChildProcess.End {
  try ChildProcess(program, arguments).end()
}

/// Runs `body` on a thread of its own. These tests mostly wait, for processes and leases; in the
/// concurrency pool they would keep each other, and everybody else, from running.
func onThread(_ body: @escaping @Sendable () throws -> Void) async throws {
  // As a task, because an issue belongs to the test whose task it is found in.
  try await Task(executorPreference: ThreadForEach()) { try body() }.value
}

private final class ThreadForEach: TaskExecutor {
  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    startThread { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
  }
}

func pause(_ milliseconds: ClosedRange<Int>) {
  usleep(UInt32(Int.random(in: milliseconds)) * 1000)
}
func pause(_ milliseconds: Int) { pause(milliseconds...milliseconds) }

/// By how much everything may take longer here than at full speed: `SLUICE_TEST_PATIENCE`, for sanitizers.
let patience =
  getenv("SLUICE_TEST_PATIENCE").flatMap { Int(String(cString: $0)) }.map { max(1, $0) } ?? 1

/// Waits until `condition` holds, or fails the test after `seconds`, times `patience`.
func wait(
  _ what: String, atMost seconds: Int = 30, _ condition: () throws -> Bool
) throws {
  let seconds = seconds * patience
  let deadline = SystemClock().elapsed() + .seconds(seconds)
  while try !condition() {
    try #require(SystemClock().elapsed() < deadline, "\(what): not within \(seconds) s")
    usleep(2000)
  }
}
