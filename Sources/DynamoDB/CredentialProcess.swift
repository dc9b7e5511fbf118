internal import Glibc
internal import SluiceShared

/// Runs the command of a profile's `credential_process`.
enum CredentialProcess {
  private static let limit_ms: Int64 = 30_000

  /// What it writes to standard output; its standard error is this process's.
  static func run(_ command: String, of profile: String, limit_ms: Int64 = limit_ms) -> Result<
    String, CredentialFailure
  > {
    // Not a pipe, which Swift cannot make so that other children do not inherit it.
    var ends: (Int32, Int32) = (-1, -1)
    let made = withUnsafeMutableBytes(of: &ends) {
      socketpair(
        AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0,
        $0.assumingMemoryBound(to: Int32.self).baseAddress)
    }
    guard made == 0 else { return .failure(failure(errno)) }
    defer { close(ends.0) }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_adddup2(&actions, ends.1, 1)
    // Of its own, so that all it starts can be ended with it.
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
    let arguments = ["/bin/sh", "-c", command]
    let words = arguments.map { strdup($0) } + [nil]
    let variables = environmentOfChildren().map { strdup($0) } + [nil]
    defer { for word in words + variables { free(word) } }
    var id = pid_t()
    let code = posix_spawn(&id, "/bin/sh", &actions, &attributes, words, variables)
    close(ends.1)
    guard code == 0 else { return .failure(failure(code)) }
    let deadline = SystemClock().elapsed() + .milliseconds(limit_ms)
    let output = read(ends.0, until: deadline)
    var status: Int32 = 0
    let didEnd = output != nil && end(of: id, until: deadline, &status)
    if !didEnd {
      kill(-id, SIGKILL)
      while waitpid(id, &status, 0) < 0, errno == EINTR {}
    }
    guard let output, didEnd else {
      return .failure(
        CredentialFailure(
          isPassing: true,
          "the credential_process of the profile \(profile) did not end within \(limit_ms / 1000) s, or wrote more than \(Limits.credentialBytes) bytes; run it by hand"
        ))
    }
    guard status == 0 else {
      return .failure(
        CredentialFailure(
          isPassing: true,
          "the credential_process of the profile \(profile) failed with status \(status >> 8 & 0xFF); run it by hand"
        ))
    }
    return .success(output)
  }

  /// It may have closed its output and gone on.
  private static func end(of id: pid_t, until deadline: Duration, _ status: inout Int32) -> Bool {
    let clock = SystemClock()
    while waitpid(id, &status, WNOHANG) == 0 {
      guard clock.elapsed() < deadline else { return false }
      clock.sleep(.milliseconds(5))
    }
    return true
  }

  private static func failure(_ code: Int32) -> CredentialFailure {
    CredentialFailure(
      isPassing: true,
      "the profile's credential_process cannot be started: \(String(cString: strerror(code)))")
  }

  /// All of it; nil where the time was up or it was too much.
  private static func read(_ descriptor: Int32, until deadline: Duration) -> String? {
    let clock = SystemClock()
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 4096)
    while true {
      let left_ms = (deadline - clock.elapsed()).wholeMilliseconds
      var wanted = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
      guard left_ms > 0, bytes.count <= Limits.credentialBytes else { return nil }
      guard poll(&wanted, 1, Int32(left_ms)) > 0 else { continue }
      let count = Glibc.read(descriptor, &piece, piece.count)
      if count < 0, errno == EINTR { continue }
      guard count > 0 else {
        return count == 0 ? String(decoding: bytes, as: UTF8.self) : nil
      }
      bytes += piece[..<count]
    }
  }
}
