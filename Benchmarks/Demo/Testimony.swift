import SluiceJournal
import SluiceShared
import SluiceWriter

/// What a worker was told about one of its batches. One line of text each, from the worker's
/// process to the one that verifies.
struct Testimony: Hashable, Sendable {
  enum Answer: Hashable, Sendable {
    /// Durable, then the outcome: its place in the order and what it was.
    case applied(TxID)
    case rejected(TxID, code: String)
    case duplicate(TxID, of: TxID)
    /// Durable, and no outcome came.
    case noOutcome(String)
    /// `submit` threw that the batch is certainly not there.
    case notSubmitted(String)
    /// `submit` threw that it may be there.
    case unknown(String)
  }

  var deed: Deed
  /// Under which name it was submitted; none where that failed before it had one.
  var batch: BatchID?
  var answer: Answer
  /// When `submit` was called (nanoseconds since boot), how long it took, and how long until the
  /// outcome was known.
  var began_ns: UInt64
  var durable_ns: UInt64
  var visible_ns: UInt64
}

extension Testimony {
  init(
    _ deed: Deed, _ batch: BatchID, _ outcome: AppliedOutcome, began_ns: UInt64,
    durable_ns: UInt64, visible_ns: UInt64
  ) {
    let answer: Answer =
      switch outcome.outcome {
      case .applied: .applied(outcome.txid)
      case .rejected(let rejection): .rejected(outcome.txid, code: rejection.code)
      case .duplicate(let original, _): .duplicate(outcome.txid, of: original)
      }
    self.init(
      deed: deed, batch: batch, answer: answer, began_ns: began_ns, durable_ns: durable_ns,
      visible_ns: visible_ns)
  }

  /// Fields with blanks between them; the message of a failure is the last.
  var line: String {
    var fields: [String] = [String(deed.worker), String(deed.number)]
    switch deed.kind {
    case .transfer(let transfer):
      fields += ["transfer", "\(transfer.source),\(transfer.target),\(transfer.amount)"]
    case .append(let first, let count): fields += ["append", "\(first),\(count)"]
    case .repeated(let number): fields += ["repeated", "\(number)"]
    }
    fields.append(batch.map { "\($0.writer),\($0.sequence)" } ?? "-")
    fields += [String(began_ns), String(durable_ns), String(visible_ns)]
    switch answer {
    case .applied(let txid): fields += ["applied", "\(txid)"]
    case .rejected(let txid, let code): fields += ["rejected", "\(txid)", code]
    case .duplicate(let txid, let original): fields += ["duplicate", "\(txid)", "\(original)"]
    case .noOutcome(let message): fields += ["noOutcome", message]
    case .notSubmitted(let message): fields += ["notSubmitted", message]
    case .unknown(let message): fields += ["unknown", message]
    }
    return fields.joined(separator: " ")
  }

  /// Reads what `line` wrote; nil for anything else.
  init?(line: Substring) {
    let fields = line.split(separator: " ", maxSplits: 9).map(String.init)
    guard fields.count >= 10, let worker = Int(fields[0]), let number = Int(fields[1]),
      let kind = Deed.Kind(fields[2], fields[3].split(separator: ",").compactMap { Int64($0) }),
      let began = UInt64(fields[5]), let durable = UInt64(fields[6]),
      let visible = UInt64(fields[7]), let answer = Answer(fields[8], fields[9])
    else { return nil }
    let name = fields[4].split(separator: ",")
    if name.count == 2 {
      guard let writer = WriterID(name[0]), let sequence = UInt64(name[1]) else { return nil }
      batch = BatchID(writer: writer, sequence: SequenceNumber(sequence))
    }
    deed = Deed(worker: worker, number: number, kind: kind)
    self.answer = answer
    began_ns = began
    durable_ns = durable
    visible_ns = visible
  }
}

extension Deed.Kind {
  fileprivate init?(_ name: String, _ numbers: [Int64]) {
    switch (name, numbers.count) {
    case ("transfer", 3):
      self = .transfer(
        Deed.Transfer(source: numbers[0], target: numbers[1], amount: numbers[2]))
    case ("append", 2): self = .append(first: numbers[0], count: numbers[1])
    case ("repeated", 1): self = .repeated(Int(numbers[0]))
    default: return nil
    }
  }
}

extension Testimony.Answer {
  fileprivate init?(_ name: String, _ rest: String) {
    let words = rest.split(separator: " ", maxSplits: 1).map(String.init)
    let txid = words.first.flatMap { UInt64($0) }.map { TxID($0) }
    switch (name, txid, words.count) {
    case ("applied", let txid?, 1): self = .applied(txid)
    case ("rejected", let txid?, 2): self = .rejected(txid, code: words[1])
    case ("duplicate", let txid?, 2):
      guard let original = UInt64(words[1]) else { return nil }
      self = .duplicate(txid, of: TxID(original))
    case ("noOutcome", _, _): self = .noOutcome(rest)
    case ("notSubmitted", _, _): self = .notSubmitted(rest)
    case ("unknown", _, _): self = .unknown(rest)
    default: return nil
    }
  }
}
