public import SluiceShared

extension Writer {
  /// Waits until the batch is applied, rejected or found a duplicate, and says so. nil: without end.
  ///
  /// Throws `.timeout` after `timeout` and `CancellationError` when the task is cancelled; the batch
  /// stays durable either way, and its outcome can be asked for again.
  ///
  /// With an assistant, and where nobody leads, this process applies what waits; then this returns when the
  /// lease is given back, so that the process may be frozen or end.
  public func outcome(
    of receipt: Receipt, timeout: Duration? = nil, assistedBy assistant: (any Assisting)? = nil
  ) async throws -> AppliedOutcome {
    let followed = try followed(receipt.batch, receipt.ticket)
    guard let assistant, !followed.isSettled else { return try await followed.outcome(timeout) }
    assistant.begin()
    let result: Result<AppliedOutcome, any Error>
    do { result = .success(try await followed.outcome(timeout)) } catch { result = .failure(error) }
    assistant.end()
    await withUnsafeContinuation { assistant.finish(.task($0)) }
    return try result.mapError { assistant.explained($0) }.get()
  }

  /// As `outcome(of:timeout:)`, blocking the calling thread, which looks itself where nobody else in
  /// the process does. Makes no thread, but an assistant does.
  public func outcomeBlocking(
    of receipt: Receipt, timeout: Duration? = nil, assistedBy assistant: (any Assisting)? = nil
  ) throws(StoreError) -> AppliedOutcome {
    let followed = try followed(receipt.batch, receipt.ticket)
    guard let assistant, !followed.isSettled else { return try followed.outcomeBlocking(timeout) }
    assistant.begin()
    let result = Result { () throws(StoreError) in try followed.outcomeBlocking(timeout) }
    assistant.end()
    assistant.finishBlocking(clock)
    return try result.mapError { assistant.explained($0) }.get()
  }

  /// As `outcomeBlocking(of:timeout:)`, as long as `keepsWaiting` says so, which is asked in the calling thread
  /// every 25 to 100 ms; nil after that.
  func outcomeBlocking(of receipt: Receipt, while keepsWaiting: () -> Bool) throws(StoreError)
    -> AppliedOutcome?
  {
    try followed(receipt.batch, receipt.ticket).outcomeBlocking(while: keepsWaiting)
  }

  /// Whether it is known what became of the batch, or that nothing will be known of it.
  package func isSettled(_ receipt: Receipt) -> Bool {
    receipt.ticket.flatMap { poller?.result(of: $0) } != nil
  }

  /// The outcome of a batch whose submit threw `.outcomeUnknown`, by the name in that error. It may
  /// never come, so a limit must be given.
  public func outcome(ofDoubtful batch: BatchID, timeout: Duration) async throws -> AppliedOutcome {
    try await followed(batch, poller?.ticket(ofDoubtful: batch)).outcome(timeout)
  }

  public func outcomeBlocking(ofDoubtful batch: BatchID, timeout: Duration) throws(StoreError)
    -> AppliedOutcome
  {
    try followed(batch, poller?.ticket(ofDoubtful: batch)).outcomeBlocking(timeout)
  }

  private func followed(_ batch: BatchID, _ ticket: Ticket?) throws(StoreError) -> Followed {
    guard let poller, let ticket else {
      throw StoreError(
        .invalid,
        "this writer does not follow the batch's outcome: it is not one of its own, or the options say not to",
        batch: batch)
    }
    return Followed(batch: batch, ticket: ticket, poller: poller)
  }
}

/// A batch whose outcome can be waited for.
private struct Followed {
  let batch: BatchID
  let ticket: Ticket
  let poller: OutcomePoller

  var isSettled: Bool { poller.result(of: ticket) != nil }

  func outcome(_ timeout: Duration?) async throws -> AppliedOutcome {
    if let result = poller.result(of: ticket) { return try result.get() }
    let answer = await poller.wait(for: .outcome(ticket), atMost: timeout)
    if case .cancelled = answer { throw CancellationError() }
    return try outcome(after: answer)
  }

  func outcomeBlocking(_ timeout: Duration?) throws(StoreError) -> AppliedOutcome {
    if let result = poller.result(of: ticket) { return try result.get() }
    return try outcome(after: poller.waitBlocking(for: .outcome(ticket), atMost: timeout))
  }

  /// Waits in slices, and asks between them: `keepsWaiting` may be anybody's code, so nobody else's look may
  /// wait for it. All slices are one waiter's.
  func outcomeBlocking(while keepsWaiting: () -> Bool) throws(StoreError) -> AppliedOutcome? {
    var slice = Limits.waitingSlice.lowerBound
    var isNew = true
    while true {
      if let result = poller.result(of: ticket) { return try result.get() }
      let answer = poller.waitBlocking(for: .outcome(ticket), atMost: slice, isNew: isNew)
      guard case .timedOut = answer, poller.result(of: ticket) == nil else {
        return try outcome(after: answer)
      }
      guard keepsWaiting() else { return nil }
      isNew = false
      slice = min(slice * 5 / 4, Limits.waitingSlice.upperBound)
    }
  }

  private func outcome(after answer: OutcomePoller.Answer) throws(StoreError) -> AppliedOutcome {
    if let result = poller.result(of: ticket) { return try result.get() }
    if case .failed(var error) = answer {
      error.batch = batch
      throw error
    }
    throw StoreError(
      .timeout, "no outcome yet; see that an applier runs (`sluice status`), then ask again",
      batch: batch)
  }
}

extension Assisting {
  /// An outcome that did not come, and why nobody here could see to it.
  fileprivate func explained(_ error: StoreError) -> StoreError {
    guard error.code == .timeout, let trouble else { return error }
    var error = error
    error.message += "; this process could not apply it: \(trouble)"
    return error
  }

  fileprivate func explained(_ error: any Error) -> any Error {
    (error as? StoreError).map { explained($0) } ?? error
  }
}
