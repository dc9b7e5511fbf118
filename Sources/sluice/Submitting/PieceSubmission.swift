import ArgumentParser
import SluiceJournal
import SluiceShared
import SluiceWriter

/// Submits the pieces of a script one after the other, each when the one before it is applied, so that
/// nothing behind a failure is done; and says what was done and how to go on.
///
/// A piece has a key with its number. Where the script is submitted again, what was applied is a
/// duplicate and is passed over; what was rejected then is tried again, under a further key (KEY/7.2),
/// because a rejection uses a key up.
struct PieceSubmission {
  let submission: Submission
  /// The command line, without what says where to go on.
  let command: String
  let hasKey: Bool
  /// So many pieces at the front are left out.
  let skipped: Int

  /// Which pieces are done.
  private struct Progress {
    var number = 0
    var input: InputBatch?
  }

  func submit(_ reader: consuming SQLScriptReader, _ printer: inout ReportPrinter) throws {
    let writer = try Writer(store: submission.store, options: submission.options)
    defer { writer.closeBlocking() }
    var progress = Progress()
    while let input = try next(&reader, progress) {
      progress.number += 1
      progress.input = input
      guard progress.number > skipped else { continue }
      let (report, failure) = try outcome(of: input, writer)
      if let report { try printer.print(report, of: input) }
      if var error = failure {
        error.message += "; " + whereItStands(error, progress)
        throw error
      }
      guard let report else { continue }
      if report.isRejected {
        Sluice.warn(stop(progress, reason(of: report, input)))
        throw ExitCode.batchRejected
      }
    }
    if progress.number < skipped {
      throw StoreError(
        .invalid,
        "the script has \(progress.number) batches, and --skip \(skipped) leaves out more; nothing was submitted"
      )
    }
  }

  private func next(_ reader: inout SQLScriptReader, _ progress: Progress) throws(StoreError)
    -> InputBatch?
  {
    do throws(StoreError) { return try reader.next() } catch {
      guard progress.number > skipped else { throw error }
      var error = error
      error.message +=
        "; \(applied(progress.number)), and the script is not done; mend it, then "
        + goingOn(after: progress.number)
      throw error
    }
  }

  /// What became of a piece in the end, as far as it is known, and what went wrong.
  private func outcome(of input: InputBatch, _ writer: Writer) throws -> (BatchReport?, StoreError?)
  {
    var attempt = input
    var number = 1
    while true {
      var collector = OutcomeCollector(submission, writer)
      let result = writer.submitBlocking([attempt.batch])[0]
      let report = collector.report(
        of: SubmittedBatch(input: attempt, result: result, at: SystemClock().elapsed()))
      do throws(StoreError) { try collector.finish() } catch { return (report, error) }
      guard let report, let key = input.batch.key, try hasUsedUp(attempt.batch.key, report) else {
        return (report, nil)
      }
      number += 1
      attempt.batch.key = "\(key).\(number)"
    }
  }

  /// Whether an earlier run's batch with this key was rejected, so that nothing is done under it.
  private func hasUsedUp(_ key: String?, _ report: BatchReport) throws -> Bool {
    guard let rejection = report.rejection, let key else { return false }
    if report.isDuplicate { return true }
    guard rejection.code == Outcome.Rejection.Code.keyReused,
      case .rejected? = try recordedOutcome(ofKey: key, store: submission.store)?.outcome
    else { return false }
    // Another text had this key, and was rejected: since then the script was mended.
    return true
  }

  // MARK: What is said

  private func reason(of report: BatchReport, _ input: InputBatch) -> String? {
    guard report.rejection?.code == Outcome.Rejection.Code.keyReused else { return nil }
    return
      "a batch with its key was applied and had another text: the script was changed before this "
      + "place, or --split was; go on with the script as it was, or with --skip"
  }

  private func stop(_ progress: Progress, _ reason: String?) -> String {
    let name = progress.input?.input ?? "the script"
    let done = progress.number - 1
    let place = "batch \(progress.number), which begins on line \(progress.input?.line ?? 0)"
    return
      "\(name): stopped at \(place); \(applied(done)), nothing of it and behind it was done; "
      + (reason ?? "mend what is wrong, then \(goingOn(after: done))")
  }

  private func whereItStands(_ error: StoreError, _ progress: Progress) -> String {
    let before = progress.number - 1
    if error.code == .timeout {
      return
        "\(applied(before)), batch \(progress.number) is durable, the rest was not submitted: when it is applied, "
        + goingOn(after: progress.number)
    }
    if error.code == .outcomeUnknown, progress.input?.batch.key == nil {
      return "\(applied(before)); see whether batch \(progress.number) was applied, too, then "
        + goingOn(after: before) + " (or one more)"
    }
    return "\(applied(before)); \(goingOn(after: before))"
  }

  private func applied(_ count: Int) -> String {
    switch count {
    case 0: "no batch is applied"
    case 1: "batch 1 is applied"
    default: "batches 1 to \(count) are applied"
    }
  }

  private func goingOn(after count: Int) -> String {
    if hasKey {
      return "run the same command again within 24 hours: what is applied is passed over"
    }
    return count == 0
      ? "run the same command again" : "go on with `\(command) --skip \(count)`"
  }
}
