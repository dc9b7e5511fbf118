internal import SluiceShared

/// How long an applier waits for its child by the clock, as multiples of the processor time that a batch
/// may take.
///
/// Processor time is what a batch is measured by: it is the batch's own, however busy the host is. It does not
/// bound what waits: for pages, of which each costs a round trip to the file server, or for memory that was
/// swapped out. That holds up the others just as long. So by the clock a batch may take **four times its
/// processor time, and two minutes at least**: a batch that computes for all its 30 s has three times as
/// long to read pages, which are some 30,000 of them at 3 ms, and one that reads without computing has
/// 40,000. What reads more is better split.
///
/// A host that is overloaded is no batch's fault. What the child waited for a processor is not counted
/// (`/proc/PID/schedstat`); the term renewed its lease all the while, so the file server answered;
/// and a batch that took too long for a reason that cannot be seen from here gets **another try**, alone. It
/// is rejected for the second time, so that nobody waits for one batch for longer than twice this limit.
struct WorkerPatience: Sendable {
  /// For a batch.
  var batch = (times: 4, least: Duration.seconds(120))
  /// For a child that executes no batch and uses no processor time: it was stopped, or waits for a file
  /// server that does not answer. That is no batch's fault, and another one is started.
  var standstill = (times: 20, least: Duration.seconds(600))

  func longestBatch(_ batchTime: Duration) -> Duration { max(batchTime * batch.times, batch.least) }
  func longestStandstill(_ batchTime: Duration) -> Duration {
    max(batchTime * standstill.times, standstill.least)
  }
}

/// What is seen of a child while it answers a question: which batch it executes, for how long, and whether
/// that is too long.
struct BatchWatch {
  /// One look at the child.
  struct Look {
    /// By this process's clock.
    var now: Duration
    /// Which batch it executes, and a number that changes with each (`Progress`).
    var number: UInt64
    var index: Int?
    /// Of the processor, used by the child until now.
    var processorTime: Duration
  }

  enum Finding: Equatable {
    case goesOn
    /// The batch at this index has used its processor time.
    case usedUp(Int)
    /// It took too long by the clock.
    case waits(Int)
    /// What is no batch but the commit of some used a batch's processor time without getting on.
    case commitUsedUp
    case standsStill
  }

  private let batchTime: Duration
  let longestBatch: Duration
  private let longestStandstill: Duration
  /// The number from before the question: nothing of it was begun.
  let begun: UInt64
  private var number: UInt64
  private var batchBegan: Duration
  private var processorTimeBefore: Duration
  private var processorTime: Duration
  /// What the child had waited for a processor soon after the batch began.
  private var queuedBefore: Duration?
  /// When it last began something or used the processor.
  private var lastProgress: Duration
  private var lastLook: Duration

  /// A batch that takes less is not worth asking for what it waited for a processor.
  private static let short = Duration.seconds(1)

  init(_ first: Look, batchTime: Duration, _ patience: WorkerPatience) {
    self.batchTime = batchTime
    longestBatch = patience.longestBatch(batchTime)
    longestStandstill = patience.longestStandstill(batchTime)
    begun = first.number
    number = first.number
    batchBegan = first.now
    lastProgress = first.now
    lastLook = first.now
    processorTimeBefore = first.processorTime
    processorTime = first.processorTime
  }

  /// `queued` is what the child has waited for a processor until now; it is seldom asked for.
  mutating func look(_ look: Look, queued: () -> Duration) -> Finding {
    // A process that stood still here gives the child as much more.
    let missed = look.now - lastLook - .seconds(1)
    if missed > .zero {
      lastProgress += missed
      batchBegan += missed
    }
    lastLook = look.now
    if look.processorTime > processorTime { lastProgress = look.now }
    processorTime = look.processorTime
    guard look.number == number else {
      number = look.number
      lastProgress = look.now
      batchBegan = look.now
      processorTimeBefore = look.processorTime
      queuedBefore = nil
      return .goesOn
    }
    let isUsedUp = look.processorTime - processorTimeBefore >= batchTime
    if let index = look.index {
      if isUsedUp { return .usedUp(index) }
      if isTooLong(look.now - batchBegan, queued) { return .waits(index) }
    } else if isUsedUp, number != begun {
      return .commitUsedUp
    }
    return look.now - lastProgress >= longestStandstill ? .standsStill : .goesOn
  }

  private mutating func isTooLong(_ elapsed: Duration, _ queued: () -> Duration) -> Bool {
    if queuedBefore == nil, elapsed >= min(BatchWatch.short, longestBatch / 2) {
      queuedBefore = queued()
    }
    guard elapsed >= longestBatch, let queuedBefore else { return false }
    return elapsed - max(.zero, queued() - queuedBefore) >= longestBatch
  }
}
