import SluiceApplier
import SluiceJournal
import SluiceLambda
import SluiceShared
import SluiceWriter

/// Submits the event's batch, and answers with its outcome as `submit --json` prints it.
///
/// A batch without an id gets the invocation's, which is the same when Lambda tries an asynchronous event again:
/// so it is applied once. A rejection is an answer; what fails the invocation is that the batch is not there, or
/// may not be, and then the same event may be sent again.
///
/// With assistance, and where nobody leads, it applies what waits, its own and others'; before it answers the lease
/// is given back, so that nobody waits for an environment that is frozen. What takes longer than the function's time
/// is left to the next one.
///
/// The writer stays open between events. Where the environment was frozen for longer than an applier waits for a
/// silent writer, its segment is closed, and the next flush goes into a new one.
struct WriterFunction: FunctionHandler {
  private let writer: Writer
  private let assistant: Assistant?
  /// What is left of the function's time when it has to answer.
  private let reserve: Duration
  /// When the assistance for the event at hand is over; boot time.
  private let assistanceEnd = Monitor<Duration>(.zero)
  private let clock: any Clock = SystemClock()

  init(_ store: String, assists: Bool) throws(StoreError) {
    assistant = assists ? WriterFunction.assistant(store, until: assistanceEnd, clock) : nil
    reserve = Limits.functionReserve + (assists ? Limits.functionAssistReserve : .zero)
    var options = Writer.Options()
    // The caller can wait more cheaply than a function.
    options.whenBacklogFull = .fail
    options.fullDiskPatience = Limits.functionFullDiskPatience
    options.assistant = assistant
    writer = try Writer(store: store, options: options)
  }

  func answer(_ invocation: RuntimeAPI.Invocation) throws -> String {
    let event = try invocation.json()
    var batch: Batch
    do throws(DecodingError) { batch = try Batch(json: event) } catch {
      throw StoreError(.invalid, "the event: \(error)")
    }
    batch.key = batch.key ?? "lambda/\(invocation.requestID)"
    guard invocation.remaining(clock) > reserve else {
      throw StoreError(
        .notSubmitted,
        "the batch is not in the journal: \(invocation.remaining(clock)) are left of the function's time; give it more"
      )
    }
    let end = clock.elapsed() + max(.zero, invocation.remaining(clock) - reserve)
    assistanceEnd.withLock { $0 = end }
    let receipt = try writer.submitBlocking(batch)
    let outcome = try outcome(of: receipt, until: end)
    return BatchReport(key: batch.key, outcome).json()
  }

  /// What became of the batch; nil: it is durable, and will be applied when an applier runs.
  private func outcome(of receipt: Receipt, until end: Duration) throws -> AppliedOutcome? {
    do throws(StoreError) {
      return try writer.outcomeBlocking(
        of: receipt, timeout: max(.zero, end - clock.elapsed()), assistedBy: assistant)
    } catch {
      guard error.code == .timeout else { throw error }
      return nil
    }
  }

  /// An applier of the kind that `apply` runs, in a function with an applier's rights.
  private static func assistant(
    _ store: String, until end: Monitor<Duration>, _ clock: any Clock
  ) -> Assistant {
    var options = ApplierOptions(
      holder: ApplyCommand.hostAndProcess, logger: LogOptions.warnings("assistant"))
    options.worker = WorkerProgram(path: "/proc/self/exe", arguments: ["execute"])
    PosixFileSystem.raiseOpenFileLimit()
    return Assistant(
      store: store, options: options,
      isStopped: { clock.elapsed() >= end.withLock { $0 } })
  }
}
