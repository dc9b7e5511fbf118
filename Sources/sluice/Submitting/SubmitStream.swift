import SluiceJournal
import SluiceShared
import SluiceWriter

/// A batch after its submit, and when that returned (boot time).
struct SubmittedBatch: Sendable {
  var input: InputBatch
  var result: Result<Receipt, StoreError>
  var at: Duration
}

/// Three threads that pass batches on: one reads the input, one submits what was read meanwhile in
/// one flush, and the caller of `next` waits for the outcomes. So many batches are in flight and
/// share flushes and commits, and the order is the input's.
final class SubmitStream: Sendable {
  /// Batches, and about their bytes, that were read and have not been reported.
  private static let mostBatches = 512
  private static let mostBytes = 64 << 20

  private struct State {
    var read: [InputBatch] = []
    var submitted: [SubmittedBatch] = []
    var batches = 0
    var bytes = 0
    var isReadingDone = false
    var isSubmittingDone = false
    /// Nothing more is to be submitted.
    var isStopped = false
    var error: StoreError?
    /// Read, and waits for room.
    var waiting: InputBatch?
    /// The first batch that was read and not submitted.
    var unsubmitted: InputBatch?
  }

  private let state = Monitor(State())

  // MARK: The reading thread

  /// Reads until the end, an error, or `stop`.
  func read(_ next: () throws(StoreError) -> InputBatch?) {
    var failure: StoreError?
    do throws(StoreError) {
      while let input = try next(), put(input) {}
    } catch {
      failure = error
    }
    state.withLock { state in
      state.error = failure
      state.isReadingDone = true
    }
    state.wakeAll()
  }

  /// Waits for room; false when nothing more is wanted.
  private func put(_ input: consuming InputBatch) -> Bool {
    let bytes = input.batch.approximateBytes
    input.weight = bytes
    let input = input
    let isWanted = state.wait { state -> Bool? in
      state.waiting = input
      if state.isStopped { return false }
      let hasRoom =
        state.batches < Self.mostBatches && state.bytes + bytes <= Self.mostBytes
      guard hasRoom || state.batches == 0 else { return nil }
      state.waiting = nil
      state.batches += 1
      state.bytes += bytes
      state.read.append(input)
      return true
    }
    state.wakeAll()
    return isWanted
  }

  // MARK: The submitting thread

  /// Submits until everything is, or one submit failed.
  func submit(to writer: Writer) {
    while var inputs = takeRead() {
      // Their values are needed no more once they are encoded, and may be large.
      var batches: [Batch] = []
      batches.reserveCapacity(inputs.count)
      for i in inputs.indices {
        batches.append(inputs[i].batch)
        inputs[i].forgetValues()
      }
      let results = writer.submitBlocking(consume batches)
      let now = SystemClock().elapsed()
      state.withLock { state in
        for (input, result) in zip(inputs, results) {
          state.submitted.append(SubmittedBatch(input: input, result: result, at: now))
          if case .failure = result { state.isStopped = true }
        }
      }
      state.wakeAll()
    }
    state.withLock { $0.isSubmittingDone = true }
    state.wakeAll()
  }

  /// All that was read meanwhile; nil at the end.
  private func takeRead() -> [InputBatch]? {
    state.wait { state -> [InputBatch]?? in
      if state.isStopped {
        if let first = state.read.first { state.unsubmitted = first }
        state.read = []
        return .some(nil)
      }
      if !state.read.isEmpty {
        defer { state.read = [] }
        return state.read
      }
      return state.isReadingDone ? .some(nil) : nil
    }
  }

  // MARK: The caller's thread

  /// The next batch that was submitted, or not; nil after the last.
  func next() -> SubmittedBatch? {
    state.wait { state -> SubmittedBatch?? in
      if !state.submitted.isEmpty { return state.submitted.removeFirst() }
      return state.isSubmittingDone ? .some(nil) : nil
    }
  }

  /// The batch was reported: there is room for others.
  func finished(_ batch: SubmittedBatch) {
    let bytes = batch.input.weight
    state.withLock { state in
      state.batches -= 1
      state.bytes -= bytes
    }
    state.wakeAll()
  }

  /// Nothing more is submitted, except what is on its way.
  func stop() {
    state.withLock { $0.isStopped = true }
    state.wakeAll()
  }

  /// How the input ended.
  struct End {
    var error: StoreError?
    /// The first batch that was read and not submitted.
    var unsubmitted: InputBatch?
    /// The reading thread is done; otherwise there may be more in the input than was read.
    var isComplete: Bool
  }

  var end: End {
    state.withLock { state in
      End(
        error: state.error, unsubmitted: state.unsubmitted ?? state.waiting,
        isComplete: state.isReadingDone)
    }
  }
}

extension Batch {
  /// About what it takes in memory and in the journal.
  fileprivate var approximateBytes: Int {
    (statements + guards).reduce(64) { sum, statement in
      statement.rows.reduce(sum + statement.sql.utf8.count) { sum, row in
        row.reduce(sum + 16) { $0 + $1.approximateBytes }
      }
    }
  }
}

extension SQLValue {
  fileprivate var approximateBytes: Int {
    switch self {
    case .null, .integer, .real: 16
    case .text(let text): 16 + text.utf8.count
    case .blob(let bytes): 16 + bytes.count
    }
  }
}
