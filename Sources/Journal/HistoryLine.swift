package import SluiceShared

/// Where a history goes on after batches of it were lost for good: a *line* of its own.
///
/// How far the lost part went nobody can know for sure: its TxIDs were handed out, readers have its pages in
/// memory. So a line begins with numbers that the one before cannot have reached, and its first segment
/// names a segment before it that there is not. Who stands in the lost part then finds that what it would
/// go on from is not kept, and begins anew; nobody adds this line's commits to that one's pages.
package enum HistoryLine {
  /// The TxID, and the commit number, that a new line begins behind, where no higher one than `txid` is known.
  package static func beginning(after txid: TxID) throws(StoreError) -> TxID {
    let next = (txid.rawValue / Limits.batchesPerLine + 1) * Limits.batchesPerLine
    guard next < Limits.batchesPerLine * Limits.linesPerStore else {
      throw StoreError(
        .limit,
        "a store is repaired \(Limits.linesPerStore - 1) times at most; begin a new one with `sluice init --from` a restored file"
      )
    }
    return TxID(next)
  }

  /// The number of the first segment of the line that begins behind `txid`, where no higher one than `number` is
  /// known. By it alone can be told that the line has begun.
  package static func segment(of txid: TxID, after number: UInt64) -> UInt64 {
    max(number / Limits.segmentsPerLine + 1, line(of: txid)) * Limits.segmentsPerLine
  }

  /// Which line a batch is of, from 0; that of a line's checkpoint is the line's.
  static func line(of txid: TxID) -> UInt64 { txid.rawValue / Limits.batchesPerLine }

  /// What the first segment names as the published position before it. The nonce 0 says that there is none.
  static func nowhere(before number: UInt64) -> LogPosition {
    LogPosition(
      segment: number - 1, nonce: 0, end: Block.firstLogFrame + Int64(Block.size),
      lastFrame: Block.firstLogFrame, checksum: 0, startFrame: Block.firstLogFrame)
  }
}

extension StartRecord {
  /// The segment is the first of a line that a repair has begun: what has a lower number is not before it.
  package var beginsLine: Bool { parent?.nonce == 0 }
}
