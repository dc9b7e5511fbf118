import SluiceFakes
import SluiceJournal
import SluiceShared

/// Batches that end every process which begins to execute them, and whom the beacons of ended terms
/// named as being executed: what a verdict of poison must rest on.
final class Poison {
  /// Ends without a verdict that one batch can cause in a row: one in a group that nothing names, and
  /// one for each attempt.
  static let mostEnds = 1 + attempts
  static let attempts = Int(Limits.endsBeforeCare + Limits.endsInCare)
  static let mostBatches = 2

  private(set) var batches: Set<BatchID> = []
  /// Sequence numbers under which a process writes such batches, by its number: it gets its writer's
  /// id in the midst of the submit, or several, where the first may be forgotten.
  private var awaited: [UInt64: [SequenceNumber]] = [:]
  /// By log segment, what its last beacon said is being executed, at some time when a claimant may have
  /// read that.
  private var named: [UInt64: Set<Attempt>] = [:]
  /// Processes that a batch ended.
  private(set) var deaths = 0

  var expected: Int { awaited.values.joined().count }
  var mayHaveMore: Bool { expected < Poison.mostBatches }

  /// The process will submit, in one call, with a new writer and nothing else, such a batch at `sequence`.
  func expect(_ process: SimulatedProcess, at sequence: Int) {
    awaited[process.number, default: []].append(SequenceNumber(UInt64(sequence)))
  }

  /// The names of the segments that the process makes tell its writer's ids.
  func sees(_ operation: FileOperation, of process: SimulatedProcess) {
    guard !awaited.isEmpty, operation.action == .create,
      let sequences = awaited[process.number],
      let name = operation.path.split(separator: "/").last.map(String.init),
      let segment = StoreLayout.journalSegment(name)
    else { return }
    for sequence in sequences {
      batches.insert(BatchID(writer: segment.writer, sequence: sequence))
    }
  }

  /// The process is about to execute the batch.
  func meets(_ batch: BatchID, _ process: SimulatedProcess) throws(StoreError) {
    guard batches.contains(batch) else { return }
    deaths += 1
    process.die()
    throw StoreError(.io, "the batch ended the process", batch: batch)
  }

  /// A claim begins, marks a segment, or has won: what the beacons before it say. A holder that it closes
  /// may still take its word back, when that was read.
  func claims(after segments: [(number: UInt64, beacon: Beacon)]) {
    for (number, beacon) in segments {
      named[number, default: []].formUnion(beacon.status.attempts.filter(\.isExecuting))
    }
  }

  /// The log segments that may have ended while their holders executed the batch.
  func ended(in batch: BatchID) -> Set<UInt64> {
    Set(named.filter { $0.value.contains { $0.contains(batch) } }.keys)
  }

  /// What a beacon says of earlier terms' ends, held against what those said. nil: it may be so.
  func complaint(_ beacon: Beacon, of segment: UInt64) -> Violation? {
    for attempt in beacon.status.attempts where attempt.ends > 0 {
      let ended = ended(in: attempt.batch).subtracting([segment])
      guard ended.count >= attempt.ends else {
        return Violation(
          .endsOvercounted,
          "segment \(segment) says that \(attempt.ends) terms ended in \(attempt.batch), and only those of \(ended.sorted()) may have"
        )
      }
    }
    return nil
  }
}
