internal import SluiceJournal
internal import SluiceShared

/// The log's part of a verification: segments in the order of their numbers, each up to what is published
/// in it, and the database's checksum along with them.
final class LogVerification {
  private let verification: Verification
  private let files: SegmentFiles
  private let store: StoreID
  private var segments: [Verified] = []
  /// How far the history was read.
  private var reached: LogExtent?
  private var trail: ChecksumTrail?
  /// Where the segment's commits put each page last; nil where not all of them could be read.
  private var merged: [UInt32: PageEntry]?
  private var lastSize: UInt32?
  /// A damage explains the next gap in the history.
  private var explained = false

  /// A segment that can be opened.
  private struct Verified {
    var segment: LogSegment
    var control: LogSegment.Control
    /// Its start frame, where it has one.
    var start: StartRecord?
    var startOffset: Int64?
  }

  init(_ verification: Verification, _ files: SegmentFiles, _ store: StoreID) {
    self.verification = verification
    self.files = files
    self.store = store
  }

  private var environment: Environment { verification.environment }

  func run() throws(StoreError) {
    if files.all.isEmpty {
      verification.report(
        verification.layout.log, nil, "the log has no segment",
        remains:
          "the database as of batch \(verification.summary.checkpoints.last ?? .zero) is in a checkpoint; restore the log from a backup"
      )
    }
    for file in files.all {
      do throws(StoreError) { try openWhereItIs(file) } catch {
        guard [.damaged, .foreign, .unsupported].contains(error.code) else { throw error }
        verification.report(
          error, remains: "what is in it cannot be read; restore the file from a backup")
      }
    }
    explained = false
    let unreadable = Set(files.all.map(\.number)).subtracting(segments.map(\.segment.number))
    for (i, one) in segments.enumerated() {
      if i > 0 {
        let between = segments[i - 1].segment.number..<one.segment.number
        explained = explained || unreadable.contains { between.contains($0) }
      }
      do throws(StoreError) { try verify(one, at: i) } catch {
        guard try isGone(one.segment.number, error) else { throw error }
        explained = true
        trail = nil
      }
    }
    verifyEnd()
  }

  /// Retention removes segments while this reads.
  private func isGone(_ number: UInt64, _ error: StoreError) throws(StoreError) -> Bool {
    guard error.isNoSuchFile || error.isStaleHandle || error.isLostOpen else { return false }
    return try SegmentFiles.isGone(number, verification.layout, verification.fileSystem)
  }

  // MARK: one segment

  /// Retention may have moved it since it was listed, or removed it.
  private func openWhereItIs(_ file: SegmentFiles.One) throws(StoreError) {
    do throws(StoreError) { try open(file) } catch {
      guard error.isNoSuchFile || error.isStaleHandle else { throw error }
      let now = try SegmentFiles(verification.layout, verification.fileSystem)
      guard let moved = now.all.first(where: { $0.number == file.number }) else { return }
      try open(moved)
    }
  }

  private func open(_ file: SegmentFiles.One) throws(StoreError) {
    let segment = try LogSegment(path: file.path, store: store, environment: environment)
    guard segment.number == file.number else {
      throw StoreError(
        .damaged, "the header of a log segment says that it is number \(segment.number)",
        path: file.path, offset: Block.header)
    }
    let isNewest = file.number == files.all.last?.number
    let control = try settled(segment, isNewest)
    var one = Verified(segment: segment, control: control)
    try findStart(&one)
    segments.append(one)
    verification.summary.segments += 1
  }

  /// Blocks 0 to 3; those of the newest segment may just be written.
  private func settled(_ segment: LogSegment, _ isNewest: Bool) throws(StoreError)
    -> LogSegment.Control
  {
    var control = try segment.control()
    var isOdd = control.isClosed ? try !Mark.isWhole(segment.file) : false
    for attempt in 0..<200 where isNewest && (control.hasUnreadableSlot || isOdd) {
      environment.clock.sleep(.milliseconds(min(attempt, 25)))
      control = try segment.control()
      isOdd = control.isClosed ? try !Mark.isWhole(segment.file) : false
    }
    if control.isTruncated { throw segment.truncated() }
    if control.hasUnreadableSlot {
      verification.report(
        segment.file.path, try segment.unreadableSlots().first,
        "a beacon of a log segment is damaged",
        remains: isNewest
          ? "the other one may be older; an applier that starts covers it"
          : "a later segment names what is published here")
    }
    if isNewest, isOdd {
      verification.report(
        segment.file.path, Block.mark,
        "the mark of the newest log segment is set, and not as appliers set it",
        remains: "nothing is lost; an applier that starts goes on in a new segment")
    }
    return control
  }

