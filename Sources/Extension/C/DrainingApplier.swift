internal import Glibc
internal import SluiceShared

/// `sluice apply --drain` as a child process: it leads for as long as there is something to apply.
///
/// A process of its own, so that what strangers' SQL may do, it does not do to the program that asks for it.
final class DrainingApplier: Sendable {
  private let id: pid_t
  /// This end of what it says, whose other end is open for as long as one of its processes is there.
  private let errors: Int32
  private let program: String

  init(store: String, program: String) throws(StoreError) {
    self.program = program
    var ends: [Int32] = [-1, -1]
    guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends) == 0
    else { throw Self.cannotStart(program, errno) }
    defer { close(ends[1]) }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDWR, 0)
    posix_spawn_file_actions_adddup2(&actions, 0, 1)
    posix_spawn_file_actions_adddup2(&actions, ends[1], 2)
    // Whatever this thread blocks and this process ignores, a signal ends the applier.
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var (none, ending) = (sigset_t(), sigset_t())
    sigemptyset(&none)
    sigemptyset(&ending)
    sigaddset(&ending, SIGTERM)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setsigdefault(&attributes, &ending)
    posix_spawnattr_setflags(
      &attributes, Int16(POSIX_SPAWN_SETSIGMASK) | Int16(POSIX_SPAWN_SETSIGDEF))
    let words = ["sluice", "apply", "--drain", "--", store].map { strdup($0 as String) } + [nil]
    let variables = environmentOfChildren().map { strdup($0) } + [nil]
    defer { for word in words + variables { free(word) } }
    var id = pid_t()
    let code = posix_spawnp(&id, program, &actions, &attributes, words, variables)
    guard code == 0 else {
      close(ends[0])
      throw Self.cannotStart(program, code)
    }
    (self.id, errors) = (id, ends[0])
  }

  private static func cannotStart(_ program: String, _ code: Int32) -> StoreError {
    StoreError(
      .io,
      "the command that applies batches cannot be started: \(String(cString: strerror(code))); give its path, or put it into PATH",
      path: program, errno: code)
  }

  /// Has it end now, in order, and waits for that.
  func end() {
    kill(id, SIGTERM)
    var said: [UInt8] = []
    let clock = SystemClock()
    if !listen(&said, until: clock.elapsed() + Limits.applierEnd, clock) { kill(id, SIGKILL) }
    close(errors)
    _ = reap()
  }

  private func reap() -> (isKnown: Bool, status: Int32) {
    var status: Int32 = 0
    var ended = waitpid(id, &status, 0)
    while ended < 0, errno == EINTR { ended = waitpid(id, &status, 0) }
    return (ended == id, status)
  }

  /// Waits until it has done what there was to do; throws why it has not.
  func finish(within limit: Duration) throws(StoreError) {
    let clock = SystemClock()
    var said: [UInt8] = []
    var isLate = false
    if !listen(&said, until: clock.elapsed() + limit, clock) {
      isLate = true
      kill(id, SIGTERM)
      if !listen(&said, until: clock.elapsed() + Limits.applierEnd, clock) { kill(id, SIGKILL) }
    }
    close(errors)
    let (isKnown, status) = reap()
    guard !isLate else {
      throw StoreError(
        .timeout, "within \(limit) not all was applied; perhaps another applier leads")
    }
    guard isKnown else {
      throw StoreError(
        .io,
        "how the applier ended is not known, because this program has others wait for its children; see `sluice status`"
      )
    }
    guard status == 0 else { throw failure(said, status) }
  }

  /// Takes in what it says, of which the end is kept. True when it has ended.
  ///
  /// That its errors end tells so at once, but they need not end with it: what it started, or what this program
  /// forked meanwhile, may have them open for longer. So the process itself is looked at, too.
  private func listen(_ said: inout [UInt8], until end: Duration, _ clock: SystemClock) -> Bool {
    var part = [UInt8](repeating: 0, count: Limits.messageBytes)
    while true {
      let rest = min(max(.zero, end - clock.elapsed()), Limits.lookAtChild)
      var waiting = pollfd(fd: errors, events: Int16(POLLIN), revents: 0)
      // Before what it said is taken in: then all of that is here.
      let hasEnded = hasEnded
      let ready = poll(
        &waiting, 1, hasEnded ? 0 : Int32(clamping: Int64(rest / .milliseconds(1)) + 1))
      if ready == 0 {
        if hasEnded { return true }
        guard clock.elapsed() < end else { return false }
      }
      guard ready > 0 else { continue }
      let count = read(errors, &part, part.count)
      if count == 0 { return true }
      guard count > 0 else { continue }
      said = (said + part[..<count]).suffix(Limits.messageBytes)
    }
  }

  /// Whether it is a process no more. It is left to be waited for: `finish` or `end` is to be called all the same, once.
  var hasEnded: Bool {
    var state = siginfo_t()
    let code = waitid(P_PID, id_t(id), &state, WEXITED | WNOHANG | WNOWAIT)
    return code == 0 ? state.si_signo == SIGCHLD : errno == ECHILD
  }

  /// The last line of what it said; of an error the command says one.
  private func failure(_ said: [UInt8], _ status: Int32) -> StoreError {
    let line = said.split(separator: UInt8(ascii: "\n")).last ?? []
    var text = String(decoding: line, as: UTF8.self)
    if text.hasPrefix("sluice: ") { text.removeFirst("sluice: ".count) }
    let code = status & 0x7F == 0 ? status >> 8 & 0xFF : -1
    let kinds: [Int32: StoreError.Code] = [
      65: .invalid, 66: .noSuchStore, 74: .io, 75: .busy, 76: .damaged,
    ]
    return StoreError(
      kinds[code] ?? .notLeading,
      text.isEmpty ? "the applier ended without a word (status \(status))" : text)
  }
}
