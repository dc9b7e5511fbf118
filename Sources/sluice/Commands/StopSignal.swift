import Glibc
import Synchronization

/// SIGTERM and SIGINT, taken as the wish to end in order. A second one has its usual effect.
enum StopSignal {
  static var wasReceived: Bool { received.load(ordering: .relaxed) }

  static func install() {
    // Initialized here: a signal handler may do nothing but set it.
    received.store(false, ordering: .relaxed)
    var action = sigaction()
    action.__sigaction_handler.sa_handler = { _ in received.store(true, ordering: .relaxed) }
    action.sa_flags = Int32(bitPattern: UInt32(SA_RESETHAND)) | SA_RESTART
    sigaction(SIGTERM, &action, nil)
    sigaction(SIGINT, &action, nil)
    unblock()
  }

  /// Whoever started this process may have had them blocked, as Swift's worker threads do; then nothing ends it but
  /// SIGKILL.
  static func unblock() {
    var signals = sigset_t()
    sigemptyset(&signals)
    sigaddset(&signals, SIGTERM)
    sigaddset(&signals, SIGINT)
    pthread_sigmask(SIG_UNBLOCK, &signals, nil)
  }
}

/// A command that installs `StopSignal`. What was blocked when it began stays so until then: it is stopped in order,
/// however early.
protocol EndingInOrder {}

extension ApplyCommand: EndingInOrder {}
extension RestoreCommand: EndingInOrder {}

private let received = Atomic<Bool>(false)
