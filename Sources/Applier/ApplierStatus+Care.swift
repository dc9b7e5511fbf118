internal import SluiceJournal
internal import SluiceShared

/// What a beacon says of batches that may be what ends appliers, and every change of it.
///
/// A host that dies says nothing about the batch at hand, so one unclean end changes nothing but this:
/// until a term has executed all that waited, each group is named before it is executed (*watched*).
/// Batches are named by writer and sequence number, since a TxID names none: another term may read the
/// journal in another order.
///
///     not watched ── a term ends without release ──▶ watched
///     named       ── the term ends ──▶ ends + 1: tried again, before all others
///     ends = 2                         tried one a commit: *care*
///     ends = 2 + 3                     rejected as poisonous
///     all that waited was executed     ──▶ not watched
extension ApplierStatus {
  /// What the first beacon of a term says, given the last one of the term before. What this very process
  /// had named, and survived, ended nothing.
  init(after inherited: Beacon?, survived: [Attempt], _ environment: Environment) {
    self = inherited?.status ?? ApplierStatus()
    // Those of another process.
    hints = StatedHints()
    // No turn outlasts its term.
    turn = nil
    let isUnclean = inherited.map { $0.state != .released } ?? false
    // What a beacon says is checked against its checksum only: it must not end its successor.
    if isUnclean, uncleanTerms < .max, environment.makes(.watchAfterUncleanEnd) {
      uncleanTerms += 1
    }
    for i in attempts.indices where attempts[i].isExecuting {
      let didSurvive = !isUnclean || survived.contains(attempts[i])
      attempts[i].isExecuting = false
      if !didSurvive, attempts[i].ends < .max, environment.makes(.countEnds) {
        attempts[i].ends += 1
      }
    }
    attempts.removeAll { $0.ends == 0 }
  }

  /// Whether each group is to be named before it is executed.
  var isWatched: Bool { uncleanTerms > 0 || !attempts.isEmpty }

  /// What is being executed, or is next.
  var executing: [Attempt] { attempts.filter(\.isExecuting) }

  /// What is known of a batch; nil where no term ended while it executed it, and none executes it now.
  func attempt(at batch: BatchID) -> Attempt? { attempts.first { $0.contains(batch) } }

  /// These are executed next, and nothing else; `ends` terms ended in them before.
  mutating func begin(_ batches: some Sequence<BatchID>, ends: UInt32) {
    _ = takeBack()
    var spans: [(writer: WriterID, first: SequenceNumber, last: SequenceNumber)] = []
    for batch in batches {
      if let place = spans.firstIndex(where: { $0.writer == batch.writer }) {
        spans[place].first = min(spans[place].first, batch.sequence)
        spans[place].last = max(spans[place].last, batch.sequence)
      } else {
        spans.append((batch.writer, batch.sequence, batch.sequence))
      }
    }
    for (writer, first, last) in spans {
      forget(upTo: last, of: writer)
      let length = UInt32(clamping: last.rawValue - first.rawValue + 1)
      attempts.append(
        Attempt(
          batch: BatchID(writer: writer, sequence: first), length: length, ends: ends,
          isExecuting: true))
    }
  }

  /// They are in the history.
  mutating func finish(_ batches: some Sequence<BatchID>) {
    var last: [WriterID: SequenceNumber] = [:]
    for batch in batches {
      last[batch.writer] = max(last[batch.writer] ?? batch.sequence, batch.sequence)
    }
    for (writer, sequence) in last { forget(upTo: sequence, of: writer) }
  }

  /// A writer's batches up to `sequence` are in the history.
  mutating func forget(upTo sequence: SequenceNumber, of writer: WriterID) {
    for i in attempts.indices
    where attempts[i].batch.writer == writer && attempts[i].batch.sequence <= sequence {
      guard attempts[i].last > sequence else {
        attempts[i].length = 0
        continue
      }
      attempts[i].length = UInt32(clamping: attempts[i].last.rawValue - sequence.rawValue)
      attempts[i].batch = BatchID(writer: writer, sequence: sequence.next)
    }
    attempts.removeAll { $0.length == 0 }
  }

  /// Nothing of what is named was executed, or it is not what ends the term. False where nothing is named.
  mutating func takeBack() -> Bool {
    guard attempts.contains(where: \.isExecuting) else { return false }
    for i in attempts.indices { attempts[i].isExecuting = false }
    attempts.removeAll { $0.ends == 0 }
    return true
  }

  /// All that waited was executed, and this term goes on.
  mutating func clear() {
    uncleanTerms = 0
    attempts.removeAll()
  }
}

extension Attempt {
  /// Executed one a commit.
  var isCareful: Bool { ends >= Limits.endsBeforeCare }
  /// Only a batch that was executed by itself is condemned.
  var isPoisonous: Bool { length == 1 && ends >= Limits.endsBeforeCare + Limits.endsInCare }
}
