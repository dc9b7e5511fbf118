internal import SluiceJournal
internal import SluiceShared

/// The log's part of a verification: segments in the order of their numbers, each up to what is published
/// in it, and the database's checksum along with them.
final class LogVerification {
  let verification: Verification
  private let files: SegmentFiles
  private let store: StoreHandle
  private var segments: [VerifiedSegment] = []
  /// How far the history was read.
  private var reached: LogExtent?
  private var trail: ChecksumTrail?
  /// Of the segment that is read.
  private(set) var merged = MergedEntries()
  /// A damage explains the next gap in the history.
  private var explained = false

  init(_ verification: Verification, _ files: SegmentFiles, _ store: StoreHandle) {
    self.verification = verification
    self.files = files
    self.store = store
  }

  func run() throws(StoreError) {
    if files.all.isEmpty {
      verification.report(
        verification.layout.log, nil, "the log has no segment",
        remains:
          "the database as of batch \(verification.summary.checkpoints.last ?? .zero) is in a checkpoint; restore the log from a backup"
      )
    }
    for file in files.all {
      do throws(StoreError) {
        guard let one = try VerifiedSegment.open(file, of: files, store, verification) else {
          continue
        }
        segments.append(one)
        verification.summary.segments += 1
      } catch {
        guard [.damaged, .foreign, .unsupported].contains(error.code) else { throw error }
        verification.report(
          error, remains: "what is in it cannot be read; restore the file from a backup")
      }
    }
    passOverEndedLine()
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
    try verifyEnd()
  }

  /// Before the first segment of a line that a repair has begun nothing is history; it moves all that away.
  private func passOverEndedLine() {
    guard let line = segments.lastIndex(where: { $0.start?.beginsLine ?? false }) else { return }
    for one in segments[..<line] where one.control.beacon != nil || one.control.hasUnreadableSlot {
      verification.report(
        one.segment.file.path, nil,
        "this log segment is of a part of the history that a repair has ended, and which was cut off then",
        remains: "nobody reads it; `sluice repair` moves it away")
    }
    segments.removeFirst(line)
  }

  /// Retention removes segments while this reads.
  private func isGone(_ number: UInt64, _ error: StoreError) throws(StoreError) -> Bool {
    guard error.isGoneOrLost else { return false }
    return try SegmentFiles.isGone(number, verification.layout, verification.fileSystem)
  }

  // MARK: one segment

  /// Where what is published in the segment at `index` ends, and how far the history goes there; nil where
  /// it is no part of the history.
  private func end(_ index: Int) -> (offset: Int64, extent: LogExtent)? {
    // Behind it the next one may be damaged, so that nobody says what of it counts.
    successor(of: index)
      ?? segments[index].control.beacon.map { ($0.position.end, $0.extent) }
  }

  /// What a later segment says of the end of the one at `index`, from which it went on.
  private func successor(of index: Int) -> (offset: Int64, extent: LogExtent)? {
    let one = segments[index]
    for later in segments[(index + 1)...] {
      guard let start = later.start, let parent = start.parent,
        parent.segment == one.segment.number, parent.nonce == one.segment.header.nonce
      else { continue }
      return (parent.end, start.inherited)
    }
    return nil
  }

  /// A crash tears a beacon. Where a later segment names the end of what is published in this one, and there is a
  /// beacon behind this one, nobody reads those of this one any more.
  private func verifyBeacons(_ index: Int) throws(StoreError) {
    let segment = segments[index].segment
    guard segments[index].control.hasUnreadableSlot else { return }
    let slot = try segment.unreadableSlots().first
    let what = "a beacon of a log segment is damaged"
    let later = segments[(index + 1)...]
    guard successor(of: index) != nil, later.contains(where: { $0.control.beacon != nil }) else {
      return verification.report(
        segment.file.path, slot, what,
        remains: "the other one may be older; an applier that starts covers it")
    }
    verification.remark(
      segment.file.path, slot, what,
      remains: "nothing is lost: a later segment names what is published in this one")
  }

  private func verify(_ one: VerifiedSegment, at index: Int) throws(StoreError) {
    try verifyBeacons(index)
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
    merged = MergedEntries()
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

  private func report(gap offset: Int64, _ length: Int64, of one: VerifiedSegment, upTo next: TxID)
  {
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
    merged.forget()
    verification.report(
      one.segment.file.path, offset,
      "frames of the log are damaged, \(length) bytes: the pages, the outcomes and the batches themselves of batches \(first) to \(last)",
      lost: first...last,
      remains:
        "up to batch \(first.rawValue - 1) all is there; \(verification.remains(from: last)); restore the file from a backup"
    )
  }

  // MARK: one frame

  private func verify(_ frame: FrameHeader, of one: VerifiedSegment, _ survey: inout SegmentSurvey)
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
    if frame.kind == .index, isWhole {
      try compareCopies(frame, one, &survey)
      try compareMerged(frame, one, &survey)
    }
  }

