import SluiceJournal
import SluiceQuery
import SluiceReader
import SluiceShared

/// What became of the batches of a segment in quarantine, by the history that is kept.
///
/// Its writer's last number does not say it: a writer goes on behind batches that are missing because they
/// are here. So each number is looked up in the log, and each key.
struct QuarantineFates {
  enum Fate {
    /// The history has it, under its own name.
    case executed
    /// The history has one with its key, or with the key under which `sluice resubmit` submits it.
    case submittedAgain
    case open
  }

  /// The last batch of its writer that the history has; nil where that is forgotten, or never was one.
  let last: SequenceNumber?
  /// The history goes back to where none of these batches can have been executed.
  private(set) var isComplete = true
  private var numbers: Set<UInt64> = []
  private var keys: Set<String> = []

  /// Reads all of the log. `transaction` is to have begun after whatever the caller listed of the journal.
  init(_ segment: QuarantinedSegment, _ path: String, _ transaction: ReadTransaction) throws {
    let row = try transaction.query(
      "SELECT sequence FROM _sluice_writers WHERE hex(writer) = ?",
      [.text(segment.id.writer.description.replacing("-", with: "").uppercased())])
    if case .integer(let sequence)? = row.first?.first {
      last = SequenceNumber(UInt64(max(0, sequence)))
    } else {
      last = nil
    }
    guard let header = try segment.frames()?.header else { return }
    let asked = try Asked(segment)
    var begin_ms = Int64.min
    let feed = try ChangeFeed(path: path, from: TxID(1), environment: .posix())
    try feed.advance(onGap: { begin_ms = max(begin_ms, $0.time_ms) }) { entry in
      let batch = entry.outcome.batch
      if batch.writer == segment.id.writer, asked.range?.contains(batch.sequence) == true {
        numbers.insert(batch.sequence.rawValue)
      }
      if let key = entry.outcome.key, asked.keys.contains(key) { keys.insert(key) }
    }
    let made_ms = min(header.created_ms, segment.modified_ms)
    isComplete = begin_ms <= made_ms - Limits.historyBeforeSegment.wholeMilliseconds
  }

  /// The numbers and keys in it.
  private struct Asked {
    private(set) var range: ClosedRange<SequenceNumber>?
    private(set) var keys: Set<String> = []

    init(_ segment: QuarantinedSegment) throws {
      _ = try segment.read { held in
        let sequence = held.batch.sequence
        range =
          range.map { min($0.lowerBound, sequence)...max($0.upperBound, sequence) }
          ?? sequence...sequence
        keys.insert(held.keyAgain)
      }
    }
  }

  func fate(of held: QuarantinedSegment.Held) -> Fate {
    let sequence = held.batch.sequence
    if numbers.contains(sequence.rawValue) { return .executed }
    // Appliers read these, in their order; all that the log says is later.
    if !isComplete, held.isChained, let last, sequence <= last { return .executed }
    return keys.contains(held.keyAgain) ? .submittedAgain : .open
  }
}

extension QuarantinedSegment.Held {
  /// The key under which it is submitted again: its own, or one that is made of its name, so that it is applied
  /// once however often that is done.
  var keyAgain: String {
    content?.key ?? "resubmitted/\(batch.writer)/\(batch.sequence)"
  }
}
