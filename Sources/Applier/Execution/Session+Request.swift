internal import SluiceJournal
internal import SluiceShared

/// What a session is asked for, and what it answers.
extension Session {
  /// What became of a part of the waiting batches.
  struct Done {
    /// So many of the group's batches are in the history now, repeats of earlier ones included.
    var count: Int
    /// New batches among them, which have TxIDs.
    var committed: UInt32
    /// The next batch is to be executed alone.
    var nextIsAlone = false
    /// The commit's batches section is that of its first batch's frame.
    var sharesFrame = false
    /// The last of them asked for the turn, and its TxID is the turn's number.
    var grantsTurn = false
    /// Nothing was done: the scratch disk, which others fill, had no room.
    var lack: Lack?
  }

  /// Room that there was not on the scratch disk.
  struct Lack {
    /// The batch that was being executed; nil: all were, and it was their commit.
    var index: Int?
    var message: String
  }

  /// What a batch is rejected with, unexecuted.
  struct Verdict {
    var batch: BatchID
    var rejection: Outcome.Rejection
  }

  struct Request {
    var batches: ArraySlice<PendingBatch>
    /// The first is to be alone in its commit.
    var isAlone = false
    var time_ms: Int64
    /// A batch that is not executed but rejected.
    var verdict: Verdict?
    var attempts: UInt32 = 0
    /// The number of the turn that is out.
    var turn: TxID?
    /// Whether batches of this writer that precede its next may be missing (quarantine).
    var mayLackBatches: (WriterID) -> Bool = { _ in false }
    /// Writers with files in the journal, where silent ones are forgotten now.
    var prunesBeside: WritersWithFiles?
    /// Frames that are likely to come behind the first so many batches, to be opened while these are committed. (In the
    /// applier's process they are opened by another thread: `LookAhead`.)
    var ahead: (Int) -> [PendingFrame] = { _ in [] }
    /// Where the batches are executed again: what the history says of the first time.
    var recorded: Recorded?
  }

  /// Makes a commit durable and returns the pages' places once it is confirmed. `Done` is what `commit`
  /// returns then.
  typealias Write =
    (CommitContent, Done) throws(StoreError) -> (pages: [PageEntry], segment: LogSegment)
}