  private func report(
    _ section: FrameSection, of frame: FrameHeader, _ one: VerifiedSegment,
    _ batches: ClosedRange<TxID>?
  ) {
    let id = SectionID(rawValue: section.id)
    verification.report(
      one.segment.file.path, frame.offset + section.offset,
      "\(id?.reportName ?? "section \(section.id)") of \(frame.reportName(batches)) is damaged",
      lost: batches, remains: verification.remains(without: id, batches))
  }

  private func verify(
    commit frame: FrameHeader, _ batches: ClosedRange<TxID>, of one: VerifiedSegment, isWhole: Bool,
    _ survey: inout SegmentSurvey
  ) throws(StoreError) {
    let parts = try survey.parts(of: frame)
    if isWhole, let what = parts.unsound {
      verification.report(
        one.segment.file.path, frame.offset, "a commit is whole and cannot be read: \(what)",
        lost: batches, remains: verification.remains(without: .meta, batches))
    }
    try verifyPages(of: frame, batches, parts, one, &survey)
    merged.add(parts)
    // One that was carried over was read in the segment before.
    if let reached, batches.upperBound <= reached.txid { return }
    if let reached, batches.lowerBound != reached.txid.next {
      // What was not read may have changed any page.
      trail = nil
      if !explained {
        let next = reached.txid.next
        verification.report(
          one.segment.file.path, frame.offset,
          "the log goes from batch \(reached.txid) to \(batches.lowerBound)",
          lost: batches.lowerBound > next ? next...TxID(batches.lowerBound.rawValue - 1) : nil,
          remains: verification.remains(from: batches.lowerBound))
      }
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
    _ one: VerifiedSegment
  ) {
    guard trail != nil else {
      verification.summary.uncheckedCommits += 1
      return
    }
    guard trail?.add(entries, meta) == true else {
      verification.report(
        one.segment.file.path, frame.offset,
        "a commit says that the database has \(meta.pageCount) pages then, and it has not written them",
        lost: batches, remains: verification.remains(without: .meta, batches))
      trail = nil
      return
    }
    guard trail?.agrees(with: meta.checksum) == false, let found = trail?.checksum else { return }
    verification.report(
      one.segment.file.path, frame.offset,
      "the pages in the log give the database the checksum \(found) after batch \(batches.upperBound), and its commit says \(meta.checksum)",
      lost: batches,
      remains:
        "a page or the checksum was not written by an applier; `sluice verify --replay` tells what the batches make"
    )
  }

  /// The pages' checksums as of `txid`, where a checkpoint has them.
  private func beginTrail(at txid: TxID) {
    trail = sidecar(txid).flatMap { try? ChecksumTrail($0) }
  }

  private func sidecar(_ txid: TxID) -> CheckpointSidecar? {
    guard verification.known.contains(txid) else { return nil }
    return try? CheckpointSidecar(
      path: verification.sidecar(txid), store: store.id, fileSystem: verification.fileSystem)
  }

  /// A checkpoint says the same as the log.
  private func compare(checkpoint txid: TxID, _ meta: CommitMeta) {
    guard let header = sidecar(txid)?.header,
      header.checksum != meta.checksum || header.pageCount != meta.pageCount
        || header.pageSize != meta.pageSize
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
    _ one: VerifiedSegment, _ survey: inout SegmentSurvey
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
        lost: batches, remains: verification.remains(without: .pages, batches))
    }
    verification.summary.pages += UInt64(entries.count)
  }

  // MARK: the end

  /// What the present is.
  ///
  /// A segment is marked only once its successor has its name, so where the newest one is marked and no
  /// later one is listed by now, the latter is lost, with what was published in it. So is what a later
  /// checkpoint was made of: it was listed before the log was read.
  private func verifyEnd() throws(StoreError) {
    let before = verification.summary.damages
    try verifyNewest()
    guard verification.summary.damages == before, let last = verification.summary.checkpoints.last,
      last > verification.summary.last, !segments.isEmpty
    else { return }
    verification.report(
      verification.layout.log, nil,
      "the log ends with batch \(verification.summary.last), and checkpoint \(last) is later: the newest of the log is missing",
      lost: verification.summary.last.next...last,
      remains:
        "\(verification.remains(from: last)); restore the missing segments from a backup")
  }

  private func verifyNewest() throws(StoreError) {
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
    // Behind the last one that holds anything there may be those of claimants that gave up.
    guard
      let last = segments.last(where: { $0.start != nil || $0.control.beacon != nil }),
      !files.all.contains(where: { $0.number == last.segment.number + 1 }), last.control.isClosed,
      try Mark.isWhole(last.segment.file),
      try !SegmentFiles(verification.layout, verification.fileSystem).all
        .contains(where: { $0.number == last.segment.number + 1 })
    else { return }
    verification.report(
      last.segment.file.path, Block.mark,
      "the last log segment is closed, so there was a later one, and it is missing",
      remains:
        "what was published behind batch \(verification.summary.last) is in no segment, and neither readers nor appliers go on: restore the missing segments from a backup, or see `sluice repair`"
    )
  }
}