  /// By the beacon, or behind the commits that were carried over.
  private func findStart(_ one: inout Verified) throws(StoreError) {
    let log = Log(layout: verification.layout, store: store, environment: environment)
    if let place = one.control.beacon?.position.startFrame,
      let record = try? log.startRecord(of: one.segment, at: place)
    {
      one.start = record
      one.startOffset = place
      return
    }
    var frames = one.segment.frames()
    while let frame = try frames.ahead() {
      if frame.kind == .start {
        one.start = try? log.startRecord(of: one.segment, at: frame.offset)
        one.startOffset = frame.offset
        return
      }
      frames.pass(frame)
    }
  }

  /// Where what is published in the segment at `index` ends, and how far the history goes there; nil where
  /// it is no part of the history.
  private func end(_ index: Int) -> (offset: Int64, extent: LogExtent)? {
    let one = segments[index]
    for later in segments[(index + 1)...] {
      guard let start = later.start, let parent = start.parent,
        parent.segment == one.segment.number, parent.nonce == one.segment.header.nonce
      else { continue }
      return (parent.end, start.inherited)
    }
    // Behind it the next one may be damaged, so that nobody says what of it counts.
    return one.control.beacon.map { ($0.position.end, $0.extent) }
  }

  private func verify(_ one: Verified, at index: Int) throws(StoreError) {
    guard let (end, extent) = end(index) else {
      // A claimant gave it up, unless it never published and its successor was lost.
      return
    }
    if let start = one.start, let reached, start.inherited.txid > reached.txid, !explained {
      verification.report(
        one.segment.file.path, one.startOffset,
        "this log segment goes on from batch \(start.inherited.txid), and what is before it in the log ends with batch \(reached.txid)",
        lost: reached.txid.next...start.inherited.txid,
        remains:
          "\(verification.remains(from: start.inherited.txid)); restore the missing segments from a backup"
      )
      explained = true
    }
    var survey = SegmentSurvey(one.segment, end: end)
    merged = [:]
    lastSize = nil
    while let found = try survey.next() {
      switch found {
      case .frame(let frame, let isChained):
        if !isChained {
          verification.report(
            one.segment.file.path, frame.offset,
            "a frame of the log does not follow the one before it",
            remains:
              "it is whole by itself, and readers stop before it; restore the file from a backup")
        }
        try verify(frame, of: one, &survey)
      case .gap(let offset, let length):
        let next = try survey.nextTxID() ?? extent.txid.next
        report(gap: offset, length, of: one, upTo: next)
      }
      verification.read(survey.takeBytes())
    }
    if let reached, reached.txid < extent.txid, !explained {
      verification.report(
        one.segment.file.path, end,
        "the log goes to batch \(reached.txid), and \(extent.txid) are said to be published",
        lost: reached.txid.next...extent.txid,
        remains: "\(verification.remains(from: extent.txid)); restore the file from a backup")
      explained = true
    }
  }

  private func report(gap offset: Int64, _ length: Int64, of one: Verified, upTo next: TxID) {
    let first = (reached?.txid ?? one.start?.carried.txid ?? .zero).next
    guard next > first else {
      return verification.report(
        one.segment.file.path, offset,
        "a frame of the log is damaged, \(length) bytes; no batch is in it that is not elsewhere",
        remains: "readers that need this segment stop here; restore the file from a backup")
    }
    let last = TxID(next.rawValue - 1)
    explained = true
    trail = nil
    merged = nil
    verification.report(
      one.segment.file.path, offset,
      "frames of the log are damaged, \(length) bytes: the pages, the outcomes and the batches themselves of batches \(first) to \(last)",
      lost: first...last,
      remains:
        "up to batch \(first.rawValue - 1) all is there; \(verification.remains(from: last)); restore the file from a backup"
    )
  }

  // MARK: one frame

