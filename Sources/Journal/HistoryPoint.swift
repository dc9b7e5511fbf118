public import SluiceShared

/// A place in the history: the last commit that is not later.
///
/// Pages are known as they were after each commit. Batches that were committed together have no state
/// between them.
public enum HistoryPoint: Hashable, Sendable {
  /// The last commit that holds no batch later than this one.
  case txid(TxID)
  /// The last commit whose time, in Unix milliseconds, is not later. Commits' times never go back.
  case time_ms(Int64)

  /// Whether a history that goes up to `extent` goes no further than this.
  package func includes(_ extent: LogExtent) -> Bool {
    switch self {
    case .txid(let txid): extent.txid <= txid
    case .time_ms(let time_ms): extent.time_ms <= time_ms
    }
  }

  /// The last batch that it can have; nil where that depends on the history.
  package var lastTxID: TxID? {
    if case .txid(let txid) = self { txid } else { nil }
  }

  /// Whether a history that goes further than `extent` may go no further than this.
  package func mayReach(beyond extent: LogExtent) -> Bool {
    switch self {
    case .txid(let txid): extent.txid < txid
    case .time_ms(let time_ms): extent.time_ms <= time_ms
    }
  }
}

extension HistoryPoint: CustomStringConvertible {
  public var description: String {
    switch self {
    case .txid(let txid): "batch \(txid)"
    case .time_ms(let time_ms): timestamp(time_ms)
    }
  }
}
