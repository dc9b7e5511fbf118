internal import SluiceJournal
internal import SluiceShared

/// Batches that were read and are not executed yet: a queue for each writer, served in turns.
///
/// A turn is a few batches of one writer. Turns go round over the **users** whose files the writers' are, and each
/// user's over its writers (`TurnRounds`): a user may have any number of writers. So whoever submits one batch
/// waits for one turn of each other user and of each other writer of its own, however much those have submitted,
/// and whoever always has something waiting gets its share of what is executed. Each writer's order stays as it is.
///
/// A turn is counted in batches, and a batch may take half a minute. So whose batch took long owes that time
/// to the others (`charge`): has no turn while somebody without a debt has batches here, and pays with what
/// is executed of others. However slow its batches are, what the others submit gets as much time as they do.
/// Where only debtors wait, the smallest debt comes first.
///
/// It is owed twice: by the user, and by the writer to those of the same user. Where a file server makes all
/// users one, that one's debt decides nothing, and the writers' do.
///
/// What was asked for by `next` is **planned**: it comes before all that is added later, in the order in
/// which it was seen. A beacon can name it, therefore, before it is executed. Where none does, the plan is made
/// anew behind each group (`planAnew`): it may be thousands of batches long, and each of them slow.
struct WaitingBatches {
  /// Batches of one writer that are executed before the next writer's.
  static let turnLength = 4

  /// In the order in which they are executed.
  private var planned = Queue()
  /// Beacons name what is planned: it stays so until it is executed.
  var isPlanNamed = false
  /// What is not planned yet. None is empty.
  private var queues: [WriterID: Queue] = [:]
  /// Whose turn it is, and who comes next: each writer with a queue, once.
  private var rounds = TurnRounds()
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
  /// That memory by the users whose files they are; each more than none.
  private var weights: [UInt32: Int] = [:]

  var isEmpty: Bool { count == 0 }

  func has(_ writer: WriterID) -> Bool { counts[writer] != nil }

  func weight(of user: UInt32) -> Int { weights[user] ?? 0 }

  /// The batches of a frame from `first` on, which follow what there is of its writer.
  mutating func append(_ frame: PendingFrame, from first: Int) {
    let writer = frame.segmentID.writer
    let added = Int(frame.frame.count) - first
    guard added > 0 else { return }
    if queues[writer] == nil {
      queues[writer] = Queue()
      rounds.append(writer, of: frame.owner)
    }
    for index in first..<Int(frame.frame.count) {
      queues[writer]?.append(PendingBatch(frame, index))
    }
    counts[writer, default: 0] += added
    count += added
    bytes += Int(frame.frame.rawBytes)
    weight += Int(frame.frame.weight)
    weights[frame.owner, default: 0] += Int(frame.frame.weight)
  }

