internal import SluiceJournal
package import SluiceShared

extension Salvage {
  /// What is still known of a batch, or that of some nothing is.
  package enum Remains: Sendable {
    /// `batch`: as it was submitted, where that can be read.
    case batch(ChangeFeed.Entry)
    /// Of these the log says nothing.
    case nothing(ClosedRange<TxID>)
  }

  /// Tells of each batch in `ranges`, ascending, what is left of it.
  package func tell(of ranges: [ClosedRange<TxID>], _ body: (Remains) throws -> Void) throws {
    var next: [TxID] = ranges.map(\.lowerBound)
    for one in log.segments {
      var survey = SegmentSurvey(one.segment, end: one.end)
      while let found = try survey.next() {
        guard case .frame(let frame, _) = found, frame.kind == .commit else { continue }
        let batches = TxID(frame.first)...TxID(frame.first + UInt64(frame.count) - 1)
        for (i, range) in ranges.enumerated()
        where range.overlaps(batches) && next[i] <= batches.upperBound {
          guard let entries = try entries(of: frame, &survey) else { continue }
          for entry in entries where range.contains(entry.txid) && entry.txid >= next[i] {
            if entry.txid > next[i] { try body(.nothing(next[i]...TxID(entry.txid.rawValue - 1))) }
            try body(.batch(entry))
            next[i] = entry.txid.next
          }
        }
      }
    }
    for (i, range) in ranges.enumerated() where next[i] <= range.upperBound {
      try body(.nothing(next[i]...range.upperBound))
    }
  }

  /// nil where the outcomes cannot be read: then nobody knows whose the batches were.
  private func entries(of frame: FrameHeader, _ survey: inout SegmentSurvey) throws(StoreError)
    -> [ChangeFeed.Entry]?
  {
    let meta = try survey.scanner.section(.meta, of: frame, limit: Limits.commitBytes)
      .flatMap { try? CommitMeta(decoding: $0) }
    guard let bytes = try survey.scanner.section(.outcomes, of: frame, limit: Limits.commitBytes),
      let outcomes = try? BatchOutcome.decode(bytes, count: frame.count)
    else { return nil }
    let list = try survey.scanner.section(.batches, of: frame, limit: Limits.commitBytes) ?? []
    let places = try? BatchList.ranges(list, count: outcomes.count)
    return outcomes.enumerated().map { i, outcome in
      ChangeFeed.Entry(
        txid: TxID(frame.first + UInt64(i)), commit: meta?.commit ?? 0, time_ms: meta?.time_ms ?? 0,
        outcome: outcome,
        batch: places.flatMap { places in
          try? list[places[i]].withUnsafeBytes { try Batch(decoding: $0) }
        })
    }
  }
}
