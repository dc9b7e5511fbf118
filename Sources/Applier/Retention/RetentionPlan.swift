package import SluiceShared

/// Which checkpoints are kept, and with which of them what is kept of the log begins. Decided without I/O.
///
/// What a checkpoint's file says of its date is the file server's: no host's clock takes part. A state is at
/// least as old as a checkpoint that was made of it or of a later one.
package struct RetentionPlan: Equatable {
  package struct Checkpoint: Equatable, Sendable {
    package var txid: TxID
    /// When it was made, by the file server's clock.
    package var made_ms: Int64
    /// Of both its files.
    package var bytes: Int64

    package init(txid: TxID, made_ms: Int64, bytes: Int64) {
      self.txid = txid
      self.made_ms = made_ms
      self.bytes = bytes
    }
  }

  /// The log is kept from this checkpoint on.
  var base: TxID
  /// What lies before that is older than what is to be kept, or more. Else the log stays as it is: that the
  /// oldest checkpoint is a young one says nothing about the log before it.
  var endsBefore: Bool
  var kept: Set<TxID>

  /// `checkpoints`: the whole ones that are published, ascending; nil where there is none.
  /// `logBytes`: what the log takes from a checkpoint on.
  init?(
    _ checkpoints: [Checkpoint], _ settings: RetentionSettings, now_ms: Int64,
    keepsTwo: Bool = true, logBytes: (TxID) throws(StoreError) -> Int64
  ) throws(StoreError) {
    guard !checkpoints.isEmpty else { return nil }
    let newest = keepsTwo ? RetentionSettings.leastCheckpoints : 1
    let last = max(0, checkpoints.count - newest)
    // All that is older than the base is older than what is to be kept.
    var first = 0
    endsBefore = false
    if let keep_ms = settings.keep?.wholeMilliseconds,
      let old = checkpoints.lastIndex(where: { $0.made_ms <= now_ms - keep_ms })
    {
      first = min(old, last)
      endsBefore = true
    }
    var kept = RetentionPlan.spread(checkpoints[first...], settings.checkpoints, newest)
    if let most = settings.bytes {
      while first < last {
        let bytes = kept.reduce(0) { $0 + $1.bytes }
        guard try bytes + logBytes(checkpoints[first].txid) > most else { break }
        first += 1
        endsBefore = true
        kept = RetentionPlan.spread(checkpoints[first...], settings.checkpoints, newest)
      }
    }
    base = checkpoints[first].txid
    self.kept = Set(kept.map(\.txid))
  }

  /// Which of them stay where none is older than what is to be kept, and `most` at most are kept.
  package static func kept(of checkpoints: [Checkpoint], atMost most: Int) -> [Checkpoint] {
    spread(checkpoints[...], most, RetentionSettings.leastCheckpoints)
  }

  /// At most `most` of them, the first and the newest ones in any case. Those between go where the gap that
  /// is left is the shortest, so that they are spread over the time.
  private static func spread(_ all: ArraySlice<Checkpoint>, _ most: Int, _ newest: Int)
    -> [Checkpoint]
  {
    var left = Array(all)
    while left.count > max(most, newest), left.count > newest + 1 {
      let between = 1..<(left.count - newest)
      let shortest = between.min { a, b in
        left[a + 1].made_ms - left[a - 1].made_ms < left[b + 1].made_ms - left[b - 1].made_ms
      }
      guard let shortest else { break }
      left.remove(at: shortest)
    }
    return left
  }
}