  private func verify(_ frame: FrameHeader, of one: Verified, _ survey: inout SegmentSurvey)
    throws(StoreError)
  {
    var batches: ClosedRange<TxID>?
    if frame.kind == .commit {
      batches = TxID(frame.first)...TxID(frame.first + UInt64(frame.count) - 1)
    }
    var isWhole = true
    // Of pages each has a checksum of its own.
    for section in frame.sections where section.id != SectionID.pages.rawValue {
      guard try !survey.scanner.isWhole(section, of: frame) else { continue }
      isWhole = false
      report(section, of: frame, one, batches)
    }
    if let batches { try verify(commit: frame, batches, of: one, isWhole: isWhole, &survey) }
    if frame.kind == .index, isWhole { try compareMerged(frame, one, &survey) }
  }

  /// The index at a finished segment's end says what its commits say. Without a description (where commits
  /// were carried over) nobody goes by it.
  private func compareMerged(
    _ frame: FrameHeader, _ one: Verified, _ survey: inout SegmentSurvey
  ) throws(StoreError) {
    guard frame.section(.meta) != nil, let merged else { return }
    let bytes = try survey.scanner.section(.index, of: frame, limit: Limits.commitBytes) ?? []
    let entries = (try? PageEntry.decode(bytes, base: 0)) ?? []
    guard entries != merged.values.sorted(by: { $0.page < $1.page }) else { return }
    verification.report(
      one.segment.file.path, frame.offset,
      "a finished segment's merged index does not say what its commits say",
      remains: "the commits are right, and readers go by the index; restore the file from a backup")
  }

  private func note(_ parts: SegmentSurvey.Parts) {
    guard let meta = parts.meta, let entries = parts.entries else { return merged = nil }
    if let lastSize, meta.pageCount < lastSize {
      merged = merged?.filter { $0.key <= meta.pageCount }
    }
    lastSize = meta.pageCount
    for entry in entries { merged?[entry.page] = entry }
  }

  private func report(
    _ section: FrameSection, of frame: FrameHeader, _ one: Verified, _ batches: ClosedRange<TxID>?
  ) {
    let id = SectionID(rawValue: section.id)
    verification.report(
      one.segment.file.path, frame.offset + section.offset,
      "\(id.map(Self.name) ?? "section \(section.id)") of \(Self.name(frame, batches)) is damaged",
      lost: batches, remains: remains(without: id, batches))
  }

  private static func name(_ id: SectionID) -> String {
    switch id {
    case .batches: "the batches themselves, a section"
    case .meta: "the description"
    case .index: "the page index"
    case .outcomes: "the outcomes, a section"
    case .consumed: "what was read of the journal, a section"
    case .pages: "the pages, a section"
    case .start: "the content"
    case .pruned: "the forgotten writers, a section"
    case .padding: "the padding"
    }
  }

  private static func name(_ frame: FrameHeader, _ batches: ClosedRange<TxID>?) -> String {
    switch frame.kind {
    case .commit:
      batches.map { "the commit of batches \($0.lowerBound) to \($0.upperBound)" } ?? "a commit"
    case .start: "a segment's start frame"
    case .index: "a finished segment's merged index"
    case .batches: "a frame that belongs into a journal"
    }
  }

  private func remains(without id: SectionID?, _ batches: ClosedRange<TxID>?) -> String {
    guard let batches else {
      return id == .index || id == .meta
        ? "all that it says is in the commits before it"
        : "readers stop here; restore the file from a backup"
    }
    let before = "up to batch \(batches.lowerBound.rawValue - 1) all is there"
    let later = verification.remains(from: batches.upperBound)
    switch id {
    case .batches:
      return
        "what they did is in the pages; a replay cannot pass them, and begins at a later checkpoint"
    case .outcomes:
      return "what they did is in the pages; what became of each is not told any more"
    case .consumed:
      return "nothing that is read of the database"
    case .pages, .index:
      return
        "\(before); \(later); the batches are there, and `sluice replay` makes the database of them"
    default: return "\(before); \(later); restore the file from a backup"
    }
  }

