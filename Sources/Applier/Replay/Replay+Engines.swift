internal import SluiceJournal
internal import SluiceShared

/// Who executed what is replayed: another SQLite may order rows otherwise.
extension Replay {
  private struct Executed {
    let engine: StartRecord.Engine
    let first: TxID
    var last: TxID
  }

  /// Says which batches another SQLite executed, of those up to `point`: a line for all that one did in a row,
  /// over however many segments.
  func compareEngines(_ spans: [Log.Span], upTo point: HistoryPoint?) {
    let here = Engine.current
    var executed: [Executed] = []
    for (i, span) in spans.enumerated() {
      let first = max(span.start.carried.txid, summary.first).next
      let next = i + 1 < spans.count ? spans[i + 1].inherited : history.present.extent
      guard first <= next.txid, point?.mayReach(beyond: span.start.carried) ?? true
      else { continue }
      let last = point?.lastTxID.map { min($0, next.txid) } ?? next.txid
      if executed.last?.engine == span.start.engine {
        executed[executed.count - 1].last = last
      } else {
        executed.append(Executed(engine: span.start.engine, first: first, last: last))
      }
    }
    for one in executed where one.engine != here {
      let difference = one.engine.difference(from: here)
      note(
        "batches \(one.first) to \(one.last) were executed by \(difference); rows without an ORDER BY, and messages, may differ"
      )
    }
  }
}

extension StartRecord.Engine {
  fileprivate func difference(from other: Self) -> String {
    let name = { (id: String) in id.split(separator: " ").first.map { "\($0)" } ?? id }
    if architecture != other.architecture {
      return "SQLite on \(architecture), and this is \(other.architecture)"
    }
    if sourceID != other.sourceID {
      return "the SQLite of \(name(sourceID)), and this is that of \(name(other.sourceID))"
    }
    return "this SQLite, built with other options"
  }
}
