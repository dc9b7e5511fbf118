package import SluiceJournal
package import SluiceShared

/// The right to commit next, as the applier granted it.
package struct Turn: Hashable, Sendable {
  /// The state to begin on: nothing is committed behind it while the turn is out.
  package let base: TxID
  /// Which turn it is; numbers rise.
  package let number: TxID

  package init(base: TxID, number: TxID) {
    self.base = base
    self.number = number
  }
}

/// What became of a transaction's pages.
package enum Commitment: Hashable, Sendable {
  /// Committed and published, as this batch.
  case committed(TxID)
  /// The database has changed since the state that the transaction read, or somebody else has the turn: it is to
  /// be run again. The refusal is this batch of the history.
  case conflict(TxID)
  /// It can never be accepted, and why.
  case refused(String)
}

/// What an interactive transaction asks of the store: the turn, and to commit pages.
///
/// Used by one thread at a time: a turn belongs to the writer that asked for it.
package protocol TransactionClient: Sendable {
  /// Asks for the turn and waits until it is granted; nil, and the request is taken back, as soon as
  /// `keepsWaiting` says false, which is asked every 25 to 100 ms.
  ///
  /// Throws `.notSubmitted` where the request is not in the journal, and what a submit throws.
  func requestTurn(keepsWaiting: () -> Bool) throws(StoreError) -> Turn?

  /// Gives the turn back. A failure is none: the turn ends by its time.
  func cancel(_ turn: Turn)

  /// A sign of life, which gives the turn its time anew, up to `Limits.longestTurn` in all.
  func extend(_ turn: Turn)

  /// Makes the pages durable and returns when it is known, and published, what became of them.
  ///
  /// Throws `.notSubmitted` where they are certainly not in the journal; `.outcomeUnknown` where they may
  /// be, and `.timeout` where they are, and what becomes of them is not known within `timeout`.
  func commit(_ pages: PageBatch, of turn: Turn?, timeout: Duration) throws(StoreError)
    -> Commitment
}
