import SluiceJournal
import SluiceShared

/// An input that is read batch by batch, in order, with bounded memory.
protocol BatchSource: ~Copyable {
  /// The next batch; nil at the end. After an error nothing more can be read.
  mutating func next() throws(StoreError) -> InputBatch?
}

/// A batch and where the input has it.
struct InputBatch: Hashable {
  var batch: Batch
  /// The input's name in messages.
  var input: String
  /// The line on which the batch begins, from 1.
  var line: Int
  /// False for what stands on the command line, where nobody needs to be told the place.
  var isFromFile = true
  /// The number that it had in another writer's journal before.
  var sequence: SequenceNumber?
  /// Of a script: the line on which each of the batch's statements begins.
  var statementLines: [Int] = []
  /// What whoever reads the outcome should know of the input, on its last batch.
  var notes: [String] = []
  /// About what the batch takes in memory, values included.
  var weight = 0

  /// Leaves of the batch what a report needs.
  mutating func forgetValues() {
    for i in batch.statements.indices { batch.statements[i].rows = [] }
    for i in batch.guards.indices { batch.guards[i].rows = [] }
  }

  /// `error`, met when the batch was encoded or submitted, with the place in front: limits are
  /// checked there and not a second time here.
  func located(_ error: StoreError) -> StoreError {
    var error = error
    error.message = "\(input), line \(line): \(error.message)"
    return error
  }
}

extension StoreError {
  /// An input that cannot be meant.
  init(input: String, line: Int, _ message: String) {
    self.init(.invalid, "\(input), line \(line): \(message)")
  }
}
