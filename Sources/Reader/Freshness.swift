public import SluiceJournal
public import SluiceShared

/// How new the database must be that a read sees.
public enum Freshness: Hashable, Sendable {
  /// Everything that anybody had seen before the read began (linearizable): one small read of the
  /// file server.
  case latest
  /// At least the batch with this TxID (read your writes); waits for it, and throws `.timeout` if it
  /// does not come. Costs nothing where it is there already.
  case atLeast(TxID, timeout: Duration)
  /// What the last refresh found, if that began no longer ago than this: then no I/O.
  case maxStaleness(Duration)
  /// Of the past: the state after the last commit that is not later. The first read of a point costs
  /// what opening the store costs; the next ones of it nothing. Throws `.snapshotExpired` where it is
  /// not kept any more, and `.invalid` for a batch that is not applied yet.
  case asOf(HistoryPoint)
}
