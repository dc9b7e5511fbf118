import SluiceJournal
import SluiceQuery
import SluiceReader
import SluiceShared

/// Which batches of a segment in quarantine are submitted again, and why the others are not.
///
/// Submitted is what can be read and has no outcome, in its order. Exactly once rests on this: under its own name a
/// batch is executed no more once its writer's later ones are; before that it could come out of another file of
/// its writer's, so there must be none, or out of a writer that lives and writes again what it is in doubt of,
/// which is its last frame, for a day. And under its key a batch is applied once, by whomever it is submitted.
struct SegmentResubmission {
  enum Course {
    case hasOutcome
    case again(Batch)
    case left(Left.Reason)
  }

  /// Batches that are not submitted.
  struct Left {
    enum Reason: String {
      case damaged, undecodable, transaction, mayCome
    }

    var reason: Reason
    var first: SequenceNumber
    /// nil: nobody knows how many.
    var last: SequenceNumber?
    var offset: Int64
  }

  let segment: QuarantinedSegment
  private let fates: QuarantineFates
  private(set) var executed = 0
  private(set) var submittedAgain = 0
  private(set) var toSubmit = 0
  private(set) var left: [Left] = []
  /// From this one on they wait for their writer's end.
  private(set) var awaited: SequenceNumber?
  /// Where its last whole frame begins, which its writer may write again.
  private var lastFrame: Int64 = 0
  /// Until when it may (Unix milliseconds).
  let mayComeUntil_ms: Int64

  /// `writerEnded`: its writer's process is known to live no more.
  init(_ id: JournalSegmentID, _ layout: StoreLayout, writerEnded: Bool) throws {
    // Before the history is read: what is in no file then, and not in that history, comes only from a writer that
    // lives.
    let writers = try QuarantineReport.writersWithFiles(layout)
    let segment = try QuarantinedSegment(id, layout, PosixFileSystem())
    self.segment = segment
    mayComeUntil_ms =
      writerEnded ? .min : segment.modified_ms + Limits.resendAge.wholeMilliseconds
    fates = try Database(path: layout.root).read(.latest) {
      try QuarantineFates(segment, layout.root, $0)
    }
    guard fates.isComplete else { throw Self.isTooOld(segment, layout) }
    try findDamage()
    try count(writerHasFiles: writers.contains(id.writer), layout)
    left.sort { $0.first < $1.first }
  }

  private static func isTooOld(_ segment: QuarantinedSegment, _ layout: StoreLayout) -> StoreError {
    StoreError(
      .snapshotExpired,
      "the log does not go back to a day before this segment was written, so nobody can tell which of its batches were executed since; submit anew what `sluice rejected \(layout.root.quotedForShell)` shows of it and is still wanted, then `sluice discard` it",
      path: segment.path)
  }

  // MARK: what there is

  /// What lies between whole frames, and behind the last.
  private mutating func findDamage() throws {
    guard var frames = try segment.frames() else {
      throw StoreError(
        .damaged,
        "nothing in this segment can be read, since its header is damaged; its writer is to submit its batches again, then `sluice discard` it",
        path: segment.path, offset: Block.header)
    }
    var next = frames.header.firstSequence
    var offset = Block.firstJournalFrame
    var isEnded = false
    while let frame = try frames.next() {
      if frame.offset > offset { tell(from: next, before: frame.first, at: offset) }
      if frame.places.isEmpty, frame.count > 0 {
        tell(
          from: frame.first, before: frame.first.advanced(by: UInt64(frame.count)), at: frame.offset
        )
      }
      next = frame.first.advanced(by: UInt64(frame.count))
      (offset, lastFrame, isEnded) = (frame.end, frame.offset, frame.endsSegment)
    }
    guard !isEnded, let remains = try segment.data(from: offset) else { return }
    left.append(Left(reason: .damaged, first: next, last: nil, offset: remains))
  }

  private mutating func tell(
    from first: SequenceNumber, before next: SequenceNumber, at offset: Int64
  ) {
    guard first < next else { return }
    left.append(
      Left(
        reason: .damaged, first: first, last: SequenceNumber(next.rawValue - 1), offset: offset))
  }

