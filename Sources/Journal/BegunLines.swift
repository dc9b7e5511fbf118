package import SluiceShared

/// Which lines of the history a store's files show to have begun.
///
/// A repair makes the checkpoint of a line before the line's first segment, and may be cut off in between. Until
/// that segment has its name the history goes on in the line before, whose batches have lower TxIDs, and nobody
/// may go by such a checkpoint: it has a state of the past under a TxID that no batch has.
package struct BegunLines {
  /// nil: there is no log that could say so.
  private let last: UInt64?

  /// Lists the log of the store at `layout`, and reads `store.json` where that can be read.
  package init(_ layout: StoreLayout, _ fileSystem: any FileSystem) throws(StoreError) {
    var numbers: [UInt64] = []
    for directory in [layout.log, layout.oldLog] {
      do throws(StoreError) {
        numbers += try fileSystem.list(directory).compactMap(StoreLayout.logNumber)
      } catch {
        guard error.isNoSuchFile else { throw error }
      }
    }
    let lost =
      (try? StoreDescription.read(layout, fileSystem))?.lost.map { $0.upperBound.next } ?? []
    last = numbers.max().map { newest in
      max(newest / Limits.segmentsPerLine, lost.map(HistoryLine.line).max() ?? 0)
    }
  }

  /// Whether the line is begun that a checkpoint as of `txid` is of.
  package func include(_ txid: TxID) -> Bool {
    last.map { HistoryLine.line(of: txid) <= $0 } ?? true
  }
}
