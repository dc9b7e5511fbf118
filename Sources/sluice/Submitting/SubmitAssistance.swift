import Glibc
import SluiceApplier
import SluiceShared
import SluiceWriter

/// `submit --assist`: while an outcome is waited for and nobody leads, this process applies what waits.
struct SubmitAssistance {
  private let assistant: Assistant

  init(store: String, ttl: Duration) {
    var options = ApplierOptions(
      holder: ApplyCommand.hostAndProcess, logger: LogOptions.warnings("assistant"))
    options.leaseTime = ttl
    options.beat = min(options.beat, ttl / 5)
    options.worker = WorkerProgram(path: "/proc/self/exe", arguments: ["execute"])
    PosixFileSystem.raiseOpenFileLimit()
    assistant = Assistant(
      store: store, options: options, isStopped: { StopSignal.wasReceived })
    SubmitAssistance.endInOrder(assistant)
  }

  /// A signal ends the process as ever, but not before it has given back what it took.
  private static func endInOrder(_ assistant: Assistant) {
    StopSignal.install()
    startThread {
      while !StopSignal.wasReceived { SystemClock().sleep(.milliseconds(50)) }
      assistant.finishBlocking(SystemClock())
      signal(SIGTERM, SIG_DFL)
      kill(getpid(), SIGTERM)
    }
  }

  /// As the writer's `outcomeBlocking`. A term that was begun for it goes on for the next one.
  func outcome(of receipt: Receipt, _ writer: Writer, timeout: Duration) throws(StoreError)
    -> AppliedOutcome
  {
    guard timeout > .zero else { return try writer.outcomeBlocking(of: receipt, timeout: timeout) }
    assistant.begin()
    defer { assistant.end() }
    return try writer.outcomeBlocking(of: receipt, timeout: timeout)
  }

  /// For who waits before there is an outcome to wait for.
  var whileWaiting: any Assisting { assistant }

  /// Returns when the lease is given back.
  func finish() { assistant.finishBlocking(SystemClock()) }
}
