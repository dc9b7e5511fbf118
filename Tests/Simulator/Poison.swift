import SluiceFakes
import SluiceJournal
import SluiceShared

/// Batches that end every process which begins to execute them, and whom the beacons of ended terms
/// named as being executed: what a verdict of poison must rest on.
final class Poison {
  /// Ends without a verdict that one batch can cause in a row: one in a group, where nobody knows
  /// which batch it was, and one for each attempt.
  static let mostEnds = 1 + attempts
  static let attempts = 3
  static let mostBatches = 2

  private(set) var batches: Set<BatchID> = []
  /// Sequence numbers under which a process writes such batches, by its number: it gets its writer's
  /// id in the midst of the submit, or several, where the first may be forgotten.
  private var awaited: [UInt64: [SequenceNumber]] = [:]
  /// The log segments whose last beacon says that the batch was being executed.
  private(set) var ended: [BatchID: Set<UInt64>] = [:]
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
      for attempt in beacon.status.attempts where attempt.isExecuting {
        ended[attempt.batch, default: []].insert(number)
      }
    }
  }
}
