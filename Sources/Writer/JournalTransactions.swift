package import SluiceJournal
package import SluiceShared

/// Interactive transactions through a writer's journal.
///
/// The writer is used for nothing else: another batch of it that is executed while it has the turn ends the
/// turn.
package final class JournalTransactions: TransactionClient {
  private let writer: Writer
  /// See to it that somebody applies while this waits; nil: others do.
  private let assistant: (any Assisting)?

  package init(_ writer: Writer, assistedBy assistant: (any Assisting)? = nil) {
    self.writer = writer
    self.assistant = assistant
  }

  /// An assistant's term lasts as long as the turn that it gave. Where none is given it is over when this returns.
  package func requestTurn(keepsWaiting: () -> Bool) throws(StoreError) -> Turn? {
    let receipt: Receipt
    do throws(StoreError) { receipt = try writer.submitBlocking(Batch(.requestTurn)) } catch {
      if error.code == .outcomeUnknown { giveBack() }
      throw error
    }
    assistant?.begin()
    let turn = Result { () throws(StoreError) in try granted(receipt, keepsWaiting) }
    assistant?.end()
    if case .success(_?) = turn { return try turn.get() }
    finishAssistance()
    if case .success = turn, let trouble = assistant?.trouble {
      throw StoreError(
        .timeout, "nobody leads, and this process cannot apply batches either: \(trouble.message)",
        path: trouble.path)
    }
    return try turn.get()
  }

  private func finishAssistance() { assistant?.finishBlocking(writer.clock) }

  private func granted(_ receipt: Receipt, _ keepsWaiting: () -> Bool) throws(StoreError) -> Turn? {
    // A turn that nobody takes costs everybody its time.
    var mayBeGranted = true
    defer { if mayBeGranted { giveBack() } }
    let outcome = try writer.outcomeBlocking(of: receipt) {
      assistant?.goOn()
      return keepsWaiting()
    }
    guard let outcome else { return nil }
    mayBeGranted = false
    guard case .applied = outcome.outcome else {
      throw StoreError(
        .invalid, "the turn was not granted: \(Self.reason(outcome.outcome))", batch: receipt.batch)
    }
    return Turn(base: outcome.txid, number: outcome.txid)
  }

  package func cancel(_ turn: Turn) {
    giveBack()
    finishAssistance()
  }

  /// Nobody waits for what becomes of it, and nothing depends on it.
  private func giveBack() { _ = try? writer.submitBlocking(Batch(.cancelTurn)) }

  package func extend(_ turn: Turn) { writer.giveSignOfLife() }

  package func commit(_ pages: PageBatch, of turn: Turn?, timeout: Duration) throws(StoreError)
    -> Commitment
  {
    try commit(pages, of: turn, timeout: timeout, key: nil)
  }

  /// As `commit(_:of:timeout:)`, with an idempotency key: what was committed under it once is not again. One
  /// that met a conflict leaves its key free.
  package func commit(
    _ pages: PageBatch, of turn: Turn?, timeout: Duration, key: String?
  ) throws(StoreError) -> Commitment {
    guard pages.turn == turn?.number, turn.map({ $0.base == pages.base }) ?? true else {
      throw StoreError(.invalid, "the pages name another turn, or another base, than it is")
    }
    let outcome: Outcome
    let txid: TxID
    do throws(StoreError) {
      let receipt = try writer.submitBlocking(Batch(.commit(pages), key: key))
      let applied = try assisted(receipt, timeout)
      (outcome, txid) = (applied.outcome, applied.txid)
    } catch {
      finishAssistance()
      guard error.code == .outcomeUnknown, let batch = error.batch else { throw error }
      guard let applied = try? writer.outcomeBlocking(ofDoubtful: batch, timeout: timeout) else {
        throw error
      }
      (outcome, txid) = (applied.outcome, applied.txid)
    }
    switch outcome {
    case .applied: return .committed(txid)
    case .duplicate(let first, let original):
      return original.isApplied ? .committed(first) : .refused(Self.reason(original))
    case .rejected(let rejection) where rejection.code == Outcome.Rejection.Code.conflict:
      return .conflict(txid)
    case .rejected: return .refused(Self.reason(outcome))
    }
  }

  /// Also of who has a turn that an assistant gave: its term is over when this returns.
  private func assisted(_ receipt: Receipt, _ timeout: Duration) throws(StoreError)
    -> AppliedOutcome
  {
    guard let assistant else { return try writer.outcomeBlocking(of: receipt, timeout: timeout) }
    assistant.begin()
    defer {
      assistant.end()
      finishAssistance()
    }
    let clock = writer.clock
    let end = clock.elapsed() + timeout
    let outcome = try writer.outcomeBlocking(of: receipt) {
      assistant.goOn()
      return clock.elapsed() < end
    }
    if let outcome { return outcome }
    // It is there now, or this says why not.
    return try writer.outcomeBlocking(of: receipt, timeout: .zero)
  }

  private static func reason(_ outcome: Outcome) -> String {
    switch outcome {
    case .rejected(let rejection): rejection.message
    case .applied, .duplicate: "it was taken for a repeat of an earlier batch"
    }
  }
}

extension Outcome {
  fileprivate var isApplied: Bool { if case .applied = self { true } else { false } }
}