  /// All of it was taken.
  private mutating func drop(_ frame: PendingFrame) {
    bytes -= Int(frame.frame.rawBytes)
    weight -= Int(frame.frame.weight)
    let left = weight(of: frame.owner) - Int(frame.frame.weight)
    weights[frame.owner] = left > 0 ? left : nil
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
  /// (nil: none did), and of its user: these grow, and its turn is over.
  mutating func charge(_ debtor: (writer: WriterID, owner: UInt32)?, _ time: Duration) {
    debts.charge(debtor?.writer, time)
    debtsOfUsers.charge(debtor?.owner, time)
    guard debtor != nil else { return }
    planAnew()
    leftOfTurn = WaitingBatches.turnLength
  }

  /// Puts what is planned back, so that it is planned anew with what was read and charged since. Whose turn it is
  /// keeps what is left of it: however few batches a group has, the others' turns come. What beacons name stays planned.
  mutating func planAnew() {
    guard !isPlanNamed, let first = planned.first else { return }
    var back: [WriterID: [PendingBatch]] = [:]
    var order: [(writer: WriterID, user: UInt32)] = []
    for batch in planned.first(planned.count) {
      if back[batch.id.writer] == nil { order.append((batch.id.writer, batch.owner)) }
      back[batch.id.writer, default: []].append(batch)
    }
    planned = Queue()
    for (writer, batches) in back { queues[writer, default: Queue()].prepend(batches) }
    rounds.putFirst(order)
    leftOfTurn = first.leftOfTurn
  }

  /// A turn begins: whose it is owes least of all users who have batches here, and least of that one's writers.
  private mutating func settle() {
    guard leftOfTurn == WaitingBatches.turnLength else { return }
    let (ofUsers, ofWriters) = (debtsOfUsers, debts)
    if !ofUsers.isEmpty { rounds.putFirst(userWithLeast: { ofUsers[$0] }) }
    if !ofWriters.isEmpty { rounds.putFirst(writerWithLeast: { ofWriters[$0] }) }
  }

  /// The batch at this place of the order: a planned one, or the first that is not.
  private mutating func peek(_ place: Int) -> PendingBatch? {
    if place < planned.count { return planned[place] }
    settle()
    guard let writer = rounds.first else { return nil }
    return queues[writer]?.first
  }

  /// Plans one more.
  private mutating func plan() {
    settle()
    guard let writer = rounds.first, var batch = queues[writer]?.removeFirst() else { return }
    batch.leftOfTurn = leftOfTurn
    planned.append(batch)
    leftOfTurn -= 1
    let isDone = queues[writer]?.isEmpty ?? true
    if isDone { queues[writer] = nil }
    guard isDone || leftOfTurn == 0 else { return }
    rounds.endTurn(isDone: isDone)
    leftOfTurn = WaitingBatches.turnLength
  }

  /// Plans what is `wanted` before all others; false where nothing of it waits. Only what a writer's other
  /// batches here are to follow may be wanted, or are repeats of what is in the history.
  mutating func bringForward(_ wanted: (BatchID) -> Bool) -> Bool {
    var front: [PendingBatch] = []
    planned.move(wanted, to: &front)
    for writer in rounds.all {
      queues[writer]?.move(wanted, to: &front)
    }
    guard !front.isEmpty else { return false }
    for index in front.indices { front[index].leftOfTurn = WaitingBatches.turnLength }
    planned.prepend(front)
    leaveRounds(Set(rounds.all.filter { queues[$0]?.isEmpty ?? true }))
    return true
  }

  /// These writers have nothing more to be planned.
  private mutating func leaveRounds(_ writers: Set<WriterID>) {
    guard !writers.isEmpty else { return }
    if let first = rounds.first, writers.contains(first) {
      leftOfTurn = WaitingBatches.turnLength
    }
    for writer in writers { queues[writer] = nil }
    rounds.remove(writers)
  }

  /// Takes out the next batch.
  mutating func takeFirst() -> PendingBatch? {
    if planned.isEmpty { plan() }
    guard let batch = planned.removeFirst() else { return nil }
    let writer = batch.id.writer
    let left = (counts[writer] ?? 1) - 1
    counts[writer] = left == 0 ? nil : left
    count -= 1
    if batch.isLastOfFrame { drop(batch.frame) }
    return batch
  }

  /// Takes out all that waits of a writer.
  mutating func remove(_ writer: WriterID) {
    var removed: [PendingBatch] = []
    planned.move({ $0.writer == writer }, to: &removed)
    queues[writer]?.move({ _ in true }, to: &removed)
    leaveRounds([writer])
    counts[writer] = nil
    count -= removed.count
    for batch in removed where batch.isLastOfFrame { drop(batch.frame) }
  }

  /// The first of each writer's.
  var firsts: some Sequence<PendingBatch> {
    var seen: Set<WriterID> = []
    let first = planned.first(planned.count).filter { seen.insert($0.id.writer).inserted }
    return first + rounds.all.filter { !seen.contains($0) }.compactMap { queues[$0]?.first }
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
}