  private func verify(
    commit frame: FrameHeader, _ batches: ClosedRange<TxID>, of one: Verified, isWhole: Bool,
    _ survey: inout SegmentSurvey
  ) throws(StoreError) {
    let parts = try survey.parts(of: frame)
    if isWhole, let what = parts.unsound {
      verification.report(
        one.segment.file.path, frame.offset, "a commit is whole and cannot be read: \(what)",
        lost: batches, remains: remains(without: .meta, batches))
    }
    try verifyPages(of: frame, batches, parts, one, &survey)
    note(parts)
    // One that was carried over was read in the segment before.
    if let reached, batches.upperBound <= reached.txid { return }
    if let reached, batches.lowerBound != reached.txid.next, !explained {
      let next = reached.txid.next
      verification.report(
        one.segment.file.path, frame.offset,
        "the log goes from batch \(reached.txid) to \(batches.lowerBound)",
        lost: batches.lowerBound > next ? next...TxID(batches.lowerBound.rawValue - 1) : nil,
        remains: verification.remains(from: batches.lowerBound))
      trail = nil
    }
    explained = false
    verification.summary.commits += 1
    verification.summary.first = verification.summary.first ?? batches.lowerBound
    if trail == nil { beginTrail(at: TxID(batches.lowerBound.rawValue - 1)) }
    let last = batches.upperBound
    if let meta = parts.meta, let entries = parts.entries {
      addToTrail(entries, meta, frame, batches, one)
      compare(checkpoint: last, meta)
      reached = LogExtent(txid: last, commits: meta.commit, time_ms: meta.time_ms)
    } else {
      trail = nil
      verification.summary.uncheckedCommits += 1
      reached = LogExtent(
        txid: last, commits: (reached?.commits ?? 0) + 1, time_ms: reached?.time_ms ?? 0)
    }
  }

  private func addToTrail(
    _ entries: [PageEntry], _ meta: CommitMeta, _ frame: FrameHeader, _ batches: ClosedRange<TxID>,
    _ one: Verified
  ) {
    guard trail != nil else {
      verification.summary.uncheckedCommits += 1
      return
    }
    trail?.add(entries, pageCount: meta.pageCount)
    guard let found = trail?.checksum, found != meta.checksum else { return }
    verification.report(
      one.segment.file.path, frame.offset,
      "the pages in the log give the database the checksum \(found) after batch \(batches.upperBound), and its commit says \(meta.checksum)",
      lost: batches,
      remains:
        "a page or the checksum was not written by an applier; `sluice verify --replay` tells what the batches make"
    )
    trail?.accept(meta.checksum)
  }

  /// The pages' checksums as of `txid`, where a checkpoint has them.
  private func beginTrail(at txid: TxID) {
    trail = sidecar(txid).flatMap { try? ChecksumTrail($0) }
  }

  private func sidecar(_ txid: TxID) -> CheckpointSidecar? {
    guard verification.known.contains(txid) else { return nil }
    return try? CheckpointSidecar(
      path: verification.sidecar(txid), store: store, fileSystem: verification.fileSystem)
  }

  /// A checkpoint says the same as the log.
  private func compare(checkpoint txid: TxID, _ meta: CommitMeta) {
    guard let header = sidecar(txid)?.header,
      header.checksum != meta.checksum || header.pageCount != meta.pageCount
    else { return }
    verification.report(
      verification.sidecar(txid), 64,
      "checkpoint \(txid) has the checksum \(header.checksum), and the log has \(meta.checksum) for that batch",
      remains:
        "one of the two is not of this history; `sluice verify --replay` tells what the batches make"
    )
  }

  /// Names each page of a commit that is not what its index says.
  private func verifyPages(
    of frame: FrameHeader, _ batches: ClosedRange<TxID>, _ parts: SegmentSurvey.Parts,
    _ one: Verified, _ survey: inout SegmentSurvey
  ) throws(StoreError) {
    guard let section = frame.section(.pages) else { return }
    guard let meta = parts.meta, let entries = parts.entries else {
      // Without its index no page can be told from another.
      if try !survey.scanner.isWhole(section, of: frame) {
        report(section, of: frame, one, batches)
      }
      return
    }
    for entry in try survey.damagedPages(entries, pageSize: Int(meta.pageSize)) {
      verification.report(
        one.segment.file.path, entry.offset,
        "page \(entry.page) as batches \(batches.lowerBound) to \(batches.upperBound) left it is damaged",
        lost: batches, remains: remains(without: .pages, batches))
    }
    verification.summary.pages += UInt64(entries.count)
  }

  // MARK: the end

  /// What the present is.
  private func verifyEnd() {
    guard let newest = segments.last(where: { $0.control.beacon != nil }) else {
      if !segments.isEmpty {
        verification.report(
          verification.layout.log, nil, "no segment of the log has a beacon that can be read",
          remains: "what is published is not known; restore a segment from a backup")
      }
      return
    }
    verification.summary.last = max(
      verification.summary.last, newest.control.beacon?.extent.txid ?? .zero)
  }
}
