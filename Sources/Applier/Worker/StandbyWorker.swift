internal import Logging
internal import SluiceShared

/// The worker of a term to come, kept ready while its applier stands by: a process takes seconds to start on
/// some hosts, and a new batch waits for it.
///
/// It follows the log as its applier does, so that it neither falls behind nor keeps files of old snapshots.
/// One that ends costs nothing but being started again, ever more seldom.
final class StandbyWorker {
  private let make: () throws(WorkerEnd) -> any PreparedWorker
  private let logger: Logger
  private let clock: any Clock
  private var worker: (any PreparedWorker)?
  /// When the last one was (boot time).
  private var started: Duration?
  private var pause = StandbyWorker.shortestPause

  /// Between two starts; the shortest again for one that lived for as long as the longest.
  static let shortestPause = Duration.seconds(1)
  static let longestPause = Duration.seconds(60)

  init(
    logger: Logger, environment: Environment,
    make: @escaping () throws(WorkerEnd) -> any PreparedWorker
  ) {
    self.logger = logger
    clock = environment.clock
    self.make = make
  }

  /// Starts it where there is none; nothing is waited for.
  func start() {
    let now = clock.elapsed()
    guard worker == nil else { return }
    if let started {
      guard now - started >= pause else { return }
      pause = min(pause * 2, StandbyWorker.longestPause)
    }
    started = now
    attempt { () throws(WorkerEnd) in worker = try make() }
  }

  /// It is to read what was published meanwhile.
  func follow() {
    guard let worker else { return }
    attempt { () throws(WorkerEnd) in try worker.follow() }
  }

  /// Whether there is one that has not ended.
  var isThere: Bool {
    guard let worker else { return false }
    attempt { () throws(WorkerEnd) in try worker.checkThere() }
    return self.worker != nil
  }

  /// Gives it away, to a term that begins at `txid`.
  func take(for txid: TxID) -> (any PreparedWorker)? {
    guard let taken = worker else { return nil }
    attempt { () throws(WorkerEnd) in try taken.begin(at: txid) }
    defer { worker = nil }
    // The one for the term after it need not wait.
    started = nil
    pause = StandbyWorker.shortestPause
    return worker
  }

  private func attempt(_ deed: () throws(WorkerEnd) -> Void) {
    do throws(WorkerEnd) { try deed() } catch {
      worker = nil
      if let started, clock.elapsed() - started >= StandbyWorker.longestPause {
        pause = StandbyWorker.shortestPause
      }
      logger.warning(
        "the process that stands by to execute batches ended; another one is started",
        metadata: ["reason": "\(error)"])
    }
  }
}
