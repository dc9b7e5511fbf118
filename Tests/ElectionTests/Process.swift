import Foundation
import Glibc
import SluiceShared
import Testing

/// A process of its own with its standard input open, which is how it knows that it is still wanted;
/// output goes to files.
final class Process: @unchecked Sendable {
  // Sendable: `status` is under a lock, all else is constant.
  let id: pid_t
  private let input: Int32
  private let output: String
  private let errors: String
  private let status = Monitor<Int32?>(nil)

  init(_ program: String, _ arguments: [String], _ variables: [String: String] = [:]) throws {
    var ends: (Int32, Int32) = (-1, -1)
    let made = withUnsafeMutableBytes(of: &ends) {
      socketpair(
        AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0,
        $0.assumingMemoryBound(to: Int32.self).baseAddress)
    }
    try #require(made == 0)
    input = ends.0
    defer { close(ends.1) }
    output = "\(Place.scratch)/\(UUID().uuidString).out"
    errors = "\(Place.scratch)/\(UUID().uuidString).err"
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_adddup2(&actions, ends.1, 0)
    for (path, target) in [(output, Int32(1)), (errors, 2)] {
      posix_spawn_file_actions_addopen(
        &actions, target, path, O_WRONLY | O_CREAT | O_APPEND, 0o600)
    }
    // No AWS settings of whoever runs the tests, and none of its home's.
    var all = ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("AWS_") }
    all["HOME"] = Place.scratch
    all["SWIFT_BACKTRACE"] = "enable=no"
    all.merge(variables) { $1 }
    let words = ([program] + arguments).map { strdup($0) } + [nil]
    let lines = all.map { strdup("\($0.key)=\($0.value)") } + [nil]
    defer { for word in words + lines { free(word) } }
    var id = pid_t()
    let code = posix_spawn(&id, program, &actions, nil, words, lines)
    try #require(code == 0, "\(program) cannot be started: \(String(cString: strerror(code)))")
    self.id = id
  }

  deinit {
    if status.withLock({ $0 }) == nil {
      kill(id, SIGKILL)
      waitpid(id, nil, 0)
    }
    close(input)
    unlink(output)
    unlink(errors)
  }

  func signal(_ signal: Int32) { kill(id, signal) }

  func write(_ text: String) {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes {
        send(input, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
      }
      guard count > 0 else { return }
      rest = rest.dropFirst(count)
    }
  }

  var outputSoFar: String { (try? String(contentsOfFile: output, encoding: .utf8)) ?? "" }
  var errorsSoFar: String { (try? String(contentsOfFile: errors, encoding: .utf8)) ?? "" }

  /// The exit code, negative where a signal ended it; nil while it runs.
  var code: Int32? {
    status.withLock { status in
      if let status { return status }
      var result: Int32 = 0
      guard waitpid(id, &result, WNOHANG) == id else { return nil }
      let signal = result & 0x7F
      status = signal == 0 ? result >> 8 & 0xFF : -signal
      return status
    }
  }

  @discardableResult
  func end(atMost seconds: Int = 30) throws -> Int32 {
    try wait("the end of a process", atMost: seconds) { code != nil }
    return try #require(code)
  }
}

/// Where things are, and are put.
enum Place {
  /// The repository.
  static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().path
  static let python = "\(root)/.build/venv/bin/python"
  static let peers = "\(root)/Tests/ElectionTests/Peers/peers.py"

  /// The command that was built with the tests: it lies beside them.
  static let sluice: String = {
    let own = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
    let candidates = [own, CommandLine.arguments[0]].map {
      URL(fileURLWithPath: $0).deletingLastPathComponent().path + "/sluice"
    }
    return candidates.first { access($0, X_OK) == 0 } ?? "sluice"
  }()

  /// Removed when the tests end.
  static let scratch: String = {
    var template = Array("/tmp/sluice-election-XXXXXX".utf8CString)
    mkdtemp(&template)
    let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    atexit { try? FileManager.default.removeItem(atPath: Place.scratch) }
    return path
  }()
}

/// Waits until `condition` holds, or fails the test after `seconds`, times `patience`.
func wait(_ what: String, atMost seconds: Int = 30, _ condition: () throws -> Bool) throws {
  let seconds = seconds * patience
  let deadline = SystemClock().elapsed() + .seconds(seconds)
  while try !condition() {
    try #require(SystemClock().elapsed() < deadline, "\(what): not within \(seconds) s")
    usleep(2000)
  }
}

/// Runs `body` on a thread of its own: these tests wait, and would keep others from running.
func onThread<R: Sendable>(_ body: @escaping @Sendable () throws -> R) async throws -> R {
  try await Task(executorPreference: ThreadForEach()) { try body() }.value
}

private final class ThreadForEach: TaskExecutor {
  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    startThread { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
  }
}
