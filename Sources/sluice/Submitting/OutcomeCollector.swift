import SluiceJournal
import SluiceShared
import SluiceWriter

/// Waits for the outcomes of submitted batches, one after the other, and remembers what went wrong.
struct OutcomeCollector {
  private let submission: Submission
  private let writer: Writer

  /// The first error, of a submit or of looking for an outcome.
  private var failure: StoreError?
  /// Durable batches whose outcome did not come in time: the first, and how many.
  private var late: (first: InputBatch, count: Int)?
  /// The first batch that is not in the journal.
  private var unsubmitted: InputBatch?
  /// The last batch that is durable.
  private var lastDurable: InputBatch?

  init(_ submission: Submission, _ writer: Writer) {
    self.submission = submission
    self.writer = writer
  }

  var hasFailed: Bool { failure != nil || late != nil }

  /// What became of the batch; nil where it is not in the journal, or nobody knows.
  mutating func report(of submitted: SubmittedBatch) -> BatchReport? {
    let input = submitted.input
    switch submitted.result {
    case .success(let receipt):
      lastDurable = input
      guard submission.waitsForOutcome else { return BatchReport(key: input.batch.key, nil) }
      do throws(StoreError) {
        let limit = patience(submitted)
        if let assistance = submission.assistance {
          let outcome = try assistance.outcome(of: receipt, writer, timeout: limit)
          return BatchReport(key: input.batch.key, outcome)
        }
        let outcome = try writer.outcomeBlocking(of: receipt, timeout: limit)
        return BatchReport(key: input.batch.key, outcome)
      } catch {
        if error.code != .timeout, failure == nil { failure = error }
        late = (late?.first ?? input, (late?.count ?? 0) + 1)
        return BatchReport(key: input.batch.key, nil)
      }
    case .failure(let error):
      return report(of: submitted, after: error)
    }
  }

  private mutating func report(of submitted: SubmittedBatch, after error: StoreError)
    -> BatchReport?
  {
    let input = submitted.input
    if error.code == .outcomeUnknown {
      if submission.waitsForOutcome, let batch = error.batch,
        let outcome = try? writer.outcomeBlocking(
          ofDoubtful: batch, timeout: patience(submitted))
      {
        lastDurable = input
        return BatchReport(key: input.batch.key, outcome)
      }
    } else if unsubmitted == nil {
      unsubmitted = input
    }
    if failure == nil { failure = input.isFromFile ? input.located(error) : error }
    return nil
  }

  /// How much longer to wait for a batch. After one that was late the others are only looked at.
  private func patience(_ submitted: SubmittedBatch) -> Duration {
    guard !hasFailed else { return .zero }
    return max(.zero, submission.timeout.duration - (SystemClock().elapsed() - submitted.at))
  }

  // MARK: The end

  /// Throws what went wrong, if anything did; `end` says how the input ended.
  func finish(_ end: SubmitStream.End? = nil) throws(StoreError) {
    if var error = failure {
      error.message += whereToGoOn(end)
      throw error
    }
    if let late {
      var error = lateness(late)
      error.message += whereToGoOn(end)
      throw error
    }
    if var error = end?.error {
      if lastDurable != nil { error.message += "; what stands before it was submitted" }
      throw error
    }
    // A doubtful batch turned out well, but submitting stopped there.
    let rest = whereToGoOn(end)
    if !rest.isEmpty {
      throw StoreError(.notSubmitted, "the journal failed for a while\(rest); submit the rest")
    }
  }

  private func lateness(_ late: (first: InputBatch, count: Int)) -> StoreError {
    var message =
      "no outcome within \(submission.timeout) s; "
      + (late.count == 1
        ? "the batch is durable and will be applied"
        : "\(late.count) batches are durable and will be applied")
      + " when an applier runs (see `sluice status \(submission.store)`); "
    if let key = late.first.batch.key {
      message += "ask with `sluice outcome \(submission.store) --id \(key)`"
    } else {
      message +=
        "do not submit again, or it is done twice: without a key (--id) the outcome is found by its "
        + "place only, `sluice outcome \(submission.store) --txid N`"
    }
    return StoreError(.timeout, message)
  }

  private func whereToGoOn(_ end: SubmitStream.End?) -> String {
    guard let end, let lastDurable else { return "" }
    if let next = unsubmitted ?? end.unsubmitted {
      guard next.isFromFile else { return "; \(next.input) and those behind it were not submitted" }
      return "; \(next.input) was not submitted from line \(next.line) on"
    }
    guard !end.isComplete else { return "" }
    guard lastDurable.isFromFile else {
      return "; those behind \(lastDurable.input) were not submitted"
    }
    return
      "; \(lastDurable.input) was not submitted behind the batch that begins on line \(lastDurable.line)"
  }
}
