internal import SluiceJournal
internal import SluiceShared

/// Batches that were read and are not executed yet: a queue for each writer, served in turns.
///
/// A turn is a few batches. So whoever submits one batch waits for one turn of each other writer, however
/// much those have submitted, and whoever always has something waiting gets its share of what is executed.
/// Each writer's order stays as it is.
///
/// A turn is counted in batches, and a batch may take half a minute. So whose batch took long owes that time
/// to the others (`charge`): has no turn while somebody without a debt has batches here, and pays with what
/// is executed of others. However slow its batches are, what the others submit gets as much time as they do.
/// Where only debtors wait, the smallest debt comes first.
///
/// It is owed twice: by the **user** whose files the writer's are, since a user may have any number of
/// writers, and by the **writer** to those of the same user. Where a file server makes all users one, that
/// one's debt decides nothing, and the writers' do.
///
/// What was asked for by `next` is **planned**: it comes before all that is added later, in the order in
/// which it was seen. A beacon can name it, therefore, before it is executed.
struct WaitingBatches {
  /// Batches of one writer that are executed before the next writer's.
  static let turnLength = 4

  /// In the order in which they are executed.
  private var planned = Queue()
  /// What is not planned yet. None is empty.
  private var queues: [WriterID: Queue] = [:]
  /// Whose turn it is, and who comes next: each writer with a queue, once.
  private var rotation = Rotation()
  /// Of the turn at hand.
  private var leftOfTurn = WaitingBatches.turnLength
  /// Time that is owed to the others; each more than none.
  private var debts = Debts<WriterID>()
  private var debtsOfUsers = Debts<UInt32>()
  /// How many of each writer there are, planned or not.
  private var counts: [WriterID: Int] = [:]
  private(set) var count = 0
  /// Bytes of the frames that they are from, and the memory that these take.
  private(set) var bytes = 0
  private(set) var weight = 0

  var isEmpty: Bool { count == 0 }

  func has(_ writer: WriterID) -> Bool { counts[writer] != nil }

  /// The batches of a frame from `first` on, which follow what there is of its writer.
  mutating func append(_ frame: PendingFrame, from first: Int) {
    let writer = frame.segmentID.writer
    let added = Int(frame.frame.count) - first
    guard added > 0 else { return }
    if queues[writer] == nil {
      queues[writer] = Queue()
      rotation.append(writer)
    }
    for index in first..<Int(frame.frame.count) {
      queues[writer]?.append(PendingBatch(frame, index))
    }
    counts[writer, default: 0] += added
    count += added
    bytes += Int(frame.frame.rawBytes)
    weight += Int(frame.frame.weight)
  }

  /// The next batches, without taking them: at most `most` of them and about `bytes`, but one in any case,
  /// and as far as they are `wanted`, which is asked of each with those before it.
  mutating func next(
    _ most: Int, bytes: Int, while wanted: (PendingBatch) -> Bool = { _ in true }
  ) -> ArraySlice<PendingBatch> {
    var total = 0
    var end = 0
    while end < most, let batch = peek(end) {
      guard end == 0 || total + batch.bytes <= bytes, wanted(batch) else { break }
      total += batch.bytes
      if end == planned.count { plan() }
      end += 1
    }
    return planned.first(end)
  }

  /// A commit or a turn took `time`; all of it are debts paid, but those of the writer that took so much
  /// (nil: none did), and of its user: these grow. What is planned is planned anew then: none of it may be
  /// named by a beacon.
  mutating func charge(_ debtor: (writer: WriterID, owner: UInt32)?, _ time: Duration) {
    debts.charge(debtor?.writer, time)
    debtsOfUsers.charge(debtor?.owner, time)
    if debtor != nil { planAnew() }
  }

  private mutating func planAnew() {
    var back: [WriterID: [PendingBatch]] = [:]
    var order: [WriterID] = []
    for batch in planned.first(planned.count) {
      if back[batch.id.writer] == nil { order.append(batch.id.writer) }
      back[batch.id.writer, default: []].append(batch)
    }
    planned = Queue()
    for (writer, batches) in back { queues[writer, default: Queue()].prepend(batches) }
    rotation = Rotation(order + rotation.all.filter { back[$0] == nil })
    leftOfTurn = WaitingBatches.turnLength
  }

  /// A turn begins: whose it is owes least of all who have batches here.
  private mutating func settle() {
    guard !debts.isEmpty || !debtsOfUsers.isEmpty, leftOfTurn == WaitingBatches.turnLength,
      let first = rotation.first, debt(of: first) > (.zero, .zero)
    else { return }
    let least = rotation.all.min { debt(of: $0) < debt(of: $1) }
    guard let least, least != first else { return }
    rotation = Rotation([least] + rotation.all.filter { $0 != least })
  }

  private func debt(of writer: WriterID) -> (ofUser: Duration, ofWriter: Duration) {
    let user = queues[writer]?.first?.owner
    return (user.map { debtsOfUsers[$0] } ?? .zero, debts[writer])
  }

  /// The batch at this place of the order: a planned one, or the first that is not.
  private mutating func peek(_ place: Int) -> PendingBatch? {
    if place < planned.count { return planned[place] }
    settle()
    guard let writer = rotation.first else { return nil }
    return queues[writer]?.first
  }

