internal import SluiceJournal
internal import SluiceShared

/// A segment that can be opened: its header, its blocks 0 to 3 when nobody was writing them, and its start
/// frame.
struct VerifiedSegment {
  let segment: LogSegment
  let control: LogSegment.Control
  /// Its start frame, where it has one.
  private(set) var start: StartRecord?
  private(set) var startOffset: Int64?

  /// Opens what was listed as `file`; nil where retention has removed it since.
  static func open(
    _ file: SegmentFiles.One, of files: SegmentFiles, _ store: StoreHandle,
    _ verification: Verification
  ) throws(StoreError) -> VerifiedSegment? {
    do throws(StoreError) {
      return try VerifiedSegment(file, of: files, store, verification)
    } catch {
      guard error.isGone else { throw error }
      // Retention may have moved it.
      let now = try SegmentFiles(store.layout, store.fileSystem)
      guard let moved = now.all.first(where: { $0.number == file.number }) else { return nil }
      return try VerifiedSegment(moved, of: files, store, verification)
    }
  }

  private init(
    _ file: SegmentFiles.One, of files: SegmentFiles, _ store: StoreHandle,
    _ verification: Verification
  ) throws(StoreError) {
    segment = try LogSegment(path: file.path, store: store.id, environment: store.environment)
    guard segment.number == file.number else {
      throw StoreError(
        .damaged, "the header of a log segment says that it is number \(segment.number)",
        path: file.path, offset: Block.header)
    }
    control = try Self.settled(
      segment, isNewest: file.number == files.all.last?.number,
      mayBeWritten: files.all.suffix(2).contains { $0.number == file.number }, verification)
    try findStart(Log(of: store))
  }

  /// Blocks 0 to 3. Those of the newest segment may just be written, and those of the one before it, whose
  /// holder works until a claimant marks it.
  private static func settled(
    _ segment: LogSegment, isNewest: Bool, mayBeWritten: Bool, _ verification: Verification
  ) throws(StoreError) -> LogSegment.Control {
    var control = try segment.control()
    var isOdd = control.isClosed ? try !Mark.isWhole(segment.file) : false
    for attempt in 0..<200
    where mayBeWritten && control.hasUnreadableSlot || isNewest && isOdd {
      verification.environment.clock.sleep(.milliseconds(min(attempt, 25)))
      control = try segment.control()
      isOdd = control.isClosed ? try !Mark.isWhole(segment.file) : false
    }
    if control.isTruncated { throw segment.truncated() }
    if isNewest, isOdd {
      verification.report(
        segment.file.path, Block.mark,
        "the mark of the newest log segment is set, and not as appliers set it",
        remains: "nothing is lost; an applier that starts goes on in a new segment")
    }
    return control
  }

  /// By the beacon, or behind the commits that were carried over.
  private mutating func findStart(_ log: Log) throws(StoreError) {
    if let place = control.beacon?.position.startFrame,
      let record = try? segment.startRecord(at: place)
    {
      start = record
      startOffset = place
      return
    }
    var frames = segment.frames()
    while let frame = try frames.ahead() {
      if frame.kind == .start {
        start = try? segment.startRecord(at: frame.offset)
        startOffset = frame.offset
        return
      }
      frames.pass(frame)
    }
  }
}
