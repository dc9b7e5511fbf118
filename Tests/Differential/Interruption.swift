import Glibc

/// What is still done when a signal ends the process, be it Ctrl-C or a trap in what is tested.
enum Interruption {
  /// Such an end says `words` from now on, and removes `directory`.
  static func prepare(removing directory: String, saying words: String) {
    let before = lastWords
    let arguments = removal
    // What is new first: a signal may come at any time.
    lastWords = strdup(words + "\n")
    removal = [strdup("rm"), strdup("-rf"), strdup(directory), nil]
    free(before)
    for argument in arguments { free(argument) }
    if actions.isEmpty { install() }
  }

  private static func install() {
    for number in [SIGINT, SIGTERM, SIGHUP, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV] {
      var action = sigaction()
      var previous = sigaction()
      sigaction(number, nil, &previous)
      // As in the background of a shell: it ends nothing.
      if isIgnored(previous) { continue }
      action.__sigaction_handler.sa_handler = { Interruption.end(by: $0) }
      sigaction(number, &action, nil)
      actions[number] = previous
    }
  }

  private static func isIgnored(_ action: sigaction) -> Bool {
    unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self)
      == unsafeBitCast(SIG_IGN, to: Int.self)
  }

  /// Then the signal does what it did before: a crash is reported, and seen in the exit status.
  private static func end(by number: Int32) {
    if let lastWords { write(STDERR_FILENO, lastWords, strlen(lastWords)) }
    // More than once: threads may be writing there still.
    for _ in 0..<3 {
      var process = pid_t()
      guard posix_spawn(&process, "/bin/rm", nil, nil, removal, nil) == 0 else { break }
      var status: Int32 = 0
      waitpid(process, &status, 0)
      if status == 0 { break }
    }
    var previous = actions[number] ?? sigaction()
    sigaction(number, &previous, nil)
    raise(number)
  }
}

// Set by one thread, and read when everything else is over.
nonisolated(unsafe) private var lastWords: UnsafeMutablePointer<CChar>?
nonisolated(unsafe) private var removal: [UnsafeMutablePointer<CChar>?] = []
nonisolated(unsafe) private var actions: [Int32: sigaction] = [:]
