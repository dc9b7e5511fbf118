internal import Logging
internal import SluiceJournal
internal import SluiceReader
internal import SluiceShared

/// What a term finds of those before it, beside the history.
extension Leader {
  /// What others left behind: at the beginning of a term, and when a checkpoint was made.
  func removeStrays() {
    do throws(StoreError) {
      try Strays(layout: store.layout, environment: environment)
        .remove(log: holder, checkpoint: checkpointer.newest)
    } catch {
      logger.warning("temporary files stay", metadata: ["error": "\(error)"])
    }
  }

  /// How much log earlier terms wrote since a checkpoint.
  func logSince(_ txid: TxID) throws(StoreError) -> (bytes: Int64, segments: UInt64) {
    let log = Log(of: store.handle)
    let spans = try log.history(after: txid, upTo: try log.present()).dropLast()
    return (
      spans.reduce(0) { $0 + $1.end - Block.firstLogFrame }, UInt64(spans.count)
    )
  }
}