  /// Plans one more.
  private mutating func plan() {
    settle()
    guard let writer = rotation.first, let batch = queues[writer]?.removeFirst() else { return }
    planned.append(batch)
    leftOfTurn -= 1
    let isDone = queues[writer]?.isEmpty ?? true
    if isDone { queues[writer] = nil }
    guard isDone || leftOfTurn == 0 else { return }
    rotation.removeFirst()
    if !isDone { rotation.append(writer) }
    leftOfTurn = WaitingBatches.turnLength
  }

  /// Plans what is `wanted` before all others; false where nothing of it waits. Only what a writer's other
  /// batches here are to follow may be wanted, or are repeats of what is in the history.
  mutating func bringForward(_ wanted: (BatchID) -> Bool) -> Bool {
    var front: [PendingBatch] = []
    planned.move(wanted, to: &front)
    for writer in rotation.all {
      queues[writer]?.move(wanted, to: &front)
    }
    guard !front.isEmpty else { return false }
    planned.prepend(front)
    let emptied = Set(rotation.all.filter { queues[$0]?.isEmpty ?? true })
    guard !emptied.isEmpty else { return true }
    if let first = rotation.first, emptied.contains(first) {
      leftOfTurn = WaitingBatches.turnLength
    }
    for writer in emptied { queues[writer] = nil }
    rotation.remove(emptied)
    return true
  }

  /// Takes out the next batch.
  mutating func takeFirst() -> PendingBatch? {
    if planned.isEmpty { plan() }
    guard let batch = planned.removeFirst() else { return nil }
    let writer = batch.id.writer
    let left = (counts[writer] ?? 1) - 1
    counts[writer] = left == 0 ? nil : left
    count -= 1
    if batch.isLastOfFrame {
      bytes -= Int(batch.frame.frame.rawBytes)
      weight -= Int(batch.frame.frame.weight)
    }
    return batch
  }

  /// Takes out all that waits of a writer.
  mutating func remove(_ writer: WriterID) {
    var removed: [PendingBatch] = []
    planned.move({ $0.writer == writer }, to: &removed)
    queues[writer]?.move({ _ in true }, to: &removed)
    queues[writer] = nil
    if rotation.first == writer { leftOfTurn = WaitingBatches.turnLength }
    rotation.remove([writer])
    counts[writer] = nil
    count -= removed.count
    for batch in removed where batch.isLastOfFrame {
      bytes -= Int(batch.frame.frame.rawBytes)
      weight -= Int(batch.frame.frame.weight)
    }
  }

  /// The first of each writer's.
  var firsts: some Sequence<PendingBatch> {
    var seen: Set<WriterID> = []
    let first = planned.first(planned.count).filter { seen.insert($0.id.writer).inserted }
    return first + rotation.all.filter { !seen.contains($0) }.compactMap { queues[$0]?.first }
  }
}

extension WaitingBatches {
  /// Who owes how much time. Nobody owes more than `Limits.longestDebt`: who works alone for long owes those
  /// who come no day.
  private struct Debts<Debtor: Hashable> {
    private var debts: [Debtor: Duration] = [:]

    var isEmpty: Bool { debts.isEmpty }
    subscript(_ debtor: Debtor) -> Duration { debts[debtor] ?? .zero }

    mutating func charge(_ debtor: Debtor?, _ time: Duration) {
      for (other, debt) in debts where other != debtor {
        debts[other] = debt > time ? debt - time : nil
      }
      if let debtor { debts[debtor] = min(self[debtor] + time, Limits.longestDebt) }
    }
  }

  /// First in, first out.
  private struct Queue {
    private var batches: [PendingBatch] = []
    private var taken = 0

    var count: Int { batches.count - taken }
    var isEmpty: Bool { count == 0 }
    var first: PendingBatch? { isEmpty ? nil : batches[taken] }
    subscript(_ place: Int) -> PendingBatch { batches[taken + place] }
    func first(_ count: Int) -> ArraySlice<PendingBatch> { batches[taken..<taken + count] }

    mutating func append(_ batch: PendingBatch) { batches.append(batch) }

    mutating func prepend(_ front: [PendingBatch]) {
      batches.replaceSubrange(..<taken, with: front)
      taken = 0
    }

    mutating func removeFirst() -> PendingBatch? {
      guard let first else { return nil }
      taken += 1
      // What was taken holds its frame, and the file; a large frame is not to be held at all.
      if taken == batches.count {
        batches.removeAll(keepingCapacity: true)
        taken = 0
      } else if taken * 2 >= batches.count || first.isLastOfFrame && first.frame.isLarge {
        batches.removeFirst(taken)
        taken = 0
      }
      return first
    }

    /// Moves out what is `wanted`.
    mutating func move(_ wanted: (BatchID) -> Bool, to front: inout [PendingBatch]) {
      let found = first(count).filter { wanted($0.id) }
      guard !found.isEmpty else { return }
      batches = first(count).filter { !wanted($0.id) }
      taken = 0
      front += found
    }
  }

  /// Writers in the order of their turns.
  private struct Rotation {
    private var writers: [WriterID] = []
    private var passed = 0

    init(_ writers: [WriterID] = []) { self.writers = writers }

    var first: WriterID? { passed < writers.count ? writers[passed] : nil }
    var all: ArraySlice<WriterID> { writers[passed...] }

    mutating func append(_ writer: WriterID) { writers.append(writer) }

    mutating func removeFirst() {
      passed += 1
      guard passed * 2 >= writers.count else { return }
      writers.removeFirst(passed)
      passed = 0
    }

    mutating func remove(_ gone: Set<WriterID>) {
      writers = all.filter { !gone.contains($0) }
      passed = 0
    }
  }
}
