import Foundation
import Glibc
import SluiceShared
import SluiceTeardown
import Testing

/// A process of its own, as a shell would start it. Its output goes to files, which never fill up.
final class ChildProcess {
  /// What a process left behind.
  struct Result {
    var code: Int32
    var output: String
    var errors: String

    var lines: [String] { output.split(whereSeparator: \.isNewline).map(String.init) }
    /// Each line of the output as JSON.
    func json() throws -> [JSON] { try lines.map { try JSON.parse($0) } }
  }

  let id: pid_t
  private let output: Int32
  private let errors: Int32
  /// What it writes to standard output is its own words too, and not what somebody has stored.
  private let reports: Bool
  private var status: Int32?

  /// `output` or `errors` nil: captured.
  init(
    _ path: String, _ arguments: [String], input: String = "", output: Int32? = nil,
    errors: Int32? = nil, reports: Bool = false
  ) throws {
    self.reports = reports
    let inputFile = try temporaryDescriptor()
    defer { close(inputFile) }
    try write(input, to: inputFile)
    self.output = try output ?? temporaryDescriptor()
    self.errors = try errors ?? temporaryDescriptor()

    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    for (descriptor, target) in [(inputFile, 0), (self.output, 1), (self.errors, 2)] {
      posix_spawn_file_actions_adddup2(&actions, descriptor, Int32(target))
    }
    let words = ([path] + arguments).map { strdup($0) } + [nil]
    defer { for word in words { free(word) } }
    var id = pid_t()
    let code = posix_spawnp(&id, path, &actions, nil, words, environ)
    try #require(code == 0, "\(path) cannot be started: \(String(cString: strerror(code)))")
    self.id = id
  }

  deinit {
    if status == nil {
      kill(id, SIGKILL)
      waitpid(id, nil, 0)
    }
    close(output)
    close(errors)
  }

  func send(_ signal: Int32) { kill(id, signal) }

  /// Waits until it has written `word` to standard error.
  func wait(for word: String) throws {
    let end = SystemClock().elapsed() + .seconds(120)
    while try !text(of: errors).contains(word) {
      try #require(SystemClock().elapsed() < end, "it has not written: \(word)")
      usleep(20_000)
    }
  }

  /// Waits for its end; one that takes longer than four minutes is killed, and the test fails.
  func result() throws -> Result {
    var status: Int32 = 0
    var tries = 0
    while waitpid(id, &status, WNOHANG) == 0 {
      usleep(2_000)
      tries += 1
      if tries == 120_000 { kill(id, SIGKILL) }
    }
    self.status = status
    let signal = status & 0x7F
    let result = Result(
      code: signal == 0 ? (status >> 8) & 0xFF : -signal, output: try text(of: output),
      errors: try text(of: errors))
    // Whatever a test is about: each message that it sees is fit to be seen.
    for inside in insides(of: result.errors) {
      Issue.record("a message shows the inside of the program: \(inside) in \(result.errors)")
    }
    // JSON has arrays in arrays.
    for inside in reports ? insides(of: result.output) : [] where inside != nestedArray {
      Issue.record("a message shows the inside of the program: \(inside) in \(result.output)")
    }
    return result
  }

  private func text(of descriptor: Int32) throws -> String {
    // The process has the same offset.
    guard lseek(descriptor, 0, SEEK_CUR) >= 0 else { return "" }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 64 << 10)
    while true {
      let count = pread(descriptor, &chunk, chunk.count, bytes.count)
      try #require(count >= 0)
      if count == 0 { return String(decoding: bytes, as: UTF8.self) }
      bytes += chunk[..<count]
    }
  }
}

private let nestedArray = "\\[\\["

/// What of a text only a debugger would say: names of modules and types, optionals, nested arrays.
func insides(of text: String) -> [String] {
  ["Sluice[A-Z][A-Za-z]*\\.", "Swift\\.[A-Z]", "Optional\\(", nestedArray, "SQLValue", "errno: "]
    .filter {
      text.range(of: $0, options: .regularExpression) != nil
    }
}

private func write(_ text: String, to descriptor: Int32) throws {
  var rest = Array(text.utf8)[...]
  while !rest.isEmpty {
    let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
    try #require(count > 0)
    rest = rest.dropFirst(count)
  }
  try #require(lseek(descriptor, 0, SEEK_SET) == 0)
}

/// The program that was built with the tests: it lies beside them.
let program: String = {
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
@discardableResult
func sluice(_ arguments: [String], input: String = "") throws -> ChildProcess.Result {
  let reports = !["query", "dump"].contains(arguments.first) && !arguments.contains("--results")
  return try ChildProcess(program, arguments, input: input, reports: reports).result()
}

func startSluice(_ arguments: [String], output: Int32? = nil) throws -> ChildProcess {
  try ChildProcess(program, arguments, output: output)
}

/// What the sqlite3 shell prints.
func sqlite3(_ arguments: String..., input: String = "") throws -> String {
  let result = try ChildProcess("sqlite3", arguments, input: input).result()
  try #require(result.code == 0, "\(result.errors)")
  return result.output
}

/// A directory of a test's own, removed at its end. The stores in it are verified then.
final class Workplace: VerifiedStore {
  let path: String
  let teardown: StoreTeardown
  private var applier: ChildProcess?

  init(at place: SourceLocation = #_sourceLocation) throws {
    teardown = StoreTeardown(at: place)
    // In memory where that can be had: what is tested here must not wait for a busy disk.
    let parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"
    var template = Array("\(parent)/sluice-command-XXXXXX".utf8CString)
    try #require(mkdtemp(&template) != nil)
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit {
    applier = nil
    teardown.verifyStores(in: path)
    _ = try? ChildProcess("rm", ["-rf", path]).result()
  }

  var store: String { "\(path)/store" }

  /// Makes the store, where wished with an applier in the background.
  func make(_ arguments: String..., applying: Bool = true) throws {
    let made = try sluice(["init", store] + arguments)
    try #require(made.code == 0, "\(made.errors)")
    if applying { try startApplier() }
  }

  func startApplier(_ arguments: String...) throws {
    applier = try startSluice(["apply", store, "--log-level", "warning"] + arguments)
  }

  /// Ends the applier with `signal`.
  func stopApplier(_ signal: Int32 = SIGTERM) throws -> ChildProcess.Result {
    let applier = try #require(applier)
    applier.send(signal)
    defer { self.applier = nil }
    return try applier.result()
  }

  @discardableResult
  func submit(_ arguments: String..., input: String = "") throws -> ChildProcess.Result {
    try sluice(["submit", store] + arguments, input: input)
  }

  /// As `submit`; anything but success fails the test.
  func execute(_ arguments: String...) throws {
    let result = try sluice(["submit", store] + arguments)
    try #require(result.code == 0, "\(result.output)\(result.errors)")
  }

  func query(_ arguments: String...) throws -> ChildProcess.Result {
    try sluice(["query", store] + arguments)
  }

  func status() throws -> JSON {
    try #require(try sluice(["status", store, "--json"]).json().first)
  }

  /// Writes a file and returns its path.
  func file(_ name: String, _ text: String) throws -> String {
    let path = "\(path)/\(name)"
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
    try #require(descriptor >= 0)
    defer { close(descriptor) }
    try write(text, to: descriptor)
    return path
  }
}