  private mutating func count(writerHasFiles: Bool, _ layout: StoreLayout) throws {
    var (done, again, more, others) = (0, 0, 0, [Left]())
    var awaited: SequenceNumber?
    _ = try segment.read { held in
      let sequence = held.batch.sequence
      switch fates.fate(of: held) {
      case .executed: done += 1
      case .submittedAgain: again += 1
      case .open:
        guard !writerHasFiles || isPassed(sequence) else {
          throw StoreError(
            .busy,
            "its writer has files in the journal, in which batch \(sequence) may be, too; try again when they are applied and gone",
            path: segment.path, offset: held.offset)
        }
        switch course(of: held) {
        case .hasOutcome: break
        case .again where awaited == nil: more += 1
        case .left(let reason) where awaited == nil || reason != .mayCome:
          if reason == .mayCome { awaited = sequence }
          others.append(
            Left(reason: reason, first: sequence, last: sequence, offset: held.offset))
        case .again, .left:
          others.append(
            Left(reason: .mayCome, first: sequence, last: sequence, offset: held.offset))
        }
      }
    }
    (executed, submittedAgain, toSubmit, self.awaited) = (done, again, more, awaited)
    left += others
  }

  /// Its writer has gone on behind it, so that it is executed under its own name no more.
  private func isPassed(_ sequence: SequenceNumber) -> Bool {
    fates.last.map { sequence <= $0 } ?? false
  }

  /// What is to be done with one batch.
  func course(of held: QuarantinedSegment.Held) -> Course {
    guard case .open = fates.fate(of: held) else { return .hasOutcome }
    guard var batch = held.content else { return .left(.undecodable) }
    guard batch.step == nil else { return .left(.transaction) }
    // With a key of its own it would be a duplicate.
    if batch.key == nil, held.offset == lastFrame, !isPassed(held.batch.sequence),
      SystemClock().wallTime_ms() < mayComeUntil_ms
    {
      return .left(.mayCome)
    }
    batch.key = held.keyAgain
    return .again(batch)
  }

  /// What is submitted.
  func batches() throws(StoreError) -> SegmentBatches? {
    try segment.frames().map { SegmentBatches(self, $0) }
  }
}

/// The batches of a segment in quarantine that are submitted again, in their order.
struct SegmentBatches: BatchSource {
  private let plan: SegmentResubmission
  private var frames: QuarantinedSegment.Frames
  private var frame: QuarantinedSegment.Frame?
  private var place = 0

  fileprivate init(_ plan: SegmentResubmission, _ frames: QuarantinedSegment.Frames) {
    self.plan = plan
    self.frames = frames
  }

  mutating func next() throws(StoreError) -> InputBatch? {
    while true {
      guard let frame, place < frame.places.count else {
        frame = try frames.next()
        place = 0
        if frame == nil { return nil }
        continue
      }
      let held = frame.held(place)
      place += 1
      let sequence = held.batch.sequence
      // Nothing overtakes what waits.
      if let awaited = plan.awaited, sequence >= awaited { return nil }
      guard case .again(let batch) = plan.course(of: held) else { continue }
      return InputBatch(
        batch: batch, input: "batch \(sequence) of \(StoreLayout.journalName(plan.segment.id))",
        line: 1, isFromFile: false, sequence: sequence)
    }
  }
}

// MARK: - For people and programs

extension SegmentResubmission {
  var text: String {
    "\(StoreLayout.journalName(segment.id)): \(executed) of its batches are in the history, \(submittedAgain) were submitted again before, \(toSubmit) are submitted again now"
  }

  var json: JSONObject {
    var object = JSONObject()
    object.add("segment", StoreLayout.journalName(segment.id))
    object.add("executed", executed)
    object.add("submittedAgain", submittedAgain)
    object.add("toSubmit", toSubmit)
    return object
  }
}

extension SegmentResubmission.Left {
  private var numbers: String {
    guard let last else { return "batches from \(first) on, if there were any" }
    return first == last ? "batch \(first)" : "batches \(first) to \(last)"
  }

  private var why: String {
    switch reason {
    case .damaged: "damaged"
    case .undecodable: "cannot be decoded"
    case .transaction: "of an interactive transaction, whose base is old; run it anew"
    case .mayCome: "its writer may write it again"
    }
  }

  func text(in path: String) -> String {
    "\(numbers): not submitted, \(why) (\(path) at byte \(offset))"
  }

  func json(in path: String) -> JSONObject {
    var object = JSONObject()
    object.add("sequence", first.rawValue)
    if let last, last != first { object.add("through", last.rawValue) }
    if last == nil { object.addNull("through") }
    object.add("status", reason.rawValue)
    object.add("path", path)
    object.add("offset", offset)
    return object
  }
}
